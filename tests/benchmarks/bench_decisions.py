"""Decisions bind: violations over 10,000 random runs, and ids after 10,000 random sequences of merges and unmerges.

The third line is of 10,000 stacks of decisions of every kind and retractions, each undone in its turn, the last one first:
after every undo the links are those from before, byte by byte (`tests/resolve/undone.py`).

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
from tests.resolve.undone import stacked

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


def main() -> int:
    """Print one JSON line for each measurement; 1 if anything was violated."""
    undone = 0

    def stacks(seed: int) -> list[str]:
        nonlocal undone
        stack = stacked(seed)
        undone += stack.undone
        return stack.faults

    rows = []
    for name, run in (
        ("decisions", decision_world.run), ("merge and unmerge", decision_world.merges), ("undone in turn", stacks)
    ):  # fmt: skip
        rows.append(measure(name, run) | ({"undone": undone} if undone else {}))
        print(json.dumps(rows[-1]), flush=True)
    return 1 if any(row["violations"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
