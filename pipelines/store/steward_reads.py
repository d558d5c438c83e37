"""What a steward looks at before deciding: records, the entities that hold them, and what changed since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from pipelines.store import decisions
from pipelines.store.tables import crosswalk, crosswalk_version, decision, metadata, source_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_SAID = {"contact_point": "a contact point", "party_identifier": "an identifier"}


@dataclass(frozen=True)
class Record:
    """A source record as a person names it, with the golden entity that holds it now."""

    source_record_id: int
    source_ref: str
    entity: str | None
    entity_id: int | None
    deleted: bool


def records(store: Store, tenant_id: int, ids: Iterable[int]) -> dict[int, Record]:
    """Return these source records by id; unknown ids are left out."""
    return {
        one.source_record_id: one for one in _records(store, tenant_id, source_record.c.source_record_id.in_(list(ids)))
    }


def record_of(store: Store, tenant_id: int, source_ref: str) -> Record | None:
    """Return the record with a reference ``connection/object/key``; the connection by id; None if there is none."""
    connection, _, rest = source_ref.partition("/")
    name, _, key = rest.partition("/")
    same = (
        source_record.c.connection_id == connection,
        source_record.c.object == name,
        source_record.c.source_key == key,
    )
    found = _records(store, tenant_id, *same)
    return found[0] if found else None


def members(store: Store, tenant_id: int, entity: str, entity_ids: Iterable[int]) -> list[Record]:
    """Return the source records that golden entities hold, in the order of their references."""
    linked = and_(crosswalk.c.entity == entity, crosswalk.c.entity_id.in_(list(entity_ids)))
    return sorted(_records(store, tenant_id, linked), key=lambda one: one.source_ref)


def what_changed(tx: WriteTransaction, entity: str, ids: Iterable[int], seen: int) -> list[str]:
    """Say what was written after ``seen`` about these records, the entities that hold them, or decisions on them.

    Asked inside the writing transaction: nothing can slip in between this answer and the write that follows it.
    """
    wanted = sorted(set(ids))
    return [
        *_changed_records(tx, entity, wanted, seen),
        *_changed_links(tx, wanted, seen),
        *_changed_decisions(tx, entity, wanted, seen),
    ]


def _changed_records(tx: WriteTransaction, entity: str, ids: list[int], seen: int) -> list[str]:
    owners = {entity: "source_record_id", "contact_point": "party", "party_identifier": "party"}
    told = []
    for name, owner in owners.items():
        table = metadata.tables[name]
        rows = _newer(tx, table, table.c[owner].in_(ids), seen=seen, columns=(table.c[owner], table.c.deleted_at))
        what = _SAID.get(name, "its own data")
        told += sorted({f"record {one}: {what} {'went' if gone else 'changed'} ({by})" for one, gone, by in rows})
    return told


def _changed_links(tx: WriteTransaction, ids: list[int], seen: int) -> list[str]:
    now = select(crosswalk.c.entity_id).where(
        crosswalk.c.tenant_id == tx.tenant_id, crosswalk.c.source_record_id.in_(ids)
    )
    held = or_(crosswalk.c.source_record_id.in_(ids), crosswalk.c.entity_id.in_(now))
    rows = _newer(tx, crosswalk, held, seen=seen, columns=(crosswalk.c.source_record_id, crosswalk.c.entity_id))
    told = {one: f"record {one} came to {number} ({by})" for one, number, by in rows}
    version = crosswalk_version
    left = select(version.c.source_record_id, version.c.entity_id).where(
        version.c.tenant_id == tx.tenant_id, version.c.known_to > seen,
        or_(version.c.source_record_id.in_(ids), version.c.entity_id.in_(now)),
    )  # fmt: skip
    gone: Sequence[Any] = tx.execute(left.order_by(version.c.source_record_id)).all()
    for one, number in gone:
        told.setdefault(one, f"record {one} left {number}")
    return [told[one] for one in sorted(told)]


def _changed_decisions(tx: WriteTransaction, entity: str, ids: list[int], seen: int) -> list[str]:
    newer = decisions.found(tx, tx.tenant_id, decision.c.entity == entity, decision.c.change_seq > seen)
    mine = [one for one in newer if set(one.records) & set(ids)]
    return [
        f"decision {one.decision_id} ({one.kind}) was made by {one.actor}"
        if one.is_open
        else f"decision {one.decision_id} ({one.kind}) was closed by {one.closed_by}"
        for one in mine
    ]


def _newer(
    tx: WriteTransaction, table: Table, *where: ColumnElement[bool], seen: int, columns: tuple[ColumnElement[Any], ...]
) -> list[tuple[int, Any, str]]:
    """Return two columns of the rows written after ``seen``, and by which change."""
    statement = select(*columns, table.c.cause, table.c.actor, table.c.change_seq).where(
        table.c.tenant_id == tx.tenant_id, table.c.change_seq > seen, *where
    )
    found: Sequence[Any] = tx.execute(statement).all()
    return sorted(((row[0], row[1], f"{row[2]} by {row[3]}, change {row[4]}") for row in found), key=str)


def _records(store: Store, tenant_id: int, *where: ColumnElement[bool]) -> list[Record]:
    same = and_(
        crosswalk.c.tenant_id == source_record.c.tenant_id,
        crosswalk.c.source_record_id == source_record.c.source_record_id,
    )
    s = source_record.c
    statement = (
        select(
            s.source_record_id, s.connection_id, s.object, s.source_key, s.entity, crosswalk.c.entity_id, s.deleted_at
        )
        .select_from(source_record.outerjoin(crosswalk, same))
        .where(s.tenant_id == tenant_id, *where)
    )
    return [
        Record(row[0], f"{row[1]}/{row[2]}/{row[3]}", row[4], row[5], row[6] is not None)
        for row in store.read(statement.order_by(s.source_record_id))
    ]


def origin(store: Store, tenant_id: int, entity: str, entity_id: int, term: str) -> int | None:
    """Return the source record that gives a golden record its value of a term now."""
    golden = metadata.tables[f"golden_{entity}"]
    rows = store.read(
        select(golden.c.provenance).where(golden.c.tenant_id == tenant_id, golden.c.entity_id == entity_id)
    )
    cell = (rows[0][0] or {}).get(term) if rows else None
    return int(cell[0]) if isinstance(cell, list) and cell and cell[0] is not None else None
