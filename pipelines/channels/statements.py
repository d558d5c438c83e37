"""What parties say of how they want to be contacted: which statement counts, and what several come to. Pure.

Of the preferred channel and of the preferred time the newest statement counts, per scope (purpose and channel). Of quiet
hours and of frequency every current statement counts: merged records are kept to the strictest of them, and none is lost.
A statement without a time is never newer than another; equal times end in the text of the record's reference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHANNEL, TIME, FREQUENCY, QUIET = "channel", "time", "frequency", "quiet_hours"
SCOPE = ("purpose", "channel")
_VALUES = {
    CHANNEL: ("preferred_channel",),
    TIME: ("time_from", "time_to"),
    FREQUENCY: ("max_messages", "per_days"),
    QUIET: ("time_from", "time_to"),
}
_NEWEST_COUNTS = (CHANNEL, TIME)
_DAY = 24 * 60
_NEVER = datetime.min.replace(tzinfo=UTC)
Span = tuple[str, str]


@dataclass(frozen=True)
class Statement:
    """One current statement; ``said_at`` is None where nobody knows when, ``values`` are those of its kind."""

    kind: str
    purpose: str | None
    channel: str | None
    values: tuple[Any, ...]
    said_at: datetime | None
    record: int
    ref: str
    row_key: str

    @property
    def complete(self) -> bool:
        """False where a value is missing without which it says nothing."""
        return None not in self.values

    @property
    def general(self) -> bool:
        """True when it is about every purpose and every channel."""
        return self.purpose is None and self.channel is None

    def about(self, purpose: str, channel: str) -> bool:
        """Tell whether it is about this purpose on this channel."""
        return self.purpose in (None, purpose) and self.channel in (None, channel)

    def shown(self) -> dict[str, Any]:
        """Return what it says, by the vocabulary's terms; what is null is left out."""
        told = {"kind": self.kind, "purpose": self.purpose, "channel": self.channel}
        told |= dict(zip(_VALUES[self.kind], self.values, strict=True))
        if self.said_at is not None:
            told["said_at"] = self.said_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {name: value for name, value in told.items() if value is not None}


def read(row: Mapping[str, Any]) -> Statement:
    """Return the statement of a source row, with the reference of the record that says it."""
    names = _VALUES[row["kind"]]
    ref = "/".join(row[name] for name in ("connection_id", "object", "source_key"))
    values = tuple(row[name] for name in names)
    said_at = row["stated_at"] or _changed_at(row, names)
    return Statement(
        row["kind"], row["purpose"], row["channel"], values, said_at, row["source_record_id"], ref, row["row_key"]
    )


def counting(said: Iterable[Statement]) -> list[Statement]:
    """Return the statements that count, in an order that follows from what they say and who says it."""
    newest: dict[tuple[str | None, ...], Statement] = {}
    found = []
    for one in sorted(said, key=_age):
        if one.kind not in _NEWEST_COUNTS:
            found.append(one)
        elif one.complete:
            newest[one.kind, one.purpose, one.channel] = one
    return sorted([*found, *newest.values()], key=_place)


def quiet_spans(said: Iterable[Statement], company: Span) -> list[Span]:
    """Return the union of the company's quiet hours and those stated, in as few spans as it has, from the company's on.

    A span that ends where it begins is empty. The whole day is ``("00:00", "24:00")``.
    """
    own = [one.values for one in said if one.kind == QUIET and one.complete]
    spans = [(_minutes(start), _minutes(end)) for start, end in (company, *own) if start != end]
    if not spans:
        return [company]
    pieces = _joined(spans)
    if pieces == [(0, _DAY)]:
        return [("00:00", "24:00")]
    first = _minutes(company[0]) if company[0] != company[1] else pieces[0][0]
    holds = [start <= first < end or (end <= start and (first >= start or first < end)) for start, end in pieces]
    at = holds.index(True)
    return [(_clock(start), _clock(end)) for start, end in pieces[at:] + pieces[:at]]


def strictest(said: Iterable[Statement]) -> tuple[int, int] | None:
    """Return the stated cap (messages, days) that allows fewest a day, of equal ones the fewest at once; None without."""
    caps = [one.values for one in said if one.kind == FREQUENCY and one.complete]
    return min(caps, key=lambda cap: (Fraction(cap[0], cap[1]), cap[0], cap[1]), default=None)


def _changed_at(row: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    """Since when the row says these values: the latest change of any of them, by the vendor's time."""
    times = json.loads(row["term_times"] or "{}")
    since = [datetime.fromisoformat(times[name]) if name in times else row["record_time"] for name in names]
    return max((each for each in since if each is not None), default=None)


def _age(one: Statement) -> tuple[Any, ...]:
    return one.said_at or _NEVER, one.ref, one.row_key


def _place(one: Statement) -> tuple[str, ...]:
    return one.kind, one.purpose or "", one.channel or "", one.ref, one.row_key


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans of a day's circle that meet or overlap; one that goes past midnight stays one."""
    straight = sorted(part for span in spans for part in _cut(*span))
    pieces: list[tuple[int, int]] = []
    for start, end in straight:
        if pieces and start <= pieces[-1][1]:
            pieces[-1] = pieces[-1][0], max(end, pieces[-1][1])
        else:
            pieces.append((start, end))
    if len(pieces) > 1 and pieces[0][0] == 0 and pieces[-1][1] == _DAY:
        pieces[-1] = pieces[-1][0], pieces.pop(0)[1]
    return pieces


def _cut(start: int, end: int) -> list[tuple[int, int]]:
    return [(start, end)] if start < end else [part for part in ((start, _DAY), (0, end)) if part[0] < part[1]]


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
