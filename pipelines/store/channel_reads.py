"""What the channels stage reads: contact points, what happened at them, what is stated, and which entities it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import and_, exists, false, func, literal, null, or_, select, text, union, union_all

from pipelines.store import golden_reads
from pipelines.store.retractions import left_out, moved
from pipelines.store.tables import crosswalk, golden_contact_point, golden_preference, metadata, picked, source_record

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause, Select, Table

    from pipelines.store.golden_reads import Scope
    from pipelines.store.store import Store

_EVENTS = {"interaction": "party", "message": "author"}
_TOLD = _EVENTS | {"preference": "party"}
_SAID = (
    "source_record_id", "row_key", "kind", "network", "value", "value_norm", "use", "rank", "verified", "deliverable",
    "valid_from", "valid_to", "record_time", "term_times",
)  # fmt: skip
STATEMENT = (
    "kind", "purpose", "channel", "preferred_channel", "time_from", "time_to", "max_messages", "per_days", "stated_at",
)  # fmt: skip


def points(store: Store, scope: Scope) -> pa.Table:
    """Return every live contact point of the entities, ended ones too, with the reference of who says it."""
    rows = metadata.tables["contact_point"]
    source = _of_parties(rows, rows.c.party).join(source_record, _same(source_record, rows))
    reference = (source_record.c[name] for name in golden_reads.REFERENCE)
    statement = select(crosswalk.c.entity_id, *(rows.c[name] for name in _SAID), *reference).select_from(source)
    live = rows.c.deleted_at.is_(None), *left_out(store, scope.tenant_id, rows.c.source_record_id)
    mine = *scope.where(), *golden_reads.of_members(rows.c.party, scope)
    return store.read_arrow(statement.where(*mine, *live), ids=scope.ids, big=scope.big)


def events(store: Store, scope: Scope) -> pa.Table:
    """Return the interactions with the entities and the messages they wrote: who, when, on which channel, what.

    ``word`` is the source's own: the action, else the name of the event's type.
    """
    kinds = [_events_of(store, scope, name, party) for name, party in _EVENTS.items()]
    some = any(_has_any(store, scope.tenant_id, metadata.tables[name]) for name in _EVENTS)
    return store.read_arrow(union_all(*kinds), ids=scope.ids, big=scope.big and some)


def moved_points(store: Store, scope: Scope) -> pa.Table:
    """Return which contact points (source_record_id, row_key) had another value before the present one."""
    rows, before = metadata.tables["contact_point"], metadata.tables["contact_point_version"]
    same = _same(before, rows) & (before.c.row_key == rows.c.row_key)
    source = _of_parties(rows, rows.c.party).join(before, same)
    statement = select(rows.c.source_record_id, rows.c.row_key).select_from(source)
    other = func.coalesce(rows.c.value_norm, "") != func.coalesce(before.c.value_norm, "")
    mine = *scope.where(), *golden_reads.of_members(rows.c.party, scope)
    found = store.read_arrow(statement.where(*mine, other), ids=scope.ids)
    return found.group_by(found.column_names).aggregate([])  # DISTINCT would draw SQLite to the key's index, all of it


def stated(store: Store, scope: Scope) -> pa.Table:
    """Return what golden people say of themselves: entity_id, language, time_zone; only those who say anything."""
    golden = metadata.tables[f"golden_{scope.entity}"]
    columns = [golden.c[name] if name in golden.c else null().label(name) for name in ("language", "time_zone")]
    told = [golden.c[name].is_not(None) for name in ("language", "time_zone") if name in golden.c]
    same = crosswalk.c.tenant_id == golden.c.tenant_id, crosswalk.c.entity_id == golden.c.entity_id
    linked = exists().where(*same, crosswalk.c.entity == scope.entity)
    mine = golden.c.tenant_id == scope.tenant_id, *_within(golden, scope), linked
    return store.read_arrow(select(golden.c.entity_id, *columns).where(*mine, or_(false(), *told)), ids=scope.ids)


def statements(store: Store, scope: Scope) -> pa.Table:
    """Return every live preference that the entities state, with the reference of who says it."""
    rows = metadata.tables["preference"]
    source = _of_parties(rows, rows.c.party).join(source_record, _same(source_record, rows))
    names = ("source_record_id", "row_key", *STATEMENT, "record_time", "term_times")
    reference = (source_record.c[name] for name in golden_reads.REFERENCE)
    statement = select(crosswalk.c.entity_id, *(rows.c[name] for name in names), *reference).select_from(source)
    if not _has_any(store, scope.tenant_id, rows):
        return store.read_arrow(statement.where(false()))
    live = rows.c.deleted_at.is_(None), *left_out(store, scope.tenant_id, rows.c.source_record_id)
    mine = *scope.where(), *golden_reads.of_members(rows.c.party, scope)
    return store.read_arrow(statement.where(*mine, *live), ids=scope.ids, big=scope.big)


def entity_ids(store: Store, tenant_id: int, entity: str) -> pa.Array:
    """Return the ids of all entities that have members, or a row of channels left, in order, once each."""
    mine = select(crosswalk.c.entity_id).where(crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity)
    return _ids(store, union(mine, *(_rows_of(table, tenant_id, entity) for table in _OURS)))


def changed_entity_ids(store: Store, tenant_id: int, entity: str, since: int) -> pa.Array:
    """Return the ids of the entities of which anything that channels are made from changed after ``since``."""
    parts = [
        golden_reads.changed_entity_ids(store, tenant_id, entity, since),
        _touched(store, tenant_id, entity, since),
    ]
    both = pc.unique(pa.concat_arrays(parts))
    return both.take(pc.sort_indices(both))


def keys(store: Store, scope: Scope, table: Table) -> pa.Table:
    """Return the keys of the rows that the entities of a span or list have in a table of this stage."""
    names = [column.name for column in table.primary_key if column.name != "tenant_id"]
    mine = [table.c.tenant_id == scope.tenant_id, table.c.entity == scope.entity, *_within(table, scope)]
    return store.read_arrow(select(*(table.c[name] for name in names)).where(*mine), ids=scope.ids)


def reachable(store: Store, tenant_id: int, entity_id: int, purpose: str, channel: str) -> list[dict[str, Any]]:
    """Return the rows of ``v1_reachable`` of one entity for a purpose and a channel, best contact point first."""
    asked = {"tenant": tenant_id, "entity": entity_id, "purpose": purpose, "channel": channel}
    statement = text(
        """SELECT topic, kind, value, value_norm, rank, state, consent, may_contact FROM v1_reachable
           WHERE tenant_id = :tenant AND entity_id = :entity AND purpose = :purpose AND channel = :channel
           ORDER BY rank, value_norm, topic"""
    )
    return [dict(row._mapping) for row in store.read(statement, asked)]  # noqa: SLF001  public, underscored to spare column names


def consents(store: Store, tenant_id: int, entity_id: int) -> list[dict[str, Any]]:
    """Return the rows of ``v1_effective_consent`` of one entity."""
    statement = text(
        """SELECT purpose, channel, topic, contact_kind, contact_value_norm, status FROM v1_effective_consent
           WHERE tenant_id = :tenant AND entity_id = :entity ORDER BY 1, 2, 3, 4, 5"""
    )
    found = store.read(statement, {"tenant": tenant_id, "entity": entity_id})
    return [dict(row._mapping) for row in found]  # noqa: SLF001


def acts(store: Store, tenant_id: int, entity_id: int) -> list[dict[str, Any]]:
    """Return the live acts of one entity's source records, and refusals by others of contact points it has."""
    rows, who = metadata.tables["consent"], crosswalk.c
    mine = select(who.source_record_id).where(who.tenant_id == tenant_id, who.entity_id == entity_id)
    held = golden_contact_point.c
    values = select(held.value_norm).where(held.tenant_id == tenant_id, held.entity_id == entity_id)
    names = (
        "purpose", "channel", "topic", "contact_kind", "contact_value_norm", "status", "source_status", "captured_at",
        "authenticated",
    )  # fmt: skip
    own = rows.c.party.in_(mine)
    bound = and_(rows.c.status == "denied", rows.c.contact_value_norm.in_(values))
    reference = (source_record.c[name] for name in golden_reads.REFERENCE)
    statement = select(*(rows.c[name] for name in names), own.label("own"), *reference).select_from(
        rows.join(source_record, _same(source_record, rows))
    )
    live = rows.c.tenant_id == tenant_id, rows.c.deleted_at.is_(None), or_(own, bound)
    return [dict(row._mapping) for row in store.read(statement.where(*live))]  # noqa: SLF001


