"""The match index in the store: blocks of records in the form that is compared, and postings from a key to its records.

Nothing has a row of its own: a block holds the lines of the records whose numbers differ in their last bits only, packed;
a bucket holds the (key, record) pairs of a range of key hashes as 16 bytes each, in order. A lookup reads few small rows;
writing the index of a million records costs seconds, not minutes. Everything here is derived from source rows and is
removed with them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from sqlalchemy import BigInteger, bindparam, delete, select, union

from pipelines.store.match_blocks import Line, block_numbers, by_block, lines_in, lines_of, merged, unpacked
from pipelines.store.tables import (
    crosswalk,
    evidence,
    match_block,
    match_bucket,
    match_index,
    metadata,
    picked,
    source_record,
)
from pipelines.store.tables import identifier_stats as stats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, CompoundSelect, Select, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_Part = TypeVar("_Part")
_Found = TypeVar("_Found")
_SATELLITES = ("contact_point", "party_identifier", "party_role")
_AT_ONCE = 500
_WORTH_A_THREAD = 4
MANY_VALUES = 10_000  # beyond so many, all statistics are read at less cost than those of each value
_SINCE = bindparam("since", type_=BigInteger)
STATS = ("system", "value_hash", "records", "names", "spellings", "initials")
EVIDENCE = ("evidence_id", "left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")


@dataclass(frozen=True)
class IndexState:
    """Of which model an entity's index is, into how many buckets (2 ** bits) it is cut, of how many records it is."""

    model_id: int
    fingerprint: str | None
    bits: int
    records: int


def state(store: Store, tenant_id: int, entity: str) -> IndexState | None:
    """Return what an entity's index says of itself; its fingerprint is None while it is being written."""
    names = ("model_id", "fingerprint", "bits", "records")
    mine = match_index.c.tenant_id == tenant_id, match_index.c.entity == entity
    rows = store.read(select(*(match_index.c[name] for name in names)).where(*mine))
    return IndexState(*rows[0]) if rows else None


def set_state(tx: WriteTransaction, entity: str, value: IndexState) -> None:
    """Say what an entity's index holds from this transaction on."""
    tx.put_row(
        match_index,
        {"entity": entity, "model_id": value.model_id, "fingerprint": value.fingerprint, "bits": value.bits,
         "records": value.records},
    )  # fmt: skip


def clear(tx: WriteTransaction, entity: str) -> None:
    """Take out everything an entity's index holds."""
    for table in (match_block, match_bucket):
        tx.execute(delete(table).where(table.c.tenant_id == tx.tenant_id, table.c.entity == entity))


def changed_parties(store: Store, tenant_id: int, entity: str, since: int) -> pa.Array:
    """Return the records of which anything that matching reads was written after ``since``, deletions included."""
    found = store.read_arrow(_changed(tenant_id, entity), {"since": since})
    return found.column(0).drop_null().combine_chunks()


@lru_cache
def _changed(tenant_id: int, entity: str) -> CompoundSelect[Any]:
    """Return the statement for the records that changed after ``:since``."""
    own = metadata.tables[entity]
    parts = [_newer(source_record, source_record.c.source_record_id, tenant_id)]
    parts.append(_newer(own, own.c.source_record_id, tenant_id))
    for name in _SATELLITES:
        table, version = metadata.tables[name], metadata.tables[f"{name}_version"]
        parts += [_newer(table, table.c.party, tenant_id), _before(table, version, tenant_id)]
        parts.append(_told_by_newer(table, tenant_id))
    return union(*parts)


def _newer(table: Table, party: ColumnElement[int], tenant_id: int) -> Select[Any]:
    return select(party.label("id")).where(table.c.tenant_id == tenant_id, table.c.change_seq > _SINCE)


def _before(table: Table, version: Table, tenant_id: int) -> Select[Any]:
    """Whom the rows that were written after ``:since`` belonged to before."""
    changed = select(table.c.source_record_id).where(table.c.tenant_id == tenant_id, table.c.change_seq > _SINCE)
    mine = version.c.tenant_id == tenant_id, version.c.source_record_id.in_(changed), version.c.known_to > _SINCE
    return select(version.c.party.label("id")).where(*mine)


def _told_by_newer(table: Table, tenant_id: int) -> Select[Any]:
    """Of whom the records speak that came, went or were retracted after ``:since``."""
    record = source_record.c
    newer = select(record.source_record_id).where(record.tenant_id == tenant_id, record.change_seq > _SINCE)
    mine = table.c.tenant_id == tenant_id, table.c.source_record_id.in_(newer)
    return select(table.c.party.label("id")).where(*mine)


def rows(store: Store, tenant_id: int, entity: str, ids: Sequence[int]) -> list[Line]:
    """Return the lines of these records; one that has none is left out."""
    return Blocks(store, tenant_id, entity).lines(ids)


