"""What a person needs to see before deciding: the records side by side, what links or parts them, what was said before."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.sdk.errors import FixConfig
from pipelines.steward.naming import entity_of, one_record
from pipelines.store import decisions, identity, review_reads, steward_reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.context import StageContext
    from pipelines.store.decisions import Decision
    from pipelines.store.steward_reads import Record

MOST = 200


@dataclass(frozen=True)
class Case:
    """Records with their key data, the open evidence between them, and decisions that name them.

    ``seen`` is the version to hand to an action: what is written after it makes that action a Conflict.
    """

    seen: int
    records: list[Record]
    facts: dict[int, dict[str, list[str]]]
    evidence: list[dict[str, Any]]
    decisions: list[Decision]


def show(context: StageContext, names: Sequence[str]) -> Case:
    """Return the case of the named records, and of all that the golden entities hold which they are in."""
    store, tenant, entity = context.store, context.tenant_id, entity_of(context)
    seen = identity.last_change(store, tenant)
    named = [one_record(context, entity, name) for name in names]
    held = steward_reads.members(store, tenant, entity, {one.entity_id for one in named if one.entity_id is not None})
    records = sorted({one.source_record_id: one for one in (*named, *held)}.values(), key=_place)
    if len(records) > MOST:
        raise FixConfig(f"that is {len(records)} records", do=f"name records (r<number>) of entities of up to {MOST}")
    ids = [one.source_record_id for one in records]
    facts: dict[int, dict[str, list[str]]] = {one: defaultdict(list) for one in ids}
    for record, term, value in decisions.key_facts(store, tenant, entity, pa.array(ids, pa.int64())):
        facts[record][term].append(value)
    return Case(
        seen=seen,
        records=records,
        facts={record: {term: sorted(set(values)) for term, values in held.items()} for record, held in facts.items()},
        evidence=review_reads.evidence_between(store, tenant, entity, ids),
        decisions=decisions.for_records(store, tenant, entity, ids),
    )


def _place(record: Record) -> tuple[int, str]:
    return record.entity_id or 0, record.source_ref
