"""One at a time: spans of relations of which a subject can have only one are cut until no two hold at one instant.

The later claim wins. A claim dates from its ``valid_from``, else from when a source last began to make it; then the
stronger, then the one more systems say, then the smaller source reference. In a contest a span without a beginning
begins with its claim; only the earliest one keeps its open beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from pipelines.influence.rules import CONTRADICTED, OVERRULED, SUPERSEDED

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """One rival: who is meant, from when to when (``None`` = open), and what decides between it and others."""

    row: int
    other: int
    valid_from: datetime | None
    valid_to: datetime | None
    evidence_at: datetime | None
    strength: float
    sources: int
    first_ref: str

    @property
    def claim(self) -> datetime:
        """When it was claimed."""
        return self.valid_from or self.evidence_at or FIRST


@dataclass(frozen=True)
class Piece:
    """What is left of a span; ``conflict`` says how it was cut and ``rival`` who holds the time it lost."""

    row: int
    valid_from: datetime | None
    valid_to: datetime | None
    conflict: str | None = None
    rival: int | None = None


@dataclass(frozen=True)
class _Held:
    row: int
    start: datetime
    end: datetime


def settle(spans: list[Span]) -> list[Piece]:
    """Return pieces of which at most one that counts holds at any instant; every span has at least one piece."""
    ranked = sorted(spans, key=lambda one: one.first_ref)
    ranked.sort(key=lambda one: (one.claim, one.strength, one.sources), reverse=True)
    bounds = _bounds(ranked)
    held = _held(ranked, bounds)
    return [piece for span in spans for piece in _pieces(span, bounds[span.row], held)]


def _bounds(spans: list[Span]) -> dict[int, tuple[datetime, datetime]]:
    """Return from when to when each span may hold: an unknown beginning counts from the claim, but for the earliest.

    A claim made after the span's own end tells nothing about its beginning.
    """
    bounds = {span.row: (span.claim, span.valid_to or LAST) for span in spans}
    earliest = min(start for start, _ in bounds.values())
    for span in spans:
        start, end = bounds[span.row]
        if span.valid_from is None and (start == earliest or start >= end):
            bounds[span.row] = (FIRST, end)
    return bounds


def _held(ranked: list[Span], bounds: dict[int, tuple[datetime, datetime]]) -> list[_Held]:
    """Return who holds when, in the order of time: in each stretch the best of those that cover it."""
    instants = sorted({instant for pair in bounds.values() for instant in pair})
    held: list[_Held] = []
    for start, end in pairwise(instants):
        best = next((one.row for one in ranked if bounds[one.row][0] <= start and end <= bounds[one.row][1]), None)
        if best is None:
            continue
        if held and held[-1].row == best and held[-1].end == start:
            held[-1] = replace(held[-1], end=end)
        else:
            held.append(_Held(best, start, end))
    return held


def _pieces(span: Span, bounds: tuple[datetime, datetime], held: list[_Held]) -> list[Piece]:
    start, end = bounds
    mine = [one for one in held if one.row == span.row]
    lost = [one for one in held if one.row != span.row and one.start < end and one.end > start]
    rival = lost[0].row if lost else None
    if not mine:
        return [Piece(span.row, span.valid_from, span.valid_to, OVERRULED, rival)]
    conflict = _conflict(span, mine, lost)
    return [Piece(span.row, *_open(one), conflict, rival) for one in mine]


def _conflict(span: Span, mine: list[_Held], lost: list[_Held]) -> str | None:
    if not lost:
        return None
    succeeded = len(mine) == 1 and span.valid_to is None and lost[0].start >= mine[0].end
    return SUPERSEDED if succeeded else CONTRADICTED


def _open(one: _Held) -> tuple[datetime | None, datetime | None]:
    return None if one.start == FIRST else one.start, None if one.end == LAST else one.end
