"""Pairs of records with weights, and what they connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Pairs of record numbers with a weight each (log2 odds)."""

    left: Ints
    right: Ints
    weight: Floats

    @staticmethod
    def none() -> Edges:
        """No pairs."""
        return Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))

    def where(self, mask: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Edges:
        """Return the edges that a mask, an order or a slice selects."""
        return Edges(self.left[mask], self.right[mask], self.weight[mask])

    def plus(self, other: Edges) -> Edges:
        """Both sets of edges."""
        return Edges(
            np.concatenate((self.left, other.left)),
            np.concatenate((self.right, other.right)),
            np.concatenate((self.weight, other.weight)),
        )

    def __len__(self) -> int:
        return len(self.left)


def components(rows: int, left: Ints, right: Ints) -> Ints:
    """Label each record with the smallest record number it is connected to."""
    label = np.arange(rows, dtype=np.int64)
    while len(left):
        low = np.minimum(label[left], label[right])
        before = label.copy()
        np.minimum.at(label, label[left], low)
        np.minimum.at(label, label[right], low)
        while not np.array_equal(label, label[label]):
            label = label[label]
        if np.array_equal(before, label):
            break
        open_ = label[left] != label[right]
        left, right = left[open_], right[open_]
    return label
