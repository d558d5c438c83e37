"""Cursors: what to ask for, and how far a finished read has really come.

A cursor is kept as text: a normalised instant, or a whole number. It never moves back, and never past the moment the
read began (by the vendor's own clock): a record changed behind the reader's back must be met again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from connectors.sdk import instants

if TYPE_CHECKING:
    from connectors.sdk.instants import Cursor
    from connectors.sdk.paths import Path
    from connectors.sdk.specs import IncrementalSpec


_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MADE: Final = ("creat", "insert", "submitted", "registered", "signup")
_CHANGED: Final = ("updat", "modif", "chang")


def tells_creation(path: Path) -> bool:
    """Return whether a field is named for the moment its record was made, which later changes do not move."""
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    words = [word.lower() for word in _WORD.findall(name)]
    return any(word.startswith(_MADE) for word in words) and not any(word.startswith(_CHANGED) for word in words)


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


def upper_bound(spec: IncrementalSpec, until: Cursor) -> str | int:
    """Return ``{cursor.end}``: the end of a window, as the vendor writes it."""
    return instants.writer(spec.format)(until)


def elapsed(spec: IncrementalSpec, at: datetime) -> datetime:
    """Return the end of the last tick of the cursor that was over at ``at``: nothing can be added before it."""
    width = _span(spec.resolution)
    return at if not width else at - (at - instants.EPOCH) % width


def last_tick(spec: IncrementalSpec, at: datetime) -> datetime | None:
    """Return how far a closed window may reach at ``at``: the last complete tick, less the declared lag.

    ``None`` for number cursors: they have no clock.
    """
    return None if isinstance(spec.resolution, int) else elapsed(spec, at - _span(spec.lag))


def after(spec: IncrementalSpec, cursor: Cursor) -> Cursor:
    """Return the next value that a bound can tell from ``cursor``."""
    return cursor + _tick(spec)  # type: ignore[operator]


def back(spec: IncrementalSpec, cursor: Cursor) -> Cursor:
    """Return the cursor less the lag."""
    return cursor - (_int(spec.lag) if isinstance(cursor, int) else _span(spec.lag))  # type: ignore[operator]


def middle(spec: IncrementalSpec, start: Cursor, end: Cursor) -> Cursor | None:
    """Return a value between the ends of a window, ``None`` when no bound can tell one from both."""
    ticks = (end - start) // _tick(spec)  # type: ignore[operator]
    return start + _tick(spec) * (ticks // 2) if ticks > 1 else None  # type: ignore[operator]


def later(one: str | None, other: str | None) -> str | None:
    """Return the later of two stored cursors; the first when they cannot be compared."""
    if one is None or other is None:
        return other if one is None else one
    left, right = parse(one), parse(other)
    return other if type(left) is type(right) and left < right else one  # type: ignore[operator]


def _tick(spec: IncrementalSpec) -> timedelta | int:
    if isinstance(spec.resolution, int):
        return max(1, spec.resolution)
    return max(spec.resolution, instants.step(spec.format))


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
