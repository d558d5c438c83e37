"""The commit protocol of fetching: reads are opened, segments committed, reads ended (ARCHITECTURE §4).

As many statements for 10,000 partitions as for one. Functions take the WriteTransaction, so that a caller may put several
into one commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from sqlalchemy import and_, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipelines.store import accounting, held, quarantine
from pipelines.store.landed import put_heads
from pipelines.store.listed import listed
from pipelines.store.reads import OpenRead, Segment, lane
from pipelines.store.tables import SEGMENT_COUNTS, partition_state, raw_head, read, segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table

    from pipelines.store.transaction import WriteTransaction

_WHOLE = ("snapshot", "backfill")


class Wanted(NamedTuple):
    """A read to go on with or to begin; with ``restart`` an unfinished one is given up."""

    partition: str
    kind: str
    restart: bool = False


class End(NamedTuple):
    """How a read ended; only COMPLETE moves cursor and parent hash."""

    completeness: str
    cursor: str | None = None
    parent_hash: str | None = None
    reason: str | None = None
    proof: str | None = None


@dataclass(frozen=True)
class Part:
    """What one read brings to a commit, and how it ended, if it did."""

    opened: OpenRead
    segment: Segment
    end: End | None = None


def open_reads(
    tx: WriteTransaction, load_id: int, connection_id: str, stream: str, wanted: Sequence[Wanted]
) -> dict[tuple[str, str], OpenRead]:
    """Go on with each partition's unfinished read of its kind, or begin a new one; by partition and kind."""
    states = _states(tx, connection_id, stream, [one.partition for one in wanted])
    found: dict[tuple[str, str], OpenRead] = {}
    begun: list[tuple[Wanted, Any]] = []
    for one in wanted:
        state = states.get((one.partition, lane(one.kind)))
        if state is None or state.open_read_id is None or one.restart:
            begun.append((one, state))
            continue
        found[one.partition, one.kind] = OpenRead(
            state.open_read_id, load_id, connection_id, stream, one.partition, one.kind,
            resumed=True, position=state.position, cursor=state.cursor, first_new_id=state.first_new_id,
        )  # fmt: skip
    _update_reads(tx, [{"b_read": one.read_id, "load_id": load_id, "resumed": True} for one in found.values()])
    given_up = [state.open_read_id for _, state in begun if state is not None and state.open_read_id is not None]
    _update_reads(tx, [{"b_read": read_id, "status": "abandoned"} for read_id in given_up])
    return found | _begin(tx, load_id, connection_id, stream, begun)


def _begin(
    tx: WriteTransaction, load_id: int, connection_id: str, stream: str, begun: list[tuple[Wanted, Any]]
) -> dict[tuple[str, str], OpenRead]:
    if not begun:
        return {}
    first, unborn = tx.allocate("read_id", len(begun)), tx.allocate("source_record_id", 0)
    found, rows, states = {}, [], []
    for read_id, (one, state) in enumerate(begun, start=first):
        place = {"connection_id": connection_id, "stream": stream, "partition": one.partition}
        rows.append({
            "read_id": read_id, "load_id": load_id, **place, "kind": one.kind, "status": "open", "resumed": False,
            "restarted": one.restart, "started_seq": tx.change_seq, "first_new_id": unborn,
        })  # fmt: skip
        states.append({**place, "state": lane(one.kind), "open_read_id": read_id, "kind": one.kind, "position": None})
        found[one.partition, one.kind] = OpenRead(
            read_id, load_id, connection_id, stream, one.partition, one.kind,
            resumed=False, position=None, cursor=None if state is None else state.cursor, first_new_id=unborn,
        )  # fmt: skip
    tx.execute(insert(read), [{**tx.change(read), **row} for row in rows])
    _put_states(tx, states)
    return found


def commit_parts(tx: WriteTransaction, parts: Sequence[Part]) -> None:
    """Record the segments of several reads of one stream, with everything they bring; end the reads that have ended.

    Raises Unaccounted, so that nothing of the transaction is kept, unless every record of each wire is accounted for.
    """
    first = tx.allocate("segment_id", len(parts))
    numbered = list(enumerate(parts, start=first))
    for _, part in numbered:
        accounting.check_segment(part.segment, where=f"{part.opened.connection_id}/{part.opened.stream}")
    tx.execute(insert(segment), [_segment_row(tx, number, part) for number, part in numbered])
    _put_heads(tx, numbered)
    _touch(tx, parts)
    held.drop(tx, [one for part in parts for one in part.segment.revived])
    for number, part in numbered:
        held.put(tx, part.opened, number, part.segment.held)
    _settle(tx, numbered)
    going_on = [part for part in parts if part.end is None]
    _put_states(tx, [{**_place(part.opened), "position": part.segment.position} for part in going_on])
    _finish(tx, [(part.opened, part.end) for part in parts if part.end is not None])


def _segment_row(tx: WriteTransaction, number: int, part: Part) -> dict[str, Any]:
    opened, given = part.opened, part.segment
    return {
        **tx.change(segment), "segment_id": number, "read_id": opened.read_id, "load_id": opened.load_id,
        "connection_id": opened.connection_id, "stream": opened.stream, "partition": opened.partition,
        "object": given.object, "files": list(given.files), "records": given.records, "fence": tx.fence,
        "position": given.position, **{name: given.counts.get(name, 0) for name in SEGMENT_COUNTS},
    }  # fmt: skip


