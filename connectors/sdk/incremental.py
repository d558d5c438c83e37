"""Cursors: what to ask for, and how far a finished read has really come.

A cursor is kept as text: a normalised instant, or a whole number. It never moves back, and never past the moment the
read began (by the vendor's own clock): a record changed behind the reader's back must be met again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from connectors.sdk import instants

if TYPE_CHECKING:
    from connectors.sdk.instants import Cursor
    from connectors.sdk.specs import IncrementalSpec


def parse(text: str) -> Cursor:
    """Return the value of a stored cursor."""
    return int(text) if text.lstrip("-").isdigit() else datetime.fromisoformat(text).astimezone(UTC)


def text(cursor: Cursor) -> str:
    """Return a cursor as it is stored; ``parse(text(cursor)) == cursor``."""
    return str(cursor) if isinstance(cursor, int) else instants.iso(cursor)


def lower_bound(spec: IncrementalSpec, cursor: Cursor, *, lag: bool = True) -> str | int:
    """Return the bound to ask for, as the vendor writes it, so that no record at or after ``cursor`` is missed.

    An inclusive bound asks for ``cursor - lag``; an exclusive one a full resolution earlier still, never less than
    what the written format can tell apart.
    """
    write = instants.writer(spec.format)
    if isinstance(cursor, int):
        back = (_int(spec.lag) if lag else 0) + (0 if spec.inclusive else _int(spec.resolution))
        return write(cursor - back)
    backwards = _span(spec.lag) if lag else timedelta()
    if not spec.inclusive:
        backwards += max(_span(spec.resolution), instants.step(spec.format))
    try:
        return write(cursor - backwards)
    except OverflowError:
        return write(instants.EPOCH)


def upper_bound(spec: IncrementalSpec, at: datetime) -> str | int:
    """Return ``{cursor.end}``: the moment the read began, as the vendor writes it."""
    return instants.writer(spec.format)(at)


def advance(old: Cursor | None, high: Cursor | None, ceiling: datetime) -> Cursor | None:
    """Return the cursor to store after a COMPLETE read that met ``high`` and began at ``ceiling``."""
    if isinstance(high, datetime):
        high = min(high, ceiling)
    if high is None or (old is not None and type(old) is type(high) and high < old):  # type: ignore[operator]
        return old
    return high


def higher(one: Cursor | None, other: Cursor | None) -> Cursor | None:
    """Return the later of two cursors, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _int(value: timedelta | int) -> int:
    return value if isinstance(value, int) else 0


def _span(value: timedelta | int) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta()
