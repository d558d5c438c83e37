"""Two jobs, the schedules of the connections, and the sensor that starts ``master`` when an ingest run ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from dagster_project.names import MASTER_GROUPS, stream_key
from pipelines.config import ConnectionConfig, HubConfig

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
    return [ingest, master], schedules, list(_sensors(ingest, master))


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
    """Start ``master`` after every ingest run, whatever its verdict: one failed stream must not hold back the others."""

    def started_by(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.dagster_run.run_id, tags={"unisono/after": context.dagster_run.run_id})

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
