"""Checks that look ahead: a broken account fails loudly, drift and announcements stay until somebody has seen them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines import extract
from pipelines.store import accounting, profiles
from tests._hub import Hub
from tests.dagster_project.test_runs import ADA, _run, _vendor, dagster_hub, instance  # noqa: F401  fixtures

pytestmark = pytest.mark.slow  # each goes through whole stages


def _checks(result: dg.ExecuteInProcessResult, stream: str = "people") -> dict[str, dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {one.check_name: one for one in found if one.asset_key.path[1] == stream}


def _serve(hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> None:
    async def read_stream(stream: Any, *_: Any, **__: Any):
        yield hub.page(records if stream.name == "people" else [], stream=stream.name)

    monkeypatch.setattr(extract, "read_stream", read_stream)


def test_a_broken_account_fails_the_step_and_its_check_and_commits_nothing(
    dagster_hub: Hub, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    right = accounting.check_segment

    def forgetful(part: Any, *, where: str) -> None:
        counts = {**part.counts, "wire": part.counts["wire"] + 1}
        right(part.__class__(**{**part.__dict__, "counts": counts}), where=where)

    monkeypatch.setattr(accounting, "check_segment", forgetful)

    result = _run(dagster_hub, "ingest", instance)

    check = _checks(result)["accounting"]
    failed = next(event for event in result.all_events if event.is_step_failure and event.step_key == "toy__people")
    assert (result.success, check.passed, check.severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    assert "2 records came over the wire, 1 are accounted for" in failed.step_failure_data.user_failure_data.description
    assert dagster_hub.store.query("SELECT * FROM v1_person").rows == []


def test_a_mapped_path_that_broke_is_an_error_until_it_is_accepted(
    dagster_hub: Hub, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    people = [{**ADA, "id": number} for number in range(200)]
    _serve(dagster_hub, monkeypatch, people)
    clean = _checks(_run(dagster_hub, "ingest", instance))["drift"]
    later = {"updated": "2026-02-01T00:00:00Z"}
    _serve(
        dagster_hub,
        monkeypatch,
        [{name: v for name, v in {**one, **later}.items() if name != "last"} for one in people],
    )

    broken = _checks(_run(dagster_hub, "ingest", instance))["drift"]
    still = _checks(_run(dagster_hub, "ingest", instance))["drift"]
    events = profiles.events(dagster_hub.store)
    with dagster_hub.store.acquire("x") as lease, dagster_hub.store.write(lease, cause="test") as tx:
        profiles.close_events(tx, [one.drift_event_id for one in events], profiles.ACCEPTED)
    accepted = _checks(_run(dagster_hub, "ingest", instance))["drift"]

    assert [one.passed for one in (clean, broken, still, accepted)] == [True, False, False, True]
    assert broken.severity == dg.AssetCheckSeverity.ERROR
    assert "last removed" in broken.metadata


def test_an_announced_end_warns_with_the_days_that_are_left(dagster_hub: Hub, instance: dg.DagsterInstance):
    _run(dagster_hub, "ingest", instance)
    due = datetime.now(UTC) + timedelta(days=30, hours=1)
    notice = {"endpoint": "/people", "header": "sunset", "value": "soon", "link": None, "due_at": due}
    with dagster_hub.store.acquire("x") as lease, dagster_hub.store.write(lease, cause="test") as tx:
        profiles.keep_notices(tx, "toy", "people", [notice])

    check = _checks(_run(dagster_hub, "ingest", instance))["announcements"]

    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["/people sunset"].value == "soon (30 days left)"
