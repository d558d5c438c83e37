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
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LARGEST_COMPONENT = 250
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
    for members in _groups(label, chosen):
        i, j = np.triu_indices(len(members), 1)
        lefts.append(members[i])
        rights.append(members[j])
    return np.concatenate(lefts), np.concatenate(rights)


def _groups(label: Ints, chosen: NDArray[np.bool_]) -> list[Ints]:
    """Record numbers of each chosen component, ascending."""
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(label[rows], kind="stable")]
    return [group for group in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(group)]


def refined(
    label: Ints, chosen: NDArray[np.bool_], inside: Edges, certain: Edges, forbidden: Edges, threshold: float
) -> Ints:
    """Rebuild the chosen components from their records by average linkage over all their pairs."""
    result = label.copy()
    groups = _groups(label, chosen)
    position = np.zeros(len(label), np.int64)
    for members in groups:
        position[members] = np.arange(len(members))
    parts = [_split(edges, label) for edges in (inside, certain, forbidden)]
    for members in groups:
        matrix = _matrix(len(members), position, *(part.get(int(label[members[0]])) for part in parts))
        for group in agglomerate(matrix, threshold - SLACK):
            result[members[group]] = members[group[0]]
    return result


def _split(edges: Edges, label: Ints) -> dict[int, Edges]:
    """Return the edges inside each component."""
    same = label[edges.left] == label[edges.right]
    kept = edges.where(same)
    order = np.argsort(label[kept.left], kind="stable")
    kept = kept.where(order)
    keys, starts = np.unique(label[kept.left], return_index=True)
    ends = np.append(starts, len(kept))[1:]
    return {int(key): kept.where(slice(a, b)) for key, a, b in zip(keys, starts, ends, strict=True)}


def _matrix(size: int, position: Ints, inside: Edges | None, certain: Edges | None, forbidden: Edges | None) -> Floats:
    matrix = np.full((size, size), -CLIP, np.float64)
    for edges, value in ((inside, None), (certain, CERTAIN), (forbidden, FORBIDDEN)):
        if edges is None:
            continue
        i, j = position[edges.left], position[edges.right]
        weights = np.round(np.clip(edges.weight, -CLIP, CLIP), 3) if value is None else value
        matrix[i, j] = weights
        matrix[j, i] = weights
    return matrix


def _required(counts: Floats, count: float, threshold: float) -> Floats:
    """Mean weight asked for: two groups that each stand on several records must agree better than two loose ones."""
    return np.asarray(np.minimum(threshold + SLOPE * np.log2(np.minimum(counts, count)), max(threshold, MOST_REQUIRED)))


def agglomerate(matrix: Floats, threshold: float) -> list[list[int]]:
    """Average linkage: join the two groups that agree best while their mean weight is at least ``threshold``."""
    size = len(matrix)
    sums, counts = matrix.copy(), np.ones(size)
    required = np.full((size, size), threshold)
    np.fill_diagonal(sums, -np.inf)
    groups: list[list[int]] = [[i] for i in range(size)]
    for _ in range(size - 1):
        surplus = sums / np.outer(counts, counts) - required
        a, b = sorted(divmod(int(np.argmax(surplus)), size))
        if surplus[a, b] < 0:
            break
        sums[a] += sums[b]
        sums[:, a] = sums[a]
        sums[a, a] = -np.inf
        sums[b], sums[:, b] = -np.inf, -np.inf
        counts[a] += counts[b]
        required[a] = required[:, a] = _required(counts, counts[a], threshold)
        groups[a] = sorted(groups[a] + groups[b])
        groups[b] = []
    return [group for group in groups if group]