def rows_of(store: Store, table: Table, tenant_id: int, entity_id: int) -> list[dict[str, Any]]:
    """Return one entity's rows of a table of this stage, in the order of their key."""
    mine = table.c.tenant_id == tenant_id, table.c.entity_id == entity_id
    return [dict(row._mapping) for row in store.read(select(table).where(*mine).order_by(*table.primary_key))]  # noqa: SLF001


def counts(store: Store, tenant_id: int, entity: str) -> dict[str, int]:
    """Return how many golden parties there are, can be reached, may be; how many contradict themselves, are left over."""
    statement = text(
        """SELECT
          (SELECT count(DISTINCT entity_id) FROM crosswalk WHERE tenant_id = :tenant AND entity = :entity) AS parties,
          (SELECT count(DISTINCT entity_id) FROM golden_contact_point
           WHERE tenant_id = :tenant AND entity = :entity AND state = 'usable') AS reachable,
          (SELECT count(DISTINCT entity_id) FROM v1_reachable
           WHERE tenant_id = :tenant AND entity = :entity AND may_contact) AS permitted,
          (SELECT count(*) FROM (
             SELECT 1 FROM crosswalk AS x CROSS JOIN consent AS c
             WHERE c.tenant_id = x.tenant_id AND c.party = x.source_record_id AND c.deleted_at IS NULL
               AND x.tenant_id = :tenant AND x.entity = :entity AND c.status IN ('granted', 'denied')
             GROUP BY x.entity_id, c.purpose, c.channel, c.topic, c.contact_kind, c.contact_value_norm
             HAVING min(c.status) <> max(c.status)) AS both_ways) AS contradictory,
          (SELECT count(DISTINCT entity_id) FROM golden_contact_point AS p WHERE tenant_id = :tenant AND entity = :entity
           AND NOT EXISTS (SELECT 1 FROM crosswalk AS x WHERE x.tenant_id = p.tenant_id AND x.entity_id = p.entity_id)
          ) AS left_over"""
    )
    return dict(store.read(statement, {"tenant": tenant_id, "entity": entity})[0]._mapping)  # noqa: SLF001


