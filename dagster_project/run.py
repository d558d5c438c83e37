"""``python -m dagster_project.run``: runs both jobs once, on the instance of DAGSTER_HOME.

It does what the schedules and the sensor do (one run of ``ingest`` per connection, then ``master``), so that `make demo` leaves
a real Dagster history behind. Half of the connections are ingested by a second process: Dagster's in-process executor must
not run twice in one process (dagster#34146: its SQLite logging can lock itself out). Ends 0 when master succeeded, whatever
single streams did: their failures are printed and are in the history.

Dagster's files are committed without waiting for the disk here: it was a quarter of the time of `make demo`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import dagster as dg

from dagster_project.definitions import defs
from dagster_project.hub import load_hub
from dagster_project.names import stream_key
from pipelines.store.quick_files import QuickFiles

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main(connections: Sequence[str]) -> int:
    """Ingest these connections only; without any, ingest all of them and run ``master``; return 1 if master failed."""
    with closing(QuickFiles(Path(os.environ["DAGSTER_HOME"]))), dg.DagsterInstance.get() as instance:
        if connections:
            _ingest(connections, instance)
            return 0
        mine, others = halves({connection.name: len(connection.streams) for connection in load_hub().connections})
        second = subprocess.Popen([sys.executable, "-m", "dagster_project.run", *others]) if others else None  # noqa: S603
        _ingest(mine, instance)
        if second is not None:
            second.wait()
        return 0 if _run("master", instance).success else 1


def halves(streams: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Deal connections to two processes so that both have about as many streams; the first gets no fewer of them."""
    hands: tuple[list[str], list[str]] = [], []
    for name in sorted(streams, key=lambda name: (-streams[name], name)):
        min(hands, key=lambda hand: sum(streams[one] for one in hand)).append(name)
    first, second = sorted(hands, key=lambda hand: -sum(streams[one] for one in hand))
    return first, second


def _ingest(connections: Sequence[str], instance: dg.DagsterInstance) -> None:
    for name in connections:
        streams = load_hub().connection(name).streams
        _run("ingest", instance, [stream_key(name, stream) for stream in streams])


def _run(
    job: str, instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey] | None = None
) -> dg.ExecuteInProcessResult:
    found = defs.resolve_job_def(job)
    result = found.execute_in_process(instance=instance, raise_on_error=False, run_config=_QUIET, asset_selection=keys)
    for event in result.all_events:
        if event.is_step_failure:
            print(f"failed: {(event.step_key or '?').replace('__', '/')}", flush=True)  # noqa: T201  the demo's progress
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