def _put_heads(tx: WriteTransaction, numbered: Iterable[tuple[int, Part]]) -> None:
    """Point each key at its newest row; one that two parts brought is the later part's."""
    tables = [
        _with_ids(part.segment.heads, number, part.opened.read_id)
        for number, part in numbered
        if part.segment.heads is not None
    ]
    if not tables:
        return
    opened, name = next((part.opened, part.segment.object) for _, part in numbered if part.segment.heads is not None)
    rows = pa.concat_tables(tables)
    if len(tables) > 1:
        keys = rows.column("source_key").to_pylist()
        newest = {key: place for place, key in enumerate(keys)}
        rows = rows if len(newest) == len(keys) else rows.take(pa.array(sorted(newest.values()), pa.int64()))
    put_heads(tx, opened.connection_id, name, rows)


def _with_ids(heads: pa.Table, segment_id: int, read_id: int) -> pa.Table:
    for name, value in (("segment_id", segment_id), ("last_read", read_id)):
        heads = heads.append_column(name, pa.repeat(pa.scalar(value, pa.int64()), heads.num_rows))
    return heads


def _touch(tx: WriteTransaction, parts: Sequence[Part]) -> None:
    """Say of records met again by which read."""
    met = {
        identity: part.opened.read_id
        for part in parts
        if part.segment.seen is not None
        for identity in part.segment.seen.to_pylist()
    }
    if not met:
        return
    ids, reads = pa.array(met, pa.int64()), pa.array(met.values(), pa.int64())
    stage = tx.bulk.stage(pa.table({"source_record_id": ids, "last_read": reads}), raw_head)
    tx.bulk.run(
        f"UPDATE raw_head AS t SET last_read = s.last_read FROM {stage.name} AS s "
        "WHERE t.tenant_id = :tenant AND t.source_record_id = s.source_record_id",
        tenant=tx.tenant_id,
    )
    tx.bulk.drop(stage)


def _settle(tx: WriteTransaction, numbered: Sequence[tuple[int, Part]]) -> None:
    """Close the quarantine entries of what came in good order, then enter what did not, part by part."""
    good = [part.segment.heads.select(["source_key"]) for _, part in numbered if part.segment.heads is not None]
    seen = [part.segment.seen for _, part in numbered if part.segment.seen is not None]
    _, some = numbered[0]
    whole = Segment(
        some.segment.object, heads=pa.concat_tables(good) if good else None,
        seen=pa.concat_arrays(seen) if seen else None,
    )  # fmt: skip
    accounting.settle_quarantine(tx, some.opened, whole, 0)
    for number, part in numbered:
        if part.segment.quarantine is not None:
            bad = Segment(part.segment.object, quarantine=part.segment.quarantine)
            accounting.settle_quarantine(tx, part.opened, bad, number)


def _finish(tx: WriteTransaction, ended: Sequence[tuple[OpenRead, End]]) -> None:
    ends = [
        {
            "b_read": opened.read_id, "status": "finished", "completeness": end.completeness, "reason": end.reason,
            "proof": end.proof, "cursor": end.cursor, "finished_seq": tx.change_seq,
        }
        for opened, end in ended
    ]  # fmt: skip
    _update_reads(tx, ends)
    _put_states(tx, [_state_after(opened, end) for opened, end in ended])
    whole = [one for one, end in ended if end.completeness == "COMPLETE" and lane(one.kind) in _WHOLE]
    if whole and quarantine.has_open(tx, "extract", whole[0].connection_id, whole[0].stream):
        for one in whole:
            quarantine.settle_snapshot(tx, one.connection_id, one.stream, one.partition, one.read_id)


def _state_after(opened: OpenRead, end: End) -> dict[str, Any]:
    row = {**_place(opened), "open_read_id": None, "position": None, "completeness": end.completeness}
    if end.completeness == "COMPLETE":
        row |= {"complete_read_id": opened.read_id, "parent_hash": end.parent_hash}
        row |= {} if end.cursor is None else {"cursor": end.cursor}
    return row


def _place(opened: OpenRead) -> dict[str, Any]:
    return {
        "connection_id": opened.connection_id, "stream": opened.stream, "partition": opened.partition,
        "state": lane(opened.kind),
    }  # fmt: skip


def _states(tx: WriteTransaction, connection_id: str, stream: str, names: list[str]) -> Mapping[tuple[str, str], Any]:
    asked = listed(tx.dialect, list(dict.fromkeys(names)))
    state = partition_state.c
    mine = (state.tenant_id == tx.tenant_id, state.connection_id == connection_id, state.stream == stream)
    columns = (state.partition, state.state, state.open_read_id, state.position, state.cursor, read.c.first_new_id)
    under_way = and_(read.c.tenant_id == state.tenant_id, read.c.read_id == state.open_read_id)
    statement = select(*columns).outerjoin_from(partition_state, read, under_way)
    statement = statement.where(*mine, state.partition.in_(select(asked.c.value)))
    return {(row.partition, row.state): row for row in tx.execute(statement)}


def _update_reads(tx: WriteTransaction, rows: list[dict[str, Any]]) -> None:
    """Change reads, all the same columns; ``b_read`` names each."""
    if not rows:
        return
    names = [name for name in rows[0] if name != "b_read"]
    values: dict[str, Any] = {**{name: bindparam(name) for name in names}, "change_seq": tx.change_seq}
    mine = (read.c.tenant_id == tx.tenant_id, read.c.read_id == bindparam("b_read"))
    tx.execute(update(read).where(*mine).values(values), rows)


def _put_states(tx: WriteTransaction, rows: list[dict[str, Any]]) -> None:
    """Put rows of partition_state; rows with the same columns go together."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append({**tx.change(partition_state), **row})
    for group in groups.values():
        tx.execute(_upsert(tx.dialect, partition_state, list(group[0])), group)


def _upsert(dialect: str, table: Table, names: list[str]) -> Any:
    kind = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = kind(table).values({name: bindparam(name) for name in names})
    key = [column.name for column in table.primary_key]
    changes = {name: statement.excluded[name] for name in names if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changes)
