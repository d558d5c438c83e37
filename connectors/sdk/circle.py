"""When pages go in a circle: what each position answered before, and which answers came under several positions."""

from __future__ import annotations

from hashlib import blake2b
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
    """Remembers one print a page of one read; ``kept`` of them go on to the process that resumes it."""

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        """Start with the prints an earlier process left."""
        self._visits: dict[int, list[str]] = {}
        self._prints: dict[str, int] = dict.fromkeys(earlier, _EARLIER)
        self._repeats = 0

    @property
    def kept(self) -> tuple[str, ...]:
        """Prints of the first pages and of the last: what a vendor falls back to when it goes in a circle."""
        prints = tuple(self._prints)
        return prints if len(prints) <= _FIRST + _LAST else (*prints[:_FIRST], *prints[-_LAST:])

    def forget(self) -> None:
        """Forget what came: pages are read again on purpose."""
        self._visits.clear()
        self._prints.clear()

    def met(self, progress: Progress, raws: list[Raw]) -> tuple[bool, bool]:
        """Take a page; return whether another position gave it before, and whether the pages go round and round.

        A page that only stutters may come again: one position may answer differently a few times, and a few positions
        alike.
        """
        query = (progress.since, progress.anchored, progress.until, progress.key, progress.size)
        place = hash((paging.marker(progress.at), query))
        print_ = _print(progress.queries, raws)
        before = self._visits.setdefault(place, [])
        repeated = bool(raws) and self._prints.setdefault(print_, place) != place
        self._repeats = self._repeats + 1 if repeated else 0
        if print_ in before or len(before) >= _VISITS or self._repeats > _VISITS:
            return repeated, True
        before.append(print_)
        return repeated, False


def _print(query: int, raws: list[Raw]) -> str:
    """Return a short text that is the same for the same page in every process."""
    ends = (bytes(raws[0]), bytes(raws[-1])) if raws else (b"", b"")
    mark = blake2b(digest_size=8)
    for part in (b"%d:%d" % (query, len(raws)), *ends):
        mark.update(b"%d " % len(part))
        mark.update(part)
    return mark.hexdigest()
