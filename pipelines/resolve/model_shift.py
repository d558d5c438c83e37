"""How far two match models lie apart, and whether the data tell them apart at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.compiled import UNLISTED
from pipelines.resolve.threshold import probability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.resolve.model import MatchModel, Weighted

TELLING_BITS = 1.0
"""A step of the thresholds to choose from: what moves weights by less, all told, does not tell two models apart."""


@dataclass(frozen=True)
class Shift:
    """By how many bits the weight of a match, and of a pair of strangers, moves on average; every part counted as it moves.

    ``other``: what the models do not have in common, so that no number can be compared.
    ``threshold``: whether the older threshold is one that the newer model cannot tell from its own.
    """

    matches: float
    strangers: float
    threshold: bool
    other: tuple[str, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether the newer model says something that the older one does not."""
        return bool(self.other) or not self.threshold or max(self.matches, self.strangers) >= TELLING_BITS


def shift(older: MatchModel, newer: MatchModel) -> Shift:
    """Compare what two models say of a pair: prior, probabilities of every level, term frequencies, threshold.

    The mean is taken over the levels as often as the newer model expects them. Blocking keys are left out: which pairs
    they find is seen in what the models decide.
    """
    other = tuple(part for part in ("entity", "origin", "features", "policy_version") if _differ(older, newer, part))
    if [_shape(item) for item in older.comparisons] != [_shape(item) for item in newer.comparisons]:
        other += ("comparisons",)
    if other:
        return Shift(0.0, 0.0, threshold=True, other=other)
    frequencies = {column: _frequency_shift(older, newer, column) for column in newer.frequencies}
    start = abs(_log_odds(newer.prior) - _log_odds(older.prior))
    both = np.array([start, start])
    for before, now in zip(older.comparisons, newer.comparisons, strict=True):
        for (level, m, u), (_, m_now, u_now) in zip(before.levels, now.levels, strict=True):
            if m_now and u_now and m and u:
                bits = abs(math.log2(m_now / u_now) - math.log2(m / u)) + frequencies.get(level.tf or "", 0.0)
                both += np.array([m_now, u_now]) * bits
    matches, strangers = (round(float(bits), 4) for bits in both)
    return Shift(matches, strangers, threshold=_same_threshold(older, newer))


def _differ(older: MatchModel, newer: MatchModel, part: str) -> bool:
    return bool(getattr(older, part) != getattr(newer, part))


def _shape(item: Weighted) -> tuple[object, ...]:
    """Return what a comparison tests; its built-in probabilities count with the numbers that they were blended into."""
    return item.name, item.origin, tuple((level.label, level.check, level.tf) for level, _, _ in item.levels)


def _frequency_shift(older: MatchModel, newer: MatchModel, column: str) -> float:
    before, now = (model.frequencies.get(column, {UNLISTED: 1.0}) for model in (older, newer))
    listed = {value: share for value, share in now.items() if value != UNLISTED}
    moved = sum(share * abs(math.log2(share / before.get(value, before[UNLISTED]))) for value, share in listed.items())
    return moved + max(0.0, 1 - sum(listed.values())) * abs(math.log2(now[UNLISTED] / before[UNLISTED]))


def _same_threshold(older: MatchModel, newer: MatchModel) -> bool:
    report: Mapping[str, float] = newer.report
    chance = round(float(probability(np.array(older.threshold))), 4)
    return older.threshold == newer.threshold or (
        report.get("threshold_low", 2.0) <= chance <= report.get("threshold_high", -1.0)
    )


def _log_odds(chance: float) -> float:
    return math.log2(chance / (1 - chance))
