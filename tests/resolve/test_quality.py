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
from tests.benchmarks.bench_shared import measure
from tests.resolve.people import resolve

if TYPE_CHECKING:
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
def test_five_runs_give_one_hash() -> None:
    records = read_records(SHARED / "fake_1000" / "records.csv", "person", source="bench")
    hashes = set()
    for _ in range(5):
        found = resolve(records)
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


def test_a_short_form_stands_for_the_names_it_belongs_to() -> None:
    forms = full_names()

    assert "robert" in forms["bob"]
    assert "robert" in forms["robert"]
    assert not set(forms["ted"]) & set(forms["bob"])
    assert {"alexander", "alexandra"} <= set(forms["alex"])
