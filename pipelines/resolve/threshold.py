"""Prior and threshold from the scores alone: no labels, no setting per data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve import cluster
from pipelines.resolve.cluster import Edges

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.resolve.cluster import Floats, Ints

GRID = (0.0, 1.0, 2.0, 3.0, 4.0)
TOLERANCE = 0.005
SAMPLED_COMPONENTS = 4_000
ROUNDS = 30


def estimate_prior(weights: Floats, prior: float, rows: int, share: int = 1) -> float:
    """Return the probability that two random records match under which the scores sum up to it (EM on the prior).

    ``weights`` are those of every ``share``-th pair.
    """
    pairs = rows * (rows - 1) / 2
    if not len(weights) or not pairs:
        return prior
    factors = weights - np.log2(prior / (1 - prior))
    lowest, current = 1 / pairs, prior
    for _ in range(ROUNDS):
        total = probability(factors + np.log2(current / (1 - current))).sum() * share
        current = float(min(max(total / pairs, lowest), 0.2))
    return float(f"{current:.4g}")


def probability(weight: Floats) -> Floats:
    """Return the match probabilities of match weights."""
    return np.asarray(1 / (1 + np.exp2(-np.clip(weight, -60, 60))))


def choose_threshold(
    rows: int, scored: Edges, score_all: Callable[[Ints, Ints], Edges]
) -> tuple[float, dict[str, float]]:
    """Return the lowest threshold whose expected pairwise F1 is within the tolerance of the best, and the estimates.

    The model's own probabilities say what is expected: the chance of each pair that a clustering would join.
    """
    accepted = scored.where(scored.weight >= GRID[0])
    label = cluster.bounded(rows, accepted, cluster.components(rows, accepted.left, accepted.right))
    doubtful = cluster.doubtful(rows, label, accepted, Edges.none())
    sampled = _sample(label, doubtful)
    inside = score_all(*cluster.all_pairs(label, sampled)) if sampled.any() else Edges.none()
    clear = scored.where(~doubtful[scored.left] | ~doubtful[scored.right])
    share = doubtful.sum() / max(sampled.sum(), 1)
    expected = {t: _expected(t, label, sampled, inside, clear, float(share)) for t in GRID}
    best = max(f1 for _, _, f1 in expected.values())
    chosen = min(t for t, (_, _, f1) in expected.items() if f1 >= best - TOLERANCE)
    precision, recall, f1 = expected[chosen]
    return chosen, {
        "expected_precision": round(precision, 4),
        "expected_recall": round(recall, 4),
        "expected_f1": round(f1, 4),
        "best_expected_f1": round(best, 4),
    }


def _sample(
    label: Ints, doubtful: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Every k-th doubtful component, by its first record."""
    found = np.unique(label[doubtful])
    step = max(1, len(found) // SAMPLED_COMPONENTS)
    return np.asarray(doubtful & np.isin(label, found[::step]))


def _expected(
    threshold: float,
    label: Ints,
    sampled: np.ndarray[tuple[int], np.dtype[np.bool_]],
    inside: Edges,
    clear: Edges,
    share: float,
) -> tuple[float, float, float]:
    refined = cluster.refined(label, sampled, inside, Edges.none(), Edges.none(), threshold) if len(inside) else label
    within, kept = inside.where(refined[inside.left] == refined[inside.right]), clear.where(clear.weight >= threshold)
    right = share * probability(within.weight).sum() + probability(kept.weight).sum()
    joined = share * len(within) + len(kept)
    true = share * probability(inside.weight).sum() + probability(clear.weight).sum()
    return float(right / max(joined, 1)), float(right / max(true, 1e-9)), float(2 * right / max(joined + true, 1e-9))
