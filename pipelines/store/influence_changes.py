"""Which golden entities' relations may differ since a change: those named by changed statements, links or facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select, union

from pipelines.store.influence_reads import facts_of_several, party_terms
from pipelines.store.retractions import moved
from pipelines.store.tables import (
    crosswalk,
    crosswalk_version,
    golden_relationship,
    metadata,
    picked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select, Table

    from pipelines.store.store import Store

_ENDS = ("from_party", "to_party")


def changed_subjects(store: Store, tenant_id: int, since: int) -> pa.Array:
    """Return the ids of the entities whose relations must be made anew, in order, once each."""
    came_or_left = _ids(store, union(*_moved(tenant_id, since)))
    records = _ids(store, union(*_named_by_changes(store, tenant_id, since)))
    if len(came_or_left):
        beside = union(*_beside(store, tenant_id)).subquery()
        others = store.read_arrow(select(beside.c[0].label("id")), ids=came_or_left).column("id").combine_chunks()
        records = pa.concat_arrays([records, came_or_left, others]).unique()
    lost = _ids(store, union(*_entities_that_lost(tenant_id, since)))
    now = select(crosswalk.c.entity_id).where(
        crosswalk.c.tenant_id == tenant_id, crosswalk.c.source_record_id.in_(select(picked.c.id))
    )
    found = store.read_arrow(now.distinct(), ids=records.drop_null()).column(0).combine_chunks()
    whole = pa.concat_arrays([lost, found]).unique()
    return whole.take(pc.sort_indices(whole))


def parents_changed(store: Store, tenant_id: int, since: int) -> bool:
    """True when a parent link was written or taken away after ``since``."""
    past = metadata.tables["golden_relationship_version"]
    for table, seq in ((golden_relationship, golden_relationship.c.change_seq), (past, past.c.known_to)):
        newest = select(func.max(seq)).where(table.c.tenant_id == tenant_id, table.c.type == "parent")
        if (store.read(newest)[0][0] or 0) > since:
            return True
    return False


def _moved(tenant_id: int, since: int) -> Iterator[Select[Any]]:
    """Source records that came to an entity or left one."""
    now, past = crosswalk.c, crosswalk_version.c
    yield select(now.source_record_id.label("id")).where(now.tenant_id == tenant_id, now.change_seq > since)
    yield select(past.source_record_id).where(past.tenant_id == tenant_id, past.known_to > since)


def _entities_that_lost(tenant_id: int, since: int) -> Iterator[Select[Any]]:
    now, past = crosswalk.c, crosswalk_version.c
    yield select(past.entity_id.label("id")).where(past.tenant_id == tenant_id, past.known_to > since)
    yield select(now.entity_id).where(now.tenant_id == tenant_id, now.change_seq > since)


def _named_by_changes(store: Store, tenant_id: int, since: int) -> Iterator[Select[Any]]:
    """Records named, now or before, by a statement or a fact that changed."""
    for name, terms in _naming(store):
        table, past = metadata.tables[name], metadata.tables[f"{name}_version"]
        for term in terms:
            yield _column(table, term, tenant_id).where(table.c.change_seq > since)
            yield _column(past, term, tenant_id).where(past.c.known_to > since)
    yield from _companions(tenant_id, since)
    if store.read(moved(tenant_id, since).limit(1)):
        yield from _retold(store, tenant_id, since)


def _retold(store: Store, tenant_id: int, since: int) -> Iterator[Select[Any]]:
    """Records named by a statement or a fact whose source was retracted or put back."""
    back = moved(tenant_id, since).subquery()
    told = select(back.c.source_record_id)
    for name, terms in _naming(store):
        rows = metadata.tables[name]
        for term in terms:
            yield _column(rows, term, tenant_id).where(rows.c.source_record_id.in_(told))
    part, main = metadata.tables["interaction_participant"], metadata.tables["interaction"]
    of = select(part.c.interaction).where(part.c.tenant_id == tenant_id, part.c.source_record_id.in_(told))
    for fact in (of, told):
        yield _column(part, "party", tenant_id).where(part.c.interaction.in_(fact))
        yield _column(main, "party", tenant_id).where(main.c.source_record_id.in_(fact))


def _companions(tenant_id: int, since: int) -> Iterator[Select[Any]]:
    """Everyone in an interaction of which a participant, or the interaction itself, changed."""
    part, main = metadata.tables["interaction_participant"], metadata.tables["interaction"]
    past = metadata.tables["interaction_participant_version"]
    retold = select(main.c.source_record_id).where(main.c.tenant_id == tenant_id, main.c.change_seq > since)
    facts = union(
        select(part.c.interaction).where(part.c.tenant_id == tenant_id, part.c.interaction.in_(retold)),
        select(part.c.interaction).where(part.c.tenant_id == tenant_id, part.c.change_seq > since),
        select(past.c.interaction).where(past.c.tenant_id == tenant_id, past.c.known_to > since),
    ).subquery()
    touched = select(facts.c.interaction)
    yield _column(part, "party", tenant_id).where(part.c.interaction.in_(touched))
    yield _column(main, "party", tenant_id).where(main.c.source_record_id.in_(touched))
    led = metadata.tables["interaction_version"]
    yield _column(past, "party", tenant_id).where(past.c.known_to > since)
    yield _column(led, "party", tenant_id).where(led.c.known_to > since, led.c.source_record_id.in_(touched))


def _beside(store: Store, tenant_id: int) -> Iterator[Select[Any]]:
    """Records named together with a picked one by any statement or fact."""
    for name, terms in _naming(store):
        table = metadata.tables[name]
        for known in terms:
            hit = select(table.c.source_record_id).where(
                table.c.tenant_id == tenant_id, table.c[known].in_(select(picked.c.id))
            )
            for term in terms:
                if term != known:
                    yield _column(table, term, tenant_id).where(table.c.source_record_id.in_(hit))
    part, main = metadata.tables["interaction_participant"], metadata.tables["interaction"]
    joined = select(part.c.interaction).where(part.c.tenant_id == tenant_id, part.c.party.in_(select(picked.c.id)))
    led = select(main.c.source_record_id).where(main.c.tenant_id == tenant_id, main.c.party.in_(select(picked.c.id)))
    yield _column(part, "party", tenant_id).where(part.c.interaction.in_(led))
    yield _column(part, "party", tenant_id).where(part.c.interaction.in_(joined))
    yield _column(main, "party", tenant_id).where(main.c.source_record_id.in_(joined))


def _naming(store: Store) -> Iterator[tuple[str, list[str]]]:
    yield "relationship", list(_ENDS)
    for entity in facts_of_several(store):
        yield entity.name, party_terms(entity)


def _column(table: Table, term: str, tenant_id: int) -> Select[Any]:
    return select(table.c[term].label("id")).where(table.c.tenant_id == tenant_id, table.c[term].is_not(None))


def _ids(store: Store, statement: Any) -> pa.Array:
    inner = statement.subquery()
    return store.read_arrow(select(inner.c.id)).column("id").combine_chunks()
