"""Facts about the store for those who watch it: Dagster's metadata and checks, the demo's table, ``doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from pipelines.store.tables import (
    connection,
    crosswalk,
    entity_id,
    load,
    metadata,
    quarantine,
    raw_head,
    segment,
    source_record,
)

if TYPE_CHECKING:
    from pipelines.store.store import Store

_LIVE_RECORD = (source_record.c.deleted_at.is_(None), source_record.c.is_stub.is_(False))


@dataclass(frozen=True)
class StreamFacts:
    """One stream: live records of its object, newest time the vendor gave, open quarantine entries, last verdict."""

    live_records: int
    newest_record_time: datetime | None
    open_quarantine: int
    completeness: str | None


@dataclass(frozen=True)
class EntityFacts:
    """One canonical entity's current rows and what is wrong with them; the mappings go from term to number of rows."""

    live_rows: int
    source_records: int
    versions: int
    duplicate_keys: int
    schema_faults: Mapping[str, int]
    orphan_references: Mapping[str, int]
    stub_references: Mapping[str, int]


@dataclass(frozen=True)
class GoldenFacts:
    """Identity and golden records of one entity, and where they do not fit together."""

    linked_records: int
    unlinked_records: int
    entities: int
    golden_rows: int
    stub_rows: int
    entities_without_golden: int
    golden_without_entity: int


@dataclass(frozen=True)
class ConnectionFacts:
    """One connection: live records, what its newest loads did, and which streams are not COMPLETE."""

    name: str
    live_records: int
    streams: int
    loaded: int
    unchanged: int
    quarantined: int
    incomplete: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The whole store in a few numbers; ``example_person`` is one that most vendors know."""

    connections: tuple[ConnectionFacts, ...]
    customer_records: int
    golden_people: int
    golden_organizations: int
    merges: int
    quarantined: int
    example_person: int | None


def stream_facts(
    store: Store, connection_name: str, stream: str, object_name: str, *, tenant_id: int = 1
) -> StreamFacts:
    """Return the facts of one stream of a connection, by the connection's present name."""
    connection_id = _connection_id(store, connection_name, tenant_id)
    mine = (
        source_record.c.tenant_id == tenant_id,
        source_record.c.connection_id == connection_id,
        source_record.c.object == object_name,
    )
    heads = raw_head.join(
        source_record,
        and_(
            raw_head.c.tenant_id == source_record.c.tenant_id,
            raw_head.c.source_record_id == source_record.c.source_record_id,
        ),
    )
    newest = store.read(select(func.max(raw_head.c.record_time)).select_from(heads).where(*mine))[0][0]
    return StreamFacts(
        live_records=_count(store, source_record, *mine, *_LIVE_RECORD),
        newest_record_time=newest,
        open_quarantine=_open_quarantine(store, tenant_id, connection_id, stream),
        completeness=_last_load(store, tenant_id, connection_id, stream),
    )


def entity_facts(store: Store, name: str, *, tenant_id: int = 1) -> EntityFacts:
    """Return the facts of one canonical entity."""
    entity, table = store.vocabulary.entity(name), metadata.tables[name]
    live = and_(table.c.tenant_id == tenant_id, table.c.deleted_at.is_(None))
    terms = entity.terms.values()
    faults = {
        term.name: _count(store, table, live, _is_fault(table.c[term.name], term))
        for term in terms
        if term.required or term.values
    }
    refs = {term.name: _reference_counts(store, table, table.c[term.name], live) for term in terms if term.is_ref}
    keys = (
        select(table.c.source_record_id, table.c.row_key)
        .where(live)
        .group_by(table.c.source_record_id, table.c.row_key)
    )
    doubled = store.read(select(func.count()).select_from(keys.having(func.count() > 1).subquery()))[0][0]
    version = metadata.tables[f"{name}_version"]
    return EntityFacts(
        live_rows=_count(store, table, live),
        source_records=int(store.read(select(func.count(table.c.source_record_id.distinct())).where(live))[0][0]),
        versions=_count(store, version, version.c.tenant_id == tenant_id),
        duplicate_keys=int(doubled),
        schema_faults={name: count for name, count in faults.items() if count},
        orphan_references={name: orphans for name, (orphans, _) in refs.items() if orphans},
        stub_references={name: stubs for name, (_, stubs) in refs.items() if stubs},
    )


