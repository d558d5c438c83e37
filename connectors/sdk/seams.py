"""Where positions are counted, whether a page joins the one before it: nothing is passed by where the list moves.

A list read by offset or page number moves up when a record that was read goes or changes its place; what stood behind
the last page then lies in front of the next one. So each page must meet the one before. Either it is asked for one
record early and shows that record again, or, where the vendor cannot be asked so, the page before is asked for once
more afterwards and still holds what it held. A record is met when its key and its time are what they were: one that
changed may have moved. Whatever comes in doing so is kept, so that a step back mends what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connectors.sdk import instants
from connectors.sdk.paging import PROBE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.envelopes import Raw
    from connectors.sdk.paging import Answer, Paginator, Position
    from connectors.sdk.progress import Progress
    from connectors.sdk.records import RecordReader

START: Final = ""  # nothing lies before this page
OVERLAP: Final = "overlap"  # asked for one record early
OPEN: Final = "open"  # asked for at the edge: the page before must be looked at again
SURE: Final = "sure"  # asked for at the edge just after a page that showed nothing behind it
VERIFY: Final = "verify"  # the page before an open one, once more
BACK: Final = "back"  # some way back, where what was seen must be met

_KEPT: Final = 3
_IN_A_ROW: Final = 5
_AT_FIRST: Final = 8
_PAGES_EACH: Final = 4
_STRIDE: Final = 4
LOST: Final = (
    "the list moves faster than it can be read by position: no page shows the records of the one before it, so that some "
    "may have been passed by → page by a cursor if the vendor has one; if records differ each time they are asked for, "
    "declare record_time: or volatile:"
)


@dataclass(frozen=True)
class Seam:
    """How a page was asked for and what it must meet; its JSON form is part of ``Page.position``.

    ``ends`` are prints of the last records before it, for a process that goes on; ``before`` is the position of the page
    that held them, ``base`` how many records came before that one. ``then`` is where to go on once it is met. ``plain``:
    the vendor refuses positions that overlap. ``again``: asked for twice, because it held nothing new. ``edge`` is where
    an overlapping page would begin if it did not, and where the open page stands that is being verified; ``reach`` how many
    records came before that one. ``lost`` and ``fails`` count the pages that did not join, in all and in
    a row.
    """

    stage: str = START
    ends: tuple[str, ...] = ()
    before: Position | None = None
    base: int = 0
    edge: Position | None = None
    reach: int = 0
    then: Mapping[str, Any] | None = None
    plain: bool = False
    again: bool = False
    lost: int = 0
    fails: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what differs from a beginning."""
        given = {**vars(self), "ends": list(self.ends)}
        return {name: value for name, value in given.items() if value not in (None, "", 0, False, [])}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Seam:
        """Return the seam an earlier process stored."""
        return cls(**{**stored, "ends": tuple(stored.get("ends", ()))})

    @property
    def edged(self) -> bool:
        """Return whether the page was asked for at the edge, so that nothing in it can show how it joins."""
        return self.stage in (OPEN, SURE)

    def torn(self) -> Seam:
        """Return the seam with one more page that did not join."""
        return replace(self, lost=self.lost + 1, fails=self.fails + 1, then=None, again=False)

    def is_hopeless(self, seen: int, size: int) -> bool:
        """Return whether going back once more is of no use: it never ends, or costs more than reading itself."""
        return self.fails >= _IN_A_ROW or self.lost >= _AT_FIRST + seen // (_PAGES_EACH * max(1, size))


class Join(NamedTuple):
    """What a page showed: whether it joins, what of it is new, whether that lies behind all that is known.

    A page that is looked at again has ``passed`` when it ends where it did. ``ends`` are the prints of the last records
    now known. ``alone``: nothing but the overlap came, as behind the last record.
    """

    found: bool
    fresh: list[Raw]
    passed: bool
    ends: tuple[str, ...]
    alone: bool = False


