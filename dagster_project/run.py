"""``python -m dagster_project.run``: runs both jobs once, on the instance of DAGSTER_HOME.

It does what the schedules and the sensor do (one run of ``ingest`` per connection, then ``master``), so that `make demo` leaves
a real Dagster history behind, whose runs belong to the code location that `make ui` opens. Half of the connections are ingested
by a second process: Dagster's in-process executor must not run twice in one process (dagster#34146: its SQLite logging can lock
itself out). Ends 0 when master succeeded, whatever single streams did: their failures are printed and are in the history.

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
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import CODE_LOCATION_TAG, REPOSITORY_LABEL_TAG

from dagster_project.definitions import defs
from dagster_project.hub import load_hub
from dagster_project.names import MASTER_FOLLOWS_TAG, stream_key
from pipelines.demo import CODE_LOCATION
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
        return 0 if run_job("master", instance).success else 1


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
        run_job("ingest", instance, [stream_key(name, stream) for stream in streams], {MASTER_FOLLOWS_TAG: "true"})


def run_job(
    job: str,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job in this process and print its failed steps; its run has the origin and tags of one that the UI launches."""
    origin = _origin(job)
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config=_QUIET,
        asset_selection=keys,
        tags={
            **(tags or {}),
            CODE_LOCATION_TAG: origin.location_name,
            REPOSITORY_LABEL_TAG: origin.repository_origin.get_label(),
        },
    )
    instance.run_storage.replace_job_origin(result.dagster_run, origin)
    for event in result.all_events:
        if event.is_step_failure:
            print(f"failed: {(event.step_key or '?').replace('__', '/')}", flush=True)  # noqa: T201  the demo's progress
    return result


def _origin(job: str) -> RemoteJobOrigin:
    """Return the origin of a job in ``CODE_LOCATION``: the names by which Dagster finds it there.

    Dagster's timeline leaves out runs without an origin, and its pages of a job those without the label. A run gets both when
    a code server launches it, which costs seconds; for a run in this process no public call sets them. Hence private names, as
    ``dagster run migrate-repository`` uses them; ``tests/dagster_project/test_demo_run.py`` asks the webserver what they do.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(CODE_LOCATION), defs.get_repository_def().name)
    return repository.get_job_origin(job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
