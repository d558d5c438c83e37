"""What dlt yields, as one JSON document per row, without losing anything.

Decimals and whole numbers keep every digit, instants keep their zone (ISO 8601), bytes become base64 text, a missing
value stays null. What JSON cannot hold (NaN, a lone surrogate, an object of an unknown kind) becomes a document that the
record reader refuses, so that exactly this row goes to quarantine, with its reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_UNKNOWN: Final = "an object of kind "
_BASES: Final[tuple[Callable[[Any], Any], ...]] = (str, bool, int, float)


class _NotJson(TypeError):
    """A value has no JSON form."""


def _plain(value: Any) -> Any:
    """Return what msgspec can write for the values it does not know; subclasses are reduced to their base."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    for base in _BASES:
        if isinstance(value, base):  # type: ignore[arg-type]
            return base(value)
    raise _NotJson(f"{_UNKNOWN}{type(value).__name__}")


_ENCODE: Final = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number", order="deterministic").encode


def json_rows(items: Iterable[Any]) -> list[bytes]:
    """Return the JSON documents of rows: mappings, models, or Arrow tables and batches of many rows."""
    found: list[bytes] = []
    for item in items:
        if isinstance(item, bytes):
            found.append(item)
        elif isinstance(item, pa.Table | pa.RecordBatch):
            found.extend(arrow_rows(item))
        elif hasattr(item, "to_arrow") and not isinstance(item, Mapping):
            found.extend(arrow_rows(item.to_arrow()))
        else:
            found.append(json_row(item))
    return found


def json_row(row: Any) -> bytes:
    """Return the JSON document of one row."""
    try:
        text = _ENCODE(row)
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError, RecursionError):
        return _refused(row)
    return _refused(row) if b"null" in text and _has_nan(row) else text


def _refused(row: Any) -> bytes:
    """Return the row in a form that shows it, and that no JSON reader accepts."""
    unknown: list[str] = []

    def show(value: Any) -> Any:
        try:
            return _plain(value) if not isinstance(value, Decimal | bytes) else str(value)
        except _NotJson as why:
            unknown.append(str(why))
            return repr(value)

    try:
        text = json.dumps(row, default=show)
    except (TypeError, ValueError, RecursionError):
        return f"<{_UNKNOWN}{type(row).__name__}>".encode()
    return (f"<{unknown[0]}> {text}" if unknown else text).encode()


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_nan(inner) for inner in value.values())
    return isinstance(value, list | tuple) and any(_has_nan(inner) for inner in value)


def arrow_rows(table: pa.Table | pa.RecordBatch) -> list[bytes]:
    """Return the JSON documents of an Arrow table's rows, made column by column; nested columns value by value."""
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if not table.num_rows:
        return []
    parts: list[Any] = []
    for number, name in enumerate(table.column_names):
        lead = ("," if number else "{") + json.dumps(name, ensure_ascii=False) + ":"
        parts += [lead, _cells(table.column(number))]
    if not parts:
        return [b"{}"] * table.num_rows
    texts = pc.binary_join_element_wise(*(_large(part) for part in parts), pa.scalar("}", pa.large_string()), _EMPTY)
    return list(texts.cast(pa.large_binary()).to_pylist())


_EMPTY: Final = pa.scalar("", pa.large_string())


def _large(part: Any) -> Any:
    return pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.cast(pa.large_string())


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return each value as JSON text; null where it is missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    write = _writer(column.type)
    if write is None:
        cells = pa.chunked_array([[_cell(value) for value in column.to_pylist()]], pa.large_string())
    else:
        cells = write(column)
    return pc.fill_null(cells.cast(pa.large_string()), "null")


def _cell(value: Any) -> str | None:
    """Return one nested value as JSON text; what cannot be written makes its row unreadable, which quarantines it."""
    return None if value is None else json_row(value).decode("utf-8", "replace")


def _writer(kind: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray] | None:
    kinds = pa.types
    if kinds.is_null(kind):
        return lambda column: column.cast(pa.large_string())
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_decimal128(kind) or kinds.is_decimal256(kind):
        return lambda column: column.cast(pa.large_string())
    if kinds.is_float64(kind) or kinds.is_float32(kind):
        return _floats
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return _texts
    if kinds.is_date32(kind):
        return lambda column: _quoted(column.cast(pa.large_string()))
    if kinds.is_timestamp(kind):
        return _instants
    return None


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write numbers; NaN and infinity stay words that are not JSON."""
    texts = column.cast(pa.large_string())
    finite = pc.fill_null(pc.is_finite(column), True)
    return texts if pc.all(finite).as_py() else pc.if_else(finite, texts, pa.scalar("NaN", pa.large_string()))


def _instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write instants as ISO 8601: those with a zone in UTC, the others without one."""
    zone = column.type.tz
    in_utc = column.cast(pa.timestamp(column.type.unit, tz="UTC")) if zone else column
    text = pc.replace_substring(in_utc.cast(pa.large_string()), " ", "T", max_replacements=1)
    return _quoted(text)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write text; it is escaped only where a column holds something to escape."""
    texts = column.cast(pa.large_string())
    if pc.any(pc.match_substring_regex(texts, r'[\x00-\x1f"\\]')).as_py():
        for seen, written in _ESCAPES:
            texts = pc.replace_substring(texts, seen, written)
    return _quoted(texts)


def _escapes() -> Iterator[tuple[str, str]]:
    yield "\\", "\\\\"
    yield '"', '\\"'
    for code in range(32):
        yield chr(code), json.dumps(chr(code))[1:-1]


_ESCAPES: Final = tuple(_escapes())


def _quoted(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    quote = pa.scalar('"', pa.large_string())
    return pc.binary_join_element_wise(quote, texts, quote, _EMPTY)
