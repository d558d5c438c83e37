"""What survivorship reads: the members of golden entities, their contact points and roles, and which entities changed.

Every function takes the entities either as ids or as a span of ids (``None`` = no bound), so that a run over everything
reads spans and a run over changes reads only these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, and_, bindparam, func, select, union

from connectors.sdk.errors import FixConfig
from pipelines.store.arrow_out import BIG_RESULT
from pipelines.store.retractions import any_retracted, left_out, moved, not_retracted
from pipelines.store.tables import connection, counter, crosswalk, crosswalk_version, metadata, picked, source_record
from pipelines.store.tables import entity_id as identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from sqlalchemy import ColumnElement, FromClause, Select, Table

    from pipelines.store.store import Store

    Kept = Callable[[ColumnElement[int]], tuple[ColumnElement[bool], ...]]

_SINCE = bindparam("since", type_=BigInteger)
REFERENCE = ("connection_id", "object", "source_key")


@dataclass(frozen=True)
class Scope:
    """Which golden entities: of one tenant and kind; those in ``ids``, else those from ``first`` to ``last``."""

    tenant_id: int
    entity: str
    ids: pa.Array | None = None
    first: int | None = None
    last: int | None = None

    @property
    def big(self) -> bool:
        """True when so many entities are asked for that their rows are better read the way for many."""
        span = None if self.first is None or self.last is None else self.last - self.first
        return self.ids is None and (span is None or span >= BIG_RESULT // 2)

    def where(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the crosswalk."""
        parts = [crosswalk.c.tenant_id == self.tenant_id, crosswalk.c.entity == self.entity]
        if self.ids is not None:
            parts.append(crosswalk.c.entity_id.in_(select(picked.c.id)))
        if self.first is not None and (self.first is self.last or self.first == self.last):
            return [*parts, crosswalk.c.entity_id == self.first]
        if self.first is not None:
            parts.append(crosswalk.c.entity_id >= self.first)
        if self.last is not None:
            parts.append(crosswalk.c.entity_id <= self.last)
        return parts


def members(store: Store, scope: Scope, terms: Sequence[str]) -> pa.Table:
    """Return one row per live source record or stub of the entities, with the given terms (null for a stub)."""
    statement = _members(scope, terms, lambda record: left_out(store, scope.tenant_id, record))
    return store.read_arrow(statement, ids=scope.ids, big=scope.big)


def _members(scope: Scope, terms: Sequence[str], kept: Kept) -> Select[Any]:
    rows = metadata.tables[scope.entity]
    alive = and_(_same_record(rows), rows.c.deleted_at.is_(None))
    source = crosswalk.join(source_record, _same_record(source_record)).outerjoin(rows, alive)
    statement = select(
        crosswalk.c.entity_id, crosswalk.c.source_record_id, *_reference(), source_record.c.is_stub,
        rows.c.row_key, rows.c.record_time, rows.c.term_times, *(rows.c[term] for term in terms),
    )  # fmt: skip
    live = source_record.c.deleted_at.is_(None), source_record.c.is_stub | rows.c.row_key.is_not(None)
    return statement.select_from(source).where(*scope.where(), *live, *kept(crosswalk.c.source_record_id))


