"""The influence map: dated graphs of many seeds, random histories, and a roll-up over a tree of 100,000 accounts.

Run: ``python -m tests.benchmarks.bench_influence [--graphs 10000] [--histories 50] [--accounts 100000] [--relations 200000]``.
Seconds are CPU time, that of child processes included. Prints one JSON line; a property that does not hold ends it with its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.influence.accounts import Measure, account_tree, roll_up
from pipelines.influence.stage import read_told
from pipelines.store import Store, tables
from tests.influence import graphs
from tests.influence.histories import check_history
from tests.influence.hub import Hub

T = tables.metadata.tables
AT = datetime(2026, 1, 1, tzinfo=UTC)
_ROWS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print one line."""
    options = _options(arguments)
    found: dict[str, Any] = {"graphs": options.graphs, "histories": options.histories}
    for check in (graphs.check_settled, graphs.check_acyclic, graphs.check_reparenting):
        for seed in range(options.graphs):
            _named(check, seed)
    for seed in range(options.histories):
        with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/store.db") as store:
            _named(lambda number, store=store: check_history(store, number, steps=30), seed)
    for shape, reach in (("bush", None), ("chain", 1)):
        with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/store.db") as store:
            found[f"roll_up_{shape}"] = _roll_up(store, options.accounts, reach)
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/store.db") as store:
        found["stage"] = _stage(store, options.relations)
    print(json.dumps(found))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("graphs", 10_000), ("histories", 50), ("accounts", 100_000), ("relations", 200_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args(arguments)


def _named(check: Callable[[int], None], seed: int) -> None:
    try:
        check(seed)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}") from error


def _roll_up(store: Store, accounts: int, reach: int | None) -> dict[str, float]:
    """Fill a tree of accounts with one opportunity each, then roll up from its top."""
    tree = graphs.random_tree(random.Random(7), accounts, reach=reach)
    ids = list(range(1, accounts + 1))
    _fill(store, "crosswalk", source_record_id=ids, entity=["organization"] * accounts, entity_id=ids)
    _fill(
        store, "account_hierarchy", hierarchy=["legal"] * len(tree), entity_id=[child + 1 for child in tree],
        span=[1] * len(tree), parent_id=[parent + 1 for parent in tree.values()], strength=[0.5] * len(tree),
    )  # fmt: skip
    _references(store, 2 * accounts)
    amounts = pa.array(range(accounts)).cast(pa.decimal128(38, 6))
    records = [accounts + number for number in ids]
    _fill(
        store, "opportunity", source_record_id=records, row_key=[""] * accounts, organization=ids, amount=amounts,
        currency=["EUR"] * accounts,
    )  # fmt: skip
    whole, rolled = _timed(lambda: roll_up(store, 1, Measure.named("opportunity.amount"), "legal", AT))
    assert rolled.total(1)["EUR"].total == accounts * (accounts - 1) // 2
    alone, built = _timed(lambda: account_tree(store, "legal", AT))
    sums, _ = _timed(lambda: built.sums(np.ones(len(built), np.int64)))
    return {"whole": whole, "tree": alone, "sums": sums}


def _stage(store: Store, count: int) -> dict[str, float]:
    """Time the stage over relations of people with companies: everything, nothing, one per cent changed."""
    companies = max(1, count // 10)
    ids = np.arange(1, count + companies + 1)
    entities = np.where(ids <= count, "person", "organization").tolist()
    _fill(store, "crosswalk", source_record_id=ids.tolist(), entity=entities, entity_id=ids.tolist())
    _references(store, len(ids))
    hub = Hub(store)

    def employ(first: int, last: int, shift: int) -> None:
        people = np.arange(first, last)
        _fill(
            store, "relationship", replace=people, source_record_id=people.tolist(), row_key=["e"] * len(people),
            from_party=people.tolist(), to_party=(count + 1 + (people + shift) % companies).tolist(),
            type=["employment"] * len(people), record_time=[AT] * len(people),
        )  # fmt: skip

    employ(1, count + 1, 0)
    full, counts = _timed(hub.run)
    assert counts["written"] == count
    quiet, _ = _timed(hub.run)
    employ(1, count // 100 + 1, 1)
    changed, counts = _timed(hub.run)
    assert counts["written"] == count // 100
    read, _ = _timed(lambda: read_told(store, 1, None))
    return {"relations": count, "full": full, "quiet": quiet, "one_per_cent": changed, "of_full_only_read": read}


def _references(store: Store, count: int) -> None:
    keys = [str(number) for number in range(count)]
    rows = pa.table(
        {"connection_id": ["crm"] * count, "object": ["thing"] * count, "source_key": keys,
         "entity": ["person"] * count, "is_stub": [False] * count}
    )  # fmt: skip
    with store.acquire("bench") as lease, store.write(lease, cause="bench") as tx:
        tx.intern(rows)


def _fill(store: Store, name: str, *, replace: Any = None, **columns: Any) -> None:
    rows = pa.table(columns)
    for start in range(0, rows.num_rows, _ROWS):
        part = rows.slice(start, _ROWS)
        with store.acquire("bench") as lease, store.write(lease, cause="bench") as tx:
            if replace is None:
                tx.insert(T[name], part)
            else:
                tx.replace_set(T[name], part.select(["source_record_id"]), part)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = _cpu()
    result = work()
    return round(_cpu() - began, 3), result


def _cpu() -> float:
    """Return the CPU seconds of this process and of the readers it started and waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
