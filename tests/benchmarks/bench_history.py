"""History in full: merges taken back, past states rebuilt, a bad source retracted and put back.

Run: ``python -m tests.benchmarks.bench_history [--sequences 10000] [--states 1000] [--links 10000]``. Prints a line a part
and one JSON line; ends with 1 unless every sequence and state is equal and the retraction is undone byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.golden.policy import load_policy
from pipelines.golden.survivorship import member_schema, survive
from pipelines.history import retract, undo_retraction
from pipelines.store import Store
from tests.golden.tables import day
from tests.history.chronicle import Chronicle
from tests.history.sequences import wander
from tests.history.world import World, person
from tests.resolve.links import Links

_STEPS = 25
_APART = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for (0 leaves one out)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--states", type=int, default=1_000)
    parser.add_argument("--links", type=int, default=10_000)
    given = parser.parse_args(arguments)
    report: dict[str, Any] = {}
    for name, part, size in (
        ("unmerge", _unmerge, given.sequences), ("as_of", _as_of, given.states), ("retract", _retract, given.links)
    ):  # fmt: skip
        if size:
            began = time.process_time()
            report[name] = part(size) | {"cpu_seconds": round(time.process_time() - began, 1)}
            print(name, report[name], flush=True)
    print(json.dumps(report))
    return 0 if all(part["equal"] for part in report.values()) else 1


def _unmerge(size: int) -> dict[str, Any]:
    """Ids and links of every sequence; golden rows of all of them, survived before, in the middle and after."""
    states: list[list[dict[int, int]]] = [[], [], []]
    minted = 0
    for seed in range(size):
        links = Links()
        for place, state in enumerate(wander(links, seed)):
            states[place].append(state)
        minted += links.next_id - 1 - len(set(states[0][-1].values()))
    before, between, after = (_golden(each) for each in states)
    changed = sum(one != other for one, other in zip(states[0], states[2], strict=True))
    same = before.equals(after) and minted == 0 and changed == 0
    return {"sequences": size, "changed": changed, "ids_minted": minted, "merged_differs": not before.equals(between),
            "golden_rows": before.num_rows, "equal": same}  # fmt: skip


def _golden(states: list[dict[int, int]]) -> pa.Table:
    """The golden rows of all sequences at once; each has records and ids of its own."""
    rows = [
        {
            "entity_id": seed * _APART + entity, "source_record_id": seed * _APART + record,
            "source_ref": f"crm/contact/{record}", "connection": "crm", "connector": "crm", "row_key": "",
            "record_time": day(f"2025-01-{record:02d}"), "is_stub": False,
            "given_name": f"given{record % 3}", "family_name": f"family{record}",
        }
        for seed, state in enumerate(states)
        for record, entity in state.items()
    ]  # fmt: skip
    return survive(pa.Table.from_pylist(rows, member_schema("person")), load_policy("person"))


def _as_of(size: int) -> dict[str, Any]:
    """Links, golden rows, relations, contact points and preferences of every state; each history has a store of its own."""
    parts = [(seed, min(_STEPS, size - done)) for seed, done in enumerate(range(0, size, _STEPS))]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_history, *zip(*parts, strict=True)))
    wrong, seconds = (sum(each) for each in zip(*found, strict=True))
    return {"states": size, "wrong": wrong, "cpu_of_workers": round(seconds, 1), "equal": wrong == 0}


def _history(seed: int, steps: int) -> tuple[int, float]:
    """Return how many states of one history are not rebuilt as they were, and what it cost."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="history-") as folder, Store.open(f"sqlite:///{folder}/s.db") as store:
        chronicle = Chronicle(World(store), seed)
        chronicle.run(steps)
        wrong = sum(not chronicle.is_rebuilt(state) for state in chronicle.states)
    return wrong, time.process_time() - began


def _retract(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="history-") as folder, Store.open(f"sqlite:///{folder}/s.db") as store:
        world = World(store)
        rng, people = np.random.default_rng(1), 2 * size
        known = [_human(number, rng) for number in range(people)]
        world.land(*(person("crm", str(n), "2025-01-01", *one) for n, one in enumerate(known)))
        world.land(*(person("desk", str(n), "2025-02-01", *one) for n, one in enumerate(known[:size])))
        world.master()
        before = world.state()
        took = _timed(lambda: retract(world.context(), "desk"))
        recomputed = _timed(world.master)
        left = len(world.links())
        back = _timed(lambda: undo_retraction(world.context(), "desk"))
        again = _timed(world.master)
        links, golden, _ = world.state()
    names = ("retract", "recompute", "undo", "recompute_again")
    seconds = dict(zip(names, (took, recomputed, back, again), strict=True))
    return {
        "records": people + size,
        "links": size,
        "seconds": seconds,
        "equal": left == people and (links, golden) == before[:2],
    }


def _human(number: int, rng: np.random.Generator) -> tuple[str, str, str]:
    given, family = f"Given{rng.integers(400)}", f"Family{rng.integers(4000)}"
    return given, family, f"{given}.{family}.{number}@x.example".lower()


def _timed(step: Any) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    step()
    return {"wall": round(time.perf_counter() - began, 2), "cpu": round(time.process_time() - cpu, 2)}


if __name__ == "__main__":
    raise SystemExit(main())
