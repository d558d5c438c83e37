"""Deletes of live records that reads brought and that wait for the fuse: landed, counted, and not yet in force.

A held delete is a row of a committed file that no stage reads. The record's head stays what it was. Letting a delete
through lands its row once more, in a segment that stages do read; something newer of the record makes it void.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from sqlalchemy import and_, delete, select

from pipelines.store.tables import held_delete, picked, raw_head, segment, source_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from pipelines.store.reads import OpenRead
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

COLUMNS = ("source_record_id", "row_no", "hash", "record_time")


class Held(NamedTuple):
    """What is known of a delete that waits."""

    source_record_id: int
    hash: str
    record_time: datetime | None
    read_id: int
    change_seq: int = 0


def known(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> dict[str, Held]:
    """Return the deletes of a stream that wait, by the record's key."""
    held = held_delete.c
    told = (held.source_record_id, held.hash, held.record_time, held.read_id, held.change_seq)
    columns = (source_record.c.source_key, *told)
    statement = select(*columns).join_from(held_delete, source_record, _RECORD)
    return {row[0]: Held(*row[1:]) for row in store.read(statement.where(*_mine(connection_id, stream, tenant_id)))}


def waiting(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> pa.Table:
    """Return source_record_id, source_key, partition, read_id, row_no, hash, record_time and files of those in force soon.

    Left out are those of which something newer was landed meanwhile: they stay void whoever landed it.
    """
    held = held_delete.c
    columns = (
        held.source_record_id, source_record.c.source_key, segment.c.partition, held.read_id, held.row_no, held.hash,
        held.record_time, segment.c.files,
    )  # fmt: skip
    statement = (
        select(*columns, raw_head.c.record_time, raw_head.c.op)
        .join_from(held_delete, source_record, _RECORD)
        .join(segment, _SEGMENT)
        .join(raw_head, _HEAD)
        .where(*_mine(connection_id, stream, tenant_id))
        .order_by(segment.c.partition, held.read_id, source_record.c.source_key)
    )
    rows = [row for row in store.read(statement) if row[-1] == "upsert" and not _is_newer(row[-2], row[6])]
    names = [next(str(file["name"]) for file in row[7] if file.get("held")) for row in rows]
    parts = [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(_SCHEMA.types[:-1])]
    return pa.table([*parts, pa.array(names, pa.string())], schema=_SCHEMA)


def put(tx: WriteTransaction, opened: OpenRead, segment_id: int, rows: pa.Table | None) -> None:
    """Hold the deletes of a segment (see COLUMNS); one that already waits for the same record gives way."""
    if rows is None or rows.num_rows == 0:
        return
    n = rows.num_rows
    places = {"connection_id": opened.connection_id, "stream": opened.stream}
    numbers = {"segment_id": segment_id, "read_id": opened.read_id}
    table = rows.select(list(COLUMNS))
    for name, value in places.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), n))
    for name, number in numbers.items():
        table = table.append_column(name, pa.repeat(pa.scalar(number, pa.int64()), n))
    tx.upsert(held_delete, table)


def drop(tx: WriteTransaction, ids: Sequence[int]) -> None:
    """Forget the held deletes of these source records."""
    if not ids:
        return
    with tx.picking(pa.array(ids, pa.int64())):
        held = held_delete.c
        mine = (held.tenant_id == tx.tenant_id, held.source_record_id.in_(select(picked.c.id)))
        tx.execute(delete(held_delete).where(*mine))


def forget(tx: WriteTransaction, connection_id: str, stream: str) -> None:
    """Forget all held deletes of a stream: they are in force now, or void."""
    tx.execute(delete(held_delete).where(*_mine(connection_id, stream, tx.tenant_id)))


def _is_newer(landed: datetime | None, held: datetime | None) -> bool:
    return landed is not None and held is not None and landed > held


def _mine(connection_id: str, stream: str, tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    held = held_delete.c
    return held.tenant_id == tenant_id, held.connection_id == connection_id, held.stream == stream


_RECORD = and_(
    source_record.c.tenant_id == held_delete.c.tenant_id,
    source_record.c.source_record_id == held_delete.c.source_record_id,
)
_HEAD = and_(
    raw_head.c.tenant_id == held_delete.c.tenant_id,
    raw_head.c.source_record_id == held_delete.c.source_record_id,
)
_SEGMENT = and_(segment.c.tenant_id == held_delete.c.tenant_id, segment.c.segment_id == held_delete.c.segment_id)
_SCHEMA = pa.schema(
    [
        ("source_record_id", pa.int64()),
        ("source_key", pa.string()),
        ("partition", pa.string()),
        ("read_id", pa.int64()),
        ("row_no", pa.int64()),
        ("hash", pa.string()),
        ("record_time", pa.timestamp("us", tz="UTC")),
        ("file", pa.string()),
    ]
)
