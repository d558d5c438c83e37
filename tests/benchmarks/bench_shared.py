"""Planted shared values merge nobody: ``python -m tests.benchmarks.bench_shared [VALUES [PEOPLE [SEED]]]``.

The same people are resolved twice: without the planted values (the normal recall), then with them. A wrong merge is a pair
of different people in one cluster that was not there without the planted values.
"""

from __future__ import annotations

import copy
import random
import sys
import time

from pipelines.resolve import load_policy, resolve_table
from tests.benchmarks.shared_world import Person, pairs, people, plant, world


def main(arguments: list[str]) -> None:
    values, count, seed = (int(each) for each in (*arguments, *("1000", "20000", "7")[len(arguments) :]))
    found = measure(values, count, seed)
    for name, value in found.items():
        print(f"{name:28} {value}")


def measure(values: int, count: int, seed: int) -> dict[str, float]:
    """Return wrong merges and recall with and without the planted values."""
    started = time.process_time()
    everybody = people(count, random.Random(seed))
    plain = copy.deepcopy(everybody)
    plant(everybody, values, random.Random(seed + 1))
    _same_homes(plain, everybody)
    before, after = _resolved(plain, seed), _resolved(everybody, seed)
    return {
        "values": values, "people": count, "shared by at most": _most(everybody),
        "wrong merges": len(after[0] - before[0]), "wrong anyway": len(before[0]),
        "normal recall": round(before[1] / before[2], 4), "recall": round(after[1] / after[2], 4),
        "share of normal recall": round(after[1] / after[2] / (before[1] / before[2]), 4),
        "cpu seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def _same_homes(plain: list[Person], planted: list[Person]) -> None:
    """Give the plain world the surnames of the planted one: a family is a fact, what it shares is planted."""
    for one, other in zip(plain, planted, strict=True):
        one.family = other.family


def _resolved(everybody: list[Person], seed: int) -> tuple[set[tuple[int, int]], int, int]:
    made = world(everybody, seed)
    resolution = resolve_table(made.records, "person", load_policy())
    return pairs(resolution.labels.tolist(), [made.truth[ref] for ref in resolution.source_refs.to_pylist()])


def _most(everybody: list[Person]) -> int:
    holders: dict[tuple[str, str], int] = {}
    for person in everybody:
        for value in set(person.planted):
            holders[value] = holders.get(value, 0) + 1
    return max(holders.values())


if __name__ == "__main__":
    main(sys.argv[1:])
