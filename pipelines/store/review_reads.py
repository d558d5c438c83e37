"""What the review queue is read from: open evidence with the entities at both ends, sizes of entities, facts by record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, func, or_, select

from pipelines.store.tables import crosswalk, evidence, metadata, picked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Select

    from canonical_model import Vocabulary
    from pipelines.store.store import Store

_LEFT, _RIGHT = crosswalk.alias("x_left"), crosswalk.alias("x_right")


def pairs(store: Store, tenant_id: int, entity: str) -> int:
    """Return how many pairs of records the ledger holds open evidence of."""
    distinct = select(evidence.c.left_id, evidence.c.right_id).where(*_open(tenant_id, entity)).distinct().subquery()
    return int(store.read(select(func.count()).select_from(distinct))[0][0])


def grey(store: Store, tenant_id: int, entity: str, weakest: float, strongest: float) -> pa.Table:
    """Return scored pairs of which the odds (log2) lie between the two: those not linked, and those linked by a little.

    Columns: left_id, right_id, weight, judgement, and the entities that hold the two, left_entity and right_entity.
    """
    span = evidence.c.kind == "scored", evidence.c.weight >= weakest, evidence.c.weight <= strongest
    return store.read_arrow(_with_entities().where(*_open(tenant_id, entity), *span))


def against(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the pairs that an identifier says are two parties and that one entity holds; columns as of ``grey``."""
    negative = evidence.c.kind == "deterministic", evidence.c.judgement == "negative"
    return store.read_arrow(
        _with_entities().where(*_open(tenant_id, entity), *negative, _LEFT.c.entity_id == _RIGHT.c.entity_id)
    )


def positive(store: Store, tenant_id: int, entity: str, entity_ids: Iterable[int]) -> pa.Table:
    """Return what links the records of these entities, columns as of ``grey``; a weight of null is certain."""
    ids = pa.array(sorted(set(entity_ids)), pa.int64())
    inside = _LEFT.c.entity_id == _RIGHT.c.entity_id, _LEFT.c.entity_id.in_(select(picked.c.id))
    links = evidence.c.judgement == "positive"
    return store.read_arrow(_with_entities().where(*_open(tenant_id, entity), links, *inside), ids=ids)


def sizes(store: Store, tenant_id: int, entity: str, *, at_least: int) -> dict[int, int]:
    """Return how many records each entity of that size and more holds."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    counted = select(crosswalk.c.entity_id, func.count()).where(*mine).group_by(crosswalk.c.entity_id)
    return {int(row[0]): int(row[1]) for row in store.read(counted.having(func.count() >= at_least))}


def reach(store: Store, vocabulary: Vocabulary, tenant_id: int, entity_ids: Iterable[int]) -> Counter[int]:
    """Return how much the outcome for each entity touches: its records, and the facts that refer to them."""
    ids = pa.array(sorted(set(entity_ids)), pa.int64())
    reached: Counter[int] = Counter()
    for statement in (_members(tenant_id), *_facts(vocabulary, tenant_id)):
        found = store.read_arrow(statement, ids=ids)
        reached.update(dict(zip(found["entity_id"].to_pylist(), found["n"].to_pylist(), strict=True)))
    return reached


def entities_of(store: Store, tenant_id: int, records: Iterable[int]) -> dict[int, int]:
    """Return the entity that holds each of these records now."""
    ids = pa.array(sorted(set(records)), pa.int64())
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.source_record_id.in_(select(picked.c.id))
    rows = store.read_arrow(select(crosswalk.c.source_record_id, crosswalk.c.entity_id).where(*mine), ids=ids)
    return dict(zip(rows["source_record_id"].to_pylist(), rows["entity_id"].to_pylist(), strict=True))


def evidence_between(store: Store, tenant_id: int, entity: str, records: Iterable[int]) -> list[dict[str, Any]]:
    """Return the open evidence between these records, in the order of the pairs."""
    ids = list(records)
    names = ("left_id", "right_id", "kind", "rule", "judgement", "weight")
    among = evidence.c.left_id.in_(ids), evidence.c.right_id.in_(ids)
    statement = select(*(evidence.c[name] for name in names)).where(*_open(tenant_id, entity), *among)
    return [
        dict(zip(names, row, strict=True)) for row in store.read(statement.order_by(*(evidence.c[n] for n in names)))
    ]


def _open(tenant_id: int, entity: str) -> tuple[ColumnElement[bool], ...]:
    return evidence.c.tenant_id == tenant_id, evidence.c.entity == entity, evidence.c.known_to.is_(None)


def _with_entities() -> Select[Any]:
    held = evidence
    for link, end in ((_LEFT, evidence.c.left_id), (_RIGHT, evidence.c.right_id)):
        held = held.join(link, and_(link.c.tenant_id == evidence.c.tenant_id, link.c.source_record_id == end))  # type: ignore[assignment]
    return select(
        evidence.c.left_id, evidence.c.right_id, evidence.c.weight, evidence.c.judgement,
        _LEFT.c.entity_id.label("left_entity"), _RIGHT.c.entity_id.label("right_entity"),
    ).select_from(held)  # fmt: skip


def _members(tenant_id: int) -> Select[Any]:
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity_id.in_(select(picked.c.id))
    return select(crosswalk.c.entity_id, func.count().label("n")).where(*mine).group_by(crosswalk.c.entity_id)


def _facts(vocabulary: Vocabulary, tenant_id: int) -> Iterable[Select[Any]]:
    """Select how many facts refer to the records of the entities, one statement for each kind of reference."""
    for fact in vocabulary.entities.values():
        table = metadata.tables[fact.name]
        parties = [table.c[term.name] for term in fact.terms.values() if term.type == "party_ref"]
        if fact.kind not in ("fact", "event") or not parties:
            continue
        same = and_(
            crosswalk.c.tenant_id == table.c.tenant_id, or_(*(crosswalk.c.source_record_id == one for one in parties))
        )
        mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity_id.in_(select(picked.c.id))
        yield (
            select(crosswalk.c.entity_id, func.count().label("n"))
            .select_from(crosswalk.join(table, same))
            .where(*mine, table.c.deleted_at.is_(None))
            .group_by(crosswalk.c.entity_id)
        )
