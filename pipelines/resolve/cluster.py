"""Entities from edges: connected components, then refined until no cluster contradicts itself.

Chains of plausible pairs are what merges strangers. So a component whose pairs do not all agree is rebuilt from its
records by average linkage over *all* its pairs, and two groups join only while they agree on the whole and no
cannot-link lies between them. Whether two groups agree is said by weights that are limited, so that no pair outvotes many;
which two join first is said by weights as they are, so that a record goes with those that it agrees with best. Equal edges
give the equal partition, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.decided import Decided, joined
from pipelines.resolve.edges import Edges, components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["Decided", "Edges", "components"]

LARGEST_COMPONENT = 250
CELLS = 4_000_000
CLIP = 6.0
CERTAIN = 40.0
FORBIDDEN = -1.0e9
SURCHARGE = 2.0
RELIEF = 2.0
MOST_RELIEF = 4.0
LEAST = -5.0


def accepted_from(threshold: float) -> float:
    """Return the weight from which on a pair may hold two records in one component; no cluster reaches further."""
    return threshold


def partition(
    rows: int,
    scored: Edges,
    certain: Edges,
    conflicts: Callable[[Ints], Edges],
    threshold: float,
    score_all: Callable[[Ints, Ints], Edges],
    decided: Decided | None = None,
) -> Ints:
    """Return each record's cluster as the smallest record number in it.

    ``certain`` edges link without a score; pairs in ``conflicts`` (asked of a first partition) are never in one
    cluster; ``score_all`` scores any pairs, and may leave out those below ``-CLIP``. What people decided binds whatever
    all these say.
    """
    decided = decided or Decided.nothing()
    scored, certain = decided.automatic(scored, rows), decided.automatic(certain, rows)
    accepted = scored.where(scored.weight >= accepted_from(threshold)).plus(certain)
    label = bounded(rows, accepted, components(rows, accepted.left, accepted.right))
    forbidden = conflicts(label).plus(decided.apart)
    chosen = doubtful(rows, label, accepted, forbidden)
    if chosen.any():
        inside = decided.neutral(score_all(*all_pairs(label, chosen)), rows)
        label = refined(label, chosen, inside, certain, forbidden, threshold)
    return joined(rows, label, decided)


def bounded(rows: int, edges: Edges, label: Ints) -> Ints:
    """Rebuild components beyond the limit, strongest edge first: one that would make a component too large joins nothing.

    So what is cut lies where too many records meet, and does not depend on the weakest edge far away.
    """
    sizes = np.bincount(label, minlength=rows)
    large = (sizes > LARGEST_COMPONENT)[label]
    if not large.any():
        return label
    inside = edges.where(large[edges.left] & (label[edges.left] == label[edges.right]))
    inside = inside.where(np.lexsort((inside.right, inside.left, -inside.weight)))
    members = np.flatnonzero(large)
    result = label.copy()
    result[members] = _joined_up_to_the_limit(members.tolist(), inside)
    return result


def _joined_up_to_the_limit(members: list[int], edges: Edges) -> list[int]:
    """Return of each member the first record of its group, as the edges join groups in their order."""
    head, size = {record: record for record in members}, dict.fromkeys(members, 1)

    def first_of(record: int) -> int:
        while head[record] != record:
            head[record] = record = head[head[record]]
        return record

    for left, right in zip(edges.left.tolist(), edges.right.tolist(), strict=True):
        one, other = sorted((first_of(left), first_of(right)))
        if one != other and size[one] + size[other] <= LARGEST_COMPONENT:
            head[other], size[one] = one, size[one] + size[other]
    return [first_of(record) for record in members]


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
        _Sized.of(inside, np.clip(inside.weight, -CLIP, CERTAIN).round(3), label, sizes, limit=CLIP),
        _Sized.of(certain, np.full(len(certain), CERTAIN), label, sizes),
        _Sized.of(forbidden, np.full(len(forbidden), FORBIDDEN), label, sizes),
    ]
    for table in _by_size(label, chosen):
        size = table.shape[1]
        parts = [(edges.of_size(size), edges.limit) for edges in known]
        step = max(1, CELLS // size**2)
        for members in np.split(table, range(step, len(table), step)):
            row[members] = np.arange(len(members))[:, None]
            place[members] = np.arange(size)
            strengths = np.full((len(members), size, size), -CLIP)
            matrices = strengths.copy()
            for edges, limit in parts:
                mine = edges.where(row[edges.left] >= 0)
                b, i, j = row[mine.left], place[mine.left], place[mine.right]
                strengths[b, i, j] = strengths[b, j, i] = mine.weight
                matrices[b, i, j] = matrices[b, j, i] = np.minimum(mine.weight, limit)
            result[members] = np.take_along_axis(members, agglomerate(matrices, strengths, threshold), axis=1)
            row[members] = -1
    return result


@dataclass(frozen=True)
class _Sized:
    """Edges inside components, in the order of the component's size; none says more than ``limit`` for two groups."""

    edges: Edges
    sizes: Ints
    limit: float

    @staticmethod
    def of(edges: Edges, weight: Floats, label: Ints, sizes: Ints, limit: float = CERTAIN) -> _Sized:
        """Sort the edges that lie inside a component; ``weight`` takes the place of theirs."""
        inside = np.flatnonzero(label[edges.left] == label[edges.right])
        order = inside[np.argsort(sizes[edges.left[inside]], kind="stable")]
        return _Sized(Edges(edges.left[order], edges.right[order], weight[order]), sizes[edges.left[order]], limit)

    def of_size(self, size: int) -> Edges:
        """Return the edges inside components of one size."""
        return self.edges.where(slice(*np.searchsorted(self.sizes, (size, size + 1))))


