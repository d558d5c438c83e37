"""What changes cost beside a full run, and whether they come to the same: ``python -m tests.benchmarks.bench_incremental 1000000``.

Prints one JSON line for each measure: a full run and the part of it that writes the match index, one record looked up, 100
records that change one after the other in a warm process (the first, which is cold, stands by itself), one in a hundred, ten
thousand, what a full run finds to write after them, ids kept, and 20 orders of arrival against one batch. Seconds are of the
wall, ``cpu`` of this process. A second number sets how many single records are changed.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sqlalchemy import update

from pipelines.bench_pipeline import landed_store, run_all
from pipelines.resolve.index import IndexWriter
from pipelines.resolve.lookup import Lookup
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.rules import load_policy
from pipelines.stages import GOLDEN, RESOLVE, run_stage
from pipelines.store import Store, identity, tables
from tests.resolve import world

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pipelines.context import StageContext
    from pipelines.report import StageReport
    from pipelines.store import Lease

_T = tables.metadata.tables
_BATCH = 10_000
_ORDERS, _ORDER_RECORDS = 20, 600


def main(records: int, singles: int = 100, lookups: int = 500) -> None:
    """Measure one size."""
    with landed_store(records) as (context, _, landed):
        used = time.process_time()
        with _timed_index() as index:
            seconds, reports = run_all(context, _silent)
        cpu = time.process_time() - used
        tell("full", records=landed, **seconds, cpu=cpu, **index, counts=reports[RESOLVE.name].counts)
        person = context.for_entity("person")
        ids = _person_ids(context.store)
        tell("lookup", **_lookups(context.store, ids[:: max(1, len(ids) // lookups)]))
        rng = random.Random(7)
        tell("one record, the first", **_stages(person, _change(context.store, rng.sample(ids, 1), rng)))
        tell("one record", **_singles(person, rng.sample(ids, singles), rng))
        for name, count in (("1 %", landed // 100), ("10,000", _BATCH)):
            before = _links(context.store)
            touched = _change(context.store, rng.sample(ids, min(count, len(ids))), rng)
            done = _stages(person, touched)
            share = _taken(done) / sum(seconds.values())
            kept = _kept(before, _links(context.store), touched)
            tell(name, changed=len(touched), **done, share_of_full=share, **kept)
        report = _run(person, full=True)
        tell("full after changes finds", written=report.counts["written"], evidence=report.details["evidence_written"])
        before = _links(context.store)
        _retire_model(context.store)
        began = time.perf_counter()
        model = _run(person).details["model"]
        tell(
            "another model",
            seconds=time.perf_counter() - began,
            model=model,
            **_kept(before, _links(context.store), ()),
        )
    tell("orders", **orders(_ORDERS, _ORDER_RECORDS))


def orders(count: int, records: int) -> dict[str, object]:
    """Let people arrive in ``count`` orders under one model; return in how many pairs the outcomes differ from the batch."""
    people = world.people(records, seed=11)
    with _empty() as (store, _):
        world.land(store, people)
        world.resolve(store)
        stored = identity.active_model(store, 1, "person")
        at_once = _pairs(store)
    assert stored is not None
    rng, differ, increments = random.Random(5), 0, 0
    for _ in range(count):
        rng.shuffle(people)
        with _empty() as (store, lease):
            with lease() as held, store.write(held, cause="bench") as tx:
                identity.add_model(tx, "person", stored[1], {})
            first = records // 2
            for part in (people[:first], *_cut(people[first:], rng)):
                world.land(store, part)
                increments += bool(world.resolve(store).details.get("incremental"))
            differ += len(_pairs(store) ^ at_once)
    return {"orders": count, "pairs": len(at_once), "increments": increments, "pairs_that_differ": differ}


def _cut(people: list[dict[str, Any]], rng: random.Random) -> list[list[dict[str, Any]]]:
    cuts = sorted(rng.sample(range(1, len(people)), 3))
    return [people[a:b] for a, b in zip([0, *cuts], [*cuts, len(people)], strict=True)]


@contextmanager
def _empty() -> Iterator[tuple[Store, Callable[[], Lease]]]:
    """Offer an empty store that goes with its folder."""
    with (
        tempfile.TemporaryDirectory(prefix="unisono-bench-") as folder,
        Store.open(f"sqlite:///{folder}/unisono.db") as store,
    ):
        yield store, lambda: store.acquire("bench")


def _pairs(store: Store) -> set[tuple[str, str]]:
    """All pairs of records of one entity, by their source keys."""
    read = store.read_arrow(tables.source_record.select())
    keys = dict(zip(read["source_record_id"].to_pylist(), read["source_key"].to_pylist(), strict=True))
    groups: dict[int, list[str]] = {}
    for record, entity in _links(store).items():
        groups.setdefault(entity, []).append(keys[record])
    return {(a, b) for members in groups.values() for a in members for b in members if a < b}


def _person_ids(store: Store) -> list[int]:
    read = store.read_arrow(_T["person"].select().with_only_columns(_T["person"].c.source_record_id))
    return sorted(set(read.column(0).to_pylist()))


def _links(store: Store) -> dict[int, int]:
    read = identity.links(store, 1, "person")
    return dict(zip(read["source_record_id"].to_pylist(), read["entity_id"].to_pylist(), strict=True))


def _lookups(store: Store, ids: Sequence[int]) -> dict[str, object]:
    rows = read_match_table(store, 1, "person", load_policy(), pa.array(ids, pa.int64())).to_pylist()
    links, wall, cpu, hits, candidates = _links(store), [], [], 0, 0
    with Lookup(store) as lookup:
        for row in rows[:20]:
            lookup.resolve_one(row)
        for row in rows:
            began, used = time.perf_counter(), time.process_time()
            found = lookup.resolve_one(row)
            wall.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - used))
            candidates += len(found)
            hits += bool(found) and found[0].entity_id == links[row["source_record_id"]]
    shown = {
        f"{name}_p{share}_ms": float(np.percentile(taken, share))
        for name, taken in (("wall", wall), ("cpu", cpu))
        for share in (50, 95)
    }
    return {"lookups": len(rows), "own_entity_first": hits / len(rows), "candidates": candidates / len(rows), **shown}


def _change(store: Store, ids: list[int], rng: random.Random) -> set[int]:
    """Give records a longer family name and a new phone, as a vendor's update would; return them."""
    person, point = _T["person"], _T["contact_point"]
    rows = store.read_arrow(person.select().where(person.c.source_record_id.in_(_chosen())), ids=pa.array(ids))
    mine = point.select().where(point.c.party.in_(_chosen()), point.c.kind == "phone")
    phones = store.read_arrow(mine, ids=pa.array(ids))
    names = [f"{name or 'x'}{rng.choice('aeion')}" for name in rows["family_name"].to_pylist()]
    written = rows.set_column(rows.column_names.index("family_name"), "family_name", pa.array(names, pa.string()))
    written = written.drop_columns(["payload_hash", *_BOOKKEEPING])
    numbers = pa.array([f"+49151{rng.randrange(10**7):07d}" for _ in range(phones.num_rows)], pa.string())
    moved = phones.set_column(phones.column_names.index("value_norm"), "value_norm", numbers)
    moved = moved.drop_columns(["payload_hash", *_BOOKKEEPING])
    with store.acquire("bench") as lease, store.write(lease, cause="bench") as tx:
        tx.upsert(person, written)
        tx.upsert(point, moved)
    return set(ids)


