"""The demo: six simulated vendors, a hub in ./data, and the Dagster instance beside it.

Everything it needs is written below ``data/``; removing that folder removes the demo.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from connectors.sdk.catalog import ConnectorFolder, find_connectors
from connectors.sdk.errors import RetryLater
from connectors.sdk.testing.simulator import demo_connections
from pipelines.config import ConnectionConfig, HubConfig

DATA = Path("data")
DEMO_CONFIG = (DATA / "unisono.yaml").resolve()
CODE_LOCATION = "dagster_project.definitions"  # the module `make ui` loads; Dagster calls the code location like it
SEED = 7
PEOPLE = 2000
PORT = 8797
CHANGES_PER_RUN = 60
_START_TIMEOUT_S = 30.0
_POLL_S = 0.1
_REQUESTS_PER_429 = 60
_DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true, poll_interval_seconds: 10, start_timeout_seconds: 60, free_slots_after_run_end_seconds: 300}
run_retries: {enabled: false}
concurrency: {pools: {default_limit: 1}}
retention: {schedule: {purge_after_days: 7}, sensor: {purge_after_days: 7}}
"""


@dataclass(frozen=True)
class DemoState:
    """What survives between two demos: the simulator's port and how often the demo has run."""

    port: int
    runs: int

    @staticmethod
    def read() -> DemoState:
        """Return the state of ./data, a fresh one if there is none."""
        file = DATA / "demo.json"
        if not file.is_file():
            return DemoState(PORT if _is_free(PORT) else _free_port(), 0)
        found = json.loads(file.read_text(encoding="utf-8"))
        return DemoState(int(found["port"]), int(found["runs"]))

    def write(self) -> None:
        """Keep the state for the next demo."""
        (DATA / "demo.json").write_text(json.dumps({"port": self.port, "runs": self.runs}), encoding="utf-8")


def demo_config(port: int = PORT) -> HubConfig:
    """Return the demo's configuration without writing anything."""
    known = find_connectors()
    rows = demo_connections(f"http://127.0.0.1:{port}")
    connections = tuple(_connection(row, known[row["connector"]]) for row in rows)
    store = (DATA / "unisono.db").resolve()
    return HubConfig(DEMO_CONFIG, f"sqlite:///{store}", str((DATA / "landing").resolve()), connections)


def _connection(row: Mapping[str, Any], folder: ConnectorFolder) -> ConnectionConfig:
    chosen = row.get("streams")
    streams = tuple(n for n, spec in folder.manifest.streams.items() if (n in chosen if chosen else spec.default))
    return ConnectionConfig(
        name=row["name"],
        connector=folder,
        base_url=row["base_url"],
        streams=streams,
        timezone=row.get("timezone"),
        region=row.get("region"),
        config=row["config"],
        where=f"{DEMO_CONFIG}:1",
    )


def write_home(port: int) -> None:
    """Write ./data/unisono.yaml and the Dagster instance's settings."""
    (DATA / "dagster").mkdir(parents=True, exist_ok=True)
    hub = {
        "store": "sqlite:///unisono.db",
        "landing": "landing",
        "connections": demo_connections(f"http://127.0.0.1:{port}"),
    }
    head = "# Written by `make demo`: six simulated vendors on this machine. The keys are made up.\n"
    DEMO_CONFIG.write_text(head + yaml.safe_dump(hub, sort_keys=False), encoding="utf-8")
    (DATA / "dagster" / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")


def environment() -> dict[str, str]:
    """Return the environment for Dagster on the demo's history: its home, our configuration, no telemetry."""
    return {
        **os.environ,
        "DAGSTER_HOME": str((DATA / "dagster").resolve()),
        "UNISONO_CONFIG": str(DEMO_CONFIG),
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


@contextmanager
def simulator(state: DemoState) -> Iterator[str]:
    """Run the vendors in a process of their own, as they were when they last stopped; yield their URL."""
    options = [
        "--port",
        str(state.port),
        "--seed",
        str(SEED),
        "--people",
        str(PEOPLE),
        "--state",
        str(DATA / "simulator.json"),
    ]
    command = [
        sys.executable,
        "-m",
        "connectors.sdk.testing.simulator",
        *options,
        "--fault",
        f"rate_limit={_REQUESTS_PER_429}",
    ]
    if not _is_free(state.port):
        do = f"stop what listens on 127.0.0.1:{state.port} (another demo?), or remove ./data to begin anew"
        raise RetryLater("the simulator's port is taken", where=f"127.0.0.1:{state.port}", do=do)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  our own module
    url = f"http://127.0.0.1:{state.port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def advance(url: str) -> None:
    """Let the world move on: some records change, some are new; the simulator remembers it in ./data."""
    body = json.dumps({"count": CHANGES_PER_RUN}).encode()
    request = urllib.request.Request(f"{url}/_simulator/advance", data=body, method="POST")  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
        answer.read()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RetryLater(
                "the simulator ended", where=url, do="run it alone: python -m connectors.sdk.testing.simulator"
            )
        try:
            with urllib.request.urlopen(f"{url}/_simulator/vendors", timeout=5) as answer:  # noqa: S310  loopback
                answer.read(1)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(_POLL_S)
        else:
            return
    raise RetryLater("the simulator did not answer in time", where=url, do="run the command again")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
