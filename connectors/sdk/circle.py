"""When pages go in a circle: what each position answered before, and which answers came under several positions."""

from __future__ import annotations

from array import array
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from connectors.sdk import paging

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.sdk.envelopes import Raw
    from connectors.sdk.progress import Progress

_VISITS: Final = 3
_FIRST, _LAST = 4, 4
_EARLIER: Final = 0
_SLOTS: Final = 64


class _Index:
    """Finds the number of a page by one of its keys: four bytes a place, half of them empty at least."""

    def __init__(self, keys: array[int]) -> None:
        self._keys, self._slots, self._used = keys, array("I", bytes(4 * _SLOTS)), 0

    def find(self, key: int) -> int | None:
        """Return the number that was put under a key."""
        number = self._slots[self._slot(key)]
        return number - 1 if number else None

    def put(self, key: int, number: int) -> None:
        """Put a number under a key that has none yet; ``keys[number]`` must be the key."""
        self._slots[self._slot(key)] = number + 1
        self._used += 1
        if 2 * self._used > len(self._slots):
            held = [one for one in self._slots if one]
            self._slots = array("I", bytes(8 * len(self._slots)))
            for one in held:
                self._slots[self._slot(self._keys[one - 1])] = one

    def _slot(self, key: int) -> int:
        """Return the place of a key, or the empty one where it belongs."""
        last = len(self._slots) - 1
        slot = key & last
        while (number := self._slots[slot]) and self._keys[number - 1] != key:
            slot = (slot + 1) & last
        return slot


class Rounds:
    """Remembers one print a page of one read, some thirty bytes each: a read may have a hundred thousand pages.

    ``kept`` of them go on to the process that resumes it.
    """

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        """Start with the prints an earlier process left."""
        self._repeats = 0
        self.forget()
        for one in dict.fromkeys(earlier):
            self._remember(_EARLIER, int(one, 16))

    @property
    def kept(self) -> tuple[str, ...]:
        """Prints of the first pages and of the last: what a vendor falls back to when it goes in a circle."""
        return tuple(f"{one:016x}" for one in (*self._first, *self._last))

    def forget(self) -> None:
        """Forget what came: pages are read again on purpose."""
        self._places, self._prints = array("q"), array("Q")
        self._by_place = _Index(self._places)  # what a place answered first
        self._by_print = _Index(self._prints)  # which place gave a page first
        self._others: dict[int, list[int]] = {}  # by place, what it answered besides: seldom anything
        self._first: list[int] = []
        self._last: deque[int] = deque(maxlen=_LAST)

    def _remember(self, place: int, print_: int) -> None:
        """Remember a print that is new."""
        self._places.append(place)
        self._prints.append(print_)
        self._by_print.put(print_, len(self._prints) - 1)
        if len(self._first) < _FIRST:
            self._first.append(print_)
        else:
            self._last.append(print_)

    def met(self, progress: Progress, raws: list[Raw]) -> tuple[bool, bool]:
        """Take a page; return whether another position gave it before, and whether the pages go round and round.

        A page that only stutters may come again: one position may answer differently a few times, and a few positions
        alike.
        """
        query = (progress.since, progress.anchored, progress.until, progress.key, progress.size)
        place = hash((paging.marker(progress.at), query))
        print_ = _print(progress.queries, raws)
        known = self._by_print.find(print_)
        repeated = bool(raws) and known is not None and self._places[known] != place
        if raws and known is None:
            self._remember(place, print_)
        self._repeats = self._repeats + 1 if repeated else 0
        return repeated, self._is_back(place, print_) or self._repeats > _VISITS

    def _is_back(self, place: int, print_: int) -> bool:
        """Take an answer of a place; return whether it gave that one before, or too many others."""
        visited = self._by_place.find(place)
        if visited is None:
            self._visit(place, print_)
            return False
        others = self._others.setdefault(place, [])
        if print_ == self._prints[visited] or print_ in others or len(others) + 1 >= _VISITS:
            return True
        others.append(print_)
        return False

    def _visit(self, place: int, print_: int) -> None:
        """Say what a place answered first: mostly the page that was remembered last."""
        number = len(self._places) - 1
        if number < 0 or self._places[number] != place or self._prints[number] != print_:
            self._places.append(place)
            self._prints.append(print_)
            number += 1
        self._by_place.put(place, number)


def _print(query: int, raws: list[Raw]) -> int:
    """Return a number that is the same for the same page in every process."""
    ends = (bytes(raws[0]), bytes(raws[-1])) if raws else (b"", b"")
    mark = blake2b(digest_size=8)
    for part in (b"%d:%d" % (query, len(raws)), *ends):
        mark.update(b"%d " % len(part))
        mark.update(part)
    return int.from_bytes(mark.digest())