_BOOKKEEPING = ("tenant_id", "change_seq", "known_from", "actor", "cause")


def _chosen() -> Any:
    return tables.picked.select()


@contextmanager
def _timed_index() -> Iterator[dict[str, float]]:
    """Measure how long the match index is written, beside the learning and the scoring, in what runs inside."""
    taken = {"index_s": 0.0}
    steps = {name: getattr(IndexWriter, name) for name in ("write_lines", "write_postings")}

    def timed(name: str) -> Any:
        def step(*given: Any) -> Any:
            began = time.perf_counter()
            result = steps[name](*given)
            taken["index_s"] += time.perf_counter() - began
            return result

        return step

    for name in steps:
        setattr(IndexWriter, name, timed(name))
    try:
        yield taken
    finally:
        for name, step in steps.items():
            setattr(IndexWriter, name, step)


def _singles(context: StageContext, ids: Sequence[int], rng: random.Random) -> dict[str, object]:
    """Change one record after the other; return percentiles of what each took in milliseconds."""
    done = [_stages(context, _change(context.store, [number], rng)) for number in ids]
    shown: dict[str, object] = {"records": len(done), "incremental": sum(bool(each["incremental"]) for each in done)}
    for name in (RESOLVE.name, GOLDEN.name):
        for kind in ("", "_cpu"):
            taken = [1000 * float(str(each[f"{name}{kind}"])) for each in done]
            shown |= {f"{name}{kind}_p{at}_ms": float(np.percentile(taken, at)) for at in (50, 95)}
    return shown


def _taken(done: dict[str, object]) -> float:
    return sum(float(str(done[stage.name])) for stage in (RESOLVE, GOLDEN))


def _stages(context: StageContext, changed: Collection[int]) -> dict[str, object]:
    """Run resolve and golden after so many records changed; return what they took."""
    assert changed
    seconds: dict[str, object] = {}
    for stage in (RESOLVE, GOLDEN):
        began, used = time.perf_counter(), time.process_time()
        report = run_stage(stage, context)
        assert report.error is None, report.error
        seconds[stage.name] = time.perf_counter() - began
        seconds[f"{stage.name}_cpu"] = time.process_time() - used
        if stage is RESOLVE:
            seconds["incremental"] = bool(report.details.get("incremental"))
            seconds["reached"] = report.counts.get("reached")
    return seconds


def _run(context: StageContext, *, full: bool = False) -> StageReport:
    report = run_stage(RESOLVE, replace(context, full=full))
    assert report.error is None, report.error
    return report


def _kept(before: dict[int, int], after: dict[int, int], touched: Any) -> dict[str, object]:
    """Return which share of records keeps its id: of entities without a changed record, and of all."""
    concerned = {before[record] for record in touched if record in before} | {after[r] for r in touched if r in after}
    untouched = [r for r, entity in before.items() if entity not in concerned and after.get(r) not in concerned]
    same = sum(before[r] == after.get(r) for r in untouched)
    every = sum(entity == after.get(r) for r, entity in before.items())
    return {"ids_kept_untouched": same / max(1, len(untouched)), "ids_kept": every / max(1, len(before))}


def _retire_model(store: Store) -> None:
    """Take the active model out of use, so that the next run learns another one; a row more makes it look."""
    model = tables.match_model
    ids = _person_ids(store)
    with store.acquire("bench") as lease, store.write(lease, cause="bench") as tx:
        tx.execute(update(model).where(model.c.entity == "person").values(status="superseded"))
    _change(store, ids[:1], random.Random(1))


def tell(measure: str, **values: object) -> None:
    """Print one line."""
    shown = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
    print(json.dumps({"measure": measure, **shown}), flush=True)


def _silent(_message: str) -> None:
    """Say nothing."""


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:] or ["100000"]))