def contacts(store: Store, scope: Scope, kinds: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Return the live contact points of the entities; one that the source says has ended is left out.

    ``value`` is the normal form where there is one.
    """
    statement = _contacts(scope, kinds, columns, lambda record: left_out(store, scope.tenant_id, record))
    return store.read_arrow(statement, ids=scope.ids, big=scope.big)


def _contacts(scope: Scope, kinds: Sequence[str], columns: Sequence[str], kept: Kept) -> Select[Any]:
    rows = metadata.tables["contact_point"]
    statement = select(
        crosswalk.c.entity_id, rows.c.source_record_id, rows.c.row_key, rows.c.record_time, rows.c.term_times,
        func.coalesce(rows.c.value_norm, rows.c.value).label("value"), *(rows.c[column] for column in columns),
    ).select_from(_parties(rows))  # fmt: skip
    live = rows.c.deleted_at.is_(None), rows.c.valid_to.is_(None), rows.c.kind.in_(kinds)
    of_them = of_members(rows.c.party, scope)
    return statement.where(*scope.where(), *of_them, *live, *kept(rows.c.source_record_id))


def rows_of(
    store: Store, scope: Scope, terms: Sequence[str], kinds: Sequence[str], columns: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return members and contact points of one entity as plain rows with their references: the quick way for few.

    Without ``kinds`` no contact points are read.
    """
    asked = {"tenant": scope.tenant_id, "one": scope.first}
    retracted = any_retracted(store, scope.tenant_id)
    of_members, of_contacts = _of_one(scope.entity, tuple(terms), tuple(kinds), tuple(columns), retracted=retracted)
    members = _plain(store, of_members, asked)
    if not kinds:
        return members, []
    contacts = _plain(store, of_contacts, asked)
    known = {row["source_record_id"]: {name: row[name] for name in REFERENCE} for row in members}
    others = {row["source_record_id"] for row in contacts} - known.keys()
    if others:
        named = source_record.c.tenant_id == scope.tenant_id, source_record.c.source_record_id.in_(sorted(others))
        rows = store.read(select(source_record.c.source_record_id, *_reference()).where(*named))
        known |= {row[0]: dict(zip(REFERENCE, row[1:], strict=True)) for row in rows}
    return members, [row | known[row["source_record_id"]] for row in contacts]


def roles_of(store: Store, scope: Scope) -> list[str]:
    """Return the roles that one entity plays: the quick way for few."""
    retracted = any_retracted(store, scope.tenant_id)
    rows = store.read(_played_by_one(retracted=retracted), {"tenant": scope.tenant_id, "one": scope.first})
    return [str(row.role) for row in rows]


@lru_cache(maxsize=2)
def _played_by_one(*, retracted: bool) -> Select[Any]:
    """Return the statement for the roles of the entity ``:one``."""
    tenant, one = _bound("tenant"), _bound("one")
    rows, mine = metadata.tables["party_role"], crosswalk.alias()
    linked = select(mine.c.source_record_id).where(mine.c.tenant_id == tenant, mine.c.entity_id == one)
    kept = not_retracted(tenant, rows.c.source_record_id) if retracted else ()
    live = rows.c.deleted_at.is_(None), rows.c.valid_to.is_(None), *kept
    return select(rows.c.role).distinct().where(rows.c.tenant_id == tenant, rows.c.party.in_(linked), *live)


@lru_cache(maxsize=256)
def _of_one(
    entity: str, terms: tuple[str, ...], kinds: tuple[str, ...], columns: tuple[str, ...], *, retracted: bool
) -> tuple[Select[Any], Select[Any]]:
    """Return the statements for members and contact points of the entity ``:one``; to build them costs more than to run them."""
    tenant, one = _bound("tenant"), _bound("one")
    scope = Scope(tenant, entity, first=one, last=one)

    def kept(record: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
        return not_retracted(tenant, record) if retracted else ()

    mine = crosswalk.alias()
    linked = select(mine.c.source_record_id).where(mine.c.tenant_id == tenant, mine.c.entity_id == one)
    points = _contacts(scope, kinds, columns, kept).where(metadata.tables["contact_point"].c.party.in_(linked))
    return _members(scope, terms, kept), points


def _bound(name: str) -> Any:
    return bindparam(name, type_=BigInteger)


def _plain(store: Store, statement: Select[Any], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in store.read(statement, asked)]  # noqa: SLF001


def references(store: Store, tenant_id: int, records: pa.Array) -> pa.Table:
    """Return connection_id, object and source_key of the source records with these ids."""
    mine = source_record.c.tenant_id == tenant_id, source_record.c.source_record_id.in_(select(picked.c.id))
    return store.read_arrow(select(source_record.c.source_record_id, *_reference()).where(*mine), ids=records)


def roles(store: Store, scope: Scope) -> pa.Table:
    """Return the roles (entity_id, role) that the entities play and that no source says have ended."""
    rows = metadata.tables["party_role"]
    statement = select(crosswalk.c.entity_id, rows.c.role).distinct().select_from(_parties(rows))
    live = (
        rows.c.deleted_at.is_(None),
        rows.c.valid_to.is_(None),
        *left_out(store, scope.tenant_id, rows.c.source_record_id),
    )
    return store.read_arrow(
        statement.where(*scope.where(), *of_members(rows.c.party, scope), *live), ids=scope.ids, big=scope.big
    )


_CONNECTIONS = select(connection.c.connection_id, connection.c.name, connection.c.connector).where(
    connection.c.tenant_id == bindparam("tenant")
)
_STANDING = select(identity.c.current_id, identity.c.status).where(
    identity.c.tenant_id == bindparam("tenant"), identity.c.entity == bindparam("entity"),
    identity.c.entity_id == bindparam("one"),
)  # fmt: skip


def connections(store: Store, tenant_id: int) -> dict[str, tuple[str, str]]:
    """Return the name and the connector of every connection, by its id."""
    rows = store.read(_CONNECTIONS, {"tenant": tenant_id})
    return {row[0]: (row[1], row[2]) for row in rows}


def entity_ids(store: Store, tenant_id: int, entity: str) -> pa.Array:
    """Return the ids of all entities that have members or a golden row, in order, once each."""
    golden = metadata.tables[f"golden_{entity}"]
    mine = select(crosswalk.c.entity_id).where(crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity)
    return _read_ids(store, _ids(union(mine, select(golden.c.entity_id).where(golden.c.tenant_id == tenant_id))))


def changed_entity_ids(store: Store, tenant_id: int, entity: str, since: int) -> pa.Array:
    """Return the ids of the entities whose links or member rows changed after ``since``, in order, once each."""
    retold = bool(store.read(moved(tenant_id, since).limit(1)))
    return _read_ids(store, _changed(tenant_id, entity, retold=retold), {"since": since})


@lru_cache
def _changed(tenant_id: int, entity: str, *, retold: bool) -> Select[Any]:
    """Return the statement for the entities that changed after ``:since``."""
    rows, points, played = (metadata.tables[name] for name in (entity, "contact_point", "party_role"))
    gained = select(crosswalk.c.entity_id).where(crosswalk.c.change_seq > _SINCE, *_mine(crosswalk, tenant_id, entity))
    lost = select(crosswalk_version.c.entity_id).where(
        crosswalk_version.c.known_to > _SINCE, *_mine(crosswalk_version, tenant_id, entity)
    )
    linked = _mine(crosswalk, tenant_id, entity)
    told = [
        select(crosswalk.c.entity_id).select_from(source).where(table.c.change_seq > _SINCE, *linked)
        for table, source in (
            (source_record, crosswalk.join(source_record, _same_record(source_record))),
            (rows, crosswalk.join(rows, _same_record(rows))),
            (points, crosswalk.join(points, _party_of(points))),
            (played, crosswalk.join(played, _party_of(played))),
        )
    ]
    left = [_left_party(name, tenant_id, entity) for name in ("contact_point", "party_role")]
    if retold:
        left += [_retold(table, tenant_id, entity) for table in (points, played)]
    return _ids(union(gained, lost, *told, *left))


def last_change(store: Store, tenant_id: int) -> int:
    """Return the ``change_seq`` up to which everything committed can be seen."""
    rows = store.read(select(counter.c.value).where(counter.c.tenant_id == tenant_id, counter.c.name == "change_seq"))
    return int(rows[0][0]) if rows else 0


def current_id(store: Store, tenant_id: int, entity: str, number: int) -> int | None:
    """Return the id that an old or present id of an entity stands for now; ``None`` if there is none.

    Raises FixConfig for one that stood for somebody who was erased: it is gone.
    """
    seen = {number}
    while True:
        rows = store.read(_STANDING, {"tenant": tenant_id, "entity": entity, "one": number})
        if not rows:
            return None
        if rows[0].status == "erased":
            raise FixConfig(f"{entity} {number} is gone: it was erased")
        following = rows[0][0]
        if following is None or following in seen:
            return number
        number = following
        seen.add(number)


def _retold(table: Table, tenant_id: int, entity: str) -> Select[Any]:
    """Entities of which a record says something that was retracted or put back, whosever record it is."""
    said = table.c.source_record_id.in_(moved(tenant_id, _SINCE))
    mine = _mine(crosswalk, tenant_id, entity)
    return select(crosswalk.c.entity_id).select_from(crosswalk.join(table, _party_of(table))).where(said, *mine)


def _left_party(name: str, tenant_id: int, entity: str) -> Select[Any]:
    """Entities whose contact point or role went to another party: the old party stands in the superseded row."""
    version = metadata.tables[f"{name}_version"]
    source = crosswalk.join(version, _party_of(version))
    mine = _mine(crosswalk, tenant_id, entity)
    return select(crosswalk.c.entity_id).select_from(source).where(version.c.known_to > _SINCE, *mine)


def _mine(table: Table, tenant_id: int, entity: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.tenant_id == tenant_id, table.c.entity == entity


def _same_record(table: Table) -> ColumnElement[bool]:
    return and_(crosswalk.c.tenant_id == table.c.tenant_id, crosswalk.c.source_record_id == table.c.source_record_id)


def _party_of(rows: Table) -> ColumnElement[bool]:
    return and_(crosswalk.c.tenant_id == rows.c.tenant_id, crosswalk.c.source_record_id == rows.c.party)


def _parties(rows: Table) -> FromClause:
    """Crosswalk ⋈ rows on the party; ``+ 0`` keeps SQLite from reading all rows of the tenant first."""
    same_tenant = rows.c.tenant_id == crosswalk.c.tenant_id + 0
    return crosswalk.join(rows, and_(same_tenant, rows.c.party == crosswalk.c.source_record_id))


def of_members(party: ColumnElement[int], scope: Scope) -> list[ColumnElement[bool]]:
    """Name the parties where the entities are given: else SQLite reads the rows of all parties to find those of a few."""
    if scope.ids is None:
        return []
    mine = crosswalk.alias()
    named = mine.c.entity_id.in_(select(picked.c.id))
    return [party.in_(select(mine.c.source_record_id).where(mine.c.tenant_id == scope.tenant_id, named))]


def _reference() -> tuple[ColumnElement[Any], ...]:
    return tuple(source_record.c[name] for name in REFERENCE)


def _ids(statement: Any) -> Select[Any]:
    inner = statement.subquery()
    return select(inner.c.entity_id).order_by(inner.c.entity_id)


def _read_ids(store: Store, statement: Select[Any], params: Mapping[str, Any] | None = None) -> pa.Array:
    return store.read_arrow(statement, params).column("entity_id").combine_chunks()
