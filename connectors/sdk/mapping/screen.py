"""The first look at a batch: what is no JSON object, or holds text no store can keep, never reaches the mapping SQL."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

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

LONG_REALS: Final = "SELECT rid, payload FROM documents WHERE regexp_matches(payload, '[0-9.eE+-]{17,}')"
"""SQL giving the documents that may hold a real number with more digits than a double keeps."""


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


def with_exact_numbers(documents: pa.Table, suspects: list[tuple[int, str]]) -> pa.Table:
    """Return the documents with the suspects' long real numbers kept exactly."""
    replaced: dict[int, str] = {rid: exact_numbers(payload) for rid, payload in suspects}
    if not replaced:
        return documents
    rids: list[Any] = documents.column("rid").to_pylist()
    payloads = [
        replaced.get(rid, payload) for rid, payload in zip(rids, documents.column("payload").to_pylist(), strict=True)
    ]
    index = documents.schema.get_field_index("payload")
    return documents.set_column(index, "payload", pa.array(payloads, pa.string()))
