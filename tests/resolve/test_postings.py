"""The postings of the match index are the same, however many ranges of hashes they are written in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.resolve import index
from pipelines.resolve.index import IndexWriter, postings_of

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
