"""The match index: each record as it is compared, and from every key of it to all records that have that key.

A record's row holds its columns of ``norm`` and what it holds, both as JSON; the postings hold its blocking keys and the
hashes of its values. Both are what a full run found, so that a few changed records can be decided upon without the others.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.resolve import finish, sql
from pipelines.resolve.agreement import ONE
from pipelines.resolve.blocking import EVERY_PAIR
from pipelines.resolve.deterministic import KINDS
from pipelines.store import match_index, tables
from pipelines.store.match_index import IndexState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from pipelines.resolve.features import Feature
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.store import WriteTransaction

    Hashes = NDArray[np.uint64]
    Ids = NDArray[np.int64]
    Writing = Callable[[], AbstractContextManager[WriteTransaction]]

FORMAT = 1
PER_BUCKET = 32
POSTING_BYTES = 16
ROWS_PER_WRITE = 20_000
VALUE_HASH = "hash('value', kind, value)"
_NOT_KEPT = ("rid", "several")


def is_indexed(model: MatchModel) -> bool:
    """Tell whether an index serves the model: one that scores every pair has so few records that all are read."""
    return EVERY_PAIR not in model.keys


def fingerprint(model: MatchModel, policy: Policy, shape: pa.Schema) -> str:
    """Return the name of what an index depends on; another one means that it is to be written anew."""
    policy_text = json.dumps(policy.__dict__, sort_keys=True, default=repr)
    columns = [f"{field.name} {field.type}" for field in shape]
    parts = (str(FORMAT), duckdb.__version__, model.to_json(), policy_text, *columns)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def shape_of(con: duckdb.DuckDBPyConnection, table: str = "norm") -> pa.Schema:
    """Return the columns of ``norm`` (or a table like it) that a row of the index holds, in their order."""
    full = con.execute(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    return pa.schema([field for field in full if field.name not in _NOT_KEPT and not field.name.endswith(ONE)])


def rows_sql(shape: pa.Schema) -> str:
    """Select rid, features and held of every record of ``norm``, as texts that are equal where the records are."""
    kinds = " ".join(f"WHEN '{kind}' THEN '{number}'" for number, kind in enumerate(KINDS))
    columns = ", ".join(sql.quote(name) for name in shape.names)
    return f"""SELECT n.rid, json_array({columns})::VARCHAR AS features, coalesce(h.held, '[]') AS held
        FROM norm n LEFT JOIN (
            SELECT rid, to_json(list_sort(list(CASE kind {kinds} END || verified::INTEGER || value)))::VARCHAR AS held
            FROM held GROUP BY rid) h ON h.rid = n.rid"""


def load_rows(
    con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], shape: pa.Schema, rows: Iterable[tuple[str, str]]
) -> None:
    """Create ``norm``, ``held`` and ``sound`` from (features, held) of records in the order of source_ref: rid 0, 1 and so on."""
    listed = list(rows)
    records = json.loads(f"[{','.join(row[0] for row in listed)}]")
    columns: list[Any] = list(zip(*records, strict=True)) if records else [[] for _ in shape]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, shape, strict=True)]
    numbers = pa.array(np.arange(len(listed), dtype=np.int32))
    con.register("rows", pa.table([numbers, *arrays], schema=pa.schema([pa.field("rid", pa.int32()), *shape])))
    con.execute("CREATE OR REPLACE TABLE norm AS SELECT * FROM rows")
    con.unregister("rows")
    finish.add_singles(con, features)
    _load_held(con, json.loads(f"[{','.join(row[1] for row in listed)}]"))
    if any(feature.column == "family" for feature in features):
        con.execute(
            """CREATE OR REPLACE TABLE sound AS SELECT DISTINCT family, family_sound FROM norm
            WHERE family IS NOT NULL"""
        )


def _load_held(con: duckdb.DuckDBPyConnection, held: list[list[str]]) -> None:
    lengths = np.array([len(values) for values in held], np.int64)
    flat = [value for values in held for value in values]
    rid = np.repeat(np.arange(len(held), dtype=np.int32), lengths)
    con.register("values_held", pa.table({"rid": rid, "text": pa.array(flat, pa.string())}))
    con.execute(
        f"""CREATE OR REPLACE TABLE held AS SELECT rid, {list(KINDS)!r}[left(text, 1)::INTEGER + 1] AS kind,
        substr(text, 3) AS value, substr(text, 2, 1) = '1' AS verified FROM values_held"""
    )
    con.unregister("values_held")


def held_values(text: str) -> list[tuple[str, str, bool]]:
    """Return kind, value and whether it is verified of what a record holds."""
    return [(KINDS[int(value[0])], value[2:], value[1] == "1") for value in json.loads(text)]


def packed(keys: Hashes) -> bytes:
    """Return a record's keys as bytes."""
    return np.sort(keys).astype("<u8").tobytes()


