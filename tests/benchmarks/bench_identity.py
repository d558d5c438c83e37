"""Accuracy and cost of identity on every data set at hand, beside Splink: ``python -m tests.benchmarks.bench_identity [NAME…]``.

Each set runs in a process of its own, so that its peak memory is its own; Splink with the configuration of its docs
(``splink_docs``) runs on the same rows in the same process, after ours. No set of ours has a setting. ``best`` is the F1 that
the best of a grid of thresholds would have had; Splink is given the best threshold of its grid, which takes labels to know.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"
OURS = (
    "pairwise_f1",
    "pairwise_precision",
    "pairwise_recall",
    "b3_f1",
    "clusters",
    "largest_cluster",
    "threshold",
    "best_f1",
    "best_threshold",
    "seconds",
    "peak_memory_mb",
)
SPLINK = (
    "splink_pairwise_f1",
    "splink_b3_f1",
    "splink_largest_cluster",
    "splink_threshold",
    "splink_seconds",
)
_CODE = """
import json, pathlib, sys
from pipelines.resolve import bench_identity
from tests.benchmarks.splink_docs import measure
folder = pathlib.Path(sys.argv[1])
print(json.dumps({**bench_identity(folder, sweep=True), **measure(folder)}))
"""


def main(names: list[str]) -> None:
    width = {name: max(len(name), 9) + 1 for name in (*OURS, *SPLINK)}
    print(f"{'name':18}", *(f"{name:>{width[name]}}" for name in width))
    for folder in sorted(path for path in SHARED.iterdir() if path.is_dir() and (not names or path.name in names)):
        line = run_apart(folder)
        print(f"{folder.name:18}", *(f"{line.get(name, '-'):>{width[name]}}" for name in width), flush=True)


def run_apart(folder: Path) -> dict[str, float]:
    """Run one set in a child process and return its last line; what it says on stderr is shown."""
    done = subprocess.run([sys.executable, "-c", _CODE, str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    line: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return line


if __name__ == "__main__":
    main(sys.argv[1:])