class Seams:
    """Remembers the last page of one read, and one record of each before it."""

    def __init__(self, records: RecordReader) -> None:
        """Start with nothing read; ``records`` tells keys and times."""
        self._records = records
        self._tail: list[Raw] = []
        self._held: list[Raw] = []
        self._firsts: set[str] = set()

    def meet(self, seam: Seam, raws: list[Raw]) -> Join:
        """Take a page; call it once for each."""
        if seam.stage == START:
            found, fresh = True, raws
        elif seam.stage == OVERLAP and raws and self._tail and bytes(raws[0]) == bytes(self._tail[-1]):
            found, fresh = True, raws[1:]
        else:
            found, fresh = self._compared(seam, raws)
        alone = seam.stage == OVERLAP and not fresh and self._is_rest(raws)
        passed = self._stands(seam, raws) if seam.stage == VERIFY else bool(fresh) and fresh[-1] is raws[-1]
        if found:
            self._keep(seam, raws, passed=passed)
        return Join(
            found, fresh, passed, tuple(map(self._print, (self._held or self._tail)[-_KEPT:])) or seam.ends, alone
        )

    def _is_rest(self, raws: list[Raw]) -> bool:
        """Return whether a page is what the last one ends in, and not that very page again."""
        if not raws or not self._tail or bytes(raws[-1]) != bytes(self._tail[-1]):
            return False
        return len(raws) == 1 or bytes(raws[0]) != bytes(self._tail[0])

    def _stands(self, seam: Seam, raws: list[Raw]) -> bool:
        """Return whether the last record before the open page is where it was."""
        at = seam.reach - seam.base - 1
        if not 0 <= at < len(raws):
            return False
        same = bool(self._tail) and bytes(raws[at]) == bytes(self._tail[-1])
        return same or self._print(raws[at]) in seam.ends[-1:]

    def give_up(self, raws: list[Raw]) -> None:
        """Go on from a page that does not join."""
        self._tail, self._held = self._held or raws or self._tail, []

    def _compared(self, seam: Seam, raws: list[Raw]) -> tuple[bool, list[Raw]]:
        tail, held = ({bytes(raw) for raw in some} for some in (self._tail, self._held))
        texts = [bytes(raw) for raw in raws]
        fresh = [raw for raw, text in zip(raws, texts, strict=True) if text not in tail and text not in held]
        if seam.edged or not tail.isdisjoint(texts):
            return True, fresh
        marks = {*seam.ends, *self._firsts, *map(self._print, self._tail)}
        return any(self._print(raw) in marks for raw in raws), fresh

    def _keep(self, seam: Seam, raws: list[Raw], *, passed: bool) -> None:
        """Remember what was met: only what is joined to the beginning can show that another page is, too."""
        if seam.stage == START:
            self._tail, self._held = raws, []
            self._firsts.clear()
        elif seam.edged:
            self._held = raws
        elif seam.stage == VERIFY and passed:
            self._now_ends(self._held or self._tail)
        elif passed or seam.stage in (VERIFY, BACK):
            self._now_ends(raws)

    def _now_ends(self, raws: list[Raw]) -> None:
        self._firsts.update(map(self._print, self._tail[:1]))
        self._tail, self._held = raws, []

    def _print(self, raw: Raw) -> str:
        """Return a short text that is the same as long as the record keeps its key and its time."""
        record = self._records.cut([raw]).records[0]
        time = record.cursor or (record.record_time and instants.iso(record.record_time)) or record.hash
        text = record.payload if record.key is None else f"{record.key}\0{time}".encode(errors="surrogatepass")
        return blake2b(text, digest_size=8).hexdigest()


def beyond(progress: Progress, answer: Answer, paginator: Paginator, at: Position, join: Join) -> Progress:
    """Return the progress at the page behind ``answer``: ``at``, or one record earlier where the vendor can be asked so."""
    seam = progress.seam
    near = None if seam.plain or join.alone or not answer.wire else paginator.overlapping(at, answer)
    before, base = (answer.position, answer.seen) if answer.wire else (seam.before, seam.base)
    stage = SURE if join.alone else OPEN if near is None else OVERLAP
    ahead = Seam(stage, join.ends, before, base, edge=near and at, plain=seam.plain, lost=seam.lost)
    overlap = 0 if near is None else 1
    return replace(progress, at=near or at, seen=answer.came - overlap, size=None, seam=ahead)


def is_stale(seam: Seam, answer: Answer, join: Join) -> bool:
    """Return whether a page that should lead on does not: it may be another in its place."""
    if join.passed or join.alone or seam.again:
        return False
    return answer.wire > 0 and (seam.edged or seam.stage == OVERLAP)


def once_more(progress: Progress, answer: Answer) -> Progress:
    """Return the progress at the same page, asked for once more."""
    counted = answer.wire if answer.repeated else 0
    return replace(progress, again=progress.again - counted, seam=replace(progress.seam, again=True))


def at_the_edge(progress: Progress) -> Progress:
    """Return the progress at the edge itself, once the vendor has refused to begin a page before it."""
    seam = replace(progress.seam, stage=OPEN, plain=True, edge=None)
    return replace(progress, at={**(progress.seam.edge or {}), PROBE: True}, seen=progress.seen + 1, seam=seam)


def is_open(seam: Seam, answer: Answer, *, more: bool) -> bool:
    """Return whether the page before must be looked at again; not while empty pages are skipped."""
    return (seam.stage == OPEN and (answer.wire > 0 or not more)) or (seam.stage == SURE and answer.wire > 0)


def verifying(progress: Progress, ahead: Progress, *, more: bool) -> Progress:
    """Return the progress at the page before an open one; then it goes on ``ahead``, or ends so unless ``more``."""
    seam = progress.seam
    then = {"progress": ahead.to_json(), "more": more}
    seam = replace(seam, stage=VERIFY, edge=progress.at, reach=progress.seen, then=then, again=False)
    return replace(progress, at=seam.before, seen=seam.base, seam=seam)


def reopened(progress: Progress, answer: Answer, join: Join) -> Progress:
    """Return the progress at the open page again, since the one before it no longer ends where it did."""
    seam = replace(progress.seam.torn(), stage=OPEN, ends=join.ends, edge=None, reach=0, fails=0)
    return replace(progress, at=progress.seam.edge, seen=answer.came, size=None, seam=seam)


def back(progress: Progress, answer: Answer, paginator: Paginator) -> Progress:
    """Return the progress some way before ``answer``, farther each time in a row; the beginning needs no proof."""
    seam = progress.seam.torn()
    size = answer.page_size or answer.wire or 1
    at, moved = paginator.back(answer, size * _STRIDE ** (seam.fails - 1))
    seen = 0 if at is None else max(answer.seen - moved, 0)
    seam = replace(seam, stage=START if at is None else BACK)
    return replace(progress, at=at, seen=seen, size=None, again=0, seam=seam)
