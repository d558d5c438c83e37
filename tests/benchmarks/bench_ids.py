"""Ids kept, each cause by itself: ``python -m tests.benchmarks.bench_ids [PEOPLE [SEED [SET…]]]``.

A world of people (and every labelled set that is named, of which 1 % of the records are held back) is resolved once. Then it
is resolved again: in another order, trained anew on equal rows, with 1 % more people under the model as it is, with a model
trained on those, and with that model on the first rows alone; and as ``unisono identity train`` does it, which keeps the
model where a new one cannot be told from it. Each line says how many entities kept their id, of all and of
those that a new record did not touch. An entity is touched if one of its records is together with a new record now, under
whichever id; beside it stands the stricter word, of those whose own id a new record took.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.resolve import assign_ids, load_policy, resolve_table
from pipelines.resolve.lifecycle import beside, compare
from pipelines.resolve.read_csv import read_records
from tests.benchmarks.bench_identity import SHARED
from tests.benchmarks.shared_world import people, world

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    import pyarrow as pa

    from pipelines.resolve.engine import Resolution
    from pipelines.resolve.model import MatchModel

MORE = 0.01


def main(arguments: list[str]) -> None:
    count, seed = (int(each) for each in (*arguments[:2], *("20000", "7")[len(arguments) :]))
    _show(f"{count:,} people", measure(count, seed))
    for name in arguments[2:]:
        _show(name, measure_set(SHARED / name, seed))


def _show(name: str, lines: dict[str, dict[str, Any]]) -> None:
    print(name)
    for cause, line in lines.items():
        print(f"  {cause:34}", *(f"{word} {value}," for word, value in line.items()), flush=True)


def measure(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return by cause how many entities there were, what share kept its id, and what share of the untouched ones."""
    everybody = people(round(count * (1 + MORE)), random.Random(seed))
    every = world(everybody, seed).records
    return compared(every, every.slice(0, world(everybody[:count], seed).records.num_rows), seed)


def measure_set(folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Return the same of a labelled set of persons; the records held back are drawn by the seed."""
    every = read_records(folder / "records.csv", "person", source="bench")
    drawn = np.random.default_rng(seed).permutation(every.num_rows)
    return compared(every, every.take(np.sort(drawn[round(every.num_rows * MORE) :])), seed)


def compared(every: pa.Table, first: pa.Table, seed: int) -> dict[str, dict[str, Any]]:
    """Return by cause what became of the ids of ``first``, of which ``every`` has all records and some more."""
    shuffled = first.take(np.random.default_rng(seed).permutation(first.num_rows))
    before, larger = _resolved(first), _resolved(every)
    model = before.model
    stored = _resolved(every, model)
    told = _told(stored, larger)
    return {
        "equal rows in another order": _kept(before, _resolved(shuffled, model)),
        "trained anew on equal rows": _kept(before, _resolved(shuffled)),
        "1 % more records, same model": _kept(before, stored),
        "trained on 1 % more, equal rows": _kept(before, _resolved(first, larger.model)),
        "trained on 1 % more, and these": _kept(before, larger),
        "the same by `identity train`": {
            **told["shift"],
            "stands": told["stands"],
            **_kept(before, stored if told["stands"] else larger),
        },
    }


def _resolved(records: pa.Table, model: MatchModel | None = None) -> Resolution:
    return resolve_table(records, "person", load_policy(), model)


def _told(before: Resolution, after: Resolution) -> dict[str, Any]:
    """What ``unisono identity train`` says of the second model, in a store that is resolved under the first."""
    ids = assign_ids(before.source_record_ids, before.labels, {}, {}, 1)
    links = dict(zip(before.source_record_ids.tolist(), ids.entity_ids.tolist(), strict=True))
    preview = compare(links, after.source_record_ids, after.labels)
    return beside(before.model, after.model, preview, load_policy().retrain_growth)


def _kept(before: Resolution, after: Resolution) -> dict[str, float]:
    """Carry ids over from one resolution to another; an entity kept its id if that still stands for it alone or grown."""
    first = assign_ids(before.source_record_ids, before.labels, {}, {}, 1)
    crosswalk = dict(zip(before.source_record_ids.tolist(), first.entity_ids.tolist(), strict=True))
    then = assign_ids(after.source_record_ids, after.labels, crosswalk, {}, first.next_id)
    now = dict(zip(after.source_record_ids.tolist(), then.entity_ids.tolist(), strict=True))
    held: dict[int, set[int]] = {}
    for record, entity in crosswalk.items():
        held.setdefault(entity, set()).add(record)
    grown = {entity for record, entity in now.items() if record not in crosswalk}
    joined = {entity for record, entity in crosswalk.items() if now[record] in grown}
    lost = {entity for entity, records in held.items() if any(now[record] != entity for record in records)}
    return {
        "entities": len(held),
        "kept": _share(held.keys(), lost),
        "ids gone": round(len(held.keys() - set(now.values())) / len(held), 5),
        "touched": len(joined),
        "kept of the untouched": _share(held.keys() - joined, lost),
        "kept of those whose id no new record took": _share(held.keys() - grown, lost),
    }


def _share(entities: AbstractSet[int], lost: AbstractSet[int]) -> float:
    return round(1 - len(lost & entities) / max(len(entities), 1), 5)


if __name__ == "__main__":
    main(sys.argv[1:])
