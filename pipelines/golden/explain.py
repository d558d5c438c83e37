"""Where a golden cell comes from: winner and losers, each with its source, rule and time (ARCHITECTURE §7).

One entity is read and ranked in this process, without a query engine, so that a question costs milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest
from pipelines.golden.moved import moved
from pipelines.golden.pins import decided_by_pins, pins_of, problem, usable
from pipelines.golden.policy import RECORD, load_policy
from pipelines.golden.ranking import decided, instant_text, ranked, rule_of
from pipelines.golden.reading import CONTACT_COLUMNS, CONTACT_KINDS, named
from pipelines.golden.rules import AGREED, MANUAL
from pipelines.store import golden_reads
from pipelines.store.leases import utc_now
from pipelines.store.pins import open_pins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipelines.golden.candidate import Candidate
    from pipelines.golden.pins import Pinned
    from pipelines.golden.policy import Choice, Policy
    from pipelines.golden.ranking import Row
    from pipelines.store import Store
    from pipelines.store.pins import Pin


def explain(
    store: Store,
    entity: str,
    identity: str | int,
    field: str | None = None,
    *,
    now: datetime | None = None,
    policy_path: Path | None = None,
    tenant_id: int = 1,
) -> list[dict[str, Any]]:
    """Return a row per filled cell of a golden record, or for ``field`` only.

    Keys: ``entity_id`` (an old id is followed), ``term``, ``value``, ``source`` (source_ref), ``source_record_id``,
    ``connection``, ``rule``, ``since``, and ``losers``: the other candidates, best first, with the rule each lost by.
    A union has ``contributors`` in place of losers; a cell fixed by a person has ``pin``, with ``moved`` saying whether a
    source that the pin overrules changed its mind since. Values are what the sources say now, by the present policy.
    """
    policy = load_policy(entity, policy_path)
    number = _known_id(store, tenant_id, entity, identity)
    choices = policy.choices if field is None else (policy.choice(_known(policy, field)),)
    scope = golden_reads.Scope(tenant_id, entity, first=number, last=number)
    asked = _Entity(store, policy, scope, now or utc_now(), choices)
    if not asked.members:
        raise FixConfig(f"{entity} {number} has no golden record", why="none of its source records is left")
    if field is not None:
        return [asked.cell(field)]
    cells = [asked.cell(column) for column in policy.types]
    return [cell for cell in cells if cell["value"] is not None]


def _known_id(store: Store, tenant_id: int, entity: str, identity: str | int) -> int:
    try:
        number = golden_reads.current_id(store, tenant_id, entity, int(identity))
    except ValueError:
        number = None
    if number is None:
        raise FixConfig(f"no {entity} has the id '{identity}'", do="take an id from `unisono query`")
    return number


def _known(policy: Policy, field: str) -> str:
    if field not in policy.types:
        raise FixConfig(f"golden {policy.entity} has no attribute '{field}'", do=suggest(field, list(policy.types)))
    return field


@dataclass
class _Entity:
    """One golden entity: its rows, read once, and the choices made among them, made when asked for."""

    store: Store
    policy: Policy
    scope: golden_reads.Scope
    now: datetime
    choices: Sequence[Choice]

    @cached_property
    def rows(self) -> tuple[Sequence[Row], Sequence[Row]]:
        """Members and contact points, with the names of their sources: what the wanted choices are made among."""
        told = [choice for choice in self.choices if choice.source == RECORD]
        terms = [term for choice in told for term in choice.columns]
        aged, asked = any(choice.decays for choice in self.choices), {choice.source for choice in self.choices}
        kinds = [kind for kind in CONTACT_KINDS if aged or kind in asked]
        found = golden_reads.rows_of(self.store, self.scope, terms, kinds, CONTACT_COLUMNS)
        names = golden_reads.connections(self.store, self.scope.tenant_id)
        return named(found[0], names), named(found[1], names)

    @property
    def members(self) -> Sequence[Row]:
        """The source records and stubs."""
        return self.rows[0]

    @cached_property
    def pins(self) -> list[Pin]:
        """The pins that bind now, the newest first."""
        return open_pins(self.store, self.scope, self.now)

    @cached_property
    def sources(self) -> Mapping[int, Row]:
        """A row of every source record, by its id."""
        return {row["source_record_id"]: row for rows in self.rows for row in rows}

    def cell(self, column: str) -> dict[str, Any]:
        """Explain one attribute."""
        choice = self.policy.choice(column)
        candidates = ranked(choice, *self.rows)
        place = choice.columns.index(column)
        pins = usable(self.policy, self.pins)
        cells = decided_by_pins(choice, pins, candidates)
        facts: dict[str, Any] = {"entity_id": self.scope.first, "term": column}
        if cells:
            return facts | self._pinned(choice, column, cells.get(column), candidates)
        if not candidates or (not choice.union and candidates[0].values[place] is None):
            return facts | {"value": None} | self._source(None) | {"rule": None, "since": None} | self._unusable(choice)
        best = candidates[0]
        value = _united(candidates) if choice.union else best.values[place]
        facts |= {"value": value, **self._source(best.record), "rule": rule_of(choice, candidates)}
        facts |= {"since": instant_text(best.since)}
        others = [self._other(choice, place, each, best) for each in (candidates if choice.union else candidates[1:])]
        return facts | {"contributors" if choice.union else "losers": others} | self._unusable(choice)

    def _pinned(
        self, choice: Choice, column: str, cell: Pinned | None, candidates: Sequence[Candidate]
    ) -> dict[str, Any]:
        pin, *replaced = pins_of(choice, usable(self.policy, self.pins))
        if cell is None:
            facts: dict[str, Any] = {"value": None, **self._source(None), "rule": MANUAL, "since": None}
        else:
            pin, since = cell.pin, instant_text(cell.since)
            facts = {"value": cell.value, **self._source(cell.record), "rule": MANUAL, "since": since}
        place = choice.columns.index(column)
        losers = [self._other(choice, place, each, None) for each in candidates]
        told = _pin(pin) | {"moved": moved(self.store, self.scope.tenant_id, self.policy, choice, pin, candidates)}
        told |= {"replaces": [_pin(each) for each in replaced if each != pin]}
        return facts | {"pin": told, "losers": losers} | self._unusable(choice)

    def _other(self, choice: Choice, place: int, other: Candidate, best: Candidate | None) -> dict[str, Any]:
        value = other.values[place]
        lost = MANUAL if best is None else None if other is best else decided(choice, best, other)
        if best is not None and other is not best and other.values == best.values:
            lost = AGREED
        shown = list(value) if isinstance(value, tuple) else value
        return {"value": shown, **self._source(other.record), "rule": lost, "since": instant_text(other.since)}

    def _source(self, record: int | None) -> dict[str, Any]:
        row = self.sources.get(record, {}) if record is not None else {}
        return {"source_record_id": record, "source": row.get("source_ref"), "connection": row.get("connection")}

    def _unusable(self, choice: Choice) -> dict[str, Any]:
        wrong = [_pin(pin) | {"problem": problem(self.policy, pin)} for pin in pins_of(choice, self.pins)]
        wrong = [each for each in wrong if each["problem"] is not None]
        return {"unusable_pins": wrong} if wrong else {}


def _united(candidates: Sequence[Candidate]) -> list[Any]:
    return sorted({value for candidate in candidates for value in candidate.values[0]})


def _pin(pin: Pin) -> dict[str, Any]:
    return {
        "decision_id": pin.decision_id, "term": pin.term, "value": pin.value, "by": pin.actor, "reason": pin.reason,
        "decided_at": instant_text(pin.decided_at), "expires_at": instant_text(pin.expires_at),
    }  # fmt: skip
