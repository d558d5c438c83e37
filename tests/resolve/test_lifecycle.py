"""A match model is learned aside, shows what it would change, and is activated as a migration that keeps ids."""

from __future__ import annotations

import json

import numpy as np
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve.lifecycle import activate, compare, train
from pipelines.resolve.model import MatchModel
from pipelines.resolve.model_shift import TELLING_BITS, shift
from pipelines.store import Store, identity
from tests.history.world import World, person

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = person("crm", "1", "2025-01-01", "Ada", "Lovelace", "ada@engines.example", verified=False)
AGAIN = person("crm", "2", "2025-01-01", "Adah", "Lovelace", "ada@engines.example", verified=False)
BOB = person("crm", "3", "2025-01-01", "Robert", "Babbage", "bob@engines.example")


def resolved(store: Store) -> World:
    world = World(store)
    world.land(ADA, AGAIN, BOB)
    world.master()
    return world


def add_strict_model(world: World) -> int:
    """A candidate like the active model, but for a threshold that no scored pair reaches."""
    document = json.loads(identity.active_model(world.store, 1, "person")[1])
    with world.store.acquire("test") as lease, world.store.write(lease, cause="test") as tx:
        return identity.add_model(tx, "person", json.dumps({**document, "threshold": 60.0}), {}, candidate=True)


def statuses(world: World) -> dict[int, str]:
    return {one.model_id: one.status for one in identity.models(world.store, 1)}


def test_training_changes_nothing_but_adds_a_candidate_with_its_report(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    world.land(person("crm", "4", "2025-01-01", "Grace", "Hopper", "grace@navy.example"))
    world.master()
    before = world.state()

    report = train(world.context(), anew=True)
    world.master()

    assert statuses(world) == {1: "active", 2: "candidate"}
    told = {name: report.details[name] for name in ("model", "stands", "entities", "untouched", "merges", "splits")}
    assert told == {"model": 2, "stands": False, "entities": 3, "untouched": 3, "merges": 0, "splits": 0}
    assert identity.models(sqlite_store, 1)[1].report["preview"]["merges"] == 0
    assert world.state() == before


def test_training_twice_on_the_same_records_stores_no_second_model(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)

    assert train(world.context()).details["model"] == 1
    assert train(world.context(), anew=True).details["model"] == 1
    assert statuses(world) == {1: "active"}


def test_the_active_model_stands_where_what_was_learned_cannot_be_told_from_it(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    world.land(person("crm", "4", "2025-01-01", "Grace", "Hopper", "grace@navy.example"))
    world.master()

    told = train(world.context()).details

    assert (told["model"], told["stands"], told["equal"]) == (1, True, False)
    assert 0 < told["shift"]["matches"] < TELLING_BITS
    assert statuses(world) == {1: "active"}


def test_a_model_of_twice_the_records_is_a_candidate_even_if_it_says_the_same(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    world.land(*(person("crm", f"x{n}", "2025-01-01", f"N{n}", f"F{n}", f"{n}@x.example") for n in range(3)))

    told = train(world.context()).details

    assert (told["model"], told["stands"]) == (2, False)


def test_a_model_that_would_touch_more_than_next_to_no_entity_is_a_candidate(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    world.land(person("crm", "2", "2025-01-02", "Grace", "Hopper", "grace@navy.example"))

    told = train(world.context()).details

    assert told["splits"] == 1
    assert not shift(*(MatchModel.from_json(document(world, number)) for number in (1, 2))).tells
    assert (told["model"], told["stands"]) == (2, False)


def document(world: World, number: int) -> str:
    return identity.model_document(world.store, 1, number)


def test_activation_is_a_migration_that_carries_ids_over_and_can_be_taken_back(store: Store) -> None:
    world = resolved(store)
    before, number = world.state(), add_strict_model(world)

    activate(world.context(), number)
    world.master()
    parted, during = world.links(), statuses(world)
    activate(world.context(), 1)
    world.master()

    assert during == {1: "superseded", number: "active"}
    ids = [world.ids[f"crm/{key}"] for key in (1, 2, 3)]
    assert [parted[record] for record in ids] == [1, 3, 2]
    assert statuses(world) == {1: "active", number: "superseded"}
    assert world.state()[:2] == before[:2]


def test_a_model_that_cannot_be_activated_is_refused_with_the_reason(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    number = add_strict_model(world)

    with pytest.raises(FixConfig, match="no match model 9"):
        activate(world.context(), 9)
    world.land(*(person("crm", f"x{n}", "2025-01-01", f"N{n}", f"F{n}", f"{n}@x.example") for n in range(4)))
    world.master()
    with pytest.raises(FixConfig, match="outgrown"):
        activate(world.context(), number)


def test_activating_the_active_model_again_writes_nothing(sqlite_store: Store) -> None:
    world = resolved(sqlite_store)
    before = world.state()

    report = activate(world.context(), 1)
    world.master()

    assert report.details == {"model": 1, "unchanged": True}
    assert world.state() == before


def test_comparison_names_merges_and_splits_by_id() -> None:
    links = {1: 10, 2: 10, 3: 11, 4: 12, 5: 13}
    records, labels = np.arange(1, 7), np.array([0, 1, 1, 2, 3, 3])

    found = compare(links, records, labels)

    assert found == {
        "entities": 4, "untouched": 2, "merges": 1, "splits": 1,
        "merge_examples": [[10, 11]], "split_examples": [{"entity_id": 10, "parts": 2}],
    }  # fmt: skip
