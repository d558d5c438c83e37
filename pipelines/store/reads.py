"""The commit protocol of fetching: loads, reads, segments, and the state of each partition (ARCHITECTURE §4).

A *segment* is what one write transaction commits: files, position, counts, heads, quarantine. A *read* is one attempt
to read one partition to its end, over any number of segments and processes. A *load* is all reads of a stream in a run.
Functions that change something take the WriteTransaction, so that a caller may put several into one commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import func, select, update

from connectors.sdk.errors import FixConfig
from pipelines.store import accounting, quarantine
from pipelines.store.landed import put_heads
from pipelines.store.tables import SEGMENT_COUNTS, connection, load, partition_state, picked, raw_head, read, segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

WORST_FIRST = ("NO_ACCESS", "UNKNOWN", "PARTIAL", "COMPLETE")


@dataclass(frozen=True)
class OpenRead:
    """A read under way: ``position`` is where it goes on, ``cursor`` where the partition's last complete read ended."""

    read_id: int
    load_id: int
    connection_id: str
    stream: str
    partition: str
    kind: str
    resumed: bool
    position: Mapping[str, Any] | None
    cursor: str | None


@dataclass(frozen=True)
class Segment:
    """What one commit brings.

    ``heads``: the newest landed row of each key; see ``landed.put_heads``.
    ``seen``: ids of records met again unchanged. ``quarantine``: see ``quarantine.add``.
    """

    object: str
    files: Sequence[Any] = ()
    records: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None
    heads: pa.Table | None = None
    seen: pa.Array | None = None
    quarantine: pa.Table | None = None


@dataclass(frozen=True)
class PartitionRow:
    """One state of a partition: safe cursor, position of an unfinished read, and how the last one ended.

    ``state`` is ``incremental``, ``backfill`` or ``snapshot``: each goes on by itself. ``judged_read_id`` is the last
    complete read whose absences were judged.
    """

    partition: str
    cursor: str | None
    position: Mapping[str, Any] | None
    kind: str | None
    parent_hash: str | None
    completeness: str | None
    open_read_id: int | None
    complete_read_id: int | None
    state: str = "snapshot"
    judged_read_id: int | None = None


@dataclass(frozen=True)
class LoadResult:
    """What one load came to: the worst completeness of its reads and the sum of its segments' counts."""

    load_id: int
    completeness: str
    counts: Mapping[str, int]


def register_connection(tx: WriteTransaction, name: str, connector: str, connector_major: int) -> str:
    """Return the connection's id, fixed at its first sync; another connector under the same name raises FixConfig."""
    rows = tx.execute(select(connection).where(connection.c.tenant_id == tx.tenant_id, connection.c.name == name))
    known = rows.first()
    if known is None:
        row = {"connection_id": name, "name": name, "connector": connector, "connector_major": connector_major}
        tx.insert_row(connection, row)
        return name
    if known.connector != connector:
        raise FixConfig(
            f"connection {name!r} was synced with connector {known.connector!r}, not {connector!r}",
            where="connections", do=f"give the {connector} connection another name or say connector: {known.connector}",
        )  # fmt: skip
    return str(known.connection_id)


def open_load(tx: WriteTransaction, connection_id: str, stream: str, *, connector_version: str | None = None) -> int:
    """Begin a load of a stream, read with this version of its connector, and return its id."""
    load_id = tx.allocate("load_id", 1)
    row = {
        "load_id": load_id,
        "connection_id": connection_id,
        "stream": stream,
        "status": "open",
        "started_at": tx.now(),
        "connector_version": connector_version,
    }
    tx.insert_row(load, row)
    return load_id


def open_or_resume_read(
    tx: WriteTransaction,
    load_id: int,
    connection_id: str,
    stream: str,
    partition: str,
    kind: str,
    *,
    restart: bool = False,
) -> OpenRead:
    """Go on with the partition's unfinished read of this kind, or begin a new one; reads of other kinds are left alone.

    With ``restart`` the unfinished one is abandoned: the vendor refused its position.
    """
    state = _state(tx, connection_id, stream, partition, kind)
    if state is not None and state.open_read_id is not None:
        if not restart:
            _update_read(tx, state.open_read_id, load_id=load_id, resumed=True)
            return OpenRead(
                state.open_read_id, load_id, connection_id, stream, partition, kind,
                resumed=True, position=state.position, cursor=state.cursor,
            )  # fmt: skip
        _update_read(tx, state.open_read_id, status="abandoned")
    read_id = tx.allocate("read_id", 1)
    place = {"connection_id": connection_id, "stream": stream, "partition": partition}
    row = {"read_id": read_id, "load_id": load_id, **place, "kind": kind, "status": "open", "resumed": False}
    tx.insert_row(read, {**row, "restarted": restart, "started_seq": tx.change_seq})
    tx.put_row(partition_state, {**place, "state": lane(kind), "open_read_id": read_id, "kind": kind, "position": None})
    cursor = None if state is None else state.cursor
    return OpenRead(
        read_id, load_id, connection_id, stream, partition, kind, resumed=False, position=None, cursor=cursor
    )


