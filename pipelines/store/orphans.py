"""Records below a deleted parent: nobody reads the parts below it any more, so no read will say what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy import and_, delete, select, update

from pipelines.store.listed import listed
from pipelines.store.tables import partition_state, raw_head, read, segment, source_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_RECORD = and_(
    source_record.c.tenant_id == raw_head.c.tenant_id,
    source_record.c.source_record_id == raw_head.c.source_record_id,
)
_SEGMENT = and_(segment.c.tenant_id == raw_head.c.tenant_id, segment.c.segment_id == raw_head.c.segment_id)
_MET_BY = and_(read.c.tenant_id == raw_head.c.tenant_id, read.c.read_id == raw_head.c.last_read)
_COLUMNS = ("source_record_id", "source_key", "partition", "read_id")
_TYPES = (pa.int64(), pa.string(), pa.string(), pa.int64())


def closed(
    store: Store, connection_id: str, stream: str, parent: str, names: Callable[[str], Sequence[str]], *, tenant_id: int = 1
) -> list[str]:  # fmt: skip
    """Return the parts of a child stream that were read once and whose parent, of object ``parent``, is deleted.

    ``names``: what the parts below a parent's key are called. A part that was settled is not named again.
    """
    table = source_record.c
    mine = (table.tenant_id == tenant_id, table.connection_id == connection_id, table.object == parent)
    gone = select(table.source_key).join_from(source_record, raw_head, _RECORD).where(*mine, raw_head.c.op == "delete")
    found = [name for (key,) in store.read(gone) for name in names(key)]
    if not found:
        return []
    state = partition_state.c
    here = (state.tenant_id == tenant_id, state.connection_id == connection_id, state.stream == stream)
    asked = select(listed(store.dialect, found).c.value)
    return sorted({name for (name,) in store.read(select(state.partition).where(*here, state.partition.in_(asked)))})


def below(store: Store, connection_id: str, stream: str, parts: Sequence[str], *, tenant_id: int = 1) -> pa.Table:
    """Return source_record_id, source_key, partition, read_id of the live records that were met last in these parts."""
    asked = select(listed(store.dialect, list(parts)).c.value)
    columns = (raw_head.c.source_record_id, source_record.c.source_key, read.c.partition, read.c.read_id)
    statement = (
        select(*columns)
        .join_from(raw_head, segment, _SEGMENT)
        .join(read, _MET_BY)
        .join(source_record, _RECORD)
        .where(raw_head.c.tenant_id == tenant_id, segment.c.connection_id == connection_id, segment.c.stream == stream)
        .where(raw_head.c.op == "upsert", read.c.stream == stream, read.c.partition.in_(asked))
        .order_by(read.c.partition, read.c.read_id, source_record.c.source_key)
    )
    rows = store.read(statement) if parts else []
    return pa.table({n: pa.array([row[i] for row in rows], _TYPES[i]) for i, n in enumerate(_COLUMNS)})


def settle(tx: WriteTransaction, connection_id: str, stream: str, parts: Sequence[str]) -> None:
    """Forget how far these parts were read: should the parent come back, its records are read from the beginning."""
    if not parts:
        return
    asked, state = select(listed(tx.dialect, list(parts)).c.value), partition_state.c
    here = (state.tenant_id == tx.tenant_id, state.connection_id == connection_id, state.stream == stream)
    mine = (*here, state.partition.in_(asked))
    under_way = select(state.open_read_id).where(*mine, state.open_read_id.is_not(None))
    open_reads = (read.c.tenant_id == tx.tenant_id, read.c.read_id.in_(under_way))
    tx.execute(update(read).where(*open_reads).values(status="abandoned", change_seq=tx.change_seq))
    tx.execute(delete(partition_state).where(*mine))
