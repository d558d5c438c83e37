"""Reading and marking the current source rows inside a write transaction: what normalise needs beside ``replace_set``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy import and_, select, update

from pipelines.store.tables import metadata, raw_head, source_record

if TYPE_CHECKING:
    from pipelines.store.transaction import WriteTransaction


def current_rows(tx: WriteTransaction, entity: str, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the live rows that these source records have in an entity, as this transaction sees them.

    Where none of them has any, the table returned has no other column than ``source_record_id``.
    """
    table = metadata.tables[entity]
    known = tx.with_rows(table, ids)
    if not len(known):
        return pa.table({"source_record_id": known})
    with tx.picking(known) as picked:
        mine = table.c.tenant_id == tx.tenant_id, table.c.source_record_id.in_(select(picked.c.id))
        columns = [column for column in table.c if column.name not in ("tenant_id", "actor", "cause")]
        return tx.read_arrow(select(*columns).where(*mine, table.c.deleted_at.is_(None)))


def mark_mapped(tx: WriteTransaction, ids: pa.Array | pa.ChunkedArray, version: int) -> None:
    """Say that the heads of these source records went through this version of their mapping."""
    with tx.picking(ids) as picked:
        mine = and_(raw_head.c.tenant_id == tx.tenant_id, raw_head.c.source_record_id.in_(select(picked.c.id)))
        tx.execute(update(raw_head).where(mine).values(mapping_version=version))


def mark_deleted(tx: WriteTransaction, gone: pa.Table) -> None:
    """Set when the vendor deleted these source records; ``gone`` has ``source_record_id`` and ``deleted_at``."""
    change = tx.change(source_record)
    for identity, when in zip(
        gone.column("source_record_id").to_pylist(), gone.column("deleted_at").to_pylist(), strict=True
    ):
        mine = and_(source_record.c.tenant_id == tx.tenant_id, source_record.c.source_record_id == identity)
        tx.execute(update(source_record).where(mine).values(**{**change, "deleted_at": when or tx.now()}))


def mark_live(tx: WriteTransaction, ids: pa.Array | pa.ChunkedArray) -> None:
    """Take back the deletion of source records that the vendor serves again."""
    with tx.picking(ids) as picked:
        mine = and_(
            source_record.c.tenant_id == tx.tenant_id,
            source_record.c.source_record_id.in_(select(picked.c.id)),
            source_record.c.deleted_at.is_not(None),
        )
        tx.execute(update(source_record).where(mine).values(**{**tx.change(source_record), "deleted_at": None}))
