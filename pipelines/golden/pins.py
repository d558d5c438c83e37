"""Pins: what a person fixed wins over every rule until it expires; a group stays whole (ADR 0024).

A pin of a single attribute sets its value. A pin of a whole group gives all of it. A pin of one attribute of a group
corrects that attribute *of the record it was made on*: the group is then that record's, whole, with the correction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.golden.ranking import instant_text, ranked
from pipelines.golden.rules import MANUAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.golden.candidate import Candidate
    from pipelines.golden.policy import Choice, Policy
    from pipelines.golden.ranking import Row
    from pipelines.golden.reading import Candidates
    from pipelines.store.pins import Pin


class Pinned(NamedTuple):
    """One cell that a pin decided: its value and its origin."""

    value: Any
    record: int
    since: datetime | None
    pin: Pin


def problem(policy: Policy, pin: Pin) -> str | None:
    """Say why a pin cannot be applied; ``None`` when it can."""
    group = next((choice for choice in policy.choices if isinstance(pin.value, dict) and pins_of(choice, [pin])), None)
    given = {pin.term: pin.value} if group is None else pin.value
    unknown = sorted(given.keys() - (policy.types.keys() if group is None else set(group.columns)))
    if unknown:
        return f"golden {policy.entity} has no attribute '{unknown[0]}'" + (" in that group" if group else "")
    try:
        values = [_converted(value, policy.types[column]) for column, value in given.items()]
    except (TypeError, ValueError, InvalidOperation):
        return f"{json.dumps(pin.value, ensure_ascii=False)} is no value of '{pin.term}'"
    return None if any(value is not None for value in values) else "it gives no value"


def usable(policy: Policy, pins: Iterable[Pin]) -> list[Pin]:
    """Return the pins that can be applied."""
    return [pin for pin in pins if problem(policy, pin) is None]


def pins_of(choice: Choice, pins: Iterable[Pin]) -> list[Pin]:
    """Return the pins of a choice, in the order given: of one of its attributes, or by its name of the whole group."""
    return [
        pin
        for pin in pins
        if (choice.is_group and pin.term == choice.name if isinstance(pin.value, dict) else pin.term in choice.columns)
    ]


def decided_by_pins(choice: Choice, pins: Sequence[Pin], candidates: Sequence[Candidate]) -> dict[str, Pinned]:
    """Return the cells of a choice as its pins (newest first) have them; empty when it has none."""
    mine = pins_of(choice, pins)
    if not mine:
        return {}
    types = dict(zip(choice.columns, choice.types, strict=True))
    whole = next((number for number, pin in enumerate(mine) if isinstance(pin.value, dict)), len(mine))
    if whole < len(mine):
        given = mine[whole].value.items()
        cells = {
            column: _by(mine[whole], _converted(value, types[column])) for column, value in given if value is not None
        }
    else:
        cells = _corrected(choice, mine[0], candidates)
    for pin in reversed(mine[:whole]):
        cells[pin.term] = _by(pin, _converted(pin.value, types[pin.term]))
    return _recomposed(choice, cells, {pin.term for pin in mine[:whole]})


def with_pins(golden: pa.Table, policy: Policy, found: Candidates, pins: Sequence[Pin]) -> pa.Table:
    """Return the golden rows with the pins of their entities applied; rows without a pin are as they were."""
    by_entity = defaultdict[int, list["Pin"]](list)
    for pin in usable(policy, pins):
        by_entity[pin.entity_id].append(pin)
    if not by_entity:
        return golden
    chosen = pa.array([number in by_entity for number in golden.column("entity_id").to_pylist()], pa.bool_())
    changed = golden.filter(chosen).to_pylist()
    ids = pa.array(list(by_entity), pa.int64())
    members, contacts = (rows_by_entity(rows, ids) for rows in (found.members, found.contacts))
    rows = [
        _with_pins(row, policy, members[row["entity_id"]], contacts[row["entity_id"]], by_entity[row["entity_id"]])
        for row in changed
    ]
    rest = golden.filter(pc.invert(chosen))
    return pa.concat_tables([rest, pa.Table.from_pylist(rows, golden.schema)]).sort_by("entity_id")


def _with_pins(
    row: Mapping[str, Any], policy: Policy, members: Sequence[Row], contacts: Sequence[Row], pins: Sequence[Pin]
) -> dict[str, Any]:
    values, provenance = dict(row), json.loads(row["provenance"])
    for choice in policy.choices:
        cells = decided_by_pins(choice, pins, ranked(choice, members, contacts)) if pins_of(choice, pins) else {}
        for column in choice.columns if cells else ():
            cell = cells.get(column)
            values[column] = cell and cell.value
            provenance[column] = cell and [cell.record, MANUAL, instant_text(cell.since)]
    told = {column: origin for column, origin in sorted(provenance.items()) if origin is not None}
    return values | {"provenance": json.dumps(told, ensure_ascii=False, separators=(",", ":"))}


def rows_by_entity(rows: pa.Table, ids: pa.Array) -> defaultdict[int, list[Row]]:
    """Return the rows of these entities, by entity."""
    found = defaultdict[int, list["Row"]](list)
    for row in rows.filter(pc.is_in(rows.column("entity_id"), ids)).to_pylist():
        found[row["entity_id"]].append(row)
    return found


def _by(pin: Pin, value: Any) -> Pinned:
    return Pinned(value, pin.record, pin.decided_at, pin)


def _corrected(choice: Choice, pin: Pin, candidates: Sequence[Candidate]) -> dict[str, Pinned]:
    """Return the group of the record that was corrected, else of the best one: never parts of two."""
    if not choice.is_group or not candidates:
        return {}
    base = next((candidate for candidate in candidates if candidate.record == pin.record), candidates[0])
    told = zip(choice.columns, base.values, strict=True)
    return {column: Pinned(value, base.record, base.since, pin) for column, value in told if value is not None}


def _recomposed(choice: Choice, cells: dict[str, Pinned], pinned: set[str]) -> dict[str, Pinned]:
    """Write a composed attribute anew where one of its parts was corrected and it was not."""
    for column, parts in choice.compose.items():
        if column not in pinned and pinned & set(parts) and all(part in cells for part in parts):
            newest = next(cells[part] for part in parts if part in pinned)
            cells[column] = newest._replace(value=" ".join(cells[part].value for part in parts))
    return cells


def _converted(value: Any, kind: str) -> Any:
    """Return a JSON value as the attribute holds it; what is no such value raises ValueError or TypeError."""
    if value is None:
        return None
    if kind == "list":
        return sorted({_checked(each, str) for each in _checked(value, list)})
    if kind == "instant":
        found = datetime.fromisoformat(_checked(value, str))
        if found.tzinfo is None:
            raise ValueError(value)
        return found
    if kind in ("decimal", "money"):
        return Decimal(str(_checked(value, str, int, float))).quantize(Decimal("0.000001"))
    return _checked(value, {"boolean": bool, "integer": int}.get(kind, str))


def _checked(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(value)
    return value