def commit_segment(tx: WriteTransaction, opened: OpenRead, part: Segment) -> int:
    """Record a segment with everything it brings and return its id; the read goes on at ``part.position``.

    Raises Unaccounted, so that nothing of the transaction is kept, unless every record of the wire is accounted for.
    """
    accounting.check_segment(part, where=f"{opened.connection_id}/{opened.stream}")
    segment_id = tx.allocate("segment_id", 1)
    place = {"connection_id": opened.connection_id, "stream": opened.stream, "partition": opened.partition}
    row = {
        "segment_id": segment_id, "read_id": opened.read_id, "load_id": opened.load_id, **place, "object": part.object,
        "files": list(part.files), "records": part.records, "fence": tx.fence, "position": part.position,
    }  # fmt: skip
    tx.insert_row(segment, {**row, **{name: part.counts.get(name, 0) for name in SEGMENT_COUNTS}})
    if part.heads is not None:
        put_heads(tx, opened.connection_id, part.object, part.heads, segment_id=segment_id, read_id=opened.read_id)
    if part.seen is not None and len(part.seen):
        _touch(tx, part.seen, opened.read_id)
    accounting.settle_quarantine(tx, opened, part, segment_id)
    tx.put_row(partition_state, {**place, "state": lane(opened.kind), "position": part.position})
    return segment_id


def finish_read(
    tx: WriteTransaction, opened: OpenRead, completeness: str, *,
    cursor: str | None = None, parent_hash: str | None = None, reason: str | None = None, proof: str | None = None,
) -> None:  # fmt: skip
    """End a read; only a COMPLETE one moves the state's cursor and parent hash. ``proof`` says how the end is known."""
    _update_read(
        tx, opened.read_id, status="finished", completeness=completeness, reason=reason, proof=proof, cursor=cursor,
        finished_seq=tx.change_seq,
    )  # fmt: skip
    state: dict[str, Any] = {
        "connection_id": opened.connection_id, "stream": opened.stream, "partition": opened.partition,
        "state": lane(opened.kind), "open_read_id": None, "position": None, "completeness": completeness,
    }  # fmt: skip
    if completeness == "COMPLETE":
        if opened.kind.upper() in ("SNAPSHOT", "BACKFILL"):
            quarantine.settle_snapshot(tx, opened.connection_id, opened.stream, opened.partition, opened.read_id)
        state |= {"complete_read_id": opened.read_id, "parent_hash": parent_hash}
        state |= {} if cursor is None else {"cursor": cursor}
    tx.put_row(partition_state, state)


def finish_load(tx: WriteTransaction, load_id: int, *, completeness: str | None = None) -> LoadResult:
    """End a load; without a verdict given it is the worst of its reads, PARTIAL if one is still open."""
    sums = [func.coalesce(func.sum(segment.c[name]), 0) for name in SEGMENT_COUNTS]
    mine = (segment.c.tenant_id == tx.tenant_id, segment.c.load_id == load_id)
    totals = tx.execute(select(*sums).where(*mine)).one()
    verdict = completeness or _verdict(tx, load_id)
    values = {"status": "finished", "completeness": verdict, "finished_at": tx.now(), "change_seq": tx.change_seq}
    tx.execute(update(load).where(load.c.tenant_id == tx.tenant_id, load.c.load_id == load_id).values(values))
    counts = dict(zip(SEGMENT_COUNTS, (int(total) for total in totals), strict=True))
    return LoadResult(load_id, verdict, counts)


def partition(
    store: Store, connection_id: str, stream: str, name: str, *, kind: str | None = None, tenant_id: int = 1
) -> PartitionRow | None:
    """Return the state of a partition for reads of a kind, by default the one changed last; ``None`` before a first."""
    rows = partitions(store, connection_id, stream, only=[name], tenant_id=tenant_id)
    mine = [row for row in rows if kind is None or row.state == lane(kind)]
    return mine[-1] if mine else None


def partitions(
    store: Store, connection_id: str, stream: str, *, only: Sequence[str] | None = None, tenant_id: int = 1
) -> list[PartitionRow]:
    """Return the states of a stream's partitions, by name, the one changed last after the others of its partition."""
    state = partition_state.c
    where = [state.tenant_id == tenant_id, state.connection_id == connection_id, state.stream == stream]
    where += [] if only is None else [state.partition.in_(list(only))]
    names = PartitionRow.__dataclass_fields__
    order = (state.partition, state.change_seq, state.state)
    rows = store.read(select(*(state[name] for name in names)).where(*where).order_by(*order))
    return [PartitionRow(**row._mapping) for row in rows]  # noqa: SLF001  public, underscored only to spare column names


def lane(kind: str) -> str:
    """Return the name of the state that reads of a kind go on in."""
    return kind.lower()


def _touch(tx: WriteTransaction, ids: pa.Array, read_id: int) -> None:
    with tx.picking(ids):
        mine = (raw_head.c.tenant_id == tx.tenant_id, raw_head.c.source_record_id.in_(select(picked.c.id)))
        tx.execute(update(raw_head).where(*mine).values(last_read=read_id))


def _state(tx: WriteTransaction, connection_id: str, stream: str, name: str, kind: str) -> Any:
    state = partition_state.c
    mine = (state.tenant_id == tx.tenant_id, state.connection_id == connection_id, state.stream == stream)
    return tx.execute(select(partition_state).where(*mine, state.partition == name, state.state == lane(kind))).first()


def _update_read(tx: WriteTransaction, read_id: int, **values: Any) -> None:
    mine = (read.c.tenant_id == tx.tenant_id, read.c.read_id == read_id)
    tx.execute(update(read).where(*mine).values({**values, "change_seq": tx.change_seq}))


def _verdict(tx: WriteTransaction, load_id: int) -> str:
    mine = (read.c.tenant_id == tx.tenant_id, read.c.load_id == load_id)
    rows = tx.execute(select(read.c.status, read.c.completeness).where(*mine)).fetchall()
    verdicts = {row.completeness if row.status == "finished" else "PARTIAL" for row in rows}
    return next((verdict for verdict in WORST_FIRST if verdict in verdicts), "COMPLETE")