def golden_facts(store: Store, entity: str, *, tenant_id: int = 1) -> GoldenFacts:
    """Return the facts of one golden entity."""
    rows, golden = metadata.tables[entity], metadata.tables[f"golden_{entity}"]
    linked = and_(crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity)
    members = select(crosswalk.c.source_record_id).where(linked)
    live = and_(rows.c.tenant_id == tenant_id, rows.c.deleted_at.is_(None))
    ids = select(crosswalk.c.entity_id).where(linked)
    mine = golden.c.tenant_id == tenant_id
    distinct = select(func.count(crosswalk.c.entity_id.distinct())).where(linked)
    without = (
        select(crosswalk.c.entity_id)
        .where(linked, crosswalk.c.entity_id.not_in(select(golden.c.entity_id).where(mine)))
        .distinct()
    )
    return GoldenFacts(
        linked_records=_count(store, crosswalk, linked),
        unlinked_records=_count(store, rows, live, rows.c.source_record_id.not_in(members)),
        entities=int(store.read(distinct)[0][0]),
        golden_rows=_count(store, golden, mine),
        stub_rows=_count(store, golden, mine, golden.c.is_stub),
        entities_without_golden=int(store.read(select(func.count()).select_from(without.subquery()))[0][0]),
        golden_without_entity=_count(store, golden, mine, golden.c.entity_id.not_in(ids)),
    )


def overview(store: Store, *, tenant_id: int = 1) -> Overview:
    """Return the whole store in a few numbers."""
    person, organization = metadata.tables["golden_person"], metadata.tables["golden_organization"]
    people = and_(person.c.tenant_id == tenant_id, person.c.is_stub.is_(False))
    records = store.read(select(func.coalesce(func.sum(person.c.source_count), 0)).where(people))[0][0]
    wide = select(
        crosswalk.c.entity_id, func.count(source_record.c.connection_id.distinct()).label("width")
    ).select_from(
        crosswalk.join(
            source_record,
            and_(
                crosswalk.c.tenant_id == source_record.c.tenant_id,
                crosswalk.c.source_record_id == source_record.c.source_record_id,
            ),
        )
    )
    wide = wide.where(crosswalk.c.tenant_id == tenant_id, source_record.c.is_stub.is_(False)).group_by(
        crosswalk.c.entity_id
    )
    ranked = wide.subquery()
    best = select(person.c.entity_id).join(ranked, ranked.c.entity_id == person.c.entity_id).where(people)
    example = store.read(best.order_by(ranked.c.width.desc(), person.c.source_count, person.c.entity_id).limit(1))
    golden_people = _count(store, person, people)
    names = store.read(
        select(connection.c.connection_id, connection.c.name)
        .where(connection.c.tenant_id == tenant_id)
        .order_by(connection.c.name)
    )
    return Overview(
        connections=tuple(_connection_facts(store, tenant_id, row.connection_id, row.name) for row in names),
        customer_records=int(records),
        golden_people=golden_people,
        golden_organizations=_count(
            store, organization, organization.c.tenant_id == tenant_id, organization.c.is_stub.is_(False)
        ),
        merges=int(records) - golden_people,
        quarantined=_count(store, quarantine, quarantine.c.tenant_id == tenant_id, quarantine.c.resolved_seq.is_(None)),
        example_person=int(example[0][0]) if example else None,
    )


