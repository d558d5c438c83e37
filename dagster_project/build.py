"""From a hub's configuration to Dagster definitions: assets, checks, jobs, schedules and the sensor between the jobs."""

from __future__ import annotations

import dagster as dg

from canonical_model import load_vocabulary
from dagster_project.automation import build_automation
from dagster_project.hub import Hub
from dagster_project.ingest import build_ingest_assets
from dagster_project.master import build_master_assets
from pipelines.config import HubConfig


def build_definitions(config: HubConfig) -> dg.Definitions:
    """Return everything Dagster shows for ``config``; reads only files, never a vendor or the store."""
    vocabulary = load_vocabulary()
    ingest = build_ingest_assets(config)
    master = build_master_assets(config, vocabulary)
    jobs, schedules, sensors = build_automation(config)
    return dg.Definitions(
        assets=[*ingest, *master],
        jobs=jobs,
        schedules=schedules,
        sensors=sensors,
        resources={"hub": Hub(path=str(config.path))},
        executor=dg.in_process_executor,
    )
