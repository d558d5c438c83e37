"""Prior and threshold from the scores alone: no labels, no setting per data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve import cluster
from pipelines.resolve.cluster import Edges

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipelines.resolve.cluster import Floats, Ints

    Flags = NDArray[np.bool_]

GRID = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
BAYES = 0.0
"""Weight of a pair that is a match as likely as not: by it the chances of what clusters hold are judged."""
TOLERANCE = 0.005
SAMPLED_COMPONENTS = 4_000
ROUNDS = 30
PARTS = 20
ERRORS = 2.0


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

    The model's own probabilities say what is expected: the chance of each pair that a clustering would join, where the
    other records of a cluster speak for a pair as well as its own score. The report says how sure that is: the standard
    error of the expected F1, and the thresholds that cannot be told from the best one.
    """
    seen = _Seen.of(rows, scored, score_all)
    expected = {t: seen.expected(t) for t in GRID}
    best = max(found.f1 for found in expected.values())
    chosen = min(t for t, found in expected.items() if found.f1 >= best - TOLERANCE)
    unclear = [t for t, found in expected.items() if found.f1 >= best - max(TOLERANCE, ERRORS * found.error)]
    found = expected[chosen]
    return chosen, {
        "expected_precision": round(found.precision, 4),
        "expected_recall": round(found.recall, 4),
        "expected_f1": round(found.f1, 4),
        "expected_f1_error": round(found.error, 4),
        "best_expected_f1": round(best, 4),
        "threshold_low": round(float(probability(np.array(min(unclear)))), 4),
        "threshold_high": round(float(probability(np.array(max(unclear)))), 4),
    }


@dataclass(frozen=True)
class Expected:
    """What a threshold promises, and the standard error of its F1."""

    precision: float
    recall: float
    f1: float
    error: float

    @staticmethod
    def of(right: Floats, joined: Floats, true: Floats) -> Expected:
        """Return the estimates of counts that come in parts: right pairs, joined pairs, and pairs that match."""
        totals = [float(part.sum()) for part in (right, joined, true)]
        without = [_f1(*(all_ - part for all_, part in zip(totals, parts, strict=True)))
                   for parts in zip(right, joined, true, strict=True)]  # fmt: skip
        count, centre = len(without), sum(without) / len(without)
        spread = sum((value - centre) ** 2 for value in without) * (count - 1) / count
        return Expected(
            totals[0] / max(totals[1], 1), totals[0] / max(totals[2], 1e-9), _f1(*totals), float(np.sqrt(spread))
        )


def _f1(right: float, joined: float, true: float) -> float:
    return 2 * right / max(joined + true, 1e-9)


@dataclass(frozen=True)
class _Seen:
    """The scored pairs by what decides them: ``clear`` ones by themselves, those ``inside`` sampled components together."""

    label: Ints
    sampled: Flags
    inside: Edges
    clear: Edges
    share: float
    chance: Floats

    @staticmethod
    def of(rows: int, scored: Edges, score_all: Callable[[Ints, Ints], Edges]) -> _Seen:
        """Look at the components of the lowest threshold."""
        accepted = scored.where(scored.weight >= GRID[0])
        label = cluster.bounded(rows, accepted, cluster.components(rows, accepted.left, accepted.right))
        doubtful = cluster.doubtful(rows, label, accepted, Edges.none())
        sampled = _sample(label, doubtful)
        inside = score_all(*cluster.all_pairs(label, sampled)) if sampled.any() else Edges.none()
        clear = scored.where(~doubtful[scored.left] | ~doubtful[scored.right])
        supported = cluster.supported(_refined(label, sampled, inside, BAYES), inside)
        share = float(doubtful.sum() / max(sampled.sum(), 1))
        return _Seen(label, sampled, inside, clear, share, probability(supported))

    def expected(self, threshold: float) -> Expected:
        """Return what is expected of a threshold."""
        refined = _refined(self.label, self.sampled, self.inside, threshold)
        within = refined[self.inside.left] == refined[self.inside.right]
        kept, sure = self.clear.weight >= threshold, probability(self.clear.weight)
        return Expected.of(
            self._parts(self.chance * within, sure * kept),
            self._parts(within.astype(np.float64), kept.astype(np.float64)),
            self._parts(self.chance, sure),
        )

    def _parts(self, inside: Floats, clear: Floats) -> Floats:
        """Add up by component, in parts: what one component holds is not independent."""
        return np.asarray(
            self.share * np.bincount(self.label[self.inside.left] % PARTS, inside, PARTS)
            + np.bincount(self.label[self.clear.left] % PARTS, clear, PARTS)
        )


def _refined(label: Ints, sampled: Flags, inside: Edges, threshold: float) -> Ints:
    return cluster.refined(label, sampled, inside, Edges.none(), Edges.none(), threshold) if len(inside) else label


def _sample(label: Ints, doubtful: Flags) -> Flags:
    """Every k-th doubtful component, by its first record."""
    found = np.unique(label[doubtful])
    step = max(1, len(found) // SAMPLED_COMPONENTS)
    return np.asarray(doubtful & np.isin(label, found[::step]))
