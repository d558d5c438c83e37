"""Readers of file drops for dlt's ``filesystem``: CSV as text, JSON lines as their own bytes, Parquet as Arrow.

Nothing is guessed: a CSV field stays the text it is, so that leading zeros and long numbers survive. A line that does not
fit the header becomes a document no JSON reader accepts: it is quarantined, the others land.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow.parquet as pq

from connectors.sdk.errors import StopStream
from connectors.sdk.records import MAX_BYTES
from pipelines.dlt_bridge.declare import FileSpec

_ROWS: Final = 10_000


def read_files(items: Iterable[Any], how: FileSpec) -> Iterator[Any]:
    """Yield the content of dlt's file items: lists of rows or lines, or Arrow batches."""
    reader = {"csv": _csv, "jsonl": _lines, "parquet": _parquet}[how.format]
    for item in items:
        with item.open(mode="rb") as file:
            yield from reader(file, how, str(item["file_name"]))


def _parquet(file: Any, _how: FileSpec, name: str) -> Iterator[Any]:
    try:
        yield from pq.ParquetFile(file).iter_batches(batch_size=_ROWS)
    except (OSError, ValueError) as why:
        raise _unreadable(name, why) from why


def _lines(file: Any, _how: FileSpec, _name: str) -> Iterator[list[bytes]]:
    page: list[bytes] = []
    for line in file:
        if line.strip():
            page.append(line.strip())
        if len(page) >= _ROWS:
            yield page
            page = []
    if page:
        yield page


def _csv(file: Any, how: FileSpec, name: str) -> Iterator[list[Any]]:
    csv.field_size_limit(MAX_BYTES)
    encoding = "utf-8-sig" if how.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else how.encoding
    try:
        text = io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")
    except LookupError as why:
        raise _unreadable(name, why) from why
    rows = csv.reader(text, delimiter=how.delimiter, strict=True)
    try:
        header = next(rows, None)
        if header is not None:
            _check_header(header, name)
            yield from _pages(header, rows)
    except csv.Error as why:
        raise _unreadable(name, why, line=rows.line_num) from why
    finally:
        text.detach()


def _pages(header: list[str], rows: Iterator[list[str]]) -> Iterator[list[Any]]:
    page: list[Any] = []
    width = len(header)
    for row in rows:
        if row:
            page.append(dict(zip(header, row, strict=True)) if len(row) == width else _misfit(row, width))
        if len(page) >= _ROWS:
            yield page
            page = []
    if page:
        yield page


def _misfit(row: list[str], width: int) -> bytes:
    return f"<{len(row)} fields, the header has {width}> {json.dumps(row)}".encode()


def _check_header(header: list[str], name: str) -> None:
    double = {column for column in header if header.count(column) > 1}
    if double:
        what = f"the column '{min(double)}' is there twice"
        raise StopStream(what, where=name, do="correct the file: one of the two values would be lost")


def _unreadable(name: str, why: Exception, *, line: int | None = None) -> StopStream:
    where = name if line is None else f"{name}:{line}"
    return StopStream("the file cannot be read", where=where, why=str(why), do="correct the file, then run again")
