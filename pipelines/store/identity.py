"""What resolve reads and writes beside the general doors: parties, the crosswalk, ids, evidence, match models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import BigInteger, and_, func, literal, or_, select, union_all, update

from pipelines.store.arrow_out import BIG_RESULT
from pipelines.store.retractions import any_retracted, not_retracted
from pipelines.store.tables import (
    counter,
    crosswalk,
    crosswalk_version,
    evidence,
    match_model,
    metadata,
    picked,
    source_record,
)
from pipelines.store.tables import entity_id as identity
from pipelines.store.tables import identifier_stats as stats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, CompoundSelect, Select, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

CANDIDATE, ACTIVE, SUPERSEDED = "candidate", "active", "superseded"
_ADDRESS = ("street", "street_2", "city", "region", "postcode", "country")


def last_change(store: Store, tenant_id: int) -> int:
    """Return the newest ``change_seq`` that can be seen."""
    rows = store.read(select(counter.c.value).where(counter.c.tenant_id == tenant_id, counter.c.name == "change_seq"))
    return int(rows[0][0]) if rows else 0


def parties_changed(store: Store, tenant_id: int, entity: str, since: int) -> bool:
    """True when a party row, contact point, identifier, role or stub was written after ``since``."""
    names = (entity, "contact_point", "party_identifier", "party_role")
    for table in (source_record, *(metadata.tables[name] for name in names)):
        newest = select(func.max(table.c.change_seq)).where(table.c.tenant_id == tenant_id)
        if (store.read(newest)[0][0] or 0) > since:
            return True
    return False


def is_large(store: Store, tenant_id: int) -> bool:
    """True when a table of all parties is better read the way for many rows; the newest number tells without counting."""
    newest = select(func.max(source_record.c.source_record_id)).where(source_record.c.tenant_id == tenant_id)
    return int(store.read(newest)[0][0] or 0) > BIG_RESULT


def parties(store: Store, tenant_id: int, entity: str, terms: Sequence[str], ids: pa.Array | None = None) -> pa.Table:
    """Return the live records and stubs of a party entity (or those of ``ids``) with the given terms (null for a stub)."""
    retracted, chosen = any_retracted(store, tenant_id), ids is not None
    statement = _parties(tenant_id, entity, tuple(terms), retracted=retracted, chosen=chosen)
    return _read(store, tenant_id, statement, ids)


@lru_cache
def _parties(tenant_id: int, entity: str, terms: tuple[str, ...], *, retracted: bool, chosen: bool) -> Select[Any]:
    rows = metadata.tables[entity]
    alive = and_(_same(rows, source_record.c.source_record_id), rows.c.deleted_at.is_(None))
    source = source_record.outerjoin(rows, alive)
    statement = select(
        source_record.c.source_record_id, source_record.c.connection_id, source_record.c.object,
        source_record.c.source_key, source_record.c.is_stub, rows.c.row_key, *(rows.c[term] for term in terms),
    )  # fmt: skip
    where = (
        source_record.c.tenant_id == tenant_id,
        source_record.c.deleted_at.is_(None),
        or_(rows.c.row_key.is_not(None), and_(source_record.c.is_stub, source_record.c.entity == entity)),
        *_kept(tenant_id, source_record.c.source_record_id, retracted=retracted),
        *_of(source_record.c.source_record_id, chosen=chosen),
    )
    return statement.select_from(source).where(*where)


_POINT_COLUMNS = (
    "source_record_id", "row_key", "party", "kind", "value", "value_norm", "rank", "verified", "valid_to", *_ADDRESS,
)  # fmt: skip


def contact_points(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the live contact points of all parties, or of ``ids``."""
    return _read(store, tenant_id, _rows_of(store, tenant_id, "contact_point", _POINT_COLUMNS, ids), ids)


