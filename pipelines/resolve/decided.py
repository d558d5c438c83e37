"""What people decided, as pairs of record numbers, and how a partition obeys it (ADR 0023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.edges import Edges, components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.resolve.edges import Ints


@dataclass(frozen=True)
class Decided:
    """What people decided, as pairs of record numbers; ``together`` spans each group, none of it against ``apart``."""

    together: Edges
    apart: Edges
    unsure: Edges

    @staticmethod
    def nothing() -> Decided:
        """No decisions."""
        return Decided(Edges.none(), Edges.none(), Edges.none())

    def automatic(self, edges: Edges, rows: int) -> Edges:
        """Return the edges that still link by themselves: none between two records that a person kept apart or unsure."""
        return edges.where(~_among(edges, self.apart.plus(self.unsure), rows))

    def neutral(self, edges: Edges, rows: int) -> Edges:
        """Return the edges with no weight, for or against, where a person is unsure, scored or not."""
        unsure = Edges(self.unsure.left, self.unsure.right, np.zeros(len(self.unsure)))
        return edges.where(~_among(edges, unsure, rows)).plus(unsure)


def joined(rows: int, label: Ints, decided: Decided) -> Ints:
    """Join the clusters that a person put together, as wholes; where others are kept apart, record by record."""
    if not len(decided.together):
        return label
    united = components(rows, label[decided.together.left], label[decided.together.right])[label]
    inside = united[decided.apart.left] == united[decided.apart.right]
    if not inside.any():
        return united
    result, apart = united.copy(), decided.apart.where(inside)
    together = components(rows, decided.together.left, decided.together.right)
    for whole in np.unique(united[apart.left]):
        members = np.flatnonzero(united == whole)
        result[members] = _parted(members, label[members], together[members], apart.where(united[apart.left] == whole))
    return result


def _parted(members: Ints, label: Ints, together: Ints, apart: Edges) -> Ints:
    """Rebuild one cluster: what is together first; then each record joins the first of its cluster that it may be with."""
    held: dict[int, set[int]] = {own: set(members[together == own].tolist()) for own in np.unique(together).tolist()}
    group = {record: held[own] for record, own in zip(members.tolist(), together.tolist(), strict=True)}
    against: dict[int, set[int]] = {record: set() for record in group}
    for one, other in zip(apart.left.tolist(), apart.right.tolist(), strict=True):
        against[one].add(other)
        against[other].add(one)
    sizes = dict(zip(*np.unique(label, return_counts=True), strict=True))
    for own in sorted(sizes, key=lambda one: (-sizes[one], one)):
        heads: list[int] = []
        for record in members[label == own].tolist():
            if not any(_unite(group, against, head, record) for head in heads):
                heads.append(record)
    return np.array([min(group[record]) for record in members.tolist()], np.int64)


def _unite(group: dict[int, set[int]], against: dict[int, set[int]], one: int, other: int) -> bool:
    """Put the groups of two records together unless some of their records are apart; False if they are."""
    first, second = group[one], group[other]
    if first is second:
        return True
    if any(against[record] & first for record in second):
        return False
    first |= second
    for record in second:
        group[record] = first
    return True


def _among(edges: Edges, named: Edges, rows: int) -> NDArray[np.bool_]:
    """Mark the edges whose pair is one of ``named``."""
    if not len(named):
        return np.zeros(len(edges), np.bool_)
    one, other = (
        np.minimum(each.left, each.right) * rows + np.maximum(each.left, each.right) for each in (edges, named)
    )
    return np.isin(one, other)
