"""Two jobs, the connections' schedules, and the sensors: ``master`` after ``ingest``, and what a vendor put off, again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from connectors.sdk.errors import StoreFailure
from dagster_project.names import MASTER_FOLLOWS_TAG, MASTER_GROUPS, stream_key
from pipelines.config import ConnectionConfig, HubConfig
from pipelines.store import Store
from pipelines.store.connection_health import Deferred, read_deferred
from pipelines.store.engine import exists

_CRONS = (
    (timedelta(minutes=15), "*/15 * * * *"),
    (timedelta(minutes=30), "*/30 * * * *"),
    (timedelta(hours=1), "0 * * * *"),
    (timedelta(hours=6), "0 */6 * * *"),
    (timedelta(hours=24), "0 2 * * *"),
)
AssetJob = Any  # what define_asset_job returns; Dagster does not export its type
_Automation = tuple[list[AssetJob], list[dg.ScheduleDefinition], list[dg.SensorDefinition]]


def build_automation(config: HubConfig) -> _Automation:
    """Return jobs, schedules and sensors; with no connections there is nothing to automate."""
    if not config.connections:
        return [], [], []
    names = [connection.name for connection in config.connections]
    ingest = dg.define_asset_job(
        "ingest", selection=dg.AssetSelection.groups(*names), description="Extract and normalise every stream."
    )
    master = dg.define_asset_job(
        "master",
        selection=dg.AssetSelection.groups(*MASTER_GROUPS),
        description="Canonical entities, identity, golden records.",
    )
    schedules = [_schedule(connection, ingest) for connection in config.connections]
    return [ingest, master], schedules, [*_sensors(ingest, master), _resume(config, ingest)]


def _schedule(connection: ConnectionConfig, ingest: AssetJob) -> dg.ScheduleDefinition:
    """Run a connection's part of ``ingest`` as often as its fastest stream wants; switched on by hand."""
    streams = connection.connector.manifest.streams
    keys = [stream_key(connection.name, name) for name in connection.streams]

    def request(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(asset_selection=keys, tags={"unisono/connection": connection.name})

    return dg.ScheduleDefinition(
        name=f"sync_{connection.name}",
        job=ingest,
        cron_schedule=cron_for(min(streams[name].cadence or timedelta(days=1) for name in connection.streams)),
        execution_fn=request,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Keeps {connection.name} as fresh as its manifest promises.",
    )


def cron_for(cadence: timedelta) -> str:
    """Return the slowest cron line that is at least as frequent as ``cadence``; never more often than every 15 minutes."""
    fitting = [cron for every, cron in _CRONS if every <= cadence]
    return fitting[-1] if fitting else _CRONS[0][1]


def _sensors(ingest: AssetJob, master: AssetJob) -> Sequence[dg.SensorDefinition]:
    """Start ``master`` after every ingest run, whatever its verdict: one failed stream must not hold back the others.

    Not after a run that says ``master`` follows anyway; a re-execution carries its parent's tags, but nothing follows it.
    """

    def started_by(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        if MASTER_FOLLOWS_TAG in run.tags and run.parent_run_id is None:
            return dg.SkipReason(f"what started run {run.run_id} runs master after it")
        return dg.RunRequest(run_key=run.run_id, tags={"unisono/after": run.run_id})

    ends = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    return [
        dg.run_status_sensor(
            run_status=status,
            name=f"master_after_ingest_{status.value.lower()}",
            monitored_jobs=[ingest],
            request_job=master,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=f"Starts master when an ingest run ends with {status.value}.",
        )(started_by)
        for status in ends
    ]


def _resume(config: HubConfig, ingest: AssetJob) -> dg.SensorDefinition:
    """Run again what ended because its vendor said when to come back, once that instant has come."""

    def due(_context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return resumed(config, datetime.now(UTC)) or dg.SkipReason("nothing is put off, or its time has not come")

    return dg.SensorDefinition(
        name="resume_deferred",
        job=ingest,
        evaluation_fn=due,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs streams again whose vendor named an instant to come back, not before it.",
    )


def resumed(config: HubConfig, now: datetime) -> list[dg.RunRequest]:
    """Return a run per connection that has streams whose instant has come; one that was asked for is not asked again."""
    known = {connection.name: connection for connection in config.connections}
    due: dict[str, list[Deferred]] = {}
    for put_off in _read_deferred(config, now):
        if put_off.connection in known and put_off.stream in known[put_off.connection].streams:
            due.setdefault(put_off.connection, []).append(put_off)
    return [
        dg.RunRequest(
            run_key=f"{name}:{max(one.not_before for one in streams).isoformat()}",
            asset_selection=[stream_key(name, one.stream) for one in streams],
            tags={"unisono/connection": name, "unisono/resumed": "true"},
        )
        for name, streams in due.items()
    ]


def _read_deferred(config: HubConfig, now: datetime) -> Sequence[Deferred]:
    """Read what is due; a hub that was never synced has put nothing off."""
    if not exists(config.store_url):
        return []
    try:
        with Store.open(config.store_url, create=False) as store:
            return read_deferred(store, until=now, tenant_id=config.tenant_id)
    except StoreFailure:
        return []