_OURS = (golden_contact_point, golden_preference)


def _touched(store: Store, tenant_id: int, entity: str, since: int) -> pa.Array:
    """Entities with whom something new happened, who said something new, or whose golden row is new."""
    golden = metadata.tables[f"golden_{entity}"]
    linked = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    found: list[Any] = [select(golden.c.entity_id).where(golden.c.tenant_id == tenant_id, golden.c.change_seq > since)]
    back = moved(tenant_id, since)
    retold = select(back.subquery().c.source_record_id) if store.read(back.limit(1)) else None
    for name, party in _TOLD.items():
        for suffix, changed in (("", "change_seq"), ("_version", "known_to")):
            rows = metadata.tables[name + suffix]
            source = crosswalk.join(rows, _party(rows, rows.c[party]))
            found.append(select(crosswalk.c.entity_id).select_from(source).where(rows.c[changed] > since, *linked))
            if retold is not None and not suffix:
                told = rows.c.source_record_id.in_(retold)
                found.append(select(crosswalk.c.entity_id).select_from(source).where(told, *linked))
    return _ids(store, union(*found))


def _has_any(store: Store, tenant_id: int, table: Table) -> bool:
    return bool(store.read(select(table.c.source_record_id).where(table.c.tenant_id == tenant_id).limit(1)))


def _events_of(store: Store, scope: Scope, name: str, party: str) -> Select[Any]:
    rows = metadata.tables[name]
    source = _of_parties(rows, rows.c[party])
    told: list[Any] = [literal("message").label("type"), null().label("word"), null().label("status")]
    if name == "interaction":
        kind = metadata.tables["event_type"]
        same = kind.c.tenant_id == rows.c.tenant_id, kind.c.source_record_id == rows.c.event_type
        source = source.outerjoin(kind, and_(*same, kind.c.deleted_at.is_(None)))
        told = [rows.c.type, func.coalesce(rows.c.action, kind.c.name).label("word"), rows.c.status]
    statement = select(
        crosswalk.c.entity_id, rows.c[party].label("party"), rows.c.occurred_at, rows.c.direction, rows.c.channel, *told
    )
    live = rows.c.deleted_at.is_(None), *left_out(store, scope.tenant_id, rows.c.source_record_id)
    mine = *scope.where(), *golden_reads.of_members(rows.c[party], scope)
    return statement.select_from(source).where(*mine, *live)


def _rows_of(table: Table, tenant_id: int, entity: str) -> Select[Any]:
    return select(table.c.entity_id).where(table.c.tenant_id == tenant_id, table.c.entity == entity)


def _within(table: Table, scope: Scope) -> list[ColumnElement[bool]]:
    if scope.ids is not None:
        return [table.c.entity_id.in_(select(picked.c.id))]
    bounds = []
    if scope.first is not None:
        bounds.append(table.c.entity_id >= scope.first)
    if scope.last is not None:
        bounds.append(table.c.entity_id <= scope.last)
    return bounds


def _of_parties(rows: Table, party: ColumnElement[int]) -> FromClause:
    """Crosswalk ⋈ rows on the party; ``+ 0`` keeps SQLite from reading all rows of the tenant first."""
    same_tenant = rows.c.tenant_id == crosswalk.c.tenant_id + 0
    return crosswalk.join(rows, and_(same_tenant, party == crosswalk.c.source_record_id))


def _party(rows: Table, party: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(crosswalk.c.tenant_id == rows.c.tenant_id, crosswalk.c.source_record_id == party)


def _same(left: Table, right: Table) -> ColumnElement[bool]:
    return and_(left.c.tenant_id == right.c.tenant_id, left.c.source_record_id == right.c.source_record_id)


def _ids(store: Store, statement: Any) -> pa.Array:
    inner = statement.subquery()
    ordered = select(inner.c.entity_id).order_by(inner.c.entity_id)
    return store.read_arrow(ordered).column("entity_id").combine_chunks()
