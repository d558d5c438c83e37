"""Whether a pin should be looked at again: a source that it overrules has said something else since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.golden.pins import pins_of, rows_by_entity, usable
from pipelines.golden.policy import RECORD
from pipelines.golden.ranking import ranked
from pipelines.store.pins import rows_as_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.golden.candidate import Candidate
    from pipelines.golden.policy import Choice, Policy
    from pipelines.golden.reading import Candidates
    from pipelines.store import Store
    from pipelines.store.pins import Pin


def moved_pins(store: Store, tenant_id: int, policy: Policy, found: Candidates, pins: Sequence[Pin]) -> list[int]:
    """Return the numbers of the pins of these entities that should be looked at again."""
    ids = pc.unique(found.members.column("entity_id"))
    here = set(ids.filter(pc.is_in(ids, pa.array([pin.entity_id for pin in pins], pa.int64()))).to_pylist())
    mine = [pin for pin in usable(policy, pins) if pin.entity_id in here]
    if not mine:
        return []
    members, contacts = (rows_by_entity(rows, pa.array(sorted(here), pa.int64())) for rows in found[:2])
    told = []
    for pin in mine:
        choice = next(each for each in policy.choices if pins_of(each, [pin]))
        candidates = ranked(choice, members[pin.entity_id], contacts[pin.entity_id])
        if moved(store, tenant_id, policy, choice, pin, candidates):
            told.append(pin.decision_id)
    return told


def moved(
    store: Store, tenant_id: int, policy: Policy, choice: Choice, pin: Pin, candidates: Sequence[Candidate]
) -> bool:
    """Tell whether a source that the pin overrules says something now that it did not say when the pin was made.

    What counts is the value of a source record then and now, by transaction, not by anyone's clock; a record that has
    come since and contradicts the pin counts too.
    """
    place = choice.columns.index(pin.term) if pin.term in choice.columns else None
    against = {(each.record, _said(each.values, place)) for each in candidates} - _agreeing(
        choice, pin, candidates, place
    )
    if not against:
        return False
    records = pa.array(sorted({record for record, _ in against}), pa.int64())
    table = policy.entity if choice.source == RECORD else "contact_point"
    columns = ("source_record_id", *_columns(choice))
    rows = rows_as_of(store, tenant_id, table, records, columns, pin.known_from)
    before = {(row[0], _said(_then(choice, columns[1:], row[1:]), place)) for row in rows}
    return not against <= before


def _agreeing(
    choice: Choice, pin: Pin, candidates: Iterable[Candidate], place: int | None
) -> set[tuple[int, tuple[Any, ...]]]:
    """What is said that the pin says too."""
    pinned = tuple(pin.value.get(column) for column in choice.columns) if isinstance(pin.value, dict) else (pin.value,)
    return {(each.record, said) for each in candidates if (said := _said(each.values, place)) == pinned}


def _said(values: tuple[Any, ...], place: int | None) -> tuple[Any, ...]:
    return values if place is None else (values[place],)


def _columns(choice: Choice) -> tuple[str, ...]:
    if choice.source in ("email", "phone"):
        return ("value", "value_norm")
    return choice.columns


def _then(choice: Choice, columns: tuple[str, ...], values: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a stored row says of the choice, as a candidate says it."""
    told = zip(columns, values, strict=True)
    row: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told}
    if choice.source in ("email", "phone"):
        return (row["value"] if row["value_norm"] is None else row["value_norm"],)
    for column, parts in choice.compose.items():
        if row[column] is None and all(row[part] is not None for part in parts):
            row[column] = " ".join(row[part] for part in parts)
    return tuple(row[column] for column in columns)
