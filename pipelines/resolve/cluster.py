"""Entities from edges: connected components, then refined until no cluster contradicts itself.

Chains of plausible pairs are what merges strangers. So a component whose pairs do not all agree is rebuilt from its
records by average linkage over *all* its pairs, and two groups join only while they agree on the whole and no
cannot-link lies between them. Equal edges give the equal partition, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LARGEST_COMPONENT = 250
CELLS = 4_000_000
CLIP = 6.0
CERTAIN = 40.0
FORBIDDEN = -1.0e9
SLACK = 2.0
SLOPE = 1.0
MOST_REQUIRED = 3.0


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


def partition(
    rows: int,
    scored: Edges,
    certain: Edges,
    conflicts: Callable[[Ints], Edges],
    threshold: float,
    score_all: Callable[[Ints, Ints], Edges],
) -> Ints:
    """Return each record's cluster as the smallest record number in it.

    ``certain`` edges link without a score; pairs in ``conflicts`` (asked of a first partition) are never in one
    cluster; ``score_all`` scores any pairs.
    """
    accepted = scored.where(scored.weight >= threshold).plus(certain)
    label = bounded(rows, accepted, components(rows, accepted.left, accepted.right))
    forbidden = conflicts(label)
    chosen = doubtful(rows, label, accepted, forbidden)
    if not chosen.any():
        return label
    inside = score_all(*all_pairs(label, chosen))
    return refined(label, chosen, inside, certain, forbidden, threshold)


def bounded(rows: int, edges: Edges, label: Ints) -> Ints:
    """Cut components beyond the limit at their weakest edges until none is left."""
    for _ in range(60):
        sizes = np.bincount(label, minlength=rows)
        large = sizes[label] > LARGEST_COMPONENT
        inside = large[edges.left] & (label[edges.left] == label[edges.right])
        if not inside.any():
            return label
        floor = np.full(rows, np.inf)
        np.minimum.at(floor, label[edges.left[inside]], edges.weight[inside])
        drop = inside & (edges.weight < floor[label[edges.left]] + 1.0)
        edges = edges.where(~drop)
        label = components(rows, edges.left, edges.right)
    return label


def doubtful(rows: int, label: Ints, accepted: Edges, forbidden: Edges) -> NDArray[np.bool_]:
    """Mark the records of components in which some pair is not an accepted edge, or is forbidden."""
    sizes = np.bincount(label, minlength=rows)
    same = label[accepted.left] == label[accepted.right]
    low, high = np.minimum(accepted.left, accepted.right)[same], np.maximum(accepted.left, accepted.right)[same]
    distinct = np.unique(low * rows + high) // rows
    linked = np.bincount(label[distinct], minlength=rows)
    bad = linked < sizes * (sizes - 1) // 2
    against = label[forbidden.left] == label[forbidden.right]
    bad[label[forbidden.left[against]]] = True
    return np.asarray(bad[label])


def all_pairs(label: Ints, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Every pair of records within each chosen component."""
    lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for members in _by_size(label, chosen):
        i, j = np.triu_indices(members.shape[1], 1)
        lefts.append(members[:, i].ravel())
        rights.append(members[:, j].ravel())
    return np.concatenate(lefts), np.concatenate(rights)


