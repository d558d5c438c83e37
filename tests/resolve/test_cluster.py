"""Clusters: no chain of plausible pairs merges records that contradict each other."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.resolve import cluster
from pipelines.resolve.cluster import Edges


def edges(*pairs: tuple[int, int, float]) -> Edges:
    left, right, weight = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Edges(np.array(left, np.int64), np.array(right, np.int64), np.array(weight, np.float64))


def partition(
    rows: int, scored: Edges, everything: Edges, certain: Edges | None = None, forbidden: Edges | None = None
) -> list[int]:
    def score_all(left: np.ndarray, right: np.ndarray) -> Edges:
        wanted = set(zip(left.tolist(), right.tolist(), strict=True))
        found = zip(everything.left.tolist(), everything.right.tolist(), strict=True)
        return everything.where(np.array([pair in wanted for pair in found], np.bool_))

    against = forbidden or Edges.none()
    return cluster.partition(rows, scored, certain or Edges.none(), lambda _: against, 0.0, score_all).tolist()


def test_bridge_between_two_people_is_cut() -> None:
    strong = edges((0, 1, 8), (0, 2, 8), (1, 2, 8), (3, 4, 8), (3, 5, 8), (4, 5, 8))
    bridge = edges((2, 3, 1))
    against = edges(*((a, b, -9) for a in (0, 1, 2) for b in (3, 4, 5) if (a, b) != (2, 3)))

    labels = partition(6, strong.plus(bridge), strong.plus(bridge).plus(against))

    assert labels == [0, 0, 0, 3, 3, 3]


def test_chain_holds_where_nothing_contradicts() -> None:
    chain = edges((0, 1, 6), (1, 2, 6))

    assert partition(3, chain, chain.plus(edges((0, 2, -1)))) == [0, 0, 0]


def test_forbidden_pair_is_never_in_one_cluster() -> None:
    full = edges((0, 1, 9), (0, 2, 9), (1, 2, 8))

    labels = partition(3, full, full, forbidden=edges((1, 2, 0)))

    assert labels[1] != labels[2]


def test_a_record_between_two_that_may_not_join_goes_with_the_one_it_agrees_with_best() -> None:
    full = edges(
        (0, 1, 9), (0, 2, 9), (1, 2, 9), (0, 3, 9), (1, 3, 9), (2, 3, 9), (3, 4, 30), (0, 4, 1), (1, 4, 1), (2, 4, 1)
    )

    labels = partition(5, full, full, forbidden=edges((0, 4, 0), (1, 4, 0), (2, 4, 0)))

    assert labels == [0, 0, 0, 3, 3]


def test_one_strong_pair_does_not_outvote_the_others() -> None:
    against = edges(*((a, b, -6) for a in (0, 1) for b in (2, 3) if (a, b) != (1, 2)))
    full = edges((0, 1, 31), (2, 3, 31), (1, 2, 20)).plus(against)

    assert partition(4, full.where(full.weight > 0), full) == [0, 0, 2, 2]


def test_certain_edge_links_despite_a_poor_score() -> None:
    assert partition(2, edges(), edges((0, 1, -3)), certain=edges((0, 1, cluster.CERTAIN))) == [0, 0]


def test_clusters_do_not_depend_on_edge_order() -> None:
    rng = np.random.default_rng(5)
    pairs = [(a, b, float(rng.integers(-6, 9))) for a in range(12) for b in range(a + 1, 12)]
    linked = [pair for pair in pairs if pair[2] >= 0]
    expected = partition(12, edges(*linked), edges(*pairs))

    for _ in range(5):
        shuffled = [linked[i] for i in rng.permutation(len(linked))]
        again = [pairs[i] for i in rng.permutation(len(pairs))]
        assert partition(12, edges(*shuffled), edges(*again)) == expected


def test_giant_component_is_cut_at_its_weakest_edges() -> None:
    size = cluster.LARGEST_COMPONENT
    chain = [(n, n + 1, 9.0) for n in range(2 * size - 1)]
    chain[size - 1] = (size - 1, size, 1.0)

    label = cluster.bounded(2 * size, edges(*chain), np.zeros(2 * size, np.int64))

    assert np.bincount(label).max() == size


def test_a_weak_edge_far_from_where_a_component_is_too_large_stays() -> None:
    size = cluster.LARGEST_COMPONENT
    many = [(n, n + 1, 9.0) for n in range(size - 1)]
    few = [(size, size + 1, 9.0), (size + 1, size + 2, 0.5)]

    label = cluster.bounded(size + 3, edges(*many, *few, (0, size, 5.0)), np.zeros(size + 3, np.int64))

    assert np.bincount(label).tolist()[0] == size
    assert label[size:].tolist() == [size] * 3


def _one_by_one(matrix: np.ndarray, strength: np.ndarray, threshold: float) -> list[int]:
    """Average linkage as a book describes it, one component and one join at a time; the strongest of those that may."""
    groups = [[n] for n in range(len(matrix))]

    def surplus(weights: np.ndarray, a: list[int], b: list[int]) -> float:
        fewer, more = sorted((len(a), len(b)))
        relief = min(cluster.RELIEF + np.log2(more), cluster.MOST_RELIEF) if more > 1 else 0.0
        required = threshold + cluster.SURCHARGE * np.log2(fewer) - relief
        return float(np.mean([weights[i, j] for i in a for j in b]) - required)

    while len(groups) > 1:
        pairs = [
            (surplus(strength, a, b), -n, -m)
            for n, a in enumerate(groups)
            for m, b in enumerate(groups)
            if n < m and surplus(matrix, a, b) >= 0
        ]
        if not pairs:
            break
        _, n, m = max(pairs)
        groups[-n] = sorted(groups[-n] + groups.pop(-m))
    return [min(next(group for group in groups if n in group)) for n in range(len(matrix))]


def test_components_of_one_size_are_refined_together_as_each_would_be_alone() -> None:
    rng = np.random.default_rng(2)
    for size in (2, 3, 5, 9):
        upper = np.triu(rng.normal(0, 5, (60, size, size)), 1)
        matrices = upper + upper.transpose(0, 2, 1)

        limited = np.minimum(matrices, cluster.CLIP)

        first = cluster.agglomerate(limited, matrices, -1.0)

        assert first.tolist() == [
            _one_by_one(matrix, strength, -1.0) for matrix, strength in zip(limited, matrices, strict=True)
        ]
        assert len({tuple(row) for row in first.tolist()}) > 1


def test_refinement_in_portions_gives_what_one_portion_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    label = np.repeat(np.arange(0, 400, 4), 4)
    left, right = cluster.all_pairs(label, np.ones(400, np.bool_))
    inside = Edges(left, right, rng.normal(0, 5, len(left)))
    everything = np.ones(400, np.bool_)
    whole = cluster.refined(label, everything, inside, Edges.none(), Edges.none(), 0.0)

    monkeypatch.setattr(cluster, "CELLS", 48)

    assert cluster.refined(label, everything, inside, Edges.none(), Edges.none(), 0.0).tolist() == whole.tolist()
    assert len(left) == 100 * 6