def unpacked(keys: bytes) -> Hashes:
    """Return a record's keys."""
    return np.frombuffer(keys, "<u8").astype(np.uint64)


def bucket_of(hashes: Hashes, bits: int) -> Ids:
    """Return the bucket of each key hash: its first bits."""
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def postings_of(buckets: Iterable[bytes]) -> tuple[Hashes, Ids]:
    """Return key hashes and records of buckets."""
    pairs = np.frombuffer(b"".join(buckets), "<u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.int64)


def bucket_rows(entity: str, hashes: Hashes, records: Ids, bits: int) -> pa.Table:
    """Return the buckets of postings that are sorted by hash and record."""
    pairs = np.column_stack((hashes.astype("<u8"), records.astype("<u8")))
    numbers, starts = np.unique(bucket_of(hashes, bits), return_index=True)
    ends = np.append(starts, len(hashes)).astype(np.int64) * POSTING_BYTES
    blobs = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(numbers), [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(pairs))]
    )
    return pa.table(
        {"entity": pa.repeat(pa.scalar(entity), len(numbers)), "bucket": numbers, "postings": blobs.cast(pa.binary())}
    )


@dataclass(frozen=True)
class IndexWriter:
    """Writes an entity's index from the tables that a full run left: ``norm``, ``held``, ``keyed`` and ``match``."""

    entity: str
    writing: Writing

    def write(self, con: duckdb.DuckDBPyConnection, model_id: int, mark: str) -> IndexState:
        """Replace the index; return what to say of it once everything else of the run is written too."""
        con.execute("CREATE OR REPLACE TEMP TABLE numbered AS SELECT rid, source_record_id AS sid FROM match")
        shape = shape_of(con)
        count, bits = self._sizes(con)
        state = IndexState(model_id, None, bits, count)
        with self.writing() as tx:
            match_index.set_state(tx, self.entity, state)
            match_index.clear(tx, self.entity)
        self._write_rows(con, shape)
        self._write_postings(con, bits)
        con.execute("DROP TABLE numbered")
        return IndexState(model_id, mark, bits, count)

    def _sizes(self, con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        row = con.execute(
            "SELECT (SELECT count(*) FROM norm), (SELECT count(*) FROM keyed) + (SELECT count(*) FROM held)"
        ).fetchone()
        count, postings = row or (0, 0)
        return count, max(0, math.ceil(math.log2(max(postings, 1) / PER_BUCKET)))

    def _write_rows(self, con: duckdb.DuckDBPyConnection, shape: pa.Schema) -> None:
        keys = con.execute("SELECT sid, key FROM keyed JOIN numbered USING (rid) ORDER BY sid, key").fetchnumpy()
        sids, hashes = np.asarray(keys["sid"]), np.asarray(keys["key"])
        found = con.execute(
            f"SELECT sid, features, held FROM ({rows_sql(shape)}) JOIN numbered USING (rid) ORDER BY sid"
        ).to_arrow_reader(ROWS_PER_WRITE)
        for batch in found:
            part = pa.Table.from_batches([batch])
            records = part["sid"].to_numpy()
            blobs = _key_blobs(records, sids, hashes)
            with self.writing() as tx:
                tx.insert(tables.match_row, _row_table(self.entity, part["sid"], part["features"], part["held"], blobs))

    def _write_postings(self, con: duckdb.DuckDBPyConnection, bits: int) -> None:
        found = con.execute(
            f"""SELECT h, sid FROM (SELECT key AS h, rid FROM keyed UNION ALL SELECT {VALUE_HASH}, rid FROM held)
            JOIN numbered USING (rid) ORDER BY h, sid"""
        ).fetchnumpy()
        rows = bucket_rows(self.entity, np.asarray(found["h"]), np.asarray(found["sid"]), bits)
        for start in range(0, rows.num_rows, ROWS_PER_WRITE):
            with self.writing() as tx:
                tx.insert(tables.match_bucket, rows.slice(start, ROWS_PER_WRITE))


def _key_blobs(records: Ids, sids: Ids, hashes: Hashes) -> pa.Array:
    """Return for each record (ascending) its keys as bytes; ``hashes`` stand beside ``sids``, both sorted."""
    starts, ends = np.searchsorted(sids, records, "left"), np.searchsorted(sids, records, "right")
    return pa.array([hashes[a:b].astype("<u8").tobytes() for a, b in zip(starts, ends, strict=True)], pa.binary())


def _row_table(
    entity: str, records: pa.ChunkedArray, features: pa.ChunkedArray, held: pa.ChunkedArray, keys: pa.Array
) -> pa.Table:
    names = ["source_record_id", "entity", "features", "held", "keys"]
    return pa.table([records, pa.repeat(pa.scalar(entity), len(keys)), features, held, keys], names=names)
