"""What a steward sees in Dagster follows from manifests, mappings and vocabulary; a change of the graph shows in review."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.automation import cron_for
from dagster_project.build import build_definitions
from dagster_project.names import canonical_key, golden_key, identity_key, stream_key
from pipelines.demo import demo_config

SNAPSHOT = Path(__file__).with_name("asset_keys.txt")


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_definitions(demo_config()).get_repository_def()


@pytest.fixture(scope="module")
def specs(repository: dg.RepositoryDefinition) -> dict[dg.AssetKey, dg.AssetSpec]:
    found = repository.assets_defs_by_key.values()
    return {spec.key: spec for definition in found for spec in definition.specs}


def test_the_graphs_keys_are_those_in_the_snapshot(specs: dict[dg.AssetKey, dg.AssetSpec]):
    assert sorted(key.to_user_string() for key in specs) == SNAPSHOT.read_text(encoding="utf-8").split()


def test_every_asset_says_what_it_is_who_owns_it_and_where_it_belongs(specs: dict[dg.AssetKey, dg.AssetSpec]):
    assert [
        key for key, spec in specs.items() if not (spec.description and spec.owners and spec.kinds and spec.group_name)
    ] == []


def test_the_first_paragraph_of_an_asset_reads_as_it_is_written_where_lists_show_it(
    specs: dict[dg.AssetKey, dg.AssetSpec],
):
    marked = [
        (key, text) for key, spec in specs.items() if set("*`[#") & set(text := str(spec.description).split("\n\n")[0])
    ]
    assert marked == []


def test_every_stream_has_the_freshness_its_manifest_promises(specs: dict[dg.AssetKey, dg.AssetSpec]):
    policy = specs[stream_key("hubspot", "contacts")].freshness_policy
    assert (policy.fail_window.to_timedelta(), policy.warn_window.to_timedelta()) == (
        timedelta(hours=3),
        timedelta(hours=2),
    )


def test_a_golden_column_leads_back_to_the_vendors_field(specs: dict[dg.AssetKey, dg.AssetSpec]):
    golden = specs[golden_key("person")].metadata["dagster/column_lineage"].deps_by_column["given_name"][0]
    vendor = specs[golden.asset_key].metadata["dagster/column_lineage"].deps_by_column[golden.column_name]

    assert golden.asset_key == canonical_key("person")
    assert dg.TableColumnDep(stream_key("hubspot", "contacts"), "properties.firstname") in vendor


def test_the_two_halves_of_the_graph_are_one(specs: dict[dg.AssetKey, dg.AssetSpec]):
    deps = {dep.asset_key for dep in specs[canonical_key("person")].deps}
    assert stream_key("shopify", "customers") in deps
    assert canonical_key("contact_point") in {dep.asset_key for dep in specs[identity_key("person")].deps}
    assert identity_key("person") in {dep.asset_key for dep in specs[golden_key("person")].deps}


def test_there_are_two_jobs_a_schedule_per_connection_and_sensors_that_join_and_resume_them(
    repository: dg.RepositoryDefinition,
):
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {"ingest", "master"}
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "sync_acme", "sync_hubspot", "sync_klaviyo", "sync_shopify", "sync_typeform", "sync_zendesk",
    }  # fmt: skip
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "master_after_ingest_success", "master_after_ingest_failure", "resume_deferred",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cadence", "cron"),
    [
        (timedelta(minutes=5), "*/15 * * * *"),
        (timedelta(hours=1), "0 * * * *"),
        (timedelta(hours=5), "0 * * * *"),
        (timedelta(days=3), "0 2 * * *"),
    ],
)
def test_a_schedule_runs_at_least_as_often_as_the_manifest_promises(cadence: timedelta, cron: str):
    assert cron_for(cadence) == cron
