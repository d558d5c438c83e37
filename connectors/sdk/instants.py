"""Instants, durations and cursor values: read from what vendors send, written as vendors ask for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")
DURATION_PATTERN: Final = r"^(\d+(\.\d+)?(us|ms|s|m|h|d|w))+$"

Cursor = datetime | int


def duration(text: str) -> timedelta:
    """Return ``"1ms"``, ``"90s"``, ``"1h30m"`` as a timedelta; raise ValueError on anything else."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"'{text}' is not a duration such as 1ms, 90s, 1h30m")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def zone(name: str | None) -> tzinfo | None:
    """Return the named IANA time zone, ``None`` for no name."""
    return ZoneInfo(name) if name else None


def reader(form: str, local: tzinfo | None) -> Callable[[Any], datetime]:
    """Return a function from a vendor's value to an instant in UTC; it raises ValueError with the reason.

    A value without an offset is in ``local``; when that is ``None`` it cannot be an instant.
    """
    return {
        "iso8601": lambda value: _utc(datetime.fromisoformat(_text(value)), local),
        "epoch_s": lambda value: EPOCH + timedelta(microseconds=_scaled(value, 1_000_000)),
        "epoch_ms": lambda value: EPOCH + timedelta(microseconds=_scaled(value, 1_000)),
        "rfc2822": lambda value: _utc(parsedate_to_datetime(_text(value)), local),
    }.get(form, lambda value: _utc(datetime.strptime(_text(value), form), local))  # noqa: DTZ007  _utc sees to the zone


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")  # noqa: TRY004  one kind of error for callers
    return value


def _utc(instant: datetime, local: tzinfo | None) -> datetime:
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        if local is None:
            raise ValueError("has no time zone; set timezone: on the connection")
        instant = instant.replace(tzinfo=local)
    return instant.astimezone(UTC)


def _scaled(value: Any, factor: int) -> int:
    """Return a number or numeric text times ``factor``, without losing digits of whole numbers."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        raise ValueError(f"{value!r} is not a number")
    text = str(value)
    return int(text) * factor if text.lstrip("-").isdigit() else round(float(text) * factor)


def iso(instant: datetime) -> str:
    """Return the instant as fixed-width text, ``2024-05-01T00:00:00.000000Z``."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def writer(form: str) -> Callable[[Cursor], str | int]:
    """Return a function that writes a cursor as the vendor's request wants it, never later than the instant."""
    return {
        "iso8601": lambda at: _seconds(at).replace(".000000", ""),
        "iso8601_ms": lambda at: _seconds(at)[:23] + "Z",
        "iso8601_us": _seconds,
        "epoch_s": lambda at: _micros(at) // 1_000_000,
        "epoch_ms": lambda at: _micros(at) // 1_000,
        "date": lambda at: _seconds(at)[:10],
        "rfc2822": lambda at: format_datetime(_instant(at), usegmt=True),
        "integer": lambda at: at if isinstance(at, int) else _micros(at),
    }.get(form, lambda at: _instant(at).strftime(form))


def step(form: str) -> timedelta:
    """Return the finest difference a written bound of this format can express."""
    coarse = {"epoch_s": 1, "rfc2822": 1, "date": 86400}
    if form in coarse:
        return timedelta(seconds=coarse[form])
    if form in ("epoch_ms", "iso8601_ms"):
        return timedelta(milliseconds=1)
    if "%" not in form or "%f" in form:
        return timedelta(microseconds=1)
    return timedelta(seconds=1 if re.search("%[STXcs]", form) else 60 if "%M" in form else 86400)


def _instant(at: Cursor) -> datetime:
    return at if isinstance(at, datetime) else EPOCH + timedelta(microseconds=at)


def _seconds(at: Cursor) -> str:
    return iso(_instant(at))


def _micros(at: Cursor) -> int:
    return (_instant(at) - EPOCH) // timedelta(microseconds=1)
