"""Times in a vendor's own format, on Spark: read by the very function that reads them elsewhere, each distinct text once."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Any, Final

import duckdb

_REMEMBERED: Final = 50_000


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    engine = duckdb.connect(config={"threads": 1})
    engine.execute("SET TimeZone = 'UTC'")
    return engine


@lru_cache(maxsize=_REMEMBERED)
def epoch_us(text: str | None, formats: str) -> int | None:
    """Return the microseconds since 1970 of a time in one of the formats (a JSON list); ``None`` where it is in none."""
    listed: list[Any] = json.loads(formats)
    given = listed[0] if len(listed) == 1 else listed
    row = _engine().execute("SELECT epoch_us(try_strptime($1, $2))", [text, given]).fetchone()
    return None if row is None else row[0]
