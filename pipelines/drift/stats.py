"""The tests behind an alarm. Each threshold is stated here; none of them cries on a handful of records.

``novel`` and ``gone`` are exact (hypergeometric); rates need both a large effect and z >= 5; distributions a
Kolmogorov distance that is both large and significant at about 1e-5.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from math import exp, lgamma, sqrt

from pipelines.drift.model import Sketch

NOVEL_P = 0.01
GONE_P = 1e-5
MIN_RECORDS = 100
FILL_EFFECT, FILL_Z = 0.15, 5.0
SHARE_EFFECT = 0.2
DISTANCE, DISTANCE_FACTOR = 0.2, 2.5


def novel(seen: int, now: int, before: int) -> float:
    """Return how likely it is that all ``seen`` cases fall among ``now`` trials and none among ``before``, by chance."""
    if seen <= 0 or now <= 0:
        return 1.0
    seen = min(seen, now)
    return exp(lgamma(now + 1) - lgamma(now - seen + 1) - lgamma(now + before + 1) + lgamma(now + before - seen + 1))


def gone(seen: int, before: int, now: int) -> float:
    """Return how likely it is that none of ``seen`` cases in ``before + now`` trials falls among ``now``, by chance."""
    return novel(seen, before, now)


def rates_differ(part: int, whole: int, other_part: int, other_whole: int, *, effect: float, z: float = FILL_Z) -> bool:
    """Return whether two shares differ by at least ``effect`` and by ``z`` standard errors, on enough records."""
    if min(whole, other_whole) < MIN_RECORDS:
        return False
    one, other = part / whole, other_part / other_whole
    pooled = (part + other_part) / (whole + other_whole)
    error = sqrt(pooled * (1 - pooled) * (1 / whole + 1 / other_whole))
    return abs(one - other) >= effect and error > 0 and abs(one - other) / error >= z


def shares_differ(before: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Return whether the shares of a short list of words have moved: together by SHARE_EFFECT, one of them surely."""
    old, new = sum(before.values()), sum(now.values())
    if min(old, new) < MIN_RECORDS:
        return False
    words = {**before, **now}
    moved = sum(abs(now.get(word, 0) / new - before.get(word, 0) / old) for word in words) / 2
    sure = any(rates_differ(now.get(word, 0), new, before.get(word, 0), old, effect=SHARE_EFFECT / 2) for word in words)
    return moved >= SHARE_EFFECT and sure


def distance(before: Sketch, now: Sketch) -> float:
    """Return the Kolmogorov distance of two sketches: the largest gap between the shares below any value."""
    old, new = before[1], now[1]
    points = sorted({*old, *new})
    return max(abs(bisect_right(old, point) / len(old) - bisect_right(new, point) / len(new)) for point in points)


def distributions_differ(before: Sketch | None, now: Sketch | None) -> bool:
    """Return whether two sketches are of different distributions: far apart, and more than chance allows."""
    if before is None or now is None or min(before[0], now[0]) < MIN_RECORDS:
        return False
    chance = DISTANCE_FACTOR * sqrt((before[0] + now[0]) / (before[0] * now[0]))
    return distance(before, now) >= max(DISTANCE, chance)
