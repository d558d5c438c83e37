"""What the influence map is made of, and what it reads back: statements, links, meetings, relations, parent links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, case, func, or_, select, union

from pipelines.store.identity import is_large as is_big
from pipelines.store.retractions import left_out
from pipelines.store.tables import (
    account_hierarchy,
    crosswalk,
    golden_relationship,
    metadata,
    picked,
    source_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select, Table

    from canonical_model import Entity
    from pipelines.store.store import Store

_STATED = ("type", "hierarchy", "role", "strength", "is_primary", "valid_from", "valid_to", "record_time")
_RELATION_KEY = ("from_id", "to_id", "type", "role", "hierarchy", "span")


def records_of(store: Store, tenant_id: int, ids: pa.Array) -> pa.Array:
    """Return the source records of these golden entities."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity_id.in_(select(picked.c.id))
    rows = store.read_arrow(select(crosswalk.c.source_record_id).where(*mine), ids=ids)
    return rows.column(0).combine_chunks()


def links(store: Store, tenant_id: int, records: pa.Array | None) -> pa.Table:
    """Return source_record_id, entity and entity_id of these records, or of all (``None``)."""
    statement = select(crosswalk.c.source_record_id, crosswalk.c.entity, crosswalk.c.entity_id)
    mine = crosswalk.c.tenant_id == tenant_id
    if records is None:
        return store.read_arrow(statement.where(mine), big=is_big(store, tenant_id))
    return store.read_arrow(statement.where(mine, crosswalk.c.source_record_id.in_(_picked())), ids=records)


def statements(store: Store, tenant_id: int, subjects: pa.Array | None, subject_is_to: Sequence[str]) -> pa.Table:
    """Return what sources say of relations, live and not retracted, of these subject records, or all (``None``).

    The subject is the to-party where the type is one of ``subject_is_to``, else the from-party.
    """
    rows = metadata.tables["relationship"]
    statement = _with_reference(store, rows, tenant_id, "from_party", "to_party", *_STATED)
    if subjects is None:
        return store.read_arrow(statement, big=is_big(store, tenant_id))
    sides = (
        and_(rows.c.from_party.in_(_picked()), rows.c.type.not_in(subject_is_to)),
        and_(rows.c.to_party.in_(_picked()), rows.c.type.in_(subject_is_to)),
    )
    return pa.concat_tables([store.read_arrow(statement.where(side), ids=subjects) for side in sides])


def deals(store: Store, tenant_id: int, subjects: pa.Array | None) -> pa.Table:
    """Return owner and contact of the live opportunities with these organisations' records, or with any (``None``)."""
    rows = metadata.tables["opportunity"]
    names = ("organization", "owner", "contact", "created_at", "record_time")
    statement = _with_reference(store, rows, tenant_id, *names).where(rows.c.organization.is_not(None))
    if subjects is None:
        return store.read_arrow(statement)
    return store.read_arrow(statement.where(rows.c.organization.in_(_picked())), ids=subjects)


def encounters(store: Store, tenant_id: int, parties: pa.Array | None) -> pa.Table:
    """Return (fact, record, moment): every party named by each live fact that names several, one of ``parties`` or any."""
    found = [_named(store, tenant_id, entity, parties) for entity in facts_of_several(store)]
    found += _interactions(store, tenant_id, parties)
    return pa.concat_tables(found)


def facts_of_several(store: Store) -> list[Entity]:
    """Return the facts with more than one party: those whose naming together means that the parties dealt together."""
    entities = store.vocabulary.entities.values()
    return [
        one for one in entities
        if one.kind in ("fact", "event") and one.name != "relationship" and len(party_terms(one)) > 1
    ]  # fmt: skip


def party_terms(entity: Entity) -> list[str]:
    """Return the terms of an entity that name a party."""
    return [term.name for term in entity.terms.values() if term.type == "party_ref"]


def relation_keys(store: Store, tenant_id: int, subjects: pa.Array | None) -> pa.Table:
    """Return the keys of the relations of these subjects, or of all (``None``)."""
    table = golden_relationship.c
    statement = select(*(table[name] for name in _RELATION_KEY)).where(table.tenant_id == tenant_id)
    if subjects is None:
        return store.read_arrow(statement)
    return store.read_arrow(statement.where(table.subject_id.in_(_picked())), ids=subjects)


def parent_links(store: Store, tenant_id: int, *, overruled: str) -> pa.Table:
    """Return the parent links that count: hierarchy, child, parent, time, strength, evidence_at and who told them."""
    row = golden_relationship.c
    columns = (
        row.hierarchy, row.from_id.label("entity_id"), row.to_id.label("parent_id"), row.valid_from, row.valid_to,
        row.strength, row.evidence_at, row.told_by,
    )  # fmt: skip
    mine = row.tenant_id == tenant_id, row.type == "parent", func.coalesce(row.conflict, "") != overruled
    return store.read_arrow(select(*columns).where(*mine))


def hierarchy_rows(store: Store, tenant_id: int) -> pa.Table:
    """Return the account hierarchies as they stand."""
    row = account_hierarchy.c
    names = ("hierarchy", "entity_id", "span", "parent_id", "valid_from", "valid_to", "strength", "cut")
    return store.read_arrow(select(*(row[name] for name in names)).where(row.tenant_id == tenant_id))


