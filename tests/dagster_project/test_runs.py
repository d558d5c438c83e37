"""Runs in Dagster do what `unisono sync` does, stream by stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from connectors.sdk.errors import StopStream
from dagster_project.build import build_definitions
from pipelines import extract
from pipelines.config import load_config
from pipelines.store import Store, digest
from pipelines.store.facts import golden_facts
from tests._hub import Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "email": "ada@example.org", "updated": "2026-01-01T00:00:00Z"}
NOTE = {"id": 7, "about": "1", "text": "called", "updated": "2026-01-05T00:00:00Z"}
CONFIG = """\
store: "{store}"
landing: landing
connector_paths: [connectors]
connections: [{{name: toy, connector: toy, config: {{token: t}}}}]
"""


@pytest.fixture
def dagster_hub(sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    sqlite_hub.config.path.write_text(CONFIG.format(store=sqlite_hub.store.url), encoding="utf-8")
    monkeypatch.setattr(extract, "read_stream", _vendor(sqlite_hub))
    return sqlite_hub


def _vendor(hub: Hub, broken: str | None = None) -> Any:
    async def read_stream(stream: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        record = {"people": ADA, "notes": NOTE}[stream.name]
        yield hub.page([record], stream=stream.name, after="more" if stream.name == broken else None)
        if stream.name == broken:
            raise StopStream("the vendor answers HTML")

    return read_stream


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def _run(hub: Hub, job: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    defs = build_definitions(load_config(hub.config.path))
    return defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def test_a_failing_stream_does_not_stop_the_others_and_fails_truthfully(
    dagster_hub: Hub, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extract, "read_stream", _vendor(dagster_hub, broken="people"))

    result = _run(dagster_hub, "ingest", instance)
    master = _run(dagster_hub, "master", instance)

    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    done = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert (failed, done) == ({"toy__people"}, {"toy/notes"})
    assert master.success
    assert golden_facts(dagster_hub.store, "person").golden_rows == 1


def test_the_checks_and_the_row_count_of_a_stream_come_with_its_materialization(
    dagster_hub: Hub, instance: dg.DagsterInstance
):
    result = _run(dagster_hub, "ingest", instance)

    checks = {
        item.check_name: item.passed
        for item in result.get_asset_check_evaluations()
        if item.asset_key.path[1] == "people"
    }
    event = next(item for item in result.get_asset_materialization_events() if item.asset_key.path[1] == "people")
    well = {
        "complete": True,
        "accounting": True,
        "quarantine_rate": True,
        "drift": True,
        "announcements": True,
        "deletes": True,
    }
    assert checks == {**well, "newest_source_timestamp": False}
    assert event.materialization.metadata["dagster/row_count"].value == 1


def test_the_jobs_leave_the_store_that_sync_leaves(
    dagster_hub: Hub, instance: dg.DagsterInstance, tmp_path: Path, sqlite_store: Store
):
    from pipelines import stages

    _run(dagster_hub, "ingest", instance)
    _run(dagster_hub, "master", instance)
    by_dagster = digest(dagster_hub.store)
    again = [report.counts for report in stages.sync(dagster_hub.context(), dagster_hub.config.connections)]

    assert digest(dagster_hub.store) == by_dagster
    assert [counts["loaded"] for counts in again if "loaded" in counts] == [0, 0]


def test_a_master_run_makes_golden_records_with_all_checks_passing(dagster_hub: Hub, instance: dg.DagsterInstance):
    _run(dagster_hub, "ingest", instance)

    result = _run(dagster_hub, "master", instance)

    assert [item.check_name for item in result.get_asset_check_evaluations() if not item.passed] == []
    assert golden_facts(dagster_hub.store, "person").golden_rows == 1
