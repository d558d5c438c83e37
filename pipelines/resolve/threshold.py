"""Prior and threshold from the scores alone: no labels, no setting per data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve import cluster
from pipelines.resolve.cluster import Edges
from pipelines.resolve.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pipelines.resolve.cluster import Floats, Ints

    Flags = NDArray[np.bool_]

GRID = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
"""Thresholds to choose from: none below the least weight that the ledger keeps, nor near that of a doubtful pair."""
BAYES = 0.0
"""Weight of a pair that is a match as likely as not: by it the chances of what clusters hold are judged."""
MODEL_WORTH = 30.0
"""The model's own word on what a step joins is worth so many witnessed pairs."""
TOLERANCE = 0.002
SAMPLED_COMPONENTS = 4_000
ROUNDS = 30
PARTS = 20
ERRORS = 2.0


def estimate_prior(weights: Floats, prior: float, rows: int, share: float = 1.0) -> float:
    """Return the probability that two random records match under which the scores sum up to it (EM on the prior).

    Each of the ``weights`` stands for ``share`` pairs.
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
    """Return the threshold nearest to even odds whose expected pairwise F1 is as good as the best, and the estimates.

    What a step from one threshold to the next lower one joins is right as often as third records bear witness for it
    (``witnesses``); where they know little, as often as the model's own probabilities say, the other records of a cluster
    speaking for a pair as well as its own score. The report says how sure that is: the standard error of the expected F1,
    the thresholds that cannot be told from the best one, and how many pairs were witnessed.
    """
    steps = _steps(rows, scored, score_all)
    expected = dict(zip(reversed(GRID), steps.expected(), strict=True))
    best = max(found.f1 for found in expected.values())
    chosen = min((t for t, found in expected.items() if found.f1 >= best - TOLERANCE), key=lambda t: (abs(t), -t))
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
        "witnessed_pairs": round(float(steps.known.sum())),
    }


@dataclass(frozen=True)
class Expected:
    """What a threshold promises, and the standard error of its F1."""

    precision: float
    recall: float
    f1: float
    error: float


@dataclass(frozen=True)
class _Steps:
    """Pairs by the highest threshold that joins them (a row each, none of them last) and by part (a column each).

    ``joined`` pairs of doubtful components with their summed ``chance``, of which witnesses ``known`` so many and call so
    many ``right``; ``sure`` pairs of components without a doubt with their summed chance, ``sure_chance``. Those of
    sampled components stand for ``share`` times as many.
    """

    joined: Floats
    chance: Floats
    known: Floats
    right: Floats
    sure: Floats
    sure_chance: Floats
    share: float

    def expected(self) -> list[Expected]:
        """Return what is expected of each threshold, highest first; the error is a jackknife over the parts."""
        whole = self._totals(np.ones(PARTS))
        without = np.array([_f1(*self._totals(np.arange(PARTS) != part)) for part in range(PARTS)])
        errors = np.sqrt(np.square(without - without.mean(axis=0)).sum(axis=0) * (PARTS - 1) / PARTS)
        right, joined, true = whole
        return [
            Expected(*map(float, found))
            for found in zip(right / np.maximum(joined, 1), right / np.maximum(true, 1e-9), _f1(*whole), errors, strict=True)
        ]  # fmt: skip

    def _totals(self, parts: Floats | Flags) -> tuple[Floats, Floats, Floats]:
        """Return right, joined and true pairs of each threshold, of some of the parts."""
        joined, chance, known, right = (each @ parts for each in (self.joined, self.chance, self.known, self.right))
        model = chance / np.maximum(joined, 1)
        precision = (right + MODEL_WORTH * model) / (known + MODEL_WORTH)
        matching = self.share * np.where(joined > 0, joined * precision, 0) + self.sure_chance @ parts
        matching[-1] = self.share * chance[-1] + (self.sure_chance @ parts)[-1]
        whole = self.share * joined + self.sure @ parts
        return np.cumsum(matching[:-1]), np.cumsum(whole[:-1]), np.full(len(GRID), matching.sum())


def _f1(right: Floats, joined: Floats, true: Floats) -> Floats:
    return np.asarray(2 * right / np.maximum(joined + true, 1e-9))


def _steps(rows: int, scored: Edges, score_all: Callable[[Ints, Ints], Edges]) -> _Steps:
    """Look at the components of the lowest threshold: doubtful ones, or a sample of them, are judged as wholes."""
    accepted = scored.where(scored.weight >= GRID[0])
    label = cluster.bounded(rows, accepted, cluster.components(rows, accepted.left, accepted.right))
    doubtful = cluster.doubtful(rows, label, accepted, Edges.none())
    sampled = _sample(label, doubtful)
    inside = score_all(*cluster.all_pairs(label, sampled)) if sampled.any() else Edges.none()
    clear = scored.where(~doubtful[scored.left] | ~doubtful[scored.right])
    partitions = {threshold: _refined(label, sampled, inside, threshold) for threshold in GRID}
    step, sure_step = _step(partitions, inside), len(GRID) - np.searchsorted(GRID, clear.weight, side="right")
    chance = probability(cluster.supported(partitions[BAYES], inside))
    known, right = _heard(Witnesses.of(rows, scored), inside, step)
    part, sure_part = label[inside.left] % PARTS, label[clear.left] % PARTS
    return _Steps(
        joined=_table(step, part), chance=_table(step, part, chance), known=_table(step, part, known),
        right=_table(step, part, right), sure=_table(sure_step, sure_part),
        sure_chance=_table(sure_step, sure_part, probability(clear.weight)),
        share=float(doubtful.sum() / max(sampled.sum(), 1)),
    )  # fmt: skip


def _step(partitions: Mapping[float, Ints], inside: Edges) -> Ints:
    """Return of each pair the place of the highest threshold whose partition joins it, counted from the highest one."""
    step = np.full(len(inside), len(GRID))
    for place, threshold in reversed(list(enumerate(reversed(GRID)))):
        label = partitions[threshold]
        step[label[inside.left] == label[inside.right]] = place
    return step


def _heard(witnesses: Witnesses, inside: Edges, step: Ints) -> tuple[Flags, Flags]:
    """Ask the witnesses about what steps join; what every threshold joins, or none, makes no difference between them."""
    asked = np.flatnonzero((step > 0) & (step < len(GRID)))
    known, right = np.zeros(len(inside), np.bool_), np.zeros(len(inside), np.bool_)
    known[asked], right[asked] = witnesses.hear(inside.left[asked], inside.right[asked])
    return known, right


def _table(step: Ints, part: Ints, amount: Floats | Flags | None = None) -> Floats:
    """Add up by step and part: what one component holds is not independent, so a part holds whole components."""
    count = len(GRID) + 1
    found = np.bincount(step * PARTS + part, amount, count * PARTS)
    return np.asarray(found, np.float64).reshape(count, PARTS)


def _refined(label: Ints, sampled: Flags, inside: Edges, threshold: float) -> Ints:
    return cluster.refined(label, sampled, inside, Edges.none(), Edges.none(), threshold) if len(inside) else label


def _sample(label: Ints, doubtful: Flags) -> Flags:
    """Every k-th doubtful component, by its first record."""
    found = np.unique(label[doubtful])
    step = max(1, len(found) // SAMPLED_COMPONENTS)
    return np.asarray(doubtful & np.isin(label, found[::step]))