def _by_size(label: Ints, chosen: NDArray[np.bool_]) -> Iterator[Ints]:
    """Yield the chosen components of each size as one table: a row per component, its records ascending."""
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(label[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    for size in np.unique(sizes):
        if size > 1:
            yield order[starts[sizes == size][:, None] + np.arange(size)]


def refined(
    label: Ints, chosen: NDArray[np.bool_], inside: Edges, certain: Edges, forbidden: Edges, threshold: float
) -> Ints:
    """Rebuild the chosen components from their records by average linkage over all their pairs."""
    result, row, place = label.copy(), np.full(len(label), -1, np.int64), np.zeros(len(label), np.int64)
    sizes = np.bincount(label, minlength=len(label))[label]
    known = [
        _Sized.of(inside, np.clip(inside.weight, -CLIP, CLIP).round(3), label, sizes),
        _Sized.of(certain, np.full(len(certain), CERTAIN), label, sizes),
        _Sized.of(forbidden, np.full(len(forbidden), FORBIDDEN), label, sizes),
    ]
    for table in _by_size(label, chosen):
        size = table.shape[1]
        parts = [edges.of_size(size) for edges in known]
        step = max(1, CELLS // size**2)
        for members in np.split(table, range(step, len(table), step)):
            row[members] = np.arange(len(members))[:, None]
            place[members] = np.arange(size)
            matrices = np.full((len(members), size, size), -CLIP)
            for edges in parts:
                mine = edges.where(row[edges.left] >= 0)
                b, i, j = row[mine.left], place[mine.left], place[mine.right]
                matrices[b, i, j] = matrices[b, j, i] = mine.weight
            result[members] = np.take_along_axis(members, agglomerate(matrices, threshold - SLACK), axis=1)
            row[members] = -1
    return result


@dataclass(frozen=True)
class _Sized:
    """Edges inside components, in the order of the component's size."""

    edges: Edges
    sizes: Ints

    @staticmethod
    def of(edges: Edges, weight: Floats, label: Ints, sizes: Ints) -> _Sized:
        """Sort the edges that lie inside a component; ``weight`` takes the place of theirs."""
        inside = np.flatnonzero(label[edges.left] == label[edges.right])
        order = inside[np.argsort(sizes[edges.left[inside]], kind="stable")]
        return _Sized(Edges(edges.left[order], edges.right[order], weight[order]), sizes[edges.left[order]])

    def of_size(self, size: int) -> Edges:
        """Return the edges inside components of one size."""
        return self.edges.where(slice(*np.searchsorted(self.sizes, (size, size + 1))))


def _required(counts: Floats, count: Floats, threshold: float) -> Floats:
    """Mean weight asked for: two groups that each stand on several records must agree better than two loose ones."""
    return np.asarray(np.minimum(threshold + SLOPE * np.log2(np.minimum(counts, count)), max(threshold, MOST_REQUIRED)))


def agglomerate(matrices: Floats, threshold: float) -> Ints:
    """Average linkage of many components of one size at once: each joins the two groups that agree best.

    ``matrices`` holds the weights of all pairs of each component. Groups join while their mean weight is at least
    ``threshold`` and what their sizes ask for. Returns of each record the first record of its group, by place.
    """
    count, size, _ = matrices.shape
    sums, sizes = matrices.copy(), np.ones((count, size))
    sums[:, range(size), range(size)] = -np.inf
    required = np.full((count, size, size), threshold)
    first = np.tile(np.arange(size), (count, 1))
    open_ = np.arange(count)
    for _ in range(size - 1):
        surplus = sums[open_] / (sizes[open_, :, None] * sizes[open_, None, :]) - required[open_]
        best = surplus.reshape(len(open_), -1).argmax(axis=1)
        joins = surplus.reshape(len(open_), -1)[np.arange(len(open_)), best] >= 0
        open_, best = open_[joins], best[joins]
        if not len(open_):
            break
        a, b = np.minimum(best // size, best % size), np.maximum(best // size, best % size)
        joined = sums[open_, a] + sums[open_, b]
        sums[open_, a], sums[open_, :, a] = joined, joined
        sums[open_, a, a] = -np.inf
        sums[open_, b], sums[open_, :, b] = -np.inf, -np.inf
        sizes[open_, a] += sizes[open_, b]
        asked = _required(sizes[open_], sizes[open_, a][:, None], threshold)
        required[open_, a], required[open_, :, a] = asked, asked
        first[open_] = np.where(first[open_] == b[:, None], a[:, None], first[open_])
    return first
