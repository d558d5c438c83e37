"""Decisions bind: violations over 10,000 random runs, and ids after 10,000 random sequences of merges and unmerges.

Each run is a small random world (4 to 10 records, scores with mistakes, certain links, unique identifiers) that goes
through decisions, undos, arrivals, deletes, retrainings and reorders; `tests/resolve/decision_world.py` says what is
checked after each step. ``UNISONO_RUNS`` gives another number of runs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from tests.resolve import decision_world

RUNS = int(os.environ.get("UNISONO_RUNS", "10000"))


def measure(name: str, run: Callable[[int], list[str]]) -> dict[str, object]:
    """Run every seed; returns the counts, and the first faults if there are any."""
    began, broken = time.process_time(), {}
    for seed in range(RUNS):
        faults = run(seed)
        if faults:
            broken[seed] = faults
    row: dict[str, object] = {"what": name, "runs": RUNS, "violations": sum(map(len, broken.values()))}
    row["cpu_seconds"] = round(time.process_time() - began, 1)
    return row | ({"first": dict(list(broken.items())[:3])} if broken else {})


def main() -> None:
    """Print one JSON line for each measurement."""
    for name, run in (("decisions", decision_world.run), ("merge and unmerge", decision_world.merges)):
        print(json.dumps(measure(name, run)), flush=True)


if __name__ == "__main__":
    main()
