"""The first look at a batch: what is no JSON object, or holds text no store can keep, never reaches the mapping SQL."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa

_NUL: Final = r"(^|[^\\])(\\\\)*\\u0000"
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?')

SCREEN: Final = f"""
SELECT rid,
  CASE
    WHEN payload IS NULL OR NOT json_valid(payload) THEN 'not valid JSON (or a lone surrogate)'
    WHEN json_type(payload) <> 'OBJECT' THEN 'not a JSON object'
    WHEN parent IS NOT NULL AND NOT json_valid(parent) THEN 'the parent record is not valid JSON'
    WHEN contains(payload, '\\u0000') AND regexp_matches(payload, '{_NUL}') THEN 'text with a NUL character'
  END AS reason
FROM input WHERE reason IS NOT NULL
"""
"""SQL giving rid and reason of the records that cannot be mapped at all."""

NUL_SUSPECTS: Final = "SELECT count(*) FROM input WHERE contains(payload, '\\u0000') OR payload IS NULL"
"""SQL giving how many records need the screen although DuckDB could read them all."""

LONG_NUMBER: Final = 17
"""Digits, signs and points in a row, from which on a real number may have more of them than a double keeps."""
_EVERY: Final = 4
_NUMERIC: Final = np.zeros(256, np.bool_)
_NUMERIC[np.frombuffer(b"0123456789.eE+-", np.uint8)] = True


def exact_numbers(payload: str) -> str:
    """Return the JSON with each real number that a double would change written as text, digit by digit.

    >>> exact_numbers('{"a": 0.1000000000000000055, "b": "1.0000000000000000001", "c": 1.5}')
    '{"a": "0.1000000000000000055", "b": "1.0000000000000000001", "c": 1.5}'
    """
    return _TOKEN.sub(_quoted, payload)


def _quoted(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith('"') or not any(char in text for char in ".eE"):
        return text
    return text if Decimal(repr(float(text))) == Decimal(text) else f'"{text}"'


def with_exact_numbers(documents: pa.Table) -> pa.Table:
    """Return the documents with the long real numbers in their ``payload`` kept exactly; the same table if there are none."""
    chunks = documents.column("payload").chunks
    exact = [_with_exact_numbers(chunk) for chunk in chunks]
    if all(new is old for new, old in zip(exact, chunks, strict=True)):
        return documents
    index = documents.schema.get_field_index("payload")
    return documents.set_column(index, "payload", pa.chunked_array(exact, pa.string()))


def _with_exact_numbers(texts: pa.StringArray) -> pa.StringArray:
    changed = {}
    for row in _long_numbers(texts):
        text = texts[row].as_py()
        exact = exact_numbers(text)
        if exact != text:
            changed[row] = exact
    if not changed:
        return texts
    listed = texts.to_pylist()
    for row, text in changed.items():
        listed[row] = text
    return pa.array(listed, pa.string())


def _long_numbers(texts: pa.StringArray) -> list[int]:
    """Return the places of the texts with so many numeric characters in a row that a double may not keep a number.

    Looked at is every fourth byte: among so long a row four of these stand one after the other. A regular expression over
    all bytes costs about twice as much.
    """
    if not len(texts):
        return []
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    if len(data) < LONG_NUMBER:
        return []
    looked = _NUMERIC[data[::_EVERY]]
    sampled = LONG_NUMBER // _EVERY
    four = np.logical_and.reduce([looked[at : len(looked) - sampled + 1 + at] for at in range(sampled)])
    at = np.flatnonzero(four) * _EVERY
    window = at[:, None] + np.arange(1 - _EVERY, LONG_NUMBER)
    inside = (window >= 0) & (window < len(data))
    numeric = _NUMERIC[data[window.clip(0, len(data) - 1)]] & inside
    runs = np.logical_or.reduce([numeric[:, first : first + LONG_NUMBER].all(axis=1) for first in range(_EVERY)])
    rows: list[int] = np.unique(np.searchsorted(ends - ends[0], at[runs], "right") - 1).tolist()
    return rows
