"""Postings and lines of the match index are the same, however many ranges they are written in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipelines.resolve import index
from pipelines.resolve.features import Feature
from pipelines.resolve.index import IndexWriter, postings_of
from pipelines.resolve.neighbours import Part
from pipelines.resolve.set_based import same_pairs
from pipelines.store.match_blocks import Line, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Written:
    """Stands where a transaction would and keeps what is inserted."""

    def __init__(self) -> None:
        self.parts: list[pa.Table] = []

    def insert(self, _table: Any, rows: pa.Table) -> None:
        self.parts.append(rows)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        yield self


def _written(con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, at_once: int) -> _Written:
    monkeypatch.setattr(index, "PER_BUCKET", 4)
    monkeypatch.setattr(index, "BUCKETS_AT_ONCE", at_once)
    written = _Written()
    IndexWriter("person", written.writing).write_postings(con, "mark")
    return written


def _pairs(written: _Written) -> dict[int, list[tuple[int, int]]]:
    rows = [row for part in written.parts for row in part.to_pylist()]
    assert len({row["bucket"] for row in rows}) == len(rows)  # no bucket comes in two ranges
    return {row["bucket"]: sorted(zip(*map(list, postings_of([row["postings"]])), strict=True)) for row in rows}


def test_postings_written_in_ranges_are_those_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE match AS SELECT r::INTEGER AS rid, 7 * r + 1000 AS source_record_id FROM range(60) t(r)")
    con.execute("CREATE TABLE norm AS SELECT rid FROM match")
    con.execute("CREATE TABLE keyed AS SELECT hash(r % 40) AS key, (r % 60)::INTEGER AS rid FROM range(300) t(r)")
    con.execute(
        "CREATE TABLE held AS SELECT 'email' AS kind, 'v' || r % 9 AS value, r::INTEGER AS rid FROM range(60) t(r)"
    )

    one, several = (_written(con, monkeypatch, at_once) for at_once in (1 << 14, 4))

    assert len(several.parts) > len(one.parts) == 1
    assert _pairs(several) == _pairs(one)
    assert sum(len(pairs) for pairs in _pairs(one).values()) == 360
    names = {row[0] for row in con.execute("SHOW TABLES").fetchall()}
    assert names == {"match", "norm", "keyed", "held"}


def test_lines_written_in_ranges_are_those_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE match AS SELECT r::INTEGER AS rid, 7 * (999 - r) AS source_record_id, 'r' || r AS source_ref FROM range(1000) t(r)"
    )
    con.execute(
        "CREATE TABLE norm AS SELECT rid, false AS is_stub, rid % 3 = 0 AS employee, 'n' || rid AS given FROM match"
    )
    con.execute(
        "CREATE TABLE held AS SELECT 'email' AS kind, 'v' || r AS value, true AS verified, (r % 500)::INTEGER AS rid FROM range(900) t(r)"
    )

    one, several = (_lines(con, monkeypatch, at_once) for at_once in (4_000, 16))

    assert len(several.parts) > len(one.parts) == 1
    assert _records(several) == _records(one)
    assert [line.record for line in _records(one)] == [7 * r for r in range(1000)]
    assert _records(one)[0] == Line(0, "r999", [False, True, "n999"], [])
    assert _records(one)[-1] == Line(6993, "r0", [False, True, "n0"], ["01v0", "01v500"])
    names = {row[0] for row in con.execute("SHOW TABLES").fetchall()}
    assert names == {"match", "norm", "held"}


def _lines(con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, at_once: int) -> _Written:
    monkeypatch.setattr(index, "BLOCKS_AT_ONCE", at_once)
    monkeypatch.setattr(index.match_index, "set_state", lambda *_: None)
    monkeypatch.setattr(index.match_index, "clear", lambda *_: None)
    written = _Written()
    IndexWriter("person", written.writing).write_lines(con, (Feature("given", "given", "given"),))
    return written


def _records(written: _Written) -> list[Line]:
    rows = [row for part in written.parts for row in part.to_pylist()]
    assert len({row["block"] for row in rows}) == len(rows)  # no block comes in two ranges
    return sorted(line for row in rows for line in lines_of(row["lines"]))


def test_few_postings_are_found_among_many_whatever_their_hashes() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64 - 1, 50_000, dtype=np.uint64)
    hashes[-3:] |= np.uint64(1 << 63)  # beyond what a signed number holds
    records = np.arange(len(hashes))
    leaving = np.append(hashes[-3:], hashes[-1]), np.append(records[-3:], 7)
    half, buckets = len(hashes) // 2, np.zeros(1, np.int64)
    parts = [Part(buckets, hashes[:half], records[:half]), Part(buckets, hashes[half:], records[half:])]
    with duckdb.connect() as con:
        found = same_pairs(con, parts, leaving)
    assert [sorted((parts[n].records[places]).tolist()) for n, places in enumerate(found)] == [
        [],
        records[-3:].tolist(),
    ]


def test_marked_buckets_come_in_the_order_of_their_numbers_whatever_order_a_store_gave_them_in() -> None:
    hashes = np.random.default_rng(2).integers(0, 2**64 - 1, 5_000, dtype=np.uint64)
    records, wanted = np.arange(len(hashes)), np.zeros(16, np.bool_)
    wanted[[3, 7]] = True

    part = Part(np.arange(16), hashes, records).of(wanted, 4)

    numbers = index.bucket_of(part.hashes, 4)
    mine = wanted[index.bucket_of(hashes, 4)]
    assert part.buckets.tolist() == [3, 7]
    assert numbers.tolist() == sorted(numbers.tolist())
    assert set(zip(part.hashes.tolist(), part.records.tolist(), strict=True)) == set(
        zip(hashes[mine].tolist(), records[mine].tolist(), strict=True)
    )
