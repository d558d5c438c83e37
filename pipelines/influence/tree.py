"""A hierarchy at one instant as arrays: who stands below whom, and sums over everything below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.sdk.errors import FixConfig

Ids = NDArray[np.int64]
_NO_PARENT = -1
_TOO_BIG = 2.0**62  # far enough below the limit that a rounded sum of magnitudes cannot hide an overflow


@dataclass(frozen=True)
class Place:
    """One organisation in a tree: how deep below the start, and its parent there (``None`` for the start)."""

    entity_id: int
    depth: int
    parent_id: int | None


class Tree:
    """Organisations and their parents at one instant. Every organisation has at most one parent; there is no circle."""

    def __init__(self, children: Ids, parents: Ids, alone: Ids | None = None) -> None:
        members = [children, parents] if alone is None else [children, parents, alone]
        self.ids: Ids = np.unique(np.concatenate(members).astype(np.int64))
        self._parent = np.full(len(self.ids), _NO_PARENT, np.int64)
        self._parent[np.searchsorted(self.ids, children)] = np.searchsorted(self.ids, parents)
        order = np.argsort(self._parent, kind="stable")
        self._ordered, self._starts = order, np.searchsorted(self._parent[order], np.arange(len(self.ids) + 1))

    def with_member(self, entity_id: int) -> Tree:
        """Return the tree with an organisation that may have neither parent nor children."""
        if self._place(entity_id) is not None:
            return self
        known = self._parent != _NO_PARENT
        alone = np.array([entity_id], np.int64)
        return Tree(self.ids[known], self.ids[self._parent[known]], alone)

    def __len__(self) -> int:
        return len(self.ids)

    def parent(self, entity_id: int) -> int | None:
        """Return the parent, or ``None`` for a top or an organisation that is not in the tree."""
        place = self._place(entity_id)
        above = _NO_PARENT if place is None else int(self._parent[place])
        return None if above == _NO_PARENT else int(self.ids[above])

    def path(self, entity_id: int) -> list[int]:
        """Return the way up to the top, the organisation first."""
        way = [entity_id]
        while (above := self.parent(way[-1])) is not None:
            way.append(above)
        return way

    def tops(self) -> Ids:
        """Return the organisations without a parent."""
        found: Ids = self.ids[self._parent == _NO_PARENT]
        return found

    def below(self, entity_id: int) -> Iterator[Place]:
        """Yield an organisation and all below it, parents before children, siblings by id."""
        start = self._place(entity_id)
        yield Place(entity_id, 0, None)
        waiting = [] if start is None else [(int(start), iter(self._children(int(start))))]
        while waiting:
            above, children = waiting[-1]
            child = next(children, None)
            if child is None:
                waiting.pop()
                continue
            yield Place(int(self.ids[child]), len(waiting), int(self.ids[above]))
            waiting.append((int(child), iter(self._children(int(child)))))

    def inside(self, entity_id: int) -> NDArray[np.bool_]:
        """Return for each of ``ids`` whether it is this organisation or stands below it."""
        found: NDArray[np.bool_] = self.ids == entity_id
        above = self._parent
        while (below := np.flatnonzero(above != _NO_PARENT)).size:
            found[below] |= found[above[below]]
            above = _twice(above)
        return found

    def aligned(self, keys: Ids, values: Ids) -> Ids:
        """Return ``values`` in the order of ``ids``: 0 where a key is missing, without the keys that are no members."""
        places = np.minimum(np.searchsorted(self.ids, keys), max(len(self.ids) - 1, 0))
        known = self.ids[places] == keys if len(self.ids) else np.zeros(len(keys), bool)
        own = np.zeros(len(self.ids), np.int64)
        own[places[known]] = values[known]
        return own

    def sums(self, own: Ids) -> Ids:
        """Return for each of ``ids`` its own value plus those of all below it; exact, or refused.

        The sums double their reach in each round (one step, two, four …), so that a chain costs no more than a bush.
        """
        if np.abs(own.astype(np.float64)).sum() >= _TOO_BIG:
            raise FixConfig("a sum over the hierarchy does not fit 64 bits", do="sum a smaller part or another unit")
        sums, above = own, self._parent
        while (below := np.flatnonzero(above != _NO_PARENT)).size:
            gained = np.zeros_like(sums)
            np.add.at(gained, above[below], sums[below])
            sums = sums + gained
            above = _twice(above)
        return sums

    def _children(self, place: int) -> Ids:
        return self._ordered[self._starts[place] : self._starts[place + 1]]

    def _place(self, entity_id: int) -> int | None:
        found = int(np.searchsorted(self.ids, entity_id))
        return found if found < len(self.ids) and self.ids[found] == entity_id else None


def _twice(above: Ids) -> Ids:
    """Return who stands twice as far above."""
    return np.where(above == _NO_PARENT, _NO_PARENT, above[above])
