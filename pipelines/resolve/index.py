"""The match index: each record as it is compared, and from every key of it to all records that have that key.

A record's line holds its columns of ``norm`` and what it holds; the postings hold its blocking keys and the hashes of its
values. Both are what a full run found, so that a few changed records can be decided upon without the others. A record's
keys are not kept beside it: they follow from its line.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.resolve import finish, sql
from pipelines.resolve.blocking import EVERY_PAIR
from pipelines.resolve.deterministic import KINDS
from pipelines.resolve.guards import OWN
from pipelines.store import match_index, tables
from pipelines.store.match_blocks import BLOCK_BITS, packed
from pipelines.store.match_index import IndexState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from pipelines.resolve.features import Feature
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.store import WriteTransaction
    from pipelines.store.match_blocks import Line

    Hashes = NDArray[np.uint64]
    Ids = NDArray[np.int64]
    Writing = Callable[[], AbstractContextManager[WriteTransaction]]

FORMAT = 3
PER_BUCKET = 128
POSTING_BYTES = 16
ROWS_PER_WRITE = 20_000
_WORD = 64
BLOCKS_PER_WRITE = 2_000
BLOCKS_AT_ONCE = 4_000
BUCKETS_AT_ONCE = 1 << 14
VALUE_HASH = "hash('value', kind, value)"
_FLAGS = ("is_stub", "employee")


def is_indexed(model: MatchModel) -> bool:
    """Tell whether an index serves the model: one that scores every pair has so few records that all are read."""
    return EVERY_PAIR not in model.keys


def fingerprint(policy: Policy, features: tuple[Feature, ...]) -> str:
    """Return the name of what an index of a model depends on; another one means that it is to be written anew.

    The model is named beside it by its number: what a number stands for never changes.
    """
    policy_text = json.dumps(asdict(policy), sort_keys=True, default=sorted)  # a set's own order differs by process
    columns = [f"{field.name} {field.type}" for field in line_schema(features)]
    parts = (str(FORMAT), duckdb.__version__, policy_text, *columns)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def line_schema(features: tuple[Feature, ...]) -> pa.Schema:
    """Return the columns of ``norm`` that a line holds, in their order; what is made of these is made again."""
    own = [OWN[f.column] for f in features if f.column in OWN and f.kind in finish.WITHOUT_SHARED]
    lists = {*own, *(f.column for f in features if f.kind in KINDS)}
    names = [*own, *_FLAGS, *(f.column for f in features)]
    return pa.schema([(name, _kind(name, lists)) for name in names])


def _kind(name: str, lists: set[str]) -> pa.DataType:
    return pa.bool_() if name in _FLAGS else pa.list_(pa.string()) if name in lists else pa.string()


def rows_sql(features: tuple[Feature, ...], among: str | None = None) -> str:
    """Select rid, features and held of every record of ``norm``, or of those that the table ``among`` has, as JSON."""
    kinds = " ".join(f"WHEN '{kind}' THEN '{number}'" for number, kind in enumerate(KINDS))
    columns = ", ".join(sql.quote(name) for name in line_schema(features).names)
    norm, held = (f"(FROM {name} SEMI JOIN {among} USING (rid))" if among else name for name in ("norm", "held"))
    return f"""SELECT n.rid, json_array({columns})::VARCHAR AS features, coalesce(h.held, '[]') AS held
        FROM {norm} n LEFT JOIN (
            SELECT rid, to_json(list_sort(list(CASE kind {kinds} END || verified::INTEGER || value)))::VARCHAR AS held
            FROM {held} GROUP BY rid) h ON h.rid = n.rid"""


def line_table(features: tuple[Feature, ...], lines: Sequence[Line]) -> pa.Table:
    """Return lines as columns: sid, ref, and the columns of ``norm`` that a line holds."""
    shape = line_schema(features)
    columns: list[Any] = list(zip(*(line.features for line in lines), strict=True)) if lines else [[] for _ in shape]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, shape, strict=True)]
    named = [pa.field("sid", pa.int64()), pa.field("ref", pa.string()), *shape]
    ids, refs = [line.record for line in lines], [line.ref for line in lines]
    return pa.table([pa.array(ids, pa.int64()), pa.array(refs, pa.string()), *arrays], schema=pa.schema(named))


def held_table(lines: Sequence[Line]) -> pa.Table:
    """Return what the records of lines hold: sid, and kind, whether it is verified, and value as one text."""
    lengths = np.array([len(line.held) for line in lines], np.int64)
    owners = np.repeat(np.array([line.record for line in lines], np.int64), lengths)
    return pa.table({"sid": owners, "text": pa.array([text for line in lines for text in line.held], pa.string())})


HELD = f"""{list(KINDS)!r}[left(text, 1)::INTEGER + 1] AS kind, substr(text, 3) AS value,
    substr(text, 2, 1) = '1' AS verified"""
"""What a text of ``held_table`` says, as columns of ``held``."""


def held_values(held: Iterable[str]) -> list[tuple[str, str, bool]]:
    """Return kind, value and whether it is verified of what a record holds."""
    return [(KINDS[int(value[0])], value[2:], value[1] == "1") for value in held]


def written_held(held: Iterable[tuple[str, str, bool]]) -> list[str]:
    """Return what a record holds as its line has it."""
    return sorted(f"{KINDS.index(kind)}{sure:d}{value}" for kind, value, sure in held)


def bucket_of(hashes: Hashes, bits: int) -> Ids:
    """Return the bucket of each key hash: its first bits."""
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def postings_of(buckets: Iterable[bytes]) -> tuple[Hashes, Ids]:
    """Return key hashes and records of buckets."""
    pairs = np.frombuffer(b"".join(buckets), "<u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.int64)


def bucket_rows(entity: str, hashes: Hashes, records: Ids, bits: int) -> pa.Table:
    """Return the buckets of postings, however these are ordered."""
    numbers = bucket_of(hashes, bits)
    if (numbers[1:] < numbers[:-1]).any():
        order, numbers = in_buckets(hashes, bits)
        hashes, records = hashes[order], records[order]
    pairs = np.empty((len(hashes), 2), "<u8")
    pairs[:, 0], pairs[:, 1] = hashes, records
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = np.append(starts, len(hashes)).astype(np.int64) * POSTING_BYTES
    blobs = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts), [None, pa.py_buffer(ends), pa.py_buffer(pairs)]
    )
    return pa.table(
        {
            "entity": pa.repeat(pa.scalar(entity), len(starts)),
            "bucket": numbers[starts],
            "postings": blobs.cast(pa.binary()),
        }
    )


def in_buckets(hashes: Hashes, bits: int) -> tuple[Ids, Ids]:
    """Return the order in which the postings of each bucket stand together, and their buckets in this order.

    Bucket and place are sorted as one number, which costs a quarter of sorting places by hash.
    """
    places = max(1, len(hashes)).bit_length()
    if bits + places > _WORD:
        order = np.argsort(hashes, kind="stable")
        return order, bucket_of(hashes[order], bits)
    numbers = np.arange(len(hashes), dtype=np.uint64)
    if bits:
        numbers |= (hashes >> np.uint64(_WORD - bits)) << np.uint64(places)
    numbers.sort()
    order = (numbers & np.uint64((1 << places) - 1)).view(np.int64)
    return order, (numbers >> np.uint64(places)).view(np.int64)


@dataclass(frozen=True)
class IndexWriter:
    """Writes an entity's index from the tables that a full run left: ``norm``, ``held``, ``keyed`` and ``match``."""

    entity: str
    writing: Writing

    def write_lines(self, con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> None:
        """Empty the index and write the records' lines; until it is told so nobody takes it for whole."""
        with self.writing() as tx:
            match_index.set_state(tx, self.entity, IndexState(0, None, 0, 0))
            match_index.clear(tx, self.entity)
        self._write_blocks(con, features)

    def write_postings(self, con: duckdb.DuckDBPyConnection, mark: str) -> IndexState:
        """Write the postings; return what to say of the index, of model 0, once everything else of the run is written."""
        count, bits = self._sizes(con)
        self._write_postings(con, bits)
        return IndexState(0, mark, bits, count)

    def _sizes(self, con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        row = con.execute(
            "SELECT (SELECT count(*) FROM norm), (SELECT count(*) FROM keyed) + (SELECT count(*) FROM held)"
        ).fetchone()
        count, postings = row or (0, 0)
        return count, max(0, math.ceil(math.log2(max(postings, 1) / PER_BUCKET)))

    def _write_blocks(self, con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> None:
        """Write the records' lines, a range of blocks at a time to bound memory; in a block they stand as they come."""
        last = con.execute(f"SELECT coalesce(max(source_record_id), -1) >> {BLOCK_BITS} FROM match").fetchone()
        for first in range(0, (last or (-1,))[0] + 1, BLOCKS_AT_ONCE):
            here = f"source_record_id >> {BLOCK_BITS} BETWEEN {first} AND {first + BLOCKS_AT_ONCE - 1}"
            con.execute(
                f"CREATE OR REPLACE TABLE placed AS SELECT rid, source_record_id, source_ref FROM match WHERE {here}"
            )
            found = con.execute(
                f"""SELECT source_record_id >> {BLOCK_BITS} AS block, string_agg('[' || source_record_id || ','
                || to_json(source_ref) || ',' || features || ',' || held || ']\n', '') AS lines
                FROM ({rows_sql(features, "placed")}) JOIN placed USING (rid) GROUP BY block"""
            ).to_arrow_reader(BLOCKS_PER_WRITE)
            for batch in found:
                rows = {"entity": pa.repeat(pa.scalar(self.entity), batch.num_rows), "block": batch["block"]}
                with self.writing() as tx:
                    tx.insert(tables.match_block, pa.table({**rows, "lines": packed(batch["lines"])}))
        con.execute("DROP TABLE IF EXISTS placed")

    def _write_postings(self, con: duckdb.DuckDBPyConnection, bits: int) -> None:
        """Write the buckets, a range of hashes at a time, so that memory is bounded."""
        ids = con.execute("SELECT source_record_id FROM match ORDER BY rid").fetchnumpy()["source_record_id"]
        ranges = min(bits, max(0, bits - BUCKETS_AT_ONCE.bit_length() + 1))
        posting = f"SELECT key AS h, rid FROM keyed UNION ALL SELECT {VALUE_HASH}, rid FROM held"
        if ranges:  # every value is hashed once, not once for each range
            con.execute(
                f"CREATE OR REPLACE TABLE posting AS SELECT h, rid, (h >> {_WORD - ranges})::USMALLINT AS part FROM ({posting})"
            )
        for number in range(1 << ranges):
            part = f"SELECT h, rid FROM posting WHERE part = {number}" if ranges else posting
            found = con.execute(part).fetchnumpy()
            rows = bucket_rows(self.entity, np.asarray(found["h"]), np.asarray(ids)[np.asarray(found["rid"])], bits)
            for start in range(0, rows.num_rows, ROWS_PER_WRITE):
                with self.writing() as tx:
                    tx.insert(tables.match_bucket, rows.slice(start, ROWS_PER_WRITE))
        con.execute("DROP TABLE IF EXISTS posting")
