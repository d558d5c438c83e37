"""Tombstones: the landed rows by which a delete comes into force."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.landing import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.landing import Landing

_INSTANT = pa.timestamp("us", tz="UTC")
_PLACE = ("partition", "read_id")
LANDED = SCHEMA.names
"""The columns of a tombstone's row in its file."""


def tombstones(landing: Landing, marked: pa.Table, gone: pa.Table) -> pa.Table:
    """Return the rows of both with what their heads need, part by part.

    ``marked``: deletes that waited, whose rows lie in a file already; they keep their content and the vendor's time.
    ``gone``: records nobody shows any more; their tombstones carry neither.
    """
    parts = [_blank(gone), *_again(landing, marked)]
    rows = pa.concat_tables(parts).sort_by([(name, "ascending") for name in (*_PLACE, "source_key")])
    numbers = pa.array(range(rows.num_rows), pa.int64())
    for name in ("ordinal", "row_no"):
        rows = rows.set_column(rows.column_names.index(name), name, numbers)
    return rows


def files(name: str, rows: pa.Table) -> list[dict[str, Any]]:
    """Return where in a file the rows of each part and read lie."""
    found, first = [], 0
    for _, members in groupby(zip(*(rows.column(one).to_pylist() for one in _PLACE), strict=True)):
        n = len(list(members))
        found.append({"name": name, "first": first, "rows": n})
        first += n
    return found


def _blank(gone: pa.Table) -> pa.Table:
    n = gone.num_rows
    return _rows(
        gone, op=pa.repeat("delete", n), hash=pa.repeat("absent", n), record_time=pa.nulls(n, _INSTANT),
        payload=pa.repeat("{}", n), parent=pa.nulls(n, pa.string()),
    )  # fmt: skip


def _again(landing: Landing, marked: pa.Table) -> Iterator[pa.Table]:
    """Take the waiting rows from their files; of a record that was erased meanwhile nothing is left to delete."""
    for name in marked.column("file").unique().to_pylist():
        mine = marked.filter(pc.equal(marked.column("file"), name))
        landed = landing.read(str(name)).take(mine.column("row_no"))
        told = {one: landed.column(one) for one in ("op", "hash", "record_time", "payload", "parent")}
        rows = _rows(mine, **told)
        yield rows.filter(pc.equal(rows.column("op"), "delete"))


def _rows(of: pa.Table, **content: pa.Array | pa.ChunkedArray) -> pa.Table:
    zeros = pa.repeat(pa.scalar(0, pa.int64()), of.num_rows)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "ordinal": zeros, "row_no": zeros, "source_key": of.column("source_key"), **content,
        "known": of.column("source_record_id"), "is_stub": pa.repeat(False, of.num_rows),
        "partition": of.column("partition"), "read_id": of.column("read_id"),
    }  # fmt: skip
    schema = pa.schema([*SCHEMA, *_MORE])
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


_MORE = pa.schema(
    [
        ("row_no", pa.int64()), ("known", pa.int64()), ("is_stub", pa.bool_()), ("partition", pa.string()),
        ("read_id", pa.int64()),
    ]
)  # fmt: skip