class Blocks:
    """The blocks of an entity's records, for whoever asks for lines again and again: each block is read once."""

    def __init__(self, store: Store, tenant_id: int, entity: str) -> None:
        self._store, self._tenant, self._entity = store, tenant_id, entity
        self._texts: dict[int, bytes] = {}

    def lines(self, ids: Iterable[int]) -> list[Line]:
        """Return the lines of these records; one that has none is left out."""
        wanted = by_block(ids)
        found = [line for number in wanted.keys() & self._texts.keys() for line in self._lines(number, wanted)]
        for numbers in _ahead(self._read, list(_parts(sorted(wanted.keys() - self._texts.keys())))):
            found += [line for number in numbers for line in self._lines(number, wanted)]
        return found

    def _lines(self, number: int, wanted: Mapping[int, Sequence[int]]) -> Iterator[Line]:
        return lines_in(self._texts[number], wanted[number])

    def _read(self, part: Sequence[object]) -> list[int]:
        """Read and unpack these blocks; return the numbers of those that there are."""
        read = {int(row[0]): unpacked(row[1]) for row in self._store.read(_blocks(self._tenant, self._entity, part))}
        self._texts |= read
        return list(read)


def _ahead(read: Callable[[_Part], _Found], parts: Sequence[_Part]) -> Iterator[_Found]:
    """Yield what is read of each part; where there are many, the next is read and unpacked while one is looked at."""
    if len(parts) < _WORTH_A_THREAD:
        yield from map(read, parts)
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        following = reader.submit(read, parts[0])
        for part in parts[1:]:
            present, following = following, reader.submit(read, part)
            yield present.result()
        yield following.result()


def _blocks(tenant_id: int, entity: str, numbers: Sequence[object]) -> Select[Any]:
    mine = match_block.c.tenant_id == tenant_id, match_block.c.entity == entity
    return select(match_block.c.block, match_block.c.lines).where(*mine, match_block.c.block.in_(numbers))


def _chosen(column: ColumnElement[int]) -> ColumnElement[bool]:
    """One of the ids at hand; said in this way, both stores look each up in the table's index."""
    return column.in_(select(picked.c.id))


