"""The demo's connections are dealt to two processes; its runs stand in Dagster beside those that the UI launches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.schema import create_schema

from dagster_project import run
from dagster_project.build import build_definitions
from dagster_project.names import MASTER_FOLLOWS_TAG
from dagster_project.run import halves, run_job
from pipelines.demo import CODE_LOCATION, demo_config

TIMELINE = """
query CompletedRunTimelineQuery($completedFilter: RunsFilter!, $limit: Int!, $cursor: String) {
  completed: runsOrError(filter: $completedFilter, limit: $limit, cursor: $cursor) {
    ... on Runs { results { pipelineName startTime repositoryOrigin { repositoryName repositoryLocationName } } }
  }
}"""  # the UI's own, shortened; it leaves out what has no repositoryOrigin


def test_the_demos_two_processes_have_about_as_many_streams():
    streams = {connection.name: len(connection.streams) for connection in demo_config().connections}

    first, second = halves(streams)

    assert sorted([*first, *second]) == sorted(streams)
    assert 0 <= sum(streams[name] for name in first) - sum(streams[name] for name in second) <= min(streams.values())


def test_one_connection_needs_no_second_process():
    assert halves({"only": 3}) == (["only"], [])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:  # the webserver refuses one in memory
        yield found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job ``ingest`` of two assets that do nothing, in place of the hub's."""
    assets = [dg.asset(lambda: None, name=name) for name in ("people", "notes")]
    job = dg.define_asset_job("ingest", executor_def=dg.in_process_executor)
    monkeypatch.setattr(run, "defs", dg.Definitions(assets=assets, jobs=[job]))


@pytest.mark.usefixtures("small")
def test_dagsters_timeline_shows_the_demos_runs_in_the_code_location_of_make_ui(instance: dg.DagsterInstance):
    run_job("ingest", instance, [dg.AssetKey("people")])
    run_job("ingest", instance)

    (origin,) = ModuleTarget(CODE_LOCATION, None, None, None).create_origins()
    shown = {"repositoryName": "__repository__", "repositoryLocationName": origin.location_name}
    runs = _ask(instance, TIMELINE, completedFilter={"statuses": ["SUCCESS"]}, limit=500)["completed"]["results"]
    assert [row["repositoryOrigin"] for row in runs] == [shown, shown]
    assert all(row["pipelineName"] == "ingest" and row["startTime"] for row in runs)


@pytest.mark.usefixtures("small")
def test_the_page_of_a_job_and_the_filter_by_code_location_find_the_demos_run(instance: dg.DagsterInstance):
    done = run_job("ingest", instance, tags={"unisono/more": "kept"})

    tags = {".dagster/repository": f"__repository__@{CODE_LOCATION}", "dagster/code_location": CODE_LOCATION}
    (found,) = instance.get_runs(dg.RunsFilter(job_name="ingest", tags={**tags, "unisono/more": "kept"}))
    assert (found.run_id, found.status) == (done.run_id, dg.DagsterRunStatus.SUCCESS)


@pytest.mark.parametrize(
    ("tags", "parent", "starts"),
    [({}, None, True), ({MASTER_FOLLOWS_TAG: "true"}, None, False), ({MASTER_FOLLOWS_TAG: "true"}, "first", True)],
)
@pytest.mark.usefixtures("small")
def test_the_sensor_starts_master_but_not_after_a_run_that_the_demo_lets_master_follow(
    instance: dg.DagsterInstance, tags: dict[str, str], parent: str | None, starts: bool
):
    event = run_job("ingest", instance).get_run_success_event()
    ended = dg.DagsterRun("ingest", "this", tags=tags, parent_run_id=parent, root_run_id=parent)
    repository = build_definitions(demo_config()).get_repository_def()

    asked = repository.get_sensor_def("master_after_ingest_success")(
        dg.build_run_status_sensor_context("any", event, instance, ended)
    )

    assert isinstance(asked, dg.RunRequest) == starts
    assert isinstance(asked, dg.SkipReason) != starts


def test_the_demo_runs_master_after_the_ingest_runs_that_say_so(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr(run, "load_hub", demo_config)
    monkeypatch.setattr(run, "run_job", lambda job, _instance, _keys, tags: asked.append((job, tags)))

    run._ingest(["acme", "hubspot"], instance=None)

    assert asked == [("ingest", {MASTER_FOLLOWS_TAG: "true"})] * 2


def _ask(instance: dg.DagsterInstance, query: str, **variables: Any) -> dict[str, Any]:
    """Ask the webserver's schema; no code location is loaded."""
    with WorkspaceProcessContext(instance, workspace_load_target=None) as process:
        context = process.create_request_context()
        result = create_schema().execute(query, context_value=context, variable_values=variables)
    assert result.errors is None
    return dict(result.data)
