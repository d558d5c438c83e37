"""The influence map of a customer organisation: who decides with which role, who reports to whom, who reaches whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.influence.paths import Edge, Path, best_paths
from pipelines.influence.rules import KINDS, OVERRULED
from pipelines.store import influence_queries

if TYPE_CHECKING:
    from pipelines.store import Store

_REACH = {kind.name: kind.reach for kind in KINDS if kind.reach}
_OURS = ("owner", "account_team")


@dataclass(frozen=True)
class Member:
    """One person of the customer: buying-group roles with their strength, and the manager if one is known."""

    person_id: int
    name: str | None
    roles: Mapping[str, float]
    strength: float
    reports_to: int | None
    is_employee: bool


@dataclass(frozen=True)
class InfluenceMap:
    """An organisation's people at an instant, our people beside them, and how they reach each other."""

    organization_id: int
    at: datetime
    members: tuple[Member, ...]
    team: tuple[int, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def buying_group(self) -> tuple[Member, ...]:
        """The members with a role in buying, strongest first."""
        return tuple(member for member in self.members if member.roles)

    def reach(self, start: int, *, depth: int = 4) -> Mapping[int, Path]:
        """Return the best path from a person to everyone they reach in at most ``depth`` steps."""
        return best_paths(self.edges, start, depth=depth)

    def best_way_in(self, person: int, *, depth: int = 4) -> Path | None:
        """Return the best path from one of our people to a person; ``None`` if none of them reaches that person."""
        ways = [way for ours in self.team if (way := self.reach(ours, depth=depth).get(person)) is not None]
        return min(ways, key=lambda way: (-way.strength, way.people), default=None)


def influence_map(
    store: Store, organization_id: int, at: datetime, *, known: int | None = None, tenant_id: int = 1
) -> InfluenceMap:
    """Return the influence map of an organisation at an instant, as known now or at a ``change_seq``."""

    def read(ids: Iterable[int], types: Iterable[str]) -> list[dict[str, Any]]:
        rows = influence_queries.relations_of(store, tenant_id, ids, at, types=tuple(types), known=known)
        return [row for row in rows if row["conflict"] != OVERRULED]

    around = [
        row
        for row in read([organization_id], ("employment", "buying_group", *_OURS))
        if row["to_id"] == organization_id
    ]
    people = {row["from_id"] for row in around if row["type"] not in _OURS}
    beside = read(people, _REACH) if people else []
    ours = {row["from_id"] for row in (*around, *beside) if row["type"] in _OURS}
    more = read(ours - people, _REACH) if ours - people else []
    inside = people | ours | {end for row in beside for end in (row["from_id"], row["to_id"])}
    edges = {edge for row in (*beside, *more) if {row["from_id"], row["to_id"]} <= inside for edge in _edges(row)}
    names = influence_queries.display_names(store, tenant_id, people)
    members = [_member(person, names.get(person), around, beside) for person in people]
    return InfluenceMap(
        organization_id,
        at,
        tuple(sorted(members, key=lambda one: (not one.roles, -one.strength, one.person_id))),
        tuple(sorted(ours)),
        tuple(sorted(edges, key=lambda edge: (edge.a, edge.b, edge.kind, edge.strength))),
    )


def _member(person: int, name: str | None, around: list[dict[str, Any]], beside: list[dict[str, Any]]) -> Member:
    mine = [row for row in around if row["from_id"] == person]
    roles: dict[str, float] = defaultdict(float)
    for row in mine:
        if row["type"] == "buying_group":
            roles[row["role"] or "member"] = max(roles[row["role"] or "member"], row["strength"])
    managers = [row["to_id"] for row in beside if row["type"] == "reports_to" and row["from_id"] == person]
    return Member(
        person, name, dict(sorted(roles.items())), max(row["strength"] for row in mine),
        managers[0] if managers else None, any(row["type"] == "employment" for row in mine),
    )  # fmt: skip


def _edges(row: dict[str, Any]) -> Iterable[Edge]:
    if {row["from_entity"], row["to_entity"]} != {"person"}:
        return
    yield Edge(row["from_id"], row["to_id"], row["strength"], row["type"])
    if _REACH[row["type"]] == "both":
        yield Edge(row["to_id"], row["from_id"], row["strength"], row["type"])
