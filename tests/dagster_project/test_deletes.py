"""Dagster's check ``deletes``: what waits for a person is an error with what to do; orphans are a warning."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from dagster_project import watch
from pipelines.report import StageReport

KEY = dg.AssetKey(["toy", "people"])
WAITS = {"marked": 60, "deleted": 0, "live": 100, "fuse": 50, "waiting": 60}
ORPHANS = {"deleted": 0, "live": 3, "fuse": 50, "orphaned": 2}


@pytest.mark.parametrize(
    ("told", "passed", "severity", "do"),
    [
        ({}, True, "WARN", ""),
        ({"marked": 3, "deleted": 3, "live": 100, "fuse": 50}, True, "WARN", ""),
        (WAITS, False, "ERROR", "unisono sync --accept-deletes toy/people"),
        (ORPHANS, False, "WARN", "with_parent"),
        ({**WAITS, **ORPHANS, "waiting": 60}, False, "ERROR", "--accept-deletes"),
    ],
)
def test_the_check_tells_what_the_load_found(told: dict[str, Any], passed: bool, severity: str, do: str) -> None:
    report = StageReport("extract", "toy", "people", completeness="COMPLETE", details={"deletes": told} if told else {})

    check = watch.deletes(KEY, report)

    assert (check.passed, check.severity.name) == (passed, severity)
    assert {name: value.value for name, value in check.metadata.items() if name != "do"} == told
    assert do in str(check.metadata.get("do", dg.MetadataValue.text("")).value)
