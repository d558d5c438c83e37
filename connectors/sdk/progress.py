"""How far the read of one partition has come, and how a query that a vendor's cap cuts off is split (pure).

A query covers a closed window of cursor values. Windows meet at their ends, so nothing lies between two of them; what
lies on a seam comes twice and is told apart by its key. The smallest window is one tick wide: what does not fit under
the cap there is read by key, or else named as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from connectors.sdk import incremental
from connectors.sdk.protocols import ReadKind
from connectors.sdk.seams import Seam

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from connectors.sdk.instants import Cursor
    from connectors.sdk.paging import Position
    from connectors.sdk.specs import IncrementalSpec

_KEPT = 3
_PLAIN = ("key", "size", "gaps", "doubts", "prints", "proof")  # stored as they are, unless there is nothing
_UNJOINED = Seam()


@dataclass(frozen=True)
class Progress:
    """How far the read of one partition has come; its JSON form is ``Page.position``.

    ``began`` is never later than the vendor's clock when the read began. ``since`` and ``until`` are the ends of the
    window under way, ``later`` the upper ends of those to come; ``anchored`` says that ``since`` already holds the lag.
    ``key`` is set inside one tick that is read by key: the last key seen there. ``size`` asks the same page again with
    fewer records. ``again`` counts the records of pages that came before, ``prints`` tell pages that come again from new
    ones where positions are counted by us; there ``seam`` says how this page must join the one before.
    ``gaps`` are the ticks that could not be read whole, ``doubts`` why an end was not proven, ``proof`` why it is.
    """

    kind: ReadKind
    began: datetime
    since: Cursor | None = None
    anchored: bool = False
    high: Cursor | None = None
    seen: int = 0
    at: Position | None = None
    until: Cursor | None = None
    later: tuple[Cursor, ...] = ()
    key: str | None = None
    size: int | None = None
    gaps: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    queries: int = 1
    again: int = 0
    prints: tuple[str, ...] = ()
    seam: Seam = _UNJOINED
    proof: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the progress as a small JSON object; what is as at the start is left out."""
        stored: dict[str, Any] = {
            "kind": self.kind.value, "anchored": self.anchored, "seen": self.seen, "at": self.at,
            "began": incremental.text(self.began), "since": _text(self.since), "high": _text(self.high),
            "until": _text(self.until),
        }  # fmt: skip
        if self.later:
            stored["later"] = [incremental.text(end) for end in self.later]
        for name in _PLAIN:
            value = getattr(self, name)
            if value is not None and value != ():
                stored[name] = list(value) if type(value) is tuple else value
        if self.queries > 1:
            stored["queries"] = self.queries
        if self.again:
            stored["again"] = self.again
        seam = self.seam.to_json() if self.seam is not _UNJOINED else None
        if seam:
            stored["seam"] = seam
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Progress:
        """Return the progress an earlier run stored."""
        read: dict[str, Any] = {
            name: incremental.parse(stored[name])
            for name in ("began", "since", "high", "until")
            if stored.get(name) is not None
        }
        return cls(
            kind=ReadKind(stored["kind"]), anchored=bool(stored.get("anchored")), seen=int(stored.get("seen", 0)),
            at=stored.get("at"), later=tuple(incremental.parse(end) for end in stored.get("later", ())),
            key=stored.get("key"), size=stored.get("size"), gaps=tuple(stored.get("gaps", ())),
            doubts=tuple(stored.get("doubts", ())), queries=int(stored.get("queries", 1)),
            again=int(stored.get("again", 0)), prints=tuple(stored.get("prints", ())),
            seam=Seam.from_json(stored.get("seam", {})), proof=stored.get("proof"), **read,
        )  # fmt: skip

    def doubted(self, doubt: str | None) -> Progress:
        """Return the progress with one more reason why it cannot end COMPLETE."""
        return self if doubt is None else replace(self, doubts=(*self.doubts, doubt)[:_KEPT])


def begin(spec: IncrementalSpec, progress: Progress) -> Progress:
    """Return the progress at its first window: open, or closed where the vendor filters an upper bound."""
    last = incremental.last_tick(spec, progress.began)
    if progress.since is None or not spec.ends or last is None:
        return progress
    return replace(progress, until=_reach(spec, progress.since, last))


