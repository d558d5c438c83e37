"""A few changed records are worked out in Python to the very outcome that the statements for many come to."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipelines.resolve import blocking, few, few_records
from pipelines.resolve.decisions import constraints
from pipelines.resolve.few import Few
from pipelines.resolve.few_records import TooMany
from pipelines.resolve.incremental import Given, Outcome, _Increment
from pipelines.resolve.model import MatchModel
from pipelines.resolve.read_store import read_match_rows, read_match_table
from pipelines.resolve.rules import load_policy
from pipelines.resolve.set_based import SetBased
from pipelines.store import Store, decisions, identity, match_index
from tests.resolve.test_incremental import change, stored, wrote
from tests.resolve.world import forget, land, people, resolve

pytestmark = pytest.mark.slow  # each goes through whole stages

_COUNT, _FIRST = 480, 420


def given(store: Store) -> Given:
    """What the next increment of a store starts from."""
    model, state = identity.active_model(store, 1, "person"), match_index.state(store, 1, "person")
    assert model is not None
    assert state is not None
    bound = constraints(decisions.open_decisions(store, 1, "person"))
    return Given(store, 1, "person", load_policy(), MatchModel.from_json(model[1]), model[0], state, bound)


def told(outcome: Outcome, start: Given) -> dict[str, Any]:
    """An outcome without the order of its rows."""
    pairs = sorted(zip(outcome.records.tolist(), outcome.labels.tolist(), strict=True))
    return {
        "partition": pairs,
        "reached": outcome.reached.tolist(),
        "evidence": sorted(map(str, outcome.evidence.to_pylist())),
        "closed": outcome.closed.to_pylist(),
        "stats": sorted(map(str, outcome.stats.to_pylist())),
        "stale": sorted(map(str, outcome.stale_stats.to_pylist())),
        "rows": outcome.rows,
        "gone": outcome.gone,
        "total": outcome.total,
        "postings": _postings(outcome),
        "emptied": outcome.emptied.tolist(),
        "model": start.model_id,
    }


def _postings(outcome: Outcome) -> dict[int, list[bytes]]:
    rows = outcome.buckets.to_pylist()
    return {
        row["bucket"]: sorted(row["postings"][at : at + 16] for at in range(0, len(row["postings"]), 16))
        for row in rows
    }


def both(store: Store) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What the changes since the last run come to, in Python (``None``: left to the statements) and by statements."""
    start = given(store)
    changed = match_index.changed_parties(store, 1, "person", store.watermark("resolve", "person")).to_numpy()
    with SetBased(start) as work:
        many = told(_Increment(start, work).run(changed), start)
    try:
        return told(_Increment(start, Few(start)).run(changed), start), many
    except TooMany:
        return None, many


@pytest.mark.parametrize(("largest_block", "seed"), [(60, 3), (4, 4)])
def test_both_ways_come_to_the_same_whatever_changes(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, largest_block: int, seed: int
) -> None:
    monkeypatch.setattr(blocking, "LARGEST_BLOCK", largest_block)
    for module, limit in ((few, "MOST_HOLDERS"), (few, "MOST_PAIRS"), (few_records, "MOST_REACHED")):
        monkeypatch.setattr(module, limit, 100_000)
    world, rng = people(_COUNT, seed=seed), random.Random(seed)
    land(sqlite_store, world[:_FIRST])
    resolve(sqlite_store)
    for at in range(_FIRST, _COUNT, 20):
        change(sqlite_store, world[:_FIRST], rng, new=world[at : at + 20])
        one, other = both(sqlite_store)
        assert one == other
        assert resolve(sqlite_store).details["incremental"]


def test_single_records_one_after_the_other_leave_what_a_full_run_would(sqlite_store: Store) -> None:
    _one_after_the_other(sqlite_store)


def test_single_records_leave_what_a_full_run_would_on_postgresql_too(postgres_store: Store) -> None:
    _one_after_the_other(postgres_store)


def _one_after_the_other(store: Store) -> None:
    world, rng = people(_COUNT, seed=9), random.Random(9)
    land(store, world[:_FIRST])
    resolve(store)
    for person in world[_FIRST : _FIRST + 4]:
        land(store, [person])
        resolve(store)
        other = rng.choice(world[:_FIRST])
        land(store, [{**other, "phone": person["phone"], "given_name": person["given_name"]}])
        resolve(store)
        forget(store, [rng.choice(world[:_FIRST])["key"]])
        assert resolve(store).details["incremental"]
    kept = stored(store)

    assert wrote(resolve(store, full=True)) == (0, 0, {})
    assert stored(store) == kept


def test_what_concerns_many_is_left_to_the_statements(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    world = people(_COUNT)
    land(sqlite_store, world[:_FIRST])
    resolve(sqlite_store)
    land(sqlite_store, world[_FIRST : _FIRST + 1])
    monkeypatch.setattr(few_records, "MOST_REACHED", 0)

    assert both(sqlite_store)[0] is None
    assert resolve(sqlite_store).details["incremental"]
    assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def test_a_few_records_are_read_as_all_records_are(sqlite_store: Store) -> None:
    land(sqlite_store, people(_COUNT))
    policy, everything = load_policy(), read_match_table(sqlite_store, 1, "person", load_policy())
    ids = everything["source_record_id"].combine_chunks().slice(0, 200)

    rows = {row["source_record_id"]: row for row in read_match_rows(sqlite_store, 1, "person", policy, ids)}

    wanted = {row["source_record_id"]: row for row in everything.to_pylist() if row["source_record_id"] in rows}
    assert len(rows) == 200
    assert {sid: {**row, "verified": sorted(row["verified"])} for sid, row in rows.items()} == {
        sid: {**row, "verified": sorted(row["verified"])} for sid, row in wanted.items()
    }
