"""How long records of a dlt source take to land: ``python -m tests.benchmarks.bench_dlt [records] [repeats]``.

One run per way of yielding them: Arrow tables, and lists of rows. Extract only (fetch, hash, account, Parquet, commit), and
once more over the same records, when nothing is new. CPU seconds: the machine may be shared.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.store import Store
from tests.dlt_bridge.hubs import dlt_hub


def rows(rows: int = 3) -> Any:
    """The table of the tests' source as lists of rows."""
    import dlt

    from tests.dlt_bridge.sources import table

    @dlt.resource(primary_key="id")
    def listed() -> Iterator[list[dict[str, Any]]]:
        for found in table(rows):
            yield found.to_pylist()

    return listed


def _measure(source: str, resource: str, records: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/store.db") as store:
        streams = {"customers": {"resource": resource, "record_time": "updated_at"}}
        hub = dlt_hub(Path(folder), store, {"source": source, "config": {"rows": records}, "streams": streams})
        seconds: dict[str, float] = {}
        for name in ("first", "again"):
            cpu, wall = time.process_time(), time.perf_counter()
            report = hub.extract()
            seconds |= {name: time.process_time() - cpu, f"{name}_wall": time.perf_counter() - wall}
            assert report.completeness == "COMPLETE", report
            assert report.counts["loaded" if name == "first" else "unchanged"] == records, report
        return seconds


def main(records: int = 100_000, repeats: int = 3) -> None:
    """Print a JSON line per way."""
    ways = {"arrow": ("tests.dlt_bridge.sources:table", "table"), "rows": ("tests.benchmarks.bench_dlt:rows", "listed")}
    for name, (source, resource) in ways.items():
        _measure(source, resource, 1_000)
        runs = [_measure(source, resource, records) for _ in range(repeats)]
        median = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        print(json.dumps({"way": name, "records": records, "cpu_seconds": median}))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
