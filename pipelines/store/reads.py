"""What fetching leaves in the store: loads, reads, segments, and the state of each partition (ARCHITECTURE §4).

A *segment* is what one write transaction commits: files, position, counts, heads, quarantine. A *read* is one attempt
to read one partition to its end, over any number of segments and processes. A *load* is all reads of a stream in a run.
How reads are opened, committed and ended is in ``commits``, for one partition and for many alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import func, select, update

from connectors.sdk.errors import FixConfig
from pipelines.store.tables import SEGMENT_COUNTS, connection, load, partition_state, read, segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

WORST_FIRST = ("NO_ACCESS", "UNKNOWN", "PARTIAL", "COMPLETE")


@dataclass(frozen=True)
class OpenRead:
    """A read under way: ``position`` is where it goes on, ``cursor`` where the partition's last complete read ended.

    Source records with an id from ``first_new_id`` on were not known when it began; ``None`` where that was not noted.
    """

    read_id: int
    load_id: int
    connection_id: str
    stream: str
    partition: str
    kind: str
    resumed: bool
    position: Mapping[str, Any] | None
    cursor: str | None
    first_new_id: int | None = None


@dataclass(frozen=True)
class Segment:
    """What one commit brings.

    ``heads``: the newest landed row of each key; see ``landed.put_heads``.
    ``seen``: ids of records met again unchanged. ``quarantine``: see ``quarantine.add``. ``held``: see ``held.put``.
    ``revived``: source records whose held delete is void, since something newer of them came.
    """

    object: str
    files: Sequence[Any] = ()
    records: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None
    heads: pa.Table | None = None
    seen: pa.Array | None = None
    quarantine: pa.Table | None = None
    held: pa.Table | None = None
    revived: Sequence[int] = ()


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


def whole_since(
    store: Store, connection_id: str, stream: str, *, only: Sequence[str], tenant_id: int = 1
) -> dict[str, datetime]:
    """Return when the load began in which each of some partitions was last read whole and COMPLETE."""
    state = partition_state.c
    done = (read.c.tenant_id == state.tenant_id) & (read.c.read_id == state.complete_read_id)
    begun = (load.c.tenant_id == read.c.tenant_id) & (load.c.load_id == read.c.load_id)
    mine = (state.tenant_id == tenant_id, state.connection_id == connection_id, state.stream == stream)
    query = select(state.partition, func.max(load.c.started_at))
    query = query.select_from(partition_state.join(read, done).join(load, begun)).group_by(state.partition)
    query = query.where(*mine, state.partition.in_(list(only)), state.state != "incremental")
    return {name: at for name, at in store.read(query) if at is not None}


def lane(kind: str) -> str:
    """Return the name of the state that reads of a kind go on in."""
    return kind.lower()


def _verdict(tx: WriteTransaction, load_id: int) -> str:
    mine = (read.c.tenant_id == tx.tenant_id, read.c.load_id == load_id)
    rows = tx.execute(select(read.c.status, read.c.completeness).where(*mine)).fetchall()
    verdicts = {row.completeness if row.status == "finished" else "PARTIAL" for row in rows}
    return next((verdict for verdict in WORST_FIRST if verdict in verdicts), "COMPLETE")