def party_identifiers(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the live identifiers of all parties, or of ``ids``."""
    columns = ("party", "system", "value", "verified")
    return _read(store, tenant_id, _rows_of(store, tenant_id, "party_identifier", columns, ids), ids)


def employees(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the parties (or those of ``ids``) that play the role of an employee now."""
    statement = _employees(tenant_id, retracted=any_retracted(store, tenant_id), chosen=ids is not None)
    return store.read_arrow(statement, {}, ids=ids)


@lru_cache
def _employees(tenant_id: int, *, retracted: bool, chosen: bool) -> Select[Any]:
    table = metadata.tables["party_role"]
    where = _live(table, tenant_id, retracted=retracted, chosen=chosen)
    return select(table.c.party).distinct().where(*where, table.c.role == "employee", table.c.valid_to.is_(None))


def _rows_of(store: Store, tenant_id: int, name: str, columns: tuple[str, ...], ids: pa.Array | None) -> Select[Any]:
    return _live_rows(tenant_id, name, columns, retracted=any_retracted(store, tenant_id), chosen=ids is not None)


@lru_cache
def _live_rows(tenant_id: int, name: str, columns: tuple[str, ...], *, retracted: bool, chosen: bool) -> Select[Any]:
    table = metadata.tables[name]
    where = _live(table, tenant_id, retracted=retracted, chosen=chosen)
    return select(*(table.c[column] for column in columns)).where(*where)


def _of(record: ColumnElement[int], *, chosen: bool) -> tuple[ColumnElement[bool], ...]:
    return (record.in_(select(picked.c.id)),) if chosen else ()


def _kept(tenant_id: int, record: ColumnElement[int], *, retracted: bool) -> tuple[ColumnElement[bool], ...]:
    return not_retracted(tenant_id, record) if retracted else ()


def _read(store: Store, tenant_id: int, statement: Select[Any], ids: pa.Array | None) -> pa.Table:
    return store.read_arrow(statement, {}, ids=ids, big=ids is None and is_large(store, tenant_id))


def links(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the crosswalk of an entity: source_record_id, entity_id."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    return store.read_arrow(select(crosswalk.c.source_record_id, crosswalk.c.entity_id).where(*mine))


def anybody_linked(store: Store, tenant_id: int) -> bool:
    """Return whether any record of the tenant has a link now."""
    return bool(store.read(select(crosswalk.c.entity_id).where(crosswalk.c.tenant_id == tenant_id).limit(1)))


def former_links(store: Store, tenant_id: int, entity: str, ids: pa.Array | None = None) -> pa.Table:
    """Return which records (of ``ids``) once had which ids that no entity has now and that may come back."""
    return store.read_arrow(_former_links(tenant_id, entity, chosen=ids is not None), {}, ids=ids)


@lru_cache
def _former_links(tenant_id: int, entity: str, *, chosen: bool) -> Select[Any]:
    version = crosswalk_version
    inactive = and_(
        identity.c.tenant_id == version.c.tenant_id,
        identity.c.entity_id == version.c.entity_id,
        identity.c.status.not_in(("active", "erased")),
    )
    statement = (
        select(version.c.source_record_id, version.c.entity_id).distinct().select_from(version.join(identity, inactive))
    )
    mine = version.c.tenant_id == tenant_id, version.c.entity == entity
    return statement.where(*mine, *_of(version.c.source_record_id, chosen=chosen))


def first_links(store: Store, tenant_id: int, entity: str, ids: pa.Array | None = None) -> pa.Table:
    """Return the first id (source_record_id, entity_id) of every record (of ``ids``) whose link was ever superseded."""
    return store.read_arrow(_first_links(tenant_id, entity, chosen=ids is not None), {}, ids=ids)


@lru_cache
def _first_links(tenant_id: int, entity: str, *, chosen: bool) -> Select[Any]:
    version = crosswalk_version.c
    mine = version.tenant_id == tenant_id, version.entity == entity, *_of(version.source_record_id, chosen=chosen)
    first = (
        select(version.source_record_id, func.min(version.known_from).label("since"))
        .where(*mine)
        .group_by(version.source_record_id)
        .subquery()
    )
    same = and_(version.source_record_id == first.c.source_record_id, version.known_from == first.c.since)
    statement = select(version.source_record_id, version.entity_id).join_from(crosswalk_version, first, same)
    return statement.where(*mine)


def spans(store: Store, tenant_id: int, entity: str, records: pa.Array) -> pa.Table:
    """Return every link there ever was of all ids that these records ever had; null ``known_to``: it holds.

    Columns: source_record_id, entity_id, known_from, known_to.
    """
    held, ever = _spans(tenant_id, entity)
    ids = store.read_arrow(held, {}, ids=records)
    return store.read_arrow(ever, {}, ids=ids["entity_id"].combine_chunks())


@lru_cache
def _spans(tenant_id: int, entity: str) -> tuple[Select[Any], CompoundSelect[Any]]:
    held, ever = [], []
    for table, known_to in ((crosswalk, literal(None, BigInteger)), (crosswalk_version, crosswalk_version.c.known_to)):
        link = table.c
        mine = link.tenant_id == tenant_id, link.entity == entity
        held.append(select(link.entity_id).where(*mine, *_of(link.source_record_id, chosen=True)))
        columns = (link.source_record_id, link.entity_id, link.known_from, known_to.label("known_to"))
        ever.append(select(*columns).where(*mine, *_of(link.entity_id, chosen=True)))
    return select(union_all(*held).subquery().c.entity_id).distinct(), union_all(*ever)


def next_id(store: Store, tenant_id: int) -> int:
    """Return the first entity id never given."""
    rows = store.read(select(func.max(identity.c.entity_id)).where(identity.c.tenant_id == tenant_id))
    return int(rows[0][0] or 0) + 1


def open_evidence(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the evidence that holds now."""
    names = ("evidence_id", "left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")
    mine = evidence.c.tenant_id == tenant_id, evidence.c.entity == entity, evidence.c.known_to.is_(None)
    return store.read_arrow(select(*(evidence.c[name] for name in names)).where(*mine))


def close_evidence(tx: WriteTransaction, ids: pa.Array) -> None:
    """Say that this evidence held until now; nothing is taken out of the ledger."""
    with tx.picking(ids):
        mine = evidence.c.tenant_id == tx.tenant_id, evidence.c.evidence_id.in_(select(picked.c.id))
        tx.execute(update(evidence).where(*mine).values(known_to=tx.change_seq, change_seq=tx.change_seq))


@dataclass(frozen=True)
class StoredModel:
    """A match model without its document: ``status`` is candidate, active or superseded."""

    model_id: int
    entity: str
    status: str
    report: Mapping[str, Any]
    change_seq: int


def active_model(store: Store, tenant_id: int, entity: str) -> tuple[int, str] | None:
    """Return number and document of the match model that scores an entity now."""
    model = match_model.c
    mine = model.tenant_id == tenant_id, model.entity == entity, _is_active()
    rows = store.read(select(model.model_id, model.settings).where(*mine).order_by(model.model_id.desc()).limit(1))
    return (int(rows[0][0]), json.dumps(rows[0][1])) if rows else None


def active_number(store: Store, tenant_id: int, entity: str) -> int | None:
    """Return the number of the match model that scores an entity now."""
    mine = match_model.c.tenant_id == tenant_id, match_model.c.entity == entity, _is_active()
    rows = store.read(select(match_model.c.model_id).where(*mine).order_by(match_model.c.model_id.desc()).limit(1))
    return int(rows[0][0]) if rows else None


def models(store: Store, tenant_id: int) -> list[StoredModel]:
    """Return every match model, oldest first."""
    model = match_model.c
    status = func.coalesce(model.status, ACTIVE)
    statement = select(model.model_id, model.entity, status, model.report, model.change_seq)
    rows = store.read(statement.where(model.tenant_id == tenant_id).order_by(model.model_id))
    return [StoredModel(row[0], row[1], row[2], row[3] or {}, row[4]) for row in rows]


def model_document(store: Store, tenant_id: int, number: int) -> str:
    """Return the document of a match model."""
    mine = match_model.c.tenant_id == tenant_id, match_model.c.model_id == number
    return json.dumps(store.read(select(match_model.c.settings).where(*mine))[0][0])


def add_model(
    tx: WriteTransaction, entity: str, document: str, report: dict[str, Any], *, candidate: bool = False
) -> int:
    """Store a match model for good and return its number; unless it is a candidate it takes the active one's place."""
    number = tx.allocate("match_model", 1)
    row = {"model_id": number, "entity": entity, "settings": json.loads(document), "report": report}
    tx.insert_row(match_model, {**row, "status": CANDIDATE})
    if not candidate:
        activate_model(tx, entity, number)
    return number


def activate_model(tx: WriteTransaction, entity: str, number: int) -> None:
    """Make a model the one that scores; the one before it is superseded. The document of a model never changes."""
    mine = match_model.c.tenant_id == tx.tenant_id, match_model.c.entity == entity
    change = tx.change(match_model)
    tx.execute(update(match_model).where(*mine, _is_active()).values(**change, status=SUPERSEDED))
    tx.execute(update(match_model).where(*mine, match_model.c.model_id == number).values(**change, status=ACTIVE))


def known_stats(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the keys of the identifier statistics of an entity."""
    mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity
    return store.read_arrow(select(stats.c.entity, stats.c.system, stats.c.value_hash).where(*mine))


def _is_active() -> ColumnElement[bool]:
    return or_(match_model.c.status.is_(None), match_model.c.status == ACTIVE)


def _live(table: Table, tenant_id: int, *, retracted: bool, chosen: bool) -> tuple[ColumnElement[bool], ...]:
    """Live rows of any party, or of those chosen; beside these "is not null" would draw SQLite to the wrong index range."""
    kept = _kept(tenant_id, table.c.source_record_id, retracted=retracted)
    whose = _of(table.c.party, chosen=True) if chosen else (table.c.party.is_not(None),)
    return table.c.tenant_id == tenant_id, table.c.deleted_at.is_(None), *whose, *kept


def _same(table: Table, record: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == source_record.c.tenant_id, table.c.source_record_id == record)
