"""Households decided where a change can reach: equal to full runs over random histories, and what a change costs.

Run: ``python -m tests.benchmarks.bench_households [--histories 200] [--persons 100000]``. Every step of every history is
compared with a twin store that only ever runs in full: members, their history, ids and id events. Then persons with an
address, a family name and three contact points each are made households of; some move, and one does. Seconds are CPU
time, that of child processes included. Prints one JSON line; ends with 1 and the seed where a step differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.resolve import household_stage
from pipelines.store import Store
from pipelines.store.tables import golden_contact_point
from tests.resolve.town import PERSON, Town, lived_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_STEPS = 30
_ROWS = 50_000
_FAMILY = 2.5  # persons of one home


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("histories", 200), ("persons", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"histories": options.histories, "steps": 0, "different": []}
    for seed in range(options.histories):
        with _stores(2) as (store, twin):
            steps = [same for same, _ in lived_twice(Town(store), Town(twin), seed, _STEPS)]
        found["steps"] += len(steps)
        found["different"] += [] if all(steps) else [seed]
    found |= _costs(options.persons)
    print(json.dumps(found))
    return 1 if found["different"] else 0


def _costs(persons: int) -> dict[str, Any]:
    with _stores(1) as (store,):
        town, rng = Town(store), np.random.default_rng(3)
        ids = np.arange(1, persons + 1)
        homes = (ids / _FAMILY).astype(np.int64)
        _live(town, ids, homes)
        _points(town, ids, homes)
        told = {"first": _cpu(town.run), "full": _cpu(lambda: town.run(full=True)), "nothing": _cpu(town.run)}
        for name, count in (("moved_1_percent", persons // 100), ("moved_one", 1)):
            moving = np.sort(rng.choice(ids, count, replace=False))
            _live(town, moving, rng.integers(0, homes.max(), count))
            told[name] = _cpu(town.run)
        before = town.everything()
        again = household_stage.run(town.context(full=True)).counts
        assert again["written"] == again["removed"] == 0
        assert town.everything() == before
    return {"persons": persons, **{f"{name}_s": round(seconds, 3) for name, seconds in told.items()}}


def _live(town: Town, ids: np.ndarray[Any, Any], homes: np.ndarray[Any, Any]) -> None:
    """Give persons an address and the family name of the home."""
    for start in range(0, len(ids), _ROWS):
        part, home = ids[start : start + _ROWS].tolist(), homes[start : start + _ROWS].tolist()
        since = [json.dumps({"street": [n, "recency", "2024-05-01T00:00:00.000000Z"]}) for n in part]
        columns = {
            "entity_id": part, "given_name": [f"P{n % 997}" for n in part], "family_name": [f"Family {h % 5000}" for h in home],
            "street": [f"{h % 180 + 1} High Street {h // 180}" for h in home], "postcode": [f"{h % 700:05d}" for h in home],
            "is_stub": [False] * len(part), "source_count": [1] * len(part), "provenance": since,
        }  # fmt: skip
        rows = pa.table(columns)
        town.do(lambda tx, rows=rows: tx.upsert(PERSON, rows))


def _points(town: Town, ids: np.ndarray[Any, Any], homes: np.ndarray[Any, Any]) -> None:
    """Give each person an e-mail address and a phone of its own, and the landline of the home."""
    for start in range(0, len(ids), _ROWS):
        part, home = ids[start : start + _ROWS].tolist(), homes[start : start + _ROWS].tolist()
        values = [f"p{n}@a.example" for n in part] + [f"+46{n}" for n in part] + [f"+45{h}" for h in home]
        n, size = len(part), 3 * len(part)
        same = {"network": "", "entity": "person", "rank": 1, "state": "usable", "deliverability": 1.0, "sources": "[]"}
        columns = {
            "entity_id": part * 3,
            "kind": ["email"] * n + ["phone"] * (2 * n),
            "value_norm": values,
            "value": values,
        }
        rows = pa.table({**columns, **{name: [value] * size for name, value in same.items()}})
        town.do(lambda tx, rows=rows: tx.upsert(golden_contact_point, rows))


@contextmanager
def _stores(count: int) -> Iterator[tuple[Store, ...]]:
    """Offer empty SQLite stores in a folder of their own, gone at the end."""
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="unisono-bench-"))
        yield tuple(held.enter_context(Store.open(f"sqlite:///{folder}/{n}.db")) for n in range(count))


def _cpu(work: Callable[[], object]) -> float:
    began = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - began


if __name__ == "__main__":
    sys.exit(main())
