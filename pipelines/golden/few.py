"""Golden rows of few entities in Python: what ``survive`` does by one statement that costs more to plan than to run.

The rules are the ones that ``explain`` answers by. A property test holds the rows equal to those of ``survive``; where
rows hold what Python and the statement might read differently, nothing is made, and the statement has to do it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from pipelines.golden.ranking import instant_text, ranked, rule_of
from pipelines.golden.reading import CONTACT_COLUMNS, CONTACT_KINDS, named
from pipelines.golden.survivorship import golden_schema
from pipelines.store import golden_reads
from pipelines.store.golden_reads import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.golden.policy import Choice, Policy
    from pipelines.golden.ranking import Row
    from pipelines.store import Store

FEW = 8
"""Of so many entities the rows are read one entity after the other."""
MOST_ROWS = 200
_TIME = re.compile(r"(?!0000)\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z", re.ASCII)


class Entity(NamedTuple):
    """One golden entity: its members, contact points and roles as plain rows."""

    number: int
    members: Sequence[Row]
    contacts: Sequence[Row]
    roles: Sequence[str]


def read_few(
    store: Store, tenant_id: int, policy: Policy, ids: Iterable[int], connections: Mapping[str, tuple[str, str]]
) -> list[Entity]:
    """Read everything that the golden rows of these entities are chosen from."""
    terms = [column for choice in policy.of("record") for column in choice.columns]
    found = []
    for number in ids:
        scope = Scope(tenant_id, policy.entity, first=number, last=number)
        members, contacts = golden_reads.rows_of(store, scope, terms, CONTACT_KINDS, CONTACT_COLUMNS)
        roles = golden_reads.roles_of(store, scope)
        found.append(Entity(number, named(members, connections), named(contacts, connections), roles))
    return found


def survive_few(entities: Sequence[Entity], policy: Policy) -> pa.Table | None:
    """Return the golden rows of these entities, as ``survive`` would; ``None`` where it has to make them."""
    if sum(len(rows) for each in entities for rows in each[1:3]) > MOST_ROWS:
        return None
    if not all(_is_plain(row) for each in entities for rows in each[1:3] for row in rows):
        return None
    rows = [_golden(each, policy) for each in sorted(entities, key=lambda each: each.number) if each.members]
    return pa.Table.from_pylist(rows, golden_schema(policy.entity))


def _is_plain(row: Row) -> bool:
    """Tell whether times of terms are written as normalise writes them, and whether no list holds a NULL."""
    times = row["term_times"] or {}
    times = json.loads(times) if isinstance(times, str) else times
    told = isinstance(times, dict) and all(isinstance(at, str) and _TIME.fullmatch(at) for at in times.values())
    return told and not any(isinstance(value, list) and None in value for value in row.values())


def _golden(entity: Entity, policy: Policy) -> dict[str, Any]:
    row: dict[str, Any] = {}
    provenance: dict[str, list[Any]] = {}
    for choice in policy.choices:
        for column, value, origin in _cells(choice, entity):
            row[column], provenance[column] = value, origin
    told = {column: provenance[column] for column in sorted(provenance)}
    return {
        **row,
        "entity_id": entity.number,
        "roles": sorted(set(entity.roles)) or None,
        "source_count": len({each["source_record_id"] for each in entity.members if not each["is_stub"]}),
        "is_stub": all(each["is_stub"] for each in entity.members),
        "provenance": json.dumps(told, ensure_ascii=False, separators=(",", ":")),
    }


def _cells(choice: Choice, entity: Entity) -> Iterable[tuple[str, Any, list[Any]]]:
    """Yield column, value and origin of the filled cells of one choice."""
    candidates = ranked(choice, entity.members, entity.contacts)
    if not candidates:
        return
    best = candidates[0]
    origin = [best.record, rule_of(choice, candidates), instant_text(best.since)]
    values = best.values
    if choice.union:
        values = (sorted({value for each in candidates for value in each.values[0]}),)
    for column, value in zip(choice.columns, values, strict=True):
        if value is not None:
            yield column, list(value) if isinstance(value, tuple) else value, origin