def _connection_facts(store: Store, tenant_id: int, connection_id: str, name: str) -> ConnectionFacts:
    mine = (source_record.c.tenant_id == tenant_id, source_record.c.connection_id == connection_id)
    newest = _newest_loads(store, tenant_id, connection_id)
    totals = _segment_totals(store, tenant_id, [row.load_id for row in newest])
    waiting = (
        quarantine.c.tenant_id == tenant_id,
        quarantine.c.connection_id == connection_id,
        quarantine.c.resolved_seq.is_(None),
    )
    return ConnectionFacts(
        name=name,
        live_records=_count(store, source_record, *mine, *_LIVE_RECORD),
        streams=len(newest),
        quarantined=_count(store, quarantine, *waiting),
        incomplete=tuple(row.stream for row in newest if row.completeness != "COMPLETE"),
        **totals,
    )


def _newest_loads(store: Store, tenant_id: int, connection_id: str) -> list[Any]:
    mine = and_(load.c.tenant_id == tenant_id, load.c.connection_id == connection_id)
    last = select(func.max(load.c.load_id)).where(mine).group_by(load.c.stream)
    return list(store.read(select(load).where(mine, load.c.load_id.in_(last)).order_by(load.c.stream)))


def _segment_totals(store: Store, tenant_id: int, load_ids: list[int]) -> dict[str, int]:
    names = ("loaded", "unchanged")
    sums = [func.coalesce(func.sum(segment.c[name]), 0) for name in names]
    rows = store.read(select(*sums).where(segment.c.tenant_id == tenant_id, segment.c.load_id.in_(load_ids)))
    return {name: int(total) for name, total in zip(names, rows[0], strict=True)}


def connection_names(store: Store, *, tenant_id: int = 1) -> Mapping[str, str]:
    """Return the present name of each connection that was ever synced, by its id."""
    rows = store.read(select(connection.c.connection_id, connection.c.name).where(connection.c.tenant_id == tenant_id))
    return {str(row[0]): str(row[1]) for row in rows}


def _connection_id(store: Store, name: str, tenant_id: int) -> str:
    rows = store.read(
        select(connection.c.connection_id).where(connection.c.tenant_id == tenant_id, connection.c.name == name)
    )
    return str(rows[0][0]) if rows else name


def _open_quarantine(store: Store, tenant_id: int, connection_id: str, stream: str) -> int:
    q = quarantine.c
    mine = (q.tenant_id == tenant_id, q.connection_id == connection_id, q.stream == stream, q.resolved_seq.is_(None))
    return _count(store, quarantine, *mine)


def _last_load(store: Store, tenant_id: int, connection_id: str, stream: str) -> str | None:
    mine = (load.c.tenant_id == tenant_id, load.c.connection_id == connection_id, load.c.stream == stream)
    rows = store.read(select(load.c.completeness).where(*mine).order_by(load.c.load_id.desc()).limit(1))
    return rows[0][0] if rows else None


def _is_fault(column: Any, term: Any) -> ColumnElement[bool]:
    wrong = []
    if term.required:
        wrong.append(column.is_(None))
    if term.values:
        wrong.append(and_(column.is_not(None), column.not_in(list(term.values))))
    return or_(*wrong)


def _reference_counts(store: Store, table: Any, column: Any, live: Any) -> tuple[int, int]:
    """Return how many rows point at nothing, and how many at a stub that a vendor's record should replace."""
    target = source_record.alias("target")
    to = and_(target.c.tenant_id == table.c.tenant_id, target.c.source_record_id == column)
    joined = table.outerjoin(target, to)
    orphans = (
        select(func.count()).select_from(joined).where(live, column.is_not(None), target.c.source_record_id.is_(None))
    )
    stubs = select(func.count()).select_from(joined).where(live, target.c.is_stub, target.c.object.not_like("@%"))
    return int(store.read(orphans)[0][0]), int(store.read(stubs)[0][0])


def _count(store: Store, table: Any, *where: Any) -> int:
    return int(store.read(select(func.count()).select_from(table).where(*where))[0][0])


def live_entities(store: Store, entity: str, *, tenant_id: int = 1) -> int:
    """Return how many ids of an entity are current."""
    return _count(
        store,
        entity_id,
        entity_id.c.tenant_id == tenant_id,
        entity_id.c.entity == entity,
        entity_id.c.status == "current",
    )
