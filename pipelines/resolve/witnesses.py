"""Who bears witness: whether two records match, told by a third record and not by their own score.

Two records of one party that both agree strongly with several others nearly always agree strongly with the *same* other;
two parties hardly ever do. So among pairs whose records both have strong partners, the share with a common one says how
many of the pairs are right, without a label and without the scores that are to be judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.resolve.edges import Edges

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

STRONG = 6.0
"""Match weight from which on a partner counts: right in 98 of 100 cases by the model's own word."""
PARTNERS = 2
"""Strong partners that a record needs, the other one of the pair left out, before their absence from the other's tells."""


@dataclass(frozen=True)
class Witnesses:
    """The strong partners of records."""

    start: Ints
    partner: Ints
    keys: Ints

    @staticmethod
    def of(rows: int, scored: Edges) -> Witnesses:
        """Gather the strong ones of scored pairs of ``rows`` records."""
        strong = scored.where(scored.weight >= STRONG)
        records, partners = np.concatenate((strong.left, strong.right)), np.concatenate((strong.right, strong.left))
        keys = np.unique(records * rows + partners)
        start = np.concatenate(([0], np.cumsum(np.bincount(keys // rows, minlength=rows))))
        return Witnesses(start, keys % rows, keys)

    def hear(self, left: Ints, right: Ints) -> tuple[Flags, Flags]:
        """Tell of which pairs the witnesses know, and which of those they call one party."""
        rows = len(self.start) - 1
        own = self._strong(left * rows + right)
        counts = np.diff(self.start)
        known = (counts[left] - own >= PARTNERS) & (counts[right] - own >= PARTNERS)
        asked = np.flatnonzero(known)
        many = counts[left[asked]]
        pair = np.repeat(asked, many)
        first = np.repeat(self.start[left[asked]] - np.concatenate(([0], np.cumsum(many)[:-1])), many)
        third = self.partner[first + np.arange(len(pair))]
        common = np.zeros(len(left), np.bool_)
        common[pair[self._strong(right[pair] * rows + third)]] = True
        return np.asarray(known), common

    def _strong(self, keys: Ints) -> Flags:
        if not len(self.keys):
            return np.zeros(len(keys), np.bool_)
        return np.asarray(self.keys[np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)] == keys)
