"""Who looks after a customer at an instant, who is there, and the path that explains it.

The account is the customer, then its employers (the main one first), then what stands above it in the sales, legal and
billing hierarchy. For each account: its owner; a stand-in of an owner who is away; the account team, strongest first; the
owner's managers, upwards. Away is who has the role ``absent`` then, has a dated stand-in then (one without
dates is a deputy for whenever it is needed), or is employed at other times only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.influence.rules import HIERARCHIES, OVERRULED
from pipelines.store import influence_queries

if TYPE_CHECKING:
    from pipelines.store import Store

_HIERARCHIES = ("sales", *(kind for kind in HIERARCHIES if kind != "sales"))


@dataclass(frozen=True)
class Step:
    """One step of a path: by which kind of relation one came from ``from_id`` to ``to_id``."""

    kind: str
    from_id: int
    to_id: int
    strength: float | None = None


@dataclass(frozen=True)
class Nearest:
    """Who is responsible and there, and how one comes from the customer to them; ``passed`` are those who are away."""

    person_id: int
    path: tuple[Step, ...]
    passed: tuple[int, ...] = ()


def nearest_owner(store: Store, customer: int, at: datetime, *, tenant_id: int = 1) -> Nearest | None:
    """Return the nearest person responsible for a customer who is there at ``at``; ``None`` if there is nobody."""
    return _Search(store, tenant_id, at).nearest(customer)


class _Search:
    """One search: remembers who was asked, so that stand-ins of each other and circles end."""

    def __init__(self, store: Store, tenant_id: int, at: datetime) -> None:
        self._store, self._tenant_id, self._at = store, tenant_id, at
        self._away: dict[int, bool] = {}
        self._passed: list[int] = []

    def nearest(self, customer: int) -> Nearest | None:
        for account, way in self._accounts(customer):
            for person, steps in self._candidates(account):
                if not self._is_away(person):
                    return Nearest(person, (*way, *steps), tuple(self._passed))
                if person not in self._passed:
                    self._passed.append(person)
        return None

    def _accounts(self, customer: int) -> Iterator[tuple[int, tuple[Step, ...]]]:
        yield customer, ()
        seen = {customer}
        ways: list[tuple[int, tuple[Step, ...]]] = [(customer, ())]
        for row in self._from(customer, "employment"):
            ways.append((row["to_id"], (_step(row, forward=True),)))
            seen.add(row["to_id"])
            yield ways[-1]
        for kind in _HIERARCHIES:
            for start, way in ways:
                yield from self._above(start, kind, way, seen)

    def _above(
        self, start: int, kind: str, way: tuple[Step, ...], seen: set[int]
    ) -> Iterator[tuple[int, tuple[Step, ...]]]:
        above = influence_queries.parents(self._store, self._tenant_id, start, self._at).get(kind)
        while above is not None:
            way = (*way, Step(f"{kind} parent", start, above))
            if above not in seen:
                seen.add(above)
                yield above, way
            start, above = above, influence_queries.parents(self._store, self._tenant_id, above, self._at).get(kind)

    def _candidates(self, account: int) -> Iterator[tuple[int, tuple[Step, ...]]]:
        owners = [(row["from_id"], (_step(row),)) for row in self._to(account, "owner")]
        for owner, steps in owners:
            yield owner, steps
            yield from self._stand_ins(owner, steps, {owner})
        for row in self._to(account, "account_team"):
            yield row["from_id"], (_step(row),)
        for owner, steps in owners:
            yield from self._managers(owner, steps)

    def _stand_ins(
        self, person: int, steps: tuple[Step, ...], asked: set[int]
    ) -> Iterator[tuple[int, tuple[Step, ...]]]:
        """Yield who stands in for a person, and, where they are away too, who stands in for them."""
        for row in self._to(person, "stand_in"):
            other, longer = row["from_id"], (*steps, _step(row))
            if other not in asked:
                asked.add(other)
                yield other, longer
                yield from self._stand_ins(other, longer, asked)

    def _managers(self, person: int, steps: tuple[Step, ...]) -> Iterator[tuple[int, tuple[Step, ...]]]:
        seen = {person}
        while rows := [row for row in self._from(person, "reports_to") if row["to_id"] not in seen]:
            person, steps = rows[0]["to_id"], (*steps, _step(rows[0], forward=True))
            seen.add(person)
            yield person, steps

    def _is_away(self, person: int) -> bool:
        if person not in self._away:
            roles = influence_queries.employee_roles(self._store, self._tenant_id, [person])
            covered = any(row["valid_from"] or row["valid_to"] for row in self._to(person, "stand_in"))
            self._away[person] = is_away(roles, self._at) or covered
        return self._away[person]

    def _to(self, there: int, kind: str) -> list[dict[str, Any]]:
        return [row for row in self._relations(there, kind) if row["to_id"] == there]

    def _from(self, there: int, kind: str) -> list[dict[str, Any]]:
        rows = [row for row in self._relations(there, kind) if row["from_id"] == there]
        return sorted(rows, key=lambda row: not row["is_primary"])

    def _relations(self, there: int, kind: str) -> list[dict[str, Any]]:
        rows = influence_queries.relations_of(self._store, self._tenant_id, [there], self._at, types=(kind,))
        return [row for row in rows if row["conflict"] != OVERRULED]


def is_away(roles: Iterable[dict[str, Any]], at: datetime) -> bool:
    """Return whether these roles say that a person is away: absent then, or employed at other times only."""
    held = {row["role"] for row in roles if _covers(row, at)}
    return "absent" in held or ("employee" not in held and any(row["role"] == "employee" for row in roles))


def _covers(row: dict[str, Any], at: datetime) -> bool:
    begun = row["valid_from"] is None or row["valid_from"] <= at
    return begun and (row["valid_to"] is None or row["valid_to"] > at)


def _step(row: dict[str, Any], *, forward: bool = False) -> Step:
    """Return the step along a relation: from its to-end to its from-end, or ``forward``."""
    ends = (row["from_id"], row["to_id"]) if forward else (row["to_id"], row["from_id"])
    return Step(row["type"], *ends, row["strength"])
