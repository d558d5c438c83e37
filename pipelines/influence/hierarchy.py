"""Account hierarchies: the parent links of organisations, made free of cycles at every instant.

A link joins its tree only while its parent does not already stand below its child. Links join by strength, then the older
claim, then the smaller source reference; so a circle is broken at its weakest, newest link, and only
for the time in which it is one. The time that was cut is kept as a row marked ``cycle``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.influence.rules import CYCLE
from pipelines.influence.settle import FIRST, LAST

Stretch = tuple[datetime, datetime]


@dataclass(frozen=True)
class Link:
    """``child`` stands below ``parent`` from ``valid_from`` to ``valid_to`` (``None`` = open)."""

    child: int
    parent: int
    valid_from: datetime | None
    valid_to: datetime | None
    strength: float
    claim: datetime | None
    ref: str
    cut: str | None = None

    @property
    def stretch(self) -> Stretch:
        """The time it holds, with the ends of time for open ones."""
        return self.valid_from or FIRST, self.valid_to or LAST


def acyclic(links: Sequence[Link]) -> list[Link]:
    """Return the links with no circle left at any instant; what was cut comes back marked, so that nothing is lost."""
    joined: list[Link] = []
    above: dict[int, list[Link]] = defaultdict(list)
    for link in sorted(links, key=lambda one: (-one.strength, one.claim or FIRST, one.ref)):
        for part in _without(link, _circling(link, above)):
            joined.append(part)
            if part.cut is None:
                above[part.child].append(part)
    return joined


def circle_members(children: Iterable[int], parents: Iterable[int]) -> set[int]:
    """Return the organisations that may stand in a circle: what is left when tops and leaves are taken off for good."""
    up: dict[int, set[int]] = defaultdict(set)
    down: dict[int, set[int]] = defaultdict(set)
    for child, parent in zip(children, parents, strict=True):
        up[child].add(parent)
        down[parent].add(child)
    left = up.keys() & down.keys()
    waiting = deque((up.keys() | down.keys()) - left)
    while waiting:
        node = waiting.popleft()
        for there, back in ((up, down), (down, up)):
            for other in there.pop(node, ()):
                back[other].discard(node)
                if other in left and not back[other]:
                    left.discard(other)
                    waiting.append(other)
    return left


def _circling(link: Link, above: dict[int, list[Link]]) -> list[Stretch]:
    """Return when the child already stands above the parent: walk up from the parent within the link's time."""
    found: list[Stretch] = []
    waiting: list[tuple[int, Stretch]] = [(link.parent, link.stretch)]
    while waiting:
        node, stretch = waiting.pop()
        if node == link.child:
            found.append(stretch)
            continue
        for higher in above.get(node, ()):
            shared = _both(stretch, higher.stretch)
            if shared is not None:
                waiting.append((higher.parent, shared))
    return sorted(found)


def _both(one: Stretch, other: Stretch) -> Stretch | None:
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


def _without(link: Link, circling: list[Stretch]) -> Iterator[Link]:
    """Yield the link in pieces: those in a circle are marked."""
    at, end = link.stretch
    for start, stop in circling:
        if at < start:
            yield _part(link, at, start, link.cut)
        yield _part(link, start, stop, CYCLE)
        at = stop
    if at < end:
        yield _part(link, at, end, link.cut)


def _part(link: Link, start: datetime, end: datetime, cut: str | None) -> Link:
    return Link(
        link.child, link.parent, None if start == FIRST else start, None if end == LAST else end, link.strength,
        link.claim, link.ref, cut,
    )  # fmt: skip