def relation_counts(store: Store, tenant_id: int, *, overruled: str) -> list[tuple[str, int, int]]:
    """Return per kind of relation how many there are, and how many of them do not count."""
    row = golden_relationship.c
    lost = func.sum(case((row.conflict == overruled, 1), else_=0))
    statement = select(row.type, func.count(), lost).where(row.tenant_id == tenant_id).group_by(row.type)
    return [(kind, int(number), int(none or 0)) for kind, number, none in store.read(statement.order_by(row.type))]


def loose_ends(store: Store, tenant_id: int) -> int:
    """Return how many relations have an end that no source record is linked to."""
    row = golden_relationship.c
    linked = select(crosswalk.c.entity_id).where(crosswalk.c.tenant_id == tenant_id)
    loose = or_(row.from_id.not_in(linked), row.to_id.not_in(linked))
    return int(store.read(select(func.count()).where(row.tenant_id == tenant_id, loose))[0][0])


def references(store: Store, tenant_id: int, records: Sequence[int]) -> dict[int, str]:
    """Return the source reference of each record as text."""
    row = source_record.c
    names = (row.source_record_id, row.connection_id, row.object, row.source_key)
    mine = row.tenant_id == tenant_id, row.source_record_id.in_(_picked())
    found = store.read_arrow(select(*names).where(*mine), ids=pa.array(sorted(set(records)), pa.int64())).to_pylist()
    return {one["source_record_id"]: f"{one['connection_id']}/{one['object']}/{one['source_key']}" for one in found}


def _picked() -> Select[Any]:
    return select(picked.c.id)


def _with_reference(store: Store, rows: Table, tenant_id: int, *names: str) -> Select[Any]:
    """Select live rows whose source record is not retracted, with its reference."""
    own = and_(
        source_record.c.tenant_id == rows.c.tenant_id, source_record.c.source_record_id == rows.c.source_record_id
    )
    columns = (
        rows.c.source_record_id, rows.c.row_key, source_record.c.connection_id, source_record.c.object,
        source_record.c.source_key, *(rows.c[name] for name in names),
    )  # fmt: skip
    live = (
        rows.c.tenant_id == tenant_id,
        rows.c.deleted_at.is_(None),
        *left_out(store, tenant_id, rows.c.source_record_id),
    )
    return select(*columns).select_from(rows.join(source_record, own)).where(*live)


def _named(store: Store, tenant_id: int, entity: Entity, parties: pa.Array | None) -> pa.Table:
    rows = metadata.tables[entity.name]
    terms = [rows.c[name] for name in party_terms(entity)]
    statement = select(rows.c.source_record_id, rows.c.record_time, *terms)
    live = (
        rows.c.tenant_id == tenant_id,
        rows.c.deleted_at.is_(None),
        *left_out(store, tenant_id, rows.c.source_record_id),
    )
    if parties is None:
        found = store.read_arrow(statement.where(*live))
    else:
        hits = union(*(select(rows.c.source_record_id).where(*live, term.in_(_picked())) for term in terms)).subquery()
        mine = rows.c.source_record_id.in_(select(hits.c.source_record_id))
        found = store.read_arrow(statement.where(*live, mine), ids=parties)
    return _melted(found, [term.name for term in terms])


def _interactions(store: Store, tenant_id: int, parties: pa.Array | None) -> list[pa.Table]:
    """Participants of interactions, and each such interaction's main party."""
    part, main = metadata.tables["interaction_participant"].c, metadata.tables["interaction"].c
    live = [part.tenant_id == tenant_id, part.deleted_at.is_(None)]
    live += [kept for told in (part.source_record_id, part.interaction) for kept in left_out(store, tenant_id, told)]
    facts: Any = select(part.interaction).where(*live)
    if parties is not None:
        led = select(main.source_record_id).where(main.tenant_id == tenant_id, main.party.in_(_picked()))
        facts = union(facts.where(part.party.in_(_picked())), led)
    wanted = facts.subquery().c[0]
    there = select(part.interaction.label("fact"), part.party.label("record"), part.record_time.label("moment")).where(
        *live
    )
    led_by = select(
        main.source_record_id.label("fact"), main.party.label("record"), main.record_time.label("moment")
    ).where(main.tenant_id == tenant_id, main.deleted_at.is_(None), main.party.is_not(None),
            main.source_record_id.in_(select(wanted)), *left_out(store, tenant_id, main.source_record_id))  # fmt: skip
    if parties is not None:
        there = there.where(part.interaction.in_(select(wanted)))
    return [store.read_arrow(each, ids=parties) for each in (there, led_by)]


def _melted(rows: pa.Table, terms: Sequence[str]) -> pa.Table:
    """Return one row per fact and party named."""
    names = ("fact", "record", "moment")
    parts = [rows.select(["source_record_id", term, "record_time"]).rename_columns(names) for term in terms]
    whole = pa.concat_tables(parts)
    return whole.filter(whole.column("record").is_valid())
