"""One candidate for a choice, as the rules see it: what it says, who says it, since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Candidate:
    """A row that fills a choice. ``age_us`` is counted to the entity's newest evidence; ``holders`` are equal sources."""

    record: int
    source_ref: str
    row_key: str
    connection: str
    connector: str
    values: tuple[Any, ...]
    since: datetime | None
    age_us: int | None = None
    holders: int = 1
    verified: bool | None = None
    deliverable: bool | None = None
    rank: int | None = None


def microseconds(instant: datetime | None) -> int:
    """Return an instant as a number that grows with it; no instant is before all others."""
    if instant is None:
        return 0
    gone = instant - _YEAR_ONE
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def instant_of(number: int) -> datetime:
    """Return the instant of a number of ``microseconds``."""
    return _YEAR_ONE + timedelta(microseconds=number)
