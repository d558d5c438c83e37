"""A few changed records are worked out in Python to the very outcome that the statements for many come to."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.resolve import blocking, cluster, few, few_records, neighbours
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
from tests.resolve.world import forget, land, people, resolve, with_fathers, with_stubs

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


@pytest.mark.parametrize(
    ("largest_block", "seed", "worth_all", "stubs"), [(60, 3, 0, False), (4, 4, 8, False), (60, 5, 8, True)]
)
def test_both_ways_come_to_the_same_whatever_changes(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, largest_block: int, seed: int, worth_all: int, stubs: bool
) -> None:
    monkeypatch.setattr(blocking, "LARGEST_BLOCK", largest_block)
    monkeypatch.setattr(neighbours, "_WORTH_ALL", worth_all)
    monkeypatch.setattr(match_index, "MANY_VALUES", 100 * worth_all)
    monkeypatch.setattr(match_index, "_AT_ONCE", 3 if worth_all else 500)
    for module, limit in ((few, "MOST_HOLDERS"), (few, "MOST_PAIRS"), (few_records, "MOST_REACHED")):
        monkeypatch.setattr(module, limit, 100_000)
    world, first, rng = people(_COUNT, seed=seed), _FIRST, random.Random(seed)
    if stubs:
        world, first = with_stubs(with_fathers(people(_COUNT + 80, seed=seed))), _FIRST + 80
    land(sqlite_store, world[:first])
    resolve(sqlite_store)
    for at in range(first, len(world), 20):
        change(sqlite_store, world[:first], rng, new=world[at : at + 20])
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


def statements(store: Store) -> dict[tuple[int, int, str], float]:
    """The open evidence: ends and kind, and the weight (of what is no score, one that always connects)."""
    read = identity.open_evidence(store, 1, "person").to_pylist()
    return {
        (row["left_id"], row["right_id"], row["kind"]): row["weight"] if row["kind"] == "scored" else 99.0
        for row in read
    }


def test_only_edges_are_followed_and_all_of_them(sqlite_store: Store) -> None:
    world, rng = people(_COUNT, seed=6), random.Random(6)
    land(sqlite_store, world)
    resolve(sqlite_store)
    for _ in range(3):
        before, start = statements(sqlite_store), given(sqlite_store)
        change(sqlite_store, world, rng, new=[])
        changed = match_index.changed_parties(sqlite_store, 1, "person", sqlite_store.watermark("resolve", "person"))
        with SetBased(start) as work:
            outcome = _Increment(start, work).run(changed.to_numpy())
        assert resolve(sqlite_store).details["incremental"]
        after = statements(sqlite_store)

        least = cluster.accepted_from(start.model.threshold) - 0.001
        edges = {row[:2] for rows in (before, after) for row, weight in rows.items() if weight >= least}
        differing = [row for row in before.keys() | after.keys() if before.get(row) != after.get(row)]
        reached = {*outcome.rows, *outcome.gone} | {end for row in differing if row[:2] in edges for end in row[:2]}
        while more := {end for pair in edges if reached & set(pair) for end in pair} - reached:
            reached |= more
        assert set(outcome.reached.tolist()) == reached


def test_doubt_is_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    constraints, model = SimpleNamespace(said=()), SimpleNamespace(threshold=5.0)
    start: Any = SimpleNamespace(constraints=constraints, decided=set(), model=model)
    work: Any = SimpleNamespace(dirty={1}, live={1}, gone=set())
    part = _Increment(start, work)
    monkeypatch.setattr(part, "_read_open", lambda _: [])
    doubt, edge = (1, 2, "scored", None, "unsure", 4.0, 1), (1, 3, "scored", None, "positive", 9.0, 1)
    link = (4, 5, "deterministic", "same_email", "positive", None, None)
    assert part._closure([doubt, edge, link], set()) == {1, 3, 4, 5}
    part.open = {7: doubt, 8: edge, 9: link}
    assert part._closure([], {7, 8, 9}) == {1, 3, 4, 5}
    assert part._closure([], {7}) == {1}
