"""Comparable forms of record values, so that text times, numbers and numeric text can be ordered and filtered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Comparable = tuple[int, float, str]
_DIGITS = 18
_SECONDS_END = 100_000_000_000


def lookup(record: Any, path: str) -> Any:
    """Return the value at a dotted path; null where the way ends."""
    for name in path.split("."):
        if isinstance(record, dict):
            record = record.get(name)
        elif isinstance(record, list) and name.isdigit() and int(name) < len(record):
            record = record[int(name)]
        else:
            return None
    return record


def instant_ms(value: Any) -> float | None:
    """Return a time as epoch milliseconds, from ISO text or epoch seconds or milliseconds; else null."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value * 1000 if abs(value) < _SECONDS_END else value
    text = str(value)
    if text.isdigit():
        return instant_ms(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000


def comparable(value: Any) -> Comparable:
    """Return a key that orders nulls, then numbers and times, then other text."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    text = str(value)
    if text.isdigit() and len(text) <= _DIGITS:
        return (1, float(text), "")
    if text[4:5] == text[7:8] == "-" and (moment := instant_ms(text)) is not None:
        return (1, moment, "")
    return (2, 0.0, text)


def backwards(key: Comparable) -> tuple[int, float, tuple[int, ...]]:
    """Return a key with the opposite order."""
    return (-key[0], -key[1], (*(-ord(c) for c in key[2]), 1))


def compared(value: Any, op: str, wanted: str) -> bool:
    """Return whether ``value op wanted`` holds; times compare as times whatever their notation."""
    if op == "in":
        return _plain(value) in wanted.split(",")
    if op in ("eq", "ne"):
        return (_plain(value) == wanted) == (op == "eq")
    if op == "has":
        return isinstance(value, list) and wanted in value
    if value is None:
        return False
    if op == "after":
        return comparable(value) > comparable(wanted)
    left, right = instant_ms(value), instant_ms(wanted)
    if left is None or right is None:
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[op]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
