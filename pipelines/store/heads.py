"""What has been landed: the newest raw record of each source record, and the committed segments it lies in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from sqlalchemy import Select, and_, func, literal, or_, select, update

from pipelines.store.listed import listed
from pipelines.store.tables import partition_state, picked, raw_head, read, segment, source_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_SAME_RECORD = and_(
    raw_head.c.tenant_id == source_record.c.tenant_id,
    raw_head.c.source_record_id == source_record.c.source_record_id,
)
_PLACE = (raw_head.c.segment_id, raw_head.c.row_no, raw_head.c.hash, raw_head.c.op, raw_head.c.record_time)


@dataclass(frozen=True)
class CommittedSegment:
    """A segment as normalise consumes it; ``change_seq`` is its place in the order of commits."""

    segment_id: int
    change_seq: int
    read_id: int
    kind: str
    connection_id: str
    stream: str
    partition: str
    object: str
    files: Sequence[Any]
    records: int


class Known(NamedTuple):
    """What is known of a key: its id, and the content, time and read last landed; a stub has no content yet."""

    source_record_id: int
    is_stub: bool
    hash: str | None
    op: str | None
    record_time: datetime | None
    last_read: int | None


def known(store: Store, connection_id: str, name: str, keys: Iterable[str], *, tenant_id: int = 1) -> dict[str, Known]:
    """Return, by key, those of ``keys`` that have an id already."""
    asked = select(listed(store.dialect, list(keys)).c.value)
    table, head = source_record.c, raw_head.c
    columns = (head.hash, head.op, head.record_time, head.last_read)
    statement = (
        select(table.source_key, table.source_record_id, table.is_stub, *columns)
        .outerjoin_from(source_record, raw_head, _SAME_RECORD)
        .where(table.tenant_id == tenant_id, table.connection_id == connection_id, table.object == name)
        .where(table.source_key.in_(asked))
    )
    return {row[0]: Known(*row[1:]) for row in store.read(statement)}


def stale_heads(store: Store, connection_id: str, name: str, mapping_version: int, *, tenant_id: int = 1) -> pa.Table:
    """Return source_key, source_record_id and place of landed records that this mapping version has not read yet."""
    version = raw_head.c.mapping_version
    stale = or_(version.is_(None), version < mapping_version)
    statement = select(source_record.c.source_key, source_record.c.source_record_id, *_PLACE).where(stale)
    return store.read_arrow(
        _of_object(statement, connection_id, name, tenant_id).order_by(raw_head.c.segment_id, raw_head.c.row_no)
    )


def mark_mapped(tx: WriteTransaction, ids: pa.Array | pa.ChunkedArray, mapping_version: int) -> int:
    """Say that this mapping version has read these source records; returns how many there are."""
    with tx.picking(ids):
        mine = (raw_head.c.tenant_id == tx.tenant_id, raw_head.c.source_record_id.in_(select(picked.c.id)))
        done: int = tx.execute(update(raw_head).where(*mine).values(mapping_version=mapping_version)).rowcount
    return done


def parents(
    store: Store, connection_id: str, name: str, child_stream: str, *, changed_only: bool, stream: str = "",
    tenant_id: int = 1,
) -> pa.Table:  # fmt: skip
    """Return source_key, source_record_id and place of live parent records, by key.

    With ``changed_only`` those whose hash differs from the one at the child's last complete read of that parent; ``stream``
    is the parents' stream, after which the engine names the child's parts. One that it names otherwise is returned, too.
    """
    statement = select(source_record.c.source_key, source_record.c.source_record_id, *_PLACE).where(
        raw_head.c.op == "upsert"
    )
    live = _of_object(statement, connection_id, name, tenant_id)
    if changed_only:
        state = partition_state.c
        mine = (state.tenant_id == tenant_id, state.connection_id == connection_id, state.stream == child_stream)
        part = literal(f"{stream}=" if stream else "") + source_record.c.source_key
        unchanged = (state.partition == part, state.parent_hash == raw_head.c.hash, state.completeness == "COMPLETE")
        done = select(state.partition).where(*mine, *unchanged, state.open_read_id.is_(None))
        live = live.where(~done.exists())
    return store.read_arrow(live.order_by(source_record.c.source_key))


def live_count(store: Store, connection_id: str, name: str, *, tenant_id: int = 1) -> int:
    """Return how many landed records of an object are not deleted."""
    live = (raw_head.c.op == "upsert", source_record.c.deleted_at.is_(None))
    return int(store.read(_of_object(select(func.count()), connection_id, name, tenant_id).where(*live))[0][0])


def absent(store: Store, connection_id: str, name: str, read_ids: Sequence[int], *, tenant_id: int = 1) -> pa.Table:
    """Return source_key, source_record_id of live landed records that none of these snapshot reads has met."""
    columns = (source_record.c.source_key, source_record.c.source_record_id)
    live = (raw_head.c.op == "upsert", source_record.c.deleted_at.is_(None))
    unmet = raw_head.c.last_read.not_in(list(read_ids))
    return store.read_arrow(_of_object(select(*columns), connection_id, name, tenant_id).where(*live, unmet))


def segments_after(
    store: Store, connection_id: str, stream: str, watermark: int, *, limit: int | None = None, tenant_id: int = 1
) -> list[CommittedSegment]:
    """Return the segments committed after a watermark, in commit order; of their files those that stages may read.

    Rows of a file that is ``held`` are deletes that the fuse has not let through: the segment that lets them has them anew.
    """
    names = [name for name in CommittedSegment.__dataclass_fields__ if name != "kind"]
    of_read = and_(read.c.tenant_id == segment.c.tenant_id, read.c.read_id == segment.c.read_id)
    mine = (segment.c.tenant_id == tenant_id, segment.c.connection_id == connection_id, segment.c.stream == stream)
    statement = select(*(segment.c[name] for name in names), read.c.kind).join(read, of_read).where(*mine)
    statement = statement.where(segment.c.change_seq > watermark).order_by(segment.c.change_seq, segment.c.segment_id)
    found = [CommittedSegment(**row._mapping) for row in store.read(statement.limit(limit))]  # noqa: SLF001
    return [replace(one, files=[file for file in one.files if not file.get("held")]) for one in found]


def segments(store: Store, segment_ids: Iterable[int], *, tenant_id: int = 1) -> Mapping[int, Sequence[Any]]:
    """Return the files of segments, by segment id."""
    wanted = sorted(set(segment_ids))
    statement = select(segment.c.segment_id, segment.c.files)
    mine = (segment.c.tenant_id == tenant_id, segment.c.segment_id.in_(wanted))
    return {int(row[0]): row[1] for row in store.read(statement.where(*mine))}


def committed_files(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> list[Any]:
    """Return every file of a stream that a committed segment names; any other file of it is a leftover."""
    mine = (segment.c.tenant_id == tenant_id, segment.c.connection_id == connection_id, segment.c.stream == stream)
    return [file for (files,) in store.read(select(segment.c.files).where(*mine)) for file in files]


def _of_object(
    statement: Select[*tuple[Any, ...]], connection_id: str, name: str, tenant_id: int
) -> Select[*tuple[Any, ...]]:
    table = source_record.c
    mine = (table.tenant_id == tenant_id, table.connection_id == connection_id, table.object == name)
    return statement.join_from(source_record, raw_head, _SAME_RECORD).where(*mine)
