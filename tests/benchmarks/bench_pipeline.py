"""Landed payloads → golden people, one table row per size: ``python -m tests.benchmarks.bench_pipeline 50000 200000``.

Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

COLUMNS = (
    "records", "seconds", "normalise", "resolve", "golden", "records_per_second", "peak_memory_mb", "splink_seconds",
    "times_splink", "rerun_seconds", "golden_people", "pairwise_precision", "pairwise_recall",
)  # fmt: skip


def main(sizes: list[str]) -> None:
    print(*(f"{name:>18}" for name in COLUMNS))
    for size in sizes or ["50000"]:
        line = run_apart(int(size))
        print(*(f"{value:>18}" for value in ({**line, **line["stages"]}[name] for name in COLUMNS)), flush=True)


def run_apart(records: int) -> dict[str, object]:
    """Run one size in a child process and return its last line; what it says on stderr is shown."""
    code = "import json, sys; from pipelines.bench_pipeline import bench_pipeline as b; print(json.dumps(b(int(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(records)], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main(sys.argv[1:])
