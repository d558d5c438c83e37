"""What resolve reads and writes beside the general doors: parties, the crosswalk, ids, evidence, match models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, func, or_, select, update

from pipelines.store.arrow_out import BIG_RESULT
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
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

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


def parties(store: Store, tenant_id: int, entity: str, terms: Sequence[str]) -> pa.Table:
    """Return the live records and stubs of a party entity with the given terms (null for a stub)."""
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
    )
    return store.read_arrow(statement.select_from(source).where(*where), big=is_large(store, tenant_id))


def contact_points(store: Store, tenant_id: int) -> pa.Table:
    """Return the live contact points of all parties."""
    table = metadata.tables["contact_point"]
    names = (
        "source_record_id",
        "row_key",
        "party",
        "kind",
        "value",
        "value_norm",
        "rank",
        "verified",
        "valid_to",
        *_ADDRESS,
    )
    statement = select(*(table.c[name] for name in names)).where(*_live(table, tenant_id))
    return store.read_arrow(statement, big=is_large(store, tenant_id))


def party_identifiers(store: Store, tenant_id: int) -> pa.Table:
    """Return the live identifiers of all parties."""
    table = metadata.tables["party_identifier"]
    columns = (table.c.party, table.c.system, table.c.value, table.c.verified)
    return store.read_arrow(select(*columns).where(*_live(table, tenant_id)), big=is_large(store, tenant_id))


def employees(store: Store, tenant_id: int) -> pa.Table:
    """Return the parties that play the role of an employee now."""
    table = metadata.tables["party_role"]
    where = (*_live(table, tenant_id), table.c.role == "employee", table.c.valid_to.is_(None))
    return store.read_arrow(select(table.c.party).distinct().where(*where))


def links(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the crosswalk of an entity: source_record_id, entity_id."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    return store.read_arrow(select(crosswalk.c.source_record_id, crosswalk.c.entity_id).where(*mine))


def former_links(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return which records once had which ids that no entity has now."""
    version = crosswalk_version
    inactive = and_(
        identity.c.tenant_id == version.c.tenant_id,
        identity.c.entity_id == version.c.entity_id,
        identity.c.status != "active",
    )
    statement = (
        select(version.c.source_record_id, version.c.entity_id).distinct().select_from(version.join(identity, inactive))
    )
    return store.read_arrow(statement.where(version.c.tenant_id == tenant_id, version.c.entity == entity))


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


def active_model(store: Store, tenant_id: int, entity: str) -> tuple[int, str] | None:
    """Return number and document of the newest match model of an entity."""
    mine = match_model.c.tenant_id == tenant_id, match_model.c.entity == entity
    statement = (
        select(match_model.c.model_id, match_model.c.settings).where(*mine).order_by(match_model.c.model_id.desc())
    )
    rows = store.read(statement.limit(1))
    return (int(rows[0][0]), json.dumps(rows[0][1])) if rows else None


def add_model(tx: WriteTransaction, entity: str, document: str, report: dict[str, Any]) -> int:
    """Store a match model for good and return its number."""
    number = tx.allocate("match_model", 1)
    tx.insert_row(
        match_model, {"model_id": number, "entity": entity, "settings": json.loads(document), "report": report}
    )
    return number


def known_stats(store: Store, tenant_id: int, entity: str) -> pa.Table:
    """Return the keys of the identifier statistics of an entity."""
    mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity
    return store.read_arrow(select(stats.c.entity, stats.c.system, stats.c.value_hash).where(*mine))


def _live(table: Table, tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    return table.c.tenant_id == tenant_id, table.c.deleted_at.is_(None), table.c.party.is_not(None)


def _same(table: Table, record: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == source_record.c.tenant_id, table.c.source_record_id == record)
