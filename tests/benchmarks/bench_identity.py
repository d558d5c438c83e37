"""Accuracy and cost of identity on every data set at hand: ``python -m tests.benchmarks.bench_identity [NAME…]``.

Each set runs in a process of its own, so that its peak memory is its own. No set has a setting. ``best`` is the F1 that
the best of a grid of thresholds would have had. ``splink`` is the F1 that the set's own description records for Splink with
the configuration of its docs; it is not run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"
COLUMNS = (
    "pairwise_f1",
    "pairwise_precision",
    "pairwise_recall",
    "b3_f1",
    "clusters",
    "largest_cluster",
    "threshold",
    "best_f1",
    "best_threshold",
    "splink_f1",
    "seconds",
    "peak_memory_mb",
)


def main(names: list[str]) -> None:
    print(f"{'name':18}", *(f"{name:>18}" for name in COLUMNS))
    for folder in sorted(path for path in SHARED.iterdir() if path.is_dir() and (not names or path.name in names)):
        line = run_apart(folder)
        print(f"{folder.name:18}", *(f"{line[name]:>18}" for name in COLUMNS), flush=True)


def run_apart(folder: Path) -> dict[str, float]:
    """Run one set in a child process and return its last line; what it says on stderr is shown."""
    code = "import json, sys, pathlib; from pipelines.resolve import bench_identity as b; print(json.dumps(b(pathlib.Path(sys.argv[1]), sweep=True)))"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    described = yaml.safe_load((folder / "dataset.yaml").read_text(encoding="utf-8"))
    recorded = described.get("splink_docs_config", {}).get("pairwise_f1", "")
    return {**json.loads(done.stdout.splitlines()[-1]), "splink_f1": recorded}


if __name__ == "__main__":
    main(sys.argv[1:])
