"""When pages go in a circle: what each position answered before, and which answers came under several positions."""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

from connectors.sdk import paging

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.sdk.body import Raw
    from connectors.sdk.progress import Progress

_VISITS: Final = 3
_FIRST, _LAST = 4, 4
_EARLIER: Final = 0


class Rounds:
    """Remembers one print a page of one read, two numbers each: a read may have a hundred thousand pages.

    ``kept`` of them go on to the process that resumes it.
    """

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        """Start with the prints an earlier process left."""
        self._visits: dict[int, int] = {}  # by place, what it answered first
        self._others: dict[int, list[int]] = {}  # by place, what it answered besides: seldom anything
        self._prints: dict[int, int] = {int(one, 16): _EARLIER for one in earlier}
        self._repeats = 0

    @property
    def kept(self) -> tuple[str, ...]:
        """Prints of the first pages and of the last: what a vendor falls back to when it goes in a circle."""
        prints = self._prints
        if len(prints) > _FIRST + _LAST:
            chosen = [*islice(prints, _FIRST), *reversed(list(islice(reversed(prints), _LAST)))]
        else:
            chosen = list(prints)
        return tuple(f"{one:016x}" for one in chosen)

    def forget(self) -> None:
        """Forget what came: pages are read again on purpose."""
        self._visits.clear()
        self._others.clear()
        self._prints.clear()

    def met(self, progress: Progress, raws: list[Raw]) -> tuple[bool, bool]:
        """Take a page; return whether another position gave it before, and whether the pages go round and round.

        A page that only stutters may come again: one position may answer differently a few times, and a few positions
        alike.
        """
        query = (progress.since, progress.anchored, progress.until, progress.key, progress.size)
        place = hash((paging.marker(progress.at), query))
        print_ = _print(progress.queries, raws)
        repeated = bool(raws) and self._prints.setdefault(print_, place) != place
        self._repeats = self._repeats + 1 if repeated else 0
        return repeated, self._is_back(place, print_) or self._repeats > _VISITS

    def _is_back(self, place: int, print_: int) -> bool:
        """Take an answer of a place; return whether it gave that one before, or too many others."""
        if place not in self._visits:
            self._visits[place] = print_
            return False
        others = self._others.setdefault(place, [])
        if print_ == self._visits[place] or print_ in others or len(others) + 1 >= _VISITS:
            return True
        others.append(print_)
        return False


def _print(query: int, raws: list[Raw]) -> int:
    """Return a number that is the same for the same page in every process."""
    ends = (bytes(raws[0]), bytes(raws[-1])) if raws else (b"", b"")
    mark = blake2b(digest_size=8)
    for part in (b"%d:%d" % (query, len(raws)), *ends):
        mark.update(b"%d " % len(part))
        mark.update(part)
    return int.from_bytes(mark.digest())