def bucket_postings(
    store: Store, tenant_id: int, entity: str, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[bytes]:
    """Return the postings of these buckets (ascending numbers), in no particular order; one after the other is quickest."""
    if not len(numbers):
        return []
    first, last = int(numbers[0]), int(numbers[-1])
    mine = (match_bucket.c.tenant_id == tenant_id, match_bucket.c.entity == entity)
    if last - first + 1 == len(numbers):
        span = match_bucket.c.bucket.between(first, last)
        return [row[0] for row in store.read(select(match_bucket.c.postings).where(*mine, span))]
    chosen = select(match_bucket.c.postings).where(*mine, _chosen(match_bucket.c.bucket))
    found: list[bytes] = store.read_arrow(chosen, ids=pa.array(numbers)).column(0).to_pylist()
    return found


def few_buckets(store: Store, tenant_id: int, entity: str, numbers: Sequence[int]) -> list[bytes]:
    """Return the postings of a few buckets."""
    return [postings for _, postings in numbered_buckets(store, tenant_id, entity, numbers)]


def numbered_buckets(store: Store, tenant_id: int, entity: str, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
    """Return number and postings of a few buckets."""
    mine = match_bucket.c.tenant_id == tenant_id, match_bucket.c.entity == entity
    columns = match_bucket.c.bucket, match_bucket.c.postings
    return [
        (int(row[0]), bytes(row[1]))
        for part in _parts(numbers)
        for row in store.read(select(*columns).where(*mine, match_bucket.c.bucket.in_(part)))
    ]


def known_stats(store: Store, tenant_id: int, entity: str, values: pa.Table) -> pa.Table:
    """Return the statistics that are kept of these values (columns system, value_hash); of many, others' are among them."""
    if len(values) > MANY_VALUES:
        every = select(*(stats.c[n] for n in STATS)).where(stats.c.tenant_id == tenant_id, stats.c.entity == entity)
        return store.read_arrow(every).cast(_STATS_SCHEMA)
    found = [pa.table({name: [] for name in STATS}, schema=_STATS_SCHEMA)]
    for system in values["system"].unique().to_pylist():
        hashes = [
            h
            for s, h in zip(values["system"].to_pylist(), values["value_hash"].to_pylist(), strict=True)
            if s == system
        ]
        for part in _parts(hashes):
            mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity, stats.c.system == system
            read = store.read(select(*(stats.c[n] for n in STATS)).where(*mine, stats.c.value_hash.in_(part)))
            found.append(pa.Table.from_pylist([dict(zip(STATS, row, strict=True)) for row in read], _STATS_SCHEMA))
    return pa.concat_tables(found)


def stats_of(
    store: Store, tenant_id: int, entity: str, values: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """Return records, names, spellings and initials that are kept of a few values, by system and hash of the value.

    What one name at most holds is not kept.
    """
    wanted, found = set(values), {}
    for part in _parts(sorted({value for _, value in values})):
        mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity, stats.c.system.in_({s for s, _ in values})
        for row in store.read(select(*(stats.c[n] for n in STATS)).where(*mine, stats.c.value_hash.in_(part))):
            if (row[0], row[1]) in wanted:
                found[row[0], row[1]] = (int(row[2]), int(row[3] or 0), int(row[4] or 0), int(row[5] or 0))
    return found


_STATS_SCHEMA = pa.schema([(n, pa.string() if n in ("system", "value_hash") else pa.int64()) for n in STATS])


def open_evidence_of(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> pa.Table:
    """Return the evidence that holds now and has one of these records at one of its ends; a pair of them comes once."""
    return store.read_arrow(_open_evidence(tenant_id, entity), {}, ids=ids)


@lru_cache
def _open_evidence(tenant_id: int, entity: str) -> CompoundSelect[Any]:
    mine = evidence.c.tenant_id == tenant_id, evidence.c.entity == entity, evidence.c.known_to.is_(None)
    columns = [evidence.c[name] for name in EVIDENCE]
    return union(*(select(*columns).where(*mine, _chosen(end)) for end in (evidence.c.left_id, evidence.c.right_id)))


def links_of(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> pa.Table:
    """Return the crosswalk of these records and of all that share an entity with one of them."""
    return store.read_arrow(_links(tenant_id, entity), {}, ids=ids)


@lru_cache
def _links(tenant_id: int, entity: str) -> Select[Any]:
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    whole = select(crosswalk.c.entity_id).where(*mine, _chosen(crosswalk.c.source_record_id))
    columns = crosswalk.c.source_record_id, crosswalk.c.entity_id
    return select(*columns).where(*mine, crosswalk.c.entity_id.in_(whole))


def entities_of(store: Store, tenant_id: int, entity: str, ids: Sequence[int]) -> dict[int, int]:
    """Return the current entity of each of a few records."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    return {
        int(record): int(number)
        for part in _parts(ids)
        for record, number in store.read(
            select(crosswalk.c.source_record_id, crosswalk.c.entity_id).where(
                *mine, crosswalk.c.source_record_id.in_(part)
            )
        )
    }


def put_rows(tx: WriteTransaction, entity: str, lines: Mapping[int, Line | None]) -> None:
    """Put these records' lines into their blocks; a record without one is taken out."""
    for part in _parts(block_numbers(lines)):
        held = {int(row.block): bytes(row.lines) for row in tx.execute(_blocks(tx.tenant_id, entity, part))}
        new = merged(part, held, lines)
        emptied = [number for number in held if number not in new]
        rows = pa.table(
            {"entity": pa.repeat(pa.scalar(entity), len(new)), "block": pa.array(new.keys(), pa.int64()),
             "lines": pa.array(new.values(), pa.binary())}
        )  # fmt: skip
        tx.replace(match_block, rows)
        if emptied:
            mine = match_block.c.tenant_id == tx.tenant_id, match_block.c.entity == entity
            tx.execute(delete(match_block).where(*mine, match_block.c.block.in_(emptied)))


def remove_rows(tx: WriteTransaction, ids: Collection[int]) -> None:
    """Take records out of the blocks; whoever erases a record calls this in the same transaction."""
    numbers = block_numbers(ids)
    mine = match_block.c.tenant_id == tx.tenant_id, match_block.c.block.in_(numbers)
    for (entity,) in tx.execute(select(match_block.c.entity).where(*mine).distinct()).fetchall():
        put_rows(tx, entity, dict.fromkeys(ids))


def remove_buckets(tx: WriteTransaction, entity: str, numbers: pa.Array) -> None:
    """Take out buckets that hold nothing any more."""
    with tx.picking(numbers):
        mine = match_bucket.c.tenant_id == tx.tenant_id, match_bucket.c.entity == entity
        tx.execute(delete(match_bucket).where(*mine, match_bucket.c.bucket.in_(select(picked.c.id))))


def all_rows(store: Store, tenant_id: int, entity: str) -> Iterator[Line]:
    """Yield the line of every record of an entity, for whoever checks the whole index."""
    mine = match_block.c.tenant_id == tenant_id, match_block.c.entity == entity
    for row in store.read(select(match_block.c.lines).where(*mine)):
        yield from lines_of(row[0])


def _parts(values: Sequence[object] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[list[object]]:
    listed = list(values)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
