"""Opt-outs lost in random merges, and what channels and consent cost per person.

    python -m tests.benchmarks.bench_consent [MERGES] [PEOPLE]

Random histories (tests/channels/histories.py) are merged and unmerged at random in a SQLite store, through the crosswalk,
the channels stage and the view; a second opinion in plain Python counts the opt-outs that the view lost and every
answer that differs from the rule. Then PEOPLE with two records each are made channels of, and asked who may be contacted;
and the same people once more, each stating four things in its two records.

Facts about another project's merge (Unomi, ProfileServiceImpl.mergeProfiles, read in its source; IDENTITY.md U3): a
consent is judged by whether its revocation date lies before the wall clock, a missing date throws, and where the
surviving profile's consent has expired it is removed without taking the other profile's newer one. It was not run here.

The last line is one JSON object. Exit 1 when an opt-out is lost, an answer differs or unmerging gives anything else back.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.channels import run
from pipelines.context import StageContext
from pipelines.store import Store
from tests.channels import histories
from tests.channels.hub import at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_JOINS_A_GROUP = 1.25


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables and one JSON line."""
    given = [int(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    merges, people = (*given, *(100_000, 50_000)[len(given) :])
    result = {**_merges(merges), **_costs(people), **_stating(people)}
    print(json.dumps(result))
    return 1 if result["lost"] or result["wrong"] or not result["unmerged_equal"] else 0


def _merges(wanted: int) -> dict[str, Any]:
    """Merge and unmerge until so many merges were made; each is judged."""
    made = opt_outs = lost = wrong = rounds = 0
    equal = True
    began = time.process_time()
    while made < wanted:
        rounds += 1
        world = histories.world(max(50, min(20_000, int((wanted - made) / _JOINS_A_GROUP / 2) + 50)), seed=rounds)
        with _store() as store:
            histories.fill(store, world)
            before = _settled(store, histories.apart(world))
            for seed in (1, 2):
                entities = histories.merged(world, seed)
                verdict = histories.judge(world, entities, _settled(store, entities))
                made, lost, wrong = made + histories.joins(entities), lost + verdict.lost, wrong + verdict.wrong
                opt_outs += verdict.opt_outs
            equal = equal and _settled(store, histories.apart(world)) == before
        print(f"{made:>9,} merges  {opt_outs:>9,} opt-outs that hold  {lost} lost  {wrong} answers differ", flush=True)
    return {
        "merges": made, "opt_outs": opt_outs, "lost": lost, "wrong": wrong, "unmerged_equal": equal,
        "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def _costs(people: int) -> dict[str, Any]:
    """Measure the CPU of the stage, and of the views, over people of two records with two points and two acts each."""
    with _store() as store:
        _fill(store, people)
        first = _cpu(lambda: _run(store))
        again, full = _cpu(lambda: _run(store)), _cpu(lambda: _run(store, full=True))
        asked = "SELECT count(*) FROM v1_reachable WHERE purpose = 'marketing' AND channel = 'email' AND may_contact"
        audience = _cpu(lambda: store.query(asked))
        one = _cpu(lambda: store.query("SELECT * FROM v1_reachable WHERE tenant_id = 1 AND entity_id = 7"))
    rows = [
        ("stage, everything new", first),
        ("stage, nothing new", again),
        ("stage, --full", full),
        ("whole audience", audience),
    ]
    for name, seconds in rows:
        print(f"{name:<24}{seconds:>8.2f} s CPU  {seconds / people * 1e6:>7.1f} µs a person")
    print(f"{'one person':<24}{one * 1e3:>8.1f} ms")
    return {
        "people": people, "stage_us": round(first / people * 1e6, 1), "full_us": round(full / people * 1e6, 1),
        "rerun_seconds": round(again, 3), "audience_us": round(audience / people * 1e6, 1), "one_ms": round(one * 1e3, 1),
    }  # fmt: skip


def _stating(people: int) -> dict[str, Any]:
    """Measure the CPU of the stage over the same people, all of whom state four things."""
    with _store() as store:
        _fill(store, people)
        _state(store, people)
        first, full = _cpu(lambda: _run(store)), _cpu(lambda: _run(store, full=True))
    for name, seconds in (("stage, everybody states", first), ("stating, --full", full)):
        print(f"{name:<24}{seconds:>8.2f} s CPU  {seconds / people * 1e6:>7.1f} µs a person")
    return {
        "stating_us": round(first / people * 1e6, 1), "stating_full_us": round(full / people * 1e6, 1),
    }  # fmt: skip


def _state(store: Store, people: int) -> None:
    """Let one record of a person prefer a channel and a time, the other a channel, and keep to hours and a number."""
    n, chance = 2 * people, np.random.default_rng(5)
    ids, first = np.arange(1, n + 1), np.arange(1, n + 1, 2)

    def some(of: Sequence[Any], size: int) -> list[Any]:
        return [of[at] for at in chance.integers(0, len(of), size).tolist()]

    told = [at(f"2026-0{month}-{day:02d}") for month in range(1, 6) for day in range(1, 29)]
    clocks = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 15, 30, 45)]
    parts: list[dict[str, Any]] = [
        {"kind": "channel", "party": ids, "preferred_channel": some(["email", "sms", "phone"], n)},
        {"kind": "time", "party": first, "time_from": some(clocks, people), "time_to": some(clocks, people)},
        {"kind": "quiet_hours", "party": first + 1, "time_from": some(clocks, people), "time_to": some(clocks, people)},
        {"kind": "frequency", "party": first, "max_messages": some(range(5), people), "per_days": [7] * people},
    ]
    with store.acquire("test") as lease:
        for part in parts:
            size = len(part["party"])
            same = {"kind": [part["kind"]] * size, "row_key": [part["kind"]] * size, "source_record_id": part["party"]}
            rows = {**part, **same, "stated_at": pa.array(some(told, size), histories.INSTANT)}
            with store.write(lease, cause="bench") as tx:
                tx.upsert(histories.T["preference"], pa.table(rows))


def _fill(store: Store, people: int) -> None:
    n = 2 * people
    ids = np.arange(1, n + 1)
    person = (ids + 1) // 2
    mail, phone = [f"p{number}@example.org" for number in person], [f"+44207{number:07d}" for number in person]
    same = {"connection_id": ["crm"] * n, "object": ["contact"] * n, "entity": ["person"] * n, "is_stub": [False] * n}
    refs = {"source_record_id": ids, "source_key": [str(number) for number in ids], **same}
    owner = np.concatenate([ids, ids])
    points = {"source_record_id": owner, "row_key": ["e"] * n + ["p"] * n, "party": owner, "kind": ["email"] * n + ["phone"] * n,
              "value": mail + phone, "value_norm": mail + phone, "rank": [1] * (2 * n),
              "record_time": pa.array([at("2026-01-01")] * (2 * n), histories.INSTANT)}  # fmt: skip
    acts = {"source_record_id": ids, "row_key": ["m"] * n, "party": ids, "contact_kind": ["email"] * n, "contact_value_norm": mail,
            "purpose": ["marketing"] * n, "channel": ["email"] * n, "status": ["granted", "denied", "granted", "unknown"] * (n // 4),
            "captured_at": pa.array([at("2026-01-01")] * n, histories.INSTANT), "authenticated": [True] * n}  # fmt: skip
    links = {"source_record_id": ids, "entity": ["person"] * n, "entity_id": person}
    with store.acquire("test") as lease:
        for name, rows in (("source_record", refs), ("contact_point", points), ("consent", acts), ("crosswalk", links)):
            with store.write(lease, cause="bench") as tx:
                tx.upsert(histories.T[name], pa.table(rows))


def _settled(store: Store, entities: histories.Numbers) -> dict[tuple[int, histories.Slot], str]:
    histories.link(store, entities)
    _run(store)
    return histories.answers(store)


def _run(store: Store, *, full: bool = False) -> None:
    config: Any = SimpleNamespace(channels=None)
    run(StageContext(config=config, store=store, now=lambda: at("2026-06-01"), entity="person", full=full))


@contextmanager
def _store() -> Iterator[Store]:
    """Offer an empty SQLite store in a folder of its own, gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="unisono-bench-") as folder,
        Store.open(f"sqlite:///{folder}/store.db") as store,
    ):
        yield store


def _cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process and the processes it waited for."""
    began = _used()
    work()
    return _used() - began


def _used() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(main())
