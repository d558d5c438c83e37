"""An increment leaves what a full run would leave, whatever came, changed or went, and in whatever order."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.resolve import blocking, index
from pipelines.store import Store, decisions, identity, match_index, tables
from pipelines.store.digest import digest
from tests.resolve.world import forget, land, people, resolve, with_fathers, with_spouses, with_stubs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.report import StageReport

pytestmark = pytest.mark.slow  # each goes through whole stages

_COUNT, _FIRST = 480, 420
_STATS = ("system", "value_hash", "records", "names", "spellings", "initials", "blocked")


def stored(store: Store) -> tuple[Any, ...]:
    """All that resolve keeps beside the ledger: index rows, postings, statistics."""
    buckets = store.read_arrow(tables.match_bucket.select())["postings"].to_pylist()
    keys, records = index.postings_of(buckets)
    stats = store.read_arrow(tables.identifier_stats.select()).to_pylist()
    return (
        {line.record: line for line in match_index.all_rows(store, 1, "person")},
        sorted(zip(keys.tolist(), records.tolist(), strict=True)),
        sorted(tuple(str(row[name]) for name in _STATS) for row in stats),
    )


def wrote(report: StageReport) -> tuple[object, ...]:
    """What a run changed: links, evidence, ids."""
    return report.counts["written"], report.details["evidence_written"], report.details["ids"]


def change(store: Store, world: list[dict[str, Any]], rng: random.Random, *, new: Sequence[dict[str, Any]]) -> None:
    """Let some come, some change to what others have, and some go."""
    known = [person for person in world if person not in new]
    edited = []
    for person in rng.sample(known, 12):
        other = rng.choice(known)
        names = ("email",) if person.get("stub") else rng.sample(("given_name", "email", "phone", "city"), 2)
        edited.append({**person, **{name: other.get(name) for name in names}})
    land(store, [*new, *edited])
    forget(store, (person["key"] for person in rng.sample(known, 6)))


@pytest.mark.parametrize(
    ("largest_block", "stubs"),
    [(60, False), pytest.param(4, False, marks=pytest.mark.slow), pytest.param(60, True, marks=pytest.mark.slow)],
)
def test_after_an_increment_a_full_run_finds_nothing_to_write(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, largest_block: int, stubs: bool
) -> None:
    monkeypatch.setattr(blocking, "LARGEST_BLOCK", largest_block)
    world, first = people(_COUNT), _FIRST
    if stubs:
        world, first = with_spouses(with_stubs(with_fathers(people(_COUNT + 80)))), _FIRST + 80
    rng = random.Random(3)
    land(sqlite_store, world[:first])
    resolve(sqlite_store)
    for new in (world[first : first + 1], world[first + 1 :]):
        change(sqlite_store, world[:first], rng, new=new)
        assert resolve(sqlite_store).details["incremental"]
        kept, meaning = stored(sqlite_store), digest(sqlite_store)

        assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})
        assert stored(sqlite_store) == kept
        assert digest(sqlite_store) == meaning
        for rule in ("generation", "borrowed_identifier"):
            assert not stubs or len(_kept_apart_by(sqlite_store, rule)) > 1


def test_when_a_birth_date_is_corrected_its_generation_keeps_nobody_apart_any_more(sqlite_store: Store) -> None:
    world = {person["key"]: person for person in with_fathers(people(_COUNT))}
    land(sqlite_store, world.values())
    resolve(sqlite_store)
    keys = {row.source_record_id: row.source_key for row in sqlite_store.read(tables.source_record.select())}
    kept = _kept_apart_by(sqlite_store, "generation")
    left, right = kept[0].left_id, kept[0].right_id
    land(sqlite_store, [{**world[keys[left]], "birth_date": world[keys[right]]["birth_date"]}])

    assert resolve(sqlite_store).details["incremental"]

    assert (left, right) not in {(row.left_id, row.right_id) for row in _kept_apart_by(sqlite_store, "generation")}
    assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def test_when_who_lay_between_goes_nobody_is_kept_apart_any_more(sqlite_store: Store) -> None:
    land(sqlite_store, with_fathers(people(_COUNT)))
    resolve(sqlite_store)
    keys = {row.source_record_id: row.source_key for row in sqlite_store.read(tables.source_record.select())}
    row = tables.evidence.c
    linked = {
        (each.left_id, each.right_id)
        for each in sqlite_store.read(
            tables.evidence.select().where(row.judgement == "positive", row.known_to.is_(None))
        )
    }
    kept = [(each.left_id, each.right_id) for each in _kept_apart_by(sqlite_store, "generation")]
    left, right = next(pair for pair in kept if pair not in linked)
    between = {other for pair in linked if left in pair for other in pair} - {left}
    assert between
    forget(sqlite_store, (keys[other] for other in between))

    assert resolve(sqlite_store).details["incremental"]

    assert (left, right) not in {(each.left_id, each.right_id) for each in _kept_apart_by(sqlite_store, "generation")}
    assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def test_who_use_one_number_stay_apart_when_one_of_them_changes(sqlite_store: Store) -> None:
    world = {person["key"]: person for person in with_spouses(people(_COUNT))}
    land(sqlite_store, world.values())
    resolve(sqlite_store)
    keys = {row.source_record_id: row.source_key for row in sqlite_store.read(tables.source_record.select())}
    kept = {row.evidence_id: row.left_id for row in _kept_apart_by(sqlite_store, "borrowed_identifier")}
    changed = [world[keys[left]] for _, left in sorted(kept.items())[:6]]
    land(sqlite_store, [{**person, "city": "ghent"} for person in changed])

    assert resolve(sqlite_store).details["incremental"]

    assert kept == {row.evidence_id: row.left_id for row in _kept_apart_by(sqlite_store, "borrowed_identifier")}
    assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def _kept_apart_by(store: Store, rule: str) -> list[Any]:
    row = tables.evidence.c
    return list(store.read(tables.evidence.select().where(row.rule == rule, row.known_to.is_(None))))


@pytest.mark.slow
def test_increments_work_on_postgresql_too(postgres_store: Store) -> None:
    world = people(_COUNT)
    land(postgres_store, world[:_FIRST])
    resolve(postgres_store)
    change(postgres_store, world[:_FIRST], random.Random(5), new=world[_FIRST:])

    assert resolve(postgres_store).details["incremental"]
    kept = stored(postgres_store)

    assert wrote(resolve(postgres_store, full=True)) == (0, 0, {})
    assert stored(postgres_store) == kept


@pytest.mark.slow
@pytest.mark.parametrize("stubs", [False, True])
def test_under_one_model_the_order_of_arrival_does_not_matter(sqlite_store: Store, stubs: bool) -> None:
    world, first = people(_COUNT, seed=11), _FIRST
    if stubs:
        world, first = with_stubs(with_fathers(people(_COUNT + 80, seed=11))), _FIRST + 80
    rng = random.Random(2)
    land(sqlite_store, world)
    resolve(sqlite_store)
    at_once = digest(sqlite_store)
    model = identity.active_model(sqlite_store, 1, "person")
    assert model is not None

    forget(sqlite_store, (person["key"] for person in world))
    resolve(sqlite_store)
    rng.shuffle(world)
    for part in (world[:first], world[first : first + 7], world[first + 7 :]):
        land(sqlite_store, part)
        report = resolve(sqlite_store)

    assert report.details["incremental"]
    assert identity.active_model(sqlite_store, 1, "person") == model
    assert digest(sqlite_store) == at_once


def test_an_index_that_was_being_written_when_a_run_died_is_not_trusted(sqlite_store: Store) -> None:
    world = people(_COUNT)
    land(sqlite_store, world[:_FIRST])
    resolve(sqlite_store)
    state = match_index.state(sqlite_store, 1, "person")
    assert state is not None
    with sqlite_store.acquire("master/resolve") as lease, sqlite_store.write(lease, cause="test") as tx:
        match_index.set_state(tx, "person", match_index.IndexState(state.model_id, None, state.bits, state.records))
    land(sqlite_store, world[_FIRST:])

    report = resolve(sqlite_store)

    assert "incremental" not in report.details
    assert match_index.state(sqlite_store, 1, "person").records == _COUNT  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_record_erased_from_the_index_makes_the_next_run_that_meets_it_write_it_anew(sqlite_store: Store) -> None:
    world = people(_COUNT)
    land(sqlite_store, world)
    resolve(sqlite_store)
    known = next(person for person in world if person["email"] and person["phone"])
    record = tables.source_record
    keys = sqlite_store.read(
        record.select().with_only_columns(record.c.source_record_id).where(record.c.source_key == known["key"])
    )
    forget(sqlite_store, [known["key"]])
    with sqlite_store.acquire("test") as lease, sqlite_store.write(lease, cause="test") as tx:
        match_index.remove_rows(tx, [keys[0][0]])
    first = resolve(sqlite_store)
    land(sqlite_store, [{**known, "key": "again"}])

    second = resolve(sqlite_store)

    assert first.details["incremental"]
    assert "incremental" not in second.details
    assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def test_one_changed_record_reaches_only_its_own_neighbours(sqlite_store: Store) -> None:
    world = people(_COUNT)
    land(sqlite_store, world)
    resolve(sqlite_store)
    before = dict(sqlite_store.read(tables.crosswalk.select().with_only_columns(*_LINK)))
    land(sqlite_store, [{**world[3], "street": "1 other road"}])

    report = resolve(sqlite_store)

    after = dict(sqlite_store.read(tables.crosswalk.select().with_only_columns(*_LINK)))
    assert report.counts["read"] == 1
    assert report.counts["reached"] < _COUNT / 10
    assert sum(after[record] != number for record, number in before.items()) <= report.counts["reached"]


_LINK = (tables.crosswalk.c.source_record_id, tables.crosswalk.c.entity_id)


@pytest.mark.slow
def test_what_a_person_decides_is_applied_by_an_increment_as_by_a_full_run(sqlite_store: Store) -> None:
    land(sqlite_store, people(_COUNT))
    resolve(sqlite_store)
    links = dict(sqlite_store.read(tables.crosswalk.select().with_only_columns(*_LINK)))
    pairs = sorted((one, other) for one in links for other in links if one < other)
    apart = next(pair for pair in pairs if links[pair[0]] == links[pair[1]])
    joined = next(pair for pair in pairs if links[pair[0]] != links[pair[1]])
    for kind, (left, right) in (("no_match", apart), ("match", joined)):
        with sqlite_store.acquire("steward") as lease, sqlite_store.write(lease, cause="test") as tx:
            said = {"entity": "person", "kind": kind, "left_id": left, "right_id": right, "request_key": kind}
            decisions.add(tx, said)

        assert resolve(sqlite_store).details["incremental"]
        after = dict(sqlite_store.read(tables.crosswalk.select().with_only_columns(*_LINK)))

        assert (after[left] == after[right]) == (kind == "match")
        assert wrote(resolve(sqlite_store, full=True)) == (0, 0, {})


def test_an_index_is_trusted_by_another_process(sqlite_store: Store) -> None:
    land(sqlite_store, people(_COUNT))
    resolve(sqlite_store)
    state = match_index.state(sqlite_store, 1, "person")
    stored_model = identity.active_model(sqlite_store, 1, "person")
    assert state is not None
    assert stored_model is not None
    script = (
        "import sys; from pipelines.resolve.index import fingerprint; from pipelines.resolve.model import MatchModel; "
        "from pipelines.resolve.rules import load_policy; "
        "print(fingerprint(load_policy(), MatchModel.from_json(sys.stdin.read()).features))"
    )
    marks = {
        subprocess.run(
            [sys.executable, "-c", script], input=stored_model[1], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }  # fmt: skip

    assert marks == {state.fingerprint}
