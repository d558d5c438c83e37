"""How far two models lie apart is counted in bits of a pair's weight; what the data cannot tell apart is said to be one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipelines.resolve.comparisons import Level
from pipelines.resolve.compiled import UNLISTED
from pipelines.resolve.features import Feature
from pipelines.resolve.model import MatchModel, Weighted
from pipelines.resolve.model_shift import TELLING_BITS, shift

LEVELS = (Level("missing", None, 0, 0), Level("equal", None, 0.8, 0.01, "family"), Level("else", None, 0.2, 0.99))
MISSING, EQUAL, ELSE = LEVELS


def family(m: float, u: float) -> Weighted:
    return Weighted("family", ((MISSING, 0.0, 0.0), (EQUAL, m, u), (ELSE, 1 - m, 1 - u)))


MODEL = MatchModel(
    entity="person", origin="learned", prior=0.001, threshold=0.0, comparisons=(family(0.8, 0.01),), features=(),
    frequencies={"family": {UNLISTED: 0.001, "ab": 0.25}}, atoms=(), keys=(), rows=100, policy_version=1,
    report={"threshold_low": 0.2, "threshold_high": 0.6667},
)  # fmt: skip


def test_equal_models_lie_nowhere_apart() -> None:
    same = shift(MODEL, MODEL)

    assert (same.matches, same.strangers, same.tells) == (0.0, 0.0, False)


def test_each_level_counts_as_often_as_the_newer_model_expects_it() -> None:
    found = shift(MODEL, replace(MODEL, comparisons=(family(0.4, 0.01),)))

    halved, trebled = 1.0, math.log2(0.6 / 0.2)
    assert found.matches == pytest.approx(0.4 * halved + 0.6 * trebled, abs=1e-4)
    assert found.strangers == pytest.approx(0.01 * halved + 0.99 * trebled, abs=1e-4)
    assert found.tells


def test_what_moves_up_does_not_make_up_for_what_moves_down() -> None:
    both = replace(MODEL, comparisons=(family(0.8, 0.02),), prior=0.002 / 1.001)

    assert shift(MODEL, both).matches == pytest.approx(1.0 + 0.8 * 1.0 + 0.2 * math.log2(0.99 / 0.98), abs=1e-3)


def test_a_frequency_counts_where_a_level_reads_it_and_a_new_common_value_beside_the_rare_one_it_was() -> None:
    newer = replace(MODEL, frequencies={"family": {UNLISTED: 0.002, "ab": 0.25, "cd": 0.125}})

    found = shift(MODEL, newer)

    moved = 0.125 * math.log2(0.125 / 0.001) + (1 - 0.375) * 1.0
    assert found.matches == pytest.approx(0.8 * moved, abs=1e-4)
    assert found.strangers == pytest.approx(0.01 * moved, abs=1e-4)


def test_small_moves_do_not_tell_models_apart() -> None:
    newer = replace(MODEL, comparisons=(family(0.79, 0.011),), prior=0.0011)

    assert 0 < shift(MODEL, newer).matches < TELLING_BITS
    assert not shift(MODEL, newer).tells


@pytest.mark.parametrize(("threshold", "tells"), [(-2.0, False), (1.0, False), (2.0, True)])
def test_a_threshold_tells_where_the_newer_model_can_tell_it_from_its_own(threshold: float, *, tells: bool) -> None:
    assert shift(replace(MODEL, threshold=threshold), MODEL).tells is tells


def test_without_a_report_another_threshold_tells() -> None:
    assert shift(replace(MODEL, threshold=1.0), replace(MODEL, report={})).tells
    assert not shift(MODEL, replace(MODEL, report={})).tells


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"origin": "built-in"}, "origin"),
        ({"policy_version": 2}, "policy_version"),
        ({"entity": "organization"}, "entity"),
        ({"comparisons": (replace(family(0.8, 0.01), origin="built-in"),)}, "comparisons"),
        ({"comparisons": ()}, "comparisons"),
        ({"features": (Feature("family", "family", "family_name"),)}, "features"),
    ],
)
def test_models_of_another_make_are_told_apart_by_what_they_do_not_share(other: dict[str, object], named: str) -> None:
    found = shift(MODEL, replace(MODEL, **other))  # type: ignore[arg-type]

    assert found.other == (named,)
    assert found.tells


def test_blocking_keys_and_row_counts_are_no_numbers_of_a_weight() -> None:
    assert not shift(MODEL, replace(MODEL, keys=(("a",),), rows=1_000)).tells
