"""What the accuracy rests on: an own threshold near the best one, nothing merged by what is shared, the same result every run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipelines.resolve import bench_identity
from pipelines.resolve.edges import Edges
from pipelines.resolve.read_csv import read_records
from pipelines.resolve.short_forms import full_names
from pipelines.resolve.threshold import GRID, choose_threshold
from pipelines.resolve.witnesses import Witnesses
from tests.benchmarks.bench_ids import measure as kept
from tests.benchmarks.bench_shared import measure
from tests.benchmarks.splink_docs import measure as splink
from tests.resolve.people import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.resolve.edges import Ints

SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"
BARS = {"fake_1000": 0.95, "febrl1": 0.998, "chicago_ecp_orgs": 0.9}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BARS))
def test_the_threshold_chosen_without_labels_is_near_the_best(name: str) -> None:
    line = bench_identity(SHARED / name, sweep=True)

    assert float(str(line["pairwise_f1"])) >= BARS[name]
    assert float(str(line["pairwise_f1"])) >= float(str(line["best_f1"])) - 0.01
    assert 0 < float(str(line["best_threshold"])) < 1


@pytest.mark.slow
def test_planted_shared_values_merge_nobody_and_cost_no_recall() -> None:
    found = measure(values=60, count=1_500, seed=3)

    assert found["wrong merges"] == 0
    assert found["share of normal recall"] >= 0.99
    assert found["normal recall"] > 0.9
    assert found["shared by at most"] >= 100


@pytest.mark.slow
def test_ids_are_kept_over_order_new_records_and_training() -> None:
    found = kept(count=1_500, seed=7)

    for cause in ("equal rows in another order", "trained anew on equal rows"):
        assert (found[cause]["kept"], found[cause]["ids gone"]) == (1.0, 0.0)
    assert found["1 % more records, same model"]["kept of the untouched"] == 1.0
    assert all(line["kept"] >= 0.995 for line in found.values())


@pytest.mark.slow
def test_splink_of_the_docs_runs_beside_ours_on_the_same_rows() -> None:
    found = splink(SHARED / "febrl1")

    assert 0.99 <= found["splink_pairwise_f1"] <= 1
    assert found["splink_largest_cluster"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fake_1000", "febrl3"])
def test_five_runs_give_one_hash(name: str) -> None:
    """Model, partition and evidence are the same to the last bit, in whatever order the rows come."""
    records = read_records(SHARED / name / "records.csv", "person", source="bench")
    hashes = set()
    for run in range(5):
        order = np.random.default_rng(run).permutation(records.num_rows) if run else np.arange(records.num_rows)
        found = resolve(records.take(order))
        told = found.model.to_json(), found.labels.tolist(), found.evidence.to_pylist()
        hashes.add(hashlib.sha256(repr(told).encode()).hexdigest())

    assert len(hashes) == 1
    assert found.model.origin == "learned"


def _world(noise: float) -> tuple[int, Edges]:
    """Pairs of records: clear matches, and as many doubtful ones as ``noise`` says."""
    clear, doubtful = 200, int(200 * noise)
    left = np.arange(0, 2 * (clear + doubtful), 2)
    weight = np.concatenate((np.full(clear, 12.0), np.full(doubtful, 0.5)))
    return 2 * (clear + doubtful), Edges(left, left + 1, np.random.default_rng(5).permutation(weight))


def _no_others(left: Ints, right: Ints) -> Edges:
    return Edges(left, right, np.full(len(left), -10.0))


def test_the_threshold_is_reported_with_how_sure_it_is() -> None:
    rows, scored = _world(noise=1.5)

    chosen, report = choose_threshold(rows, scored, _no_others)

    assert chosen in GRID
    assert report["threshold_low"] <= 1 / (1 + 2**-chosen) <= report["threshold_high"]
    assert 0 < report["expected_f1_error"] < 0.2
    assert report["expected_f1"] <= report["best_expected_f1"]


def test_without_a_doubtful_pair_there_is_little_to_be_unsure_of() -> None:
    _, sure = choose_threshold(*_world(noise=0.0), _no_others)
    _, unsure = choose_threshold(*_world(noise=1.5), _no_others)

    assert sure["expected_f1_error"] < unsure["expected_f1_error"]
    assert sure["expected_precision"] > unsure["expected_precision"]


def _halves(late: float, *, bridged: bool, count: int = 200) -> tuple[int, Edges, Callable[[Ints, Ints], Edges]]:
    """Two halves of three records each, strong within; across they agree as weakly as ``late`` says and in one pair not at all.

    ``bridged``: one pair across is strong too, so that each record has a strong partner in common with the other half.
    """
    weights: dict[tuple[int, int], float] = {}
    for first in range(0, 6 * count, 6):
        pairs = [
            (a, b) for a in range(first, first + 6) for b in range(a + 1, first + 6) if (a, b) != (first, first + 3)
        ]
        weights |= {(a, b): late if a - first < 3 <= b - first else 9.0 for a, b in pairs}
        weights |= {(first + 2, first + 3): 9.0} if bridged else {}

    def score_all(left: Ints, right: Ints) -> Edges:
        return Edges(
            left, right, np.array([weights.get(pair, -9.0) for pair in zip(left.tolist(), right.tolist(), strict=True)])
        )

    left, right = (np.array([pair[side] for pair in weights], np.int64) for side in (0, 1))
    return 6 * count, Edges(left, right, np.array(list(weights.values()))), score_all


def test_third_records_say_which_pairs_are_right() -> None:
    rows, scored, _ = _halves(late=-1.0, bridged=True)
    known, right = Witnesses.of(rows, scored).hear(np.array([0, 2, 1, 0]), np.array([5, 4, 3, 7]))
    _, alone = Witnesses.of(*_halves(late=-1.0, bridged=False)[:2]).hear(np.array([0, 2]), np.array([5, 4]))

    assert known.tolist() == [True, True, True, True]
    assert right.tolist() == [False, True, True, False]
    assert not alone.any()


def test_a_lower_threshold_is_chosen_where_third_records_bear_it_out_and_only_there() -> None:
    bold, report = choose_threshold(*_halves(late=-1.0, bridged=True))
    careful, doubted = choose_threshold(*_halves(late=-0.3, bridged=False))

    assert bold == -1.0
    assert careful == 0.0
    assert report["witnessed_pairs"] == doubted["witnessed_pairs"] == 200 * 9
    assert doubted["expected_precision"] > 0.9


def test_a_short_form_stands_for_the_names_it_belongs_to() -> None:
    forms = full_names()

    assert "robert" in forms["bob"]
    assert "robert" in forms["robert"]
    assert not set(forms["ted"]) & set(forms["bob"])
    assert {"alexander", "alexandra"} <= set(forms["alex"])