def _required(counts: Floats, count: Floats, threshold: float) -> Floats:
    """Mean weight asked for to join groups of so many records.

    A pair alone needs the threshold. One more record needs less the more records it agrees with: that they are one party
    is settled, and its own errors weigh on every pair. Two groups that each stand on several records need more. Below
    ``LEAST`` too many pairs speak against it, whatever the threshold.
    """
    fewer, more = np.minimum(counts, count), np.maximum(counts, count)
    return np.asarray(np.maximum(threshold + SURCHARGE * np.log2(fewer) - _relief(more), LEAST))


def _relief(count: Floats) -> Floats:
    return np.asarray(np.minimum(RELIEF + np.log2(count), MOST_RELIEF))


def supported(label: Ints, inside: Edges) -> Floats:
    """Return the weight of each pair as its cluster sees it: how well both its records agree with all the others in it.

    It is the rule of ``_required`` seen from the pair: by it pairs of a large cluster weigh more than their own score.
    """
    same = label[inside.left] == label[inside.right]
    left, right, weight = inside.left[same], inside.right[same], np.clip(inside.weight[same], -CLIP, CLIP)
    count = np.bincount(np.concatenate((left, right)), minlength=len(label)).astype(np.float64)
    total = np.bincount(left, weight, len(label)) + np.bincount(right, weight, len(label))
    mean = total / np.maximum(count, 1) + np.where(count > 1, _relief(np.maximum(count, 1)), 0)
    result = inside.weight.copy()
    result[same] = np.maximum(result[same], np.minimum(mean[left], mean[right]))
    return result


def agglomerate(matrices: Floats, strengths: Floats, threshold: float) -> Ints:
    """Average linkage of many components of one size at once: each joins the two groups that agree best.

    ``matrices`` holds the weights of all pairs of each component, limited; ``strengths`` the same as they are. Groups may
    join while their mean weight is at least ``threshold`` and what their sizes ask for; of those that may, the two join
    whose mean strength exceeds it most. Returns of each record the first record of its group, by place.
    """
    count, size, _ = matrices.shape
    sizes = np.ones((count, size))
    sums, strong = matrices.copy(), strengths.copy()
    for table in (sums, strong):
        table[:, range(size), range(size)] = -np.inf
    required = np.full((count, size, size), float(threshold))
    first = np.tile(np.arange(size), (count, 1))
    open_ = np.arange(count)
    for _ in range(size - 1):
        pairs, asked = sizes[open_, :, None] * sizes[open_, None, :], required[open_]
        ranks = np.where(sums[open_] / pairs >= asked, strong[open_] / pairs - asked, -np.inf).reshape(len(open_), -1)
        best = ranks.argmax(axis=1)
        joins = ranks[np.arange(len(open_)), best] > -np.inf
        open_, best = open_[joins], best[joins]
        if not len(open_):
            break
        a, b = np.minimum(best // size, best % size), np.maximum(best // size, best % size)
        for table in (sums, strong):
            joined = table[open_, a] + table[open_, b]
            table[open_, a], table[open_, :, a] = joined, joined
            table[open_, a, a] = -np.inf
            table[open_, b], table[open_, :, b] = -np.inf, -np.inf
        sizes[open_, a] += sizes[open_, b]
        needed = _required(sizes[open_], sizes[open_, a][:, None], threshold)
        required[open_, a], required[open_, :, a] = needed, needed
        first[open_] = np.where(first[open_] == b[:, None], a[:, None], first[open_])
    return first
