"""Fetch + land, ours beside dlt's rest_api → Parquet, on the same pages of the same server, turn by turn.

    python -m tests.benchmarks.bench_land [RECORDS] [ROUNDS]

Ours is the whole extract stage: engine, canonical hash, account, Parquet, commit into SQLite. Each turn is a process of its
own; the last line is one JSON object with the medians and their ratio.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.bench_fetch import MANIFEST, local_server

PAGE_SIZE = 100


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


def turn(name: str, base_url: str) -> float:
    """Time one turn from inside its process, imports left out."""
    code = f"from tests.benchmarks.bench_land import timed; timed({name!r}, {base_url!r})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def timed(name: str, base_url: str) -> None:
    """Run one side and print its seconds; imports and set-up of the folder come first."""
    import dlt  # noqa: F401
    from dlt.sources import rest_api  # noqa: F401

    import pipelines.extract  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        {"ours": ours, "dlt": theirs}[name](base_url, Path(folder))
        print(time.perf_counter() - began)


def main(records: int = 100_000, rounds: int = 3) -> None:
    with local_server(records, PAGE_SIZE) as base_url:
        seconds = {name: [turn(name, base_url) for _ in range(rounds)] for name in ("ours", "dlt")}
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    report = {
        "name": "fetch_and_land", "records": records, **{f"{name}_seconds": round(value, 2) for name, value in medians.items()},
        "times_dlt": round(medians["dlt"] / medians["ours"], 2),
    }  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