def within(spec: IncrementalSpec, progress: Progress) -> Progress:
    """Return the progress with its window drawn in to what had elapsed when the read began, by the vendor's clock."""
    last = incremental.last_tick(spec, progress.began)
    if progress.until is None or progress.since is None or last is None or not _before(last, progress.until):
        return progress
    return replace(progress, until=progress.since if _before(last, progress.since) else last)


def following(spec: IncrementalSpec, progress: Progress) -> Progress | None:
    """Return the progress at the window after the one that just ended, ``None`` when there is none."""
    if progress.key is not None:  # one tick has been read by key: go on behind it
        end = incremental.after(spec, _known(progress.since))
        if progress.until is None or _before(end, progress.until):
            return _query(progress, since=end, anchored=True)
    last = incremental.last_tick(spec, progress.began)
    if progress.until is None:
        return None
    if progress.later:
        return _query(progress, since=progress.until, until=progress.later[0], later=progress.later[1:], anchored=True)
    if last is not None and _before(progress.until, last):
        until = _reach(spec, progress.until, last)
        return _query(progress, since=progress.until, until=until, anchored=True)
    return None


def anchored(spec: IncrementalSpec, progress: Progress, mark: Cursor | None) -> Progress | None:
    """Return the progress at a query that begins at ``mark``, the cursor of the last record seen in ascending order.

    ``None`` when that is no step forward.
    """
    start = _known(progress.since)
    start = start if progress.anchored else incremental.back(spec, start)
    if spec.sorted != "asc" or progress.key is not None or mark is None or not _before(start, mark):
        return None
    return _query(progress, since=mark, anchored=True)


def split(
    spec: IncrementalSpec, progress: Progress, mark: Cursor | None, last_key: str | None
) -> tuple[Progress, bool]:
    """Return where to go on when the cap cuts off the query under way, and whether anything is left to ask.

    Sorted ascending the read goes on at ``mark``, the last cursor seen; else the window is halved. A single tick that holds more
    than the cap is read by key, or becomes a gap.
    """
    if progress.key is not None:
        stuck = last_key is None or last_key == progress.key
        return _gap(spec, progress, mark) if stuck else (_query(progress, key=last_key), True)
    start = _known(progress.since)
    start = start if progress.anchored else incremental.back(spec, start)
    further = anchored(spec, progress, mark)
    if further is not None:
        return further, True
    if spec.sorted != "asc" and progress.until is not None:
        middle = incremental.middle(spec, start, progress.until)
        if middle is not None:
            later = (progress.until, *progress.later)
            return _query(progress, since=start, until=middle, later=later, anchored=True), True
    if spec.keyset is not None:
        return _query(progress, since=start, key=spec.keyset.start, anchored=True), True
    return _gap(spec, replace(progress, since=start, anchored=True), mark)


def _gap(spec: IncrementalSpec, progress: Progress, mark: Cursor | None) -> tuple[Progress, bool]:
    """Name the tick that cannot be read whole, and go on behind it; not for a vendor that answers what lies before it."""
    since = _known(progress.since)
    named = replace(progress, gaps=(*progress.gaps, incremental.text(since))[:_KEPT], key=None)
    end = incremental.after(spec, since)
    if progress.until is None or _before(end, progress.until):
        moves = mark is not None and not _before(mark, since)
        return (_query(named, since=end, anchored=True), True) if moves else (named, False)
    after = following(spec, named)
    return (named, False) if after is None else (after, True)


def _query(progress: Progress, **where: Any) -> Progress:
    """Return the progress at the first page of another query; what it has met stays."""
    fresh = {"key": None, **where}
    counts: dict[str, Any] = {"seen": 0, "again": 0, "seam": _UNJOINED, "queries": progress.queries + 1}
    return replace(progress, at=None, size=None, **counts, **fresh)


def _reach(spec: IncrementalSpec, since: Cursor, last: Cursor) -> Cursor:
    """Return the end of the window that begins at ``since``: the last complete tick, or the widest span allowed."""
    if not _before(since, last):
        return since
    if spec.window is None:
        return last
    reach: Cursor = since + spec.window  # type: ignore[operator]
    return reach if _before(reach, last) else last


def _text(cursor: Cursor | None) -> str | None:
    return None if cursor is None else incremental.text(cursor)


def _before(one: Cursor, other: Cursor) -> bool:
    return one < other  # type: ignore[operator]


def _known(cursor: Cursor | None) -> Cursor:
    assert cursor is not None
    return cursor
