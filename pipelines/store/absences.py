"""What complete snapshots did not show, and the tombstones of records that are proven to be gone (ARCHITECTURE §5.3).

A record is *missed* by a snapshot when it was live before the snapshot began, lies in the part that it read, and has not
been met since, by any read. A restarted snapshot misses nothing; nor does one that met records whose key nobody can read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import and_, delete, exists, func, or_, select, update

from pipelines.store.landed import put_heads
from pipelines.store.tables import (
    SEGMENT_COUNTS,
    absent_record,
    partition_state,
    quarantine,
    raw_head,
    read,
    segment,
    source_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_WHOLE = ("snapshot", "backfill")
_REF = and_(
    source_record.c.tenant_id == raw_head.c.tenant_id,
    source_record.c.source_record_id == raw_head.c.source_record_id,
)
_SEGMENT = and_(segment.c.tenant_id == raw_head.c.tenant_id, segment.c.segment_id == raw_head.c.segment_id)
_ABSENT = and_(
    absent_record.c.tenant_id == raw_head.c.tenant_id,
    absent_record.c.source_record_id == raw_head.c.source_record_id,
)
_STATE = and_(
    partition_state.c.tenant_id == segment.c.tenant_id,
    partition_state.c.connection_id == segment.c.connection_id,
    partition_state.c.stream == segment.c.stream,
    partition_state.c.partition == segment.c.partition,
    partition_state.c.state.in_(_WHOLE),
)
_READ = and_(read.c.tenant_id == partition_state.c.tenant_id, read.c.read_id == partition_state.c.complete_read_id)


_FOUND = pa.schema(
    [
        ("source_record_id", pa.int64()),
        ("source_key", pa.string()),
        ("partition", pa.string()),
        ("read_id", pa.int64()),
        ("first_read", pa.int64()),
    ]
)


def nothing() -> pa.Table:
    """Return what ``missed`` returns when nothing was missed."""
    return _FOUND.empty_table()


def without(found: pa.Table, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the rows of other source records than these."""
    some = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    return found.filter(pc.invert(pc.is_in(found.column("source_record_id"), value_set=some)))


def unjudged(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> int:
    """Return how many complete snapshots of a stream's parts have not been judged yet."""
    statement = select(func.count()).select_from(partition_state)
    return int(store.read(statement.where(*_pending(connection_id, stream, tenant_id)))[0][0])


def missed(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> pa.Table:
    """Return source_record_id, source_key, partition, read_id, first_read of what the unjudged snapshots missed.

    ``read_id`` is the snapshot; ``first_read`` is the first one in a row that missed the record, null for this one.
    """
    other = partition_state.alias("other")
    met_elsewhere = exists().where(
        other.c.tenant_id == tenant_id, other.c.connection_id == connection_id, other.c.stream == stream,
        other.c.complete_read_id == raw_head.c.last_read,
    )  # fmt: skip
    held = exists().where(
        quarantine.c.tenant_id == tenant_id, quarantine.c.connection_id == connection_id,
        quarantine.c.stream == stream, quarantine.c.stage == "extract", quarantine.c.resolved_seq.is_(None),
        or_(quarantine.c.source_key.is_(None), quarantine.c.source_key == source_record.c.source_key),
    )  # fmt: skip
    columns = (
        raw_head.c.source_record_id, source_record.c.source_key, segment.c.partition,
        partition_state.c.complete_read_id.label("read_id"), absent_record.c.first_read,
    )  # fmt: skip
    statement = (
        select(*columns)
        .select_from(raw_head)
        .join(segment, _SEGMENT)
        .join(partition_state, _STATE)
        .join(read, _READ)
        .join(source_record, _REF)
        .outerjoin(absent_record, _ABSENT)
        .where(
            *_pending(connection_id, stream, tenant_id),
            raw_head.c.op == "upsert",
            raw_head.c.last_read < partition_state.c.complete_read_id,
            func.coalesce(read.c.restarted, False).is_(False),
            ~met_elsewhere,
            ~held,
        )
        .order_by(segment.c.partition, source_record.c.source_key)
    )
    return store.read_arrow(statement).cast(_FOUND)


def live(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> int:
    """Return how many records of a stream are live."""
    mine = (raw_head.c.tenant_id == tenant_id, segment.c.connection_id == connection_id, segment.c.stream == stream)
    statement = select(func.count()).select_from(raw_head).join(segment, _SEGMENT)
    return int(store.read(statement.where(*mine, raw_head.c.op == "upsert"))[0][0])


def remember(tx: WriteTransaction, connection_id: str, stream: str, found: pa.Table) -> None:
    """Keep which records were missed, and forget those that have been met since or are gone."""
    met = exists().where(_ABSENT, or_(raw_head.c.last_read > absent_record.c.last_read, raw_head.c.op == "delete"))
    mine = (absent_record.c.tenant_id == tx.tenant_id, absent_record.c.connection_id == connection_id)
    tx.execute(delete(absent_record).where(*mine, absent_record.c.stream == stream, met))
    if found.num_rows == 0:
        return
    first = [
        one or other
        for one, other in zip(*(found.column(n).to_pylist() for n in ("first_read", "read_id")), strict=True)
    ]
    rows = {
        "source_record_id": found.column("source_record_id"),
        "connection_id": pa.array([connection_id] * found.num_rows, pa.string()),
        "stream": pa.array([stream] * found.num_rows, pa.string()),
        "first_read": pa.array(first, pa.int64()),
        "last_read": found.column("read_id"),
    }
    tx.upsert(absent_record, pa.table(rows))


def judge(tx: WriteTransaction, connection_id: str, stream: str) -> None:
    """Say that the complete snapshots of a stream have been judged."""
    state = partition_state.c
    mine = _pending(connection_id, stream, tx.tenant_id)
    values = {"judged_read_id": state.complete_read_id, "change_seq": tx.change_seq}
    tx.execute(update(partition_state).where(*mine).values(values))


def bury(
    tx: WriteTransaction, load_id: int, connection_id: str, stream: str, object_name: str, gone: pa.Table,
    files: Sequence[dict[str, Any]],
) -> None:  # fmt: skip
    """Write the tombstones in ``gone`` (source_key, row_no, hash, op, record_time, partition, read_id), a segment a part."""
    for file in files:
        part = gone.slice(file["first"], file["rows"])
        read_id, partition = part.column("read_id")[0].as_py(), part.column("partition")[0].as_py()
        segment_id = tx.allocate("segment_id", 1)
        row = {
            "segment_id": segment_id, "read_id": read_id, "load_id": load_id, "connection_id": connection_id,
            "stream": stream, "partition": partition, "object": object_name, "files": [file], "records": part.num_rows,
            "fence": tx.fence, "position": None, **dict.fromkeys(SEGMENT_COUNTS, 0),
        }  # fmt: skip
        tx.insert_row(segment, row)
        heads = part.select(["source_key", "row_no", "hash", "op", "record_time", "known", "is_stub"])
        put_heads(tx, connection_id, object_name, heads, segment_id=segment_id, read_id=read_id)


def _pending(connection_id: str, stream: str, tenant_id: int) -> tuple[Any, ...]:
    state = partition_state.c
    return (
        state.tenant_id == tenant_id,
        state.connection_id == connection_id,
        state.stream == stream,
        state.state.in_(_WHOLE),
        state.complete_read_id.is_not(None),
        or_(state.judged_read_id.is_(None), state.judged_read_id != state.complete_read_id),
    )
