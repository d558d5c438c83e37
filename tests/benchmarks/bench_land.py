"""Fetch + land, ours beside dlt's rest_api → Parquet, on the same pages of the same server, turn by turn.

    python -m tests.benchmarks.bench_land [RECORDS] [ROUNDS]

Ours is the whole extract stage: engine, canonical hash, account, Parquet, commit into SQLite. Each turn is a process of its
own; the last line is one JSON object with the medians and their ratios: of wall-clock seconds, and of the seconds of
processor time, which a busy machine moves less. With UNISONO_RIVALS_PYTHON naming an interpreter that
has airbyte-cdk and singer-sdk (``uv venv rivals && uv pip install --python rivals/bin/python airbyte-cdk singer-sdk``: their
dependencies clash with ours) those two read the same pages too, without loading them anywhere.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.bench_fetch import MANIFEST, local_server

PAGE_SIZE = 100
RIVALS = ("airbyte", "singer")
UNITS = ("seconds", "cpu_seconds")


def ours(base_url: str, folder: Path) -> int:
    """Run extract into ``folder``; return the number of loaded records."""
    from connectors.sdk.catalog import ConnectorFolder
    from pipelines import extract
    from pipelines.config import ConnectionConfig, HubConfig
    from pipelines.context import StageContext
    from pipelines.store import Store

    (folder / "bench").mkdir()
    (folder / "bench" / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    connection = ConnectionConfig(
        "bench", ConnectorFolder(folder / "bench"), base_url, ("contacts",), config={"access_token": "x"}
    )
    hub = HubConfig(folder / "u.yaml", f"sqlite:///{folder}/u.db", str(folder / "landing"), (connection,))
    with Store.open(hub.store_url) as store:
        context = StageContext(config=hub, store=store, now=lambda: datetime.now(UTC))
        return extract.run(context.for_stream(connection, "contacts")).counts["loaded"]


def theirs(base_url: str, folder: Path) -> int:
    """Run dlt's rest_api into Parquet files; return the number of rows."""
    import dlt
    import pyarrow.dataset as pads
    from dlt.sources.rest_api import rest_api_source

    paginator = {"type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after"}
    endpoint = {
        "path": "crm/v3/objects/contacts",
        "data_selector": "results",
        "params": {"limit": PAGE_SIZE},
        "paginator": paginator,
    }
    source = rest_api_source(
        {
            "client": {"base_url": base_url},
            "resources": [{"name": "contacts", "endpoint": endpoint, "max_table_nesting": 0}],
        }
    )
    destination = dlt.destinations.filesystem(bucket_url=str(folder / "out"))
    pipeline = dlt.pipeline("bench", destination=destination, dataset_name="d", pipelines_dir=str(folder / "state"))
    pipeline.run(source, loader_file_format="parquet")
    return int(pads.dataset(folder / "out" / "d" / "contacts", format="parquet").count_rows())


def turn(name: str, base_url: str, records: int) -> dict[str, float]:
    """Time one turn from inside its process, imports left out for ours and dlt; seconds, of processor time too if known."""
    if name in RIVALS:
        script = str(Path(__file__).with_name("rival_reads.py"))
        command = [os.environ["UNISONO_RIVALS_PYTHON"], script, name, base_url, str(PAGE_SIZE)]
    else:
        code = f"from tests.benchmarks.bench_land import timed; timed({name!r}, {base_url!r})"
        command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1])
    if report["records"] != records:
        raise SystemExit(f"{name} read {report['records']} of {records} records")
    return {unit: float(report[unit]) for unit in UNITS if unit in report}


def timed(name: str, base_url: str) -> None:
    """Run one side and print records and seconds; imports and set-up of the folder come first."""
    import dlt  # noqa: F401
    from dlt.sources import rest_api  # noqa: F401

    import pipelines.extract  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        began, worked = time.perf_counter(), _worked()
        found = {"ours": ours, "dlt": theirs}[name](base_url, Path(folder))
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": _worked() - worked}
        sys.stdout.write(json.dumps({"records": found, **took}) + "\n")


def _worked() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def main(records: int = 100_000, rounds: int = 5) -> None:
    names = ["ours", "dlt", *(RIVALS if "UNISONO_RIVALS_PYTHON" in os.environ else ())]
    with local_server(records, PAGE_SIZE) as base_url:
        turns = [{name: turn(name, base_url, records) for name in names} for _ in range(rounds)]
    report: dict[str, object] = {"name": "fetch_and_land", "records": records, "rounds": rounds}
    for unit in UNITS:
        known = [name for name in names if unit in turns[0][name]]
        medians = {name: statistics.median(one[name][unit] for one in turns) for name in known}
        report |= {f"{name}_{unit}": round(value, 2) for name, value in medians.items()}
        word = unit.replace("seconds", "times")
        report |= {f"{word}_{name}": round(medians[name] / medians["ours"], 2) for name in known[1:]}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
