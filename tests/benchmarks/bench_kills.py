"""``kill -9`` at seeded points of a whole sync, the run after it compared with an uninterrupted one.

Run: ``python -m tests.benchmarks.bench_kills [--points 200] [--store sqlite|postgresql] [--seed 20261122]``. Prints a
table by kind of point, a line for every trial that failed, and one JSON line; ends with 1 unless every trial is equal.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests import _postgres
from tests.end_to_end._kill_server import SEGMENT_RECORDS
from tests.end_to_end._kill_trials import WEIGHTS, Rig, Verdict, draw
from tests.end_to_end._kill_world import PAGE_RECORDS

SEED = 20261122


def main(arguments: list[str] | None = None) -> int:
    """Do the trials on one store and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", type=int, action="append", help="do only the trial with this number; may be repeated")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        url = stack.enter_context(_postgres.server()) if given.store == "postgresql" else None
        rig = stack.enter_context(Rig(folder, url))
        trials = draw(rig.counts, given.points, given.seed)
        verdicts = []
        for trial in trials:
            if given.only and trial.number not in given.only:
                continue
            verdicts.append(rig.judge(trial))
            _show(verdicts[-1])
        points = len(set().union(*rig.counts.values()))
    report = _report(given.store, verdicts, points, time.monotonic() - began)
    _table(verdicts)
    print(json.dumps(report))
    return 0 if report["equal"] == report["trials"] else 1


def _show(verdict: Verdict) -> None:
    """Print a trial that failed as soon as it has, and say how far we are."""
    trial = verdict.trial
    for fault in verdict.faults:
        print(f"trial {trial.number} ({trial.scenario}) killed at {verdict.killed}: {fault}", file=sys.stderr)
    if (trial.number + 1) % 20 == 0:
        print(f"{trial.number + 1} trials", file=sys.stderr, flush=True)


def _table(verdicts: list[Verdict]) -> None:
    by_kind: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_kind[verdict.trial.kind].append(verdict)
    print("| kind of point | trials | kills | equal | pages fetched again, at most | re-authorised |")
    print("|---|---|---|---|---|---|")
    for kind in WEIGHTS:
        mine = by_kind[kind]
        if mine:
            equal, kills = sum(not one.faults for one in mine), sum(len(one.killed) for one in mine)
            pages, again = max(one.pages for one in mine), sum(one.reauthorised > 0 for one in mine)
            print(f"| {kind} | {len(mine)} | {kills} | {equal} | {pages} | {again} |")


def _report(store: str, verdicts: list[Verdict], points: int, seconds: float) -> dict[str, object]:
    killed = [kill.point for verdict in verdicts for kill in verdict.killed]
    return {
        "name": "kills", "store": store, "trials": len(verdicts), "kills": len(killed), "points_known": points,
        "points_hit": len(set(killed)), "equal": sum(not one.faults for one in verdicts),
        "segment_pages": SEGMENT_RECORDS // PAGE_RECORDS, "refetched_pages_max": max((one.pages for one in verdicts), default=0),
        "refetched_pages_max_of_one_kill": max((one.pages for one in verdicts if len(one.killed) == 1), default=0),
        "reauthorised": sum(one.reauthorised > 0 for one in verdicts), "seconds": round(seconds, 1),
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
