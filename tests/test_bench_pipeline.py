"""The pipeline benchmark measures a run that is right: landed payloads become the people they are about."""

from __future__ import annotations

import pytest

from pipelines.bench_pipeline import bench_pipeline

KEYS = {
    "records", "seconds", "stages", "records_per_second", "peak_memory_mb", "splink_seconds", "rerun_seconds",
    "golden_people",
}  # fmt: skip


@pytest.mark.slow
def test_landed_payloads_become_about_as_many_golden_people_as_the_world_has():
    result = bench_pipeline(2_000)

    assert result.keys() >= KEYS
    assert set(result["stages"]) == {"normalise", "resolve", "golden"}
    assert result["records"] == pytest.approx(2_000, rel=0.05)
    assert result["golden_people"] == pytest.approx(result["true_people"], rel=0.4)
    assert result["pairwise_precision"] >= 0.9
