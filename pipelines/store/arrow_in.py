"""From Arrow columns of logical types to what a store holds, column by column without a Python step per cell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import BigInteger, Boolean, Float, Integer, LargeBinary, Table

from connectors.sdk.errors import SkipRecord
from pipelines.store.types import AMOUNT_LIMIT, SCALE, Amount, Instant, Json, NfcText, TextList

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

AMOUNT = pa.decimal128(38, SCALE)
INSTANT = pa.timestamp("us", tz="UTC")
_NOT_ASCII = 0x80


def logical_type(kind: TypeEngine[Any]) -> pa.DataType:
    """Return the Arrow type in which a column is given to the store and read from it."""
    for python_type, arrow_type in _LOGICAL:
        if isinstance(kind, python_type):
            return arrow_type
    return pa.string()


_LOGICAL: tuple[tuple[Any, pa.DataType], ...] = (
    (Instant, INSTANT),
    (Amount, AMOUNT),
    (TextList, pa.list_(pa.string())),
    (Json, pa.string()),
    (NfcText, pa.string()),
    (Boolean, pa.bool_()),
    (Float, pa.float64()),
    (BigInteger, pa.int64()),
    (Integer, pa.int64()),
    (LargeBinary, pa.binary()),
)


def stored_columns(rows: pa.Table, table: Table, *, dialect: str) -> pa.Table:
    """Return the rows as the dialect stores them; a column the table lacks raises ValueError with the known names."""
    unknown = [name for name in rows.column_names if name not in table.c]
    if unknown:
        message = f"table {table.name} has no column {unknown}; known: {', '.join(table.c.keys())}"
        raise ValueError(message)
    columns = [
        _stored(rows.column(name), table.c[name].type, f"{table.name}.{name}", dialect) for name in rows.column_names
    ]
    return pa.table(columns, names=rows.column_names)


def _stored(values: pa.ChunkedArray, kind: TypeEngine[Any], where: str, dialect: str) -> pa.ChunkedArray:
    if isinstance(kind, TextList) and pa.types.is_list(values.type):
        return _checked_text(json_lists(values), where)
    logical = values.cast(pa.string()) if isinstance(kind, TextList) else values.cast(logical_type(kind))
    if pa.types.is_string(logical.type):
        return _checked_text(logical, where)
    if isinstance(kind, Amount):
        return _amount(logical, where, dialect)
    if isinstance(kind, Instant):
        return instant_texts(logical)
    return logical


def instant_texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return fixed-width ISO texts of UTC timestamps (formatted without their zone, which costs six times as much)."""
    plain = pa.chunked_array([chunk.view(pa.timestamp("us")) for chunk in values.chunks], pa.timestamp("us"))
    return pc.binary_join_element_wise(pc.binary_replace_slice(plain.cast(pa.string()), 10, 11, "T"), "Z", "")


def _amount(values: pa.ChunkedArray, where: str, dialect: str) -> pa.ChunkedArray:
    try:
        scaled = rescaled(values, 0).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise SkipRecord(f"decimal does not fit ±{AMOUNT_LIMIT} ({error})", where) from error
    return scaled if dialect == "sqlite" else values


def rescaled(values: pa.ChunkedArray, scale: int) -> pa.ChunkedArray:
    """Return the same 128-bit integers read with another scale: 1.5 (scale 6) is 1500000 (scale 0)."""
    kind = pa.decimal128(38, scale)
    chunks = [pa.Array.from_buffers(kind, len(c), c.buffers(), c.null_count, c.offset) for c in values.chunks]
    return pa.chunked_array(chunks, type=kind)


def _checked_text(values: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    if all(_is_plain(chunk) for chunk in values.chunks):
        return values
    if pc.any(pc.match_substring(values, "\x00")).as_py():
        raise SkipRecord("text holds a NUL character", where)
    return pc.utf8_normalize(values, form="NFC")


def _is_plain(chunk: pa.Array) -> bool:
    """Tell at one glance at its bytes whether a text column is ASCII without NUL, as most are; those of NULLs count too."""
    _, offsets, data = chunk.buffers()
    if not len(chunk) or data is None:
        return True
    ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    held = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    return not len(held) or bool(held.min() > 0 and held.max() < _NOT_ASCII)


def json_lists(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists of texts as canonical JSON texts."""
    parts = pc.list_flatten(values)
    escapes = pc.any(pc.match_substring_regex(parts, r"[\x00-\x1f]")).as_py()
    if escapes or len(parts) != sum(_span(chunk) for chunk in values.chunks):
        return pa.chunked_array([[None if v is None else _json(v) for v in values.to_pylist()]], type=pa.string())
    return pa.chunked_array([_json_chunk(chunk) for chunk in values.chunks], type=pa.string())


def _span(values: pa.ListArray) -> int:
    return values.offsets[-1].as_py() - values.offsets[0].as_py() if len(values) else 0


def _json_chunk(values: pa.ListArray) -> pa.Array:
    escaped = pc.replace_substring(pc.replace_substring(values.flatten(), "\\", "\\\\"), '"', '\\"')
    offsets = pc.subtract(values.offsets, values.offsets[0])
    lists = pa.ListArray.from_arrays(offsets, escaped, mask=values.is_null()) if len(values) else values
    joined = pc.binary_join_element_wise('["', pc.binary_join(lists, '","'), '"]', "")
    return pc.if_else(pc.equal(pc.list_value_length(values), 0), "[]", joined)


def _json(value: list[str]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
