"""Of another moment too: to whom a person reported, how it could be reached, and what it liked."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.history import retract
from pipelines.history.past import Past, as_of
from pipelines.store import Store
from tests.golden.tables import day
from tests.history.world import World, person

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = ("Ada", "Lovelace", "ada@engines.example")
BOB = ("Robert", "Babbage", "bob@engines.example")
EVE = ("Grace", "Hopper", "grace@engines.example")


@pytest.fixture
def world(store: Store) -> World:
    world = World(store)
    said = [person("crm", str(n), "2020-01-01", *one) for n, one in enumerate((ADA, BOB, EVE), start=1)]
    world.land(*said)
    settle(world)
    return world


def settle(world: World) -> int:
    """Run the stages of the master; returns the commit."""
    world.master()
    world.around()
    return world.seq()


def bosses(past: Past) -> list[int]:
    return [row["to_id"] for row in past.relationships if row["from_id"] == past.entity_id]


def state(past: Past) -> tuple[Any, ...]:
    return tuple((point["value"], point["state"], point["deliverability"]) for point in past.contact_points)


def test_relations_are_those_known_then_and_of_them_those_that_held(world: World) -> None:
    store = world.store
    world.relate("crm/1", "crm/2", day("2021-01-01"), valid_from=day("2021-01-01"), valid_to=day("2023-01-01"))
    first = settle(world)
    world.relate("crm/1", "crm/3", day("2024-01-01"), valid_from=day("2022-01-01"))
    second = settle(world)
    world.relate("crm/1", None, day("2025-01-01"))
    settle(world)

    def at(known: int | None, valid: str | None = None) -> list[int]:
        return bosses(as_of(store, "person", 1, known=known, valid=valid and day(valid)))

    assert (at(first), at(first, "2022-06-01"), at(first, "2023-06-01"), at(first, "2020-06-01")) == ([2], [2], [], [])
    assert (at(second, "2021-06-01"), at(second, "2022-06-01"), at(second, "2024-06-01")) == ([], [3], [3])
    assert at(None) == []


def test_a_relation_follows_the_ids_of_that_commit(world: World) -> None:
    world.relate("crm/1", "crm/2", day("2021-01-01"))
    apart = settle(world)
    world.land(person("crm", "2", "2022-01-01", *EVE))
    together = settle(world)

    assert bosses(as_of(world.store, "person", 1, known=apart)) == [2]
    assert bosses(as_of(world.store, "person", 1, known=together)) == [as_of(world.store, "person", 3).entity_id]


def test_a_contact_point_is_as_deliverable_as_was_known_and_as_it_was_then(world: World) -> None:
    before = world.seq()
    world.happen("crm/1", "delivered", day("2021-01-01"))
    world.happen("crm/1", "hard bounce", day("2022-01-01"), connection="desk")
    bounced = settle(world)
    retract(world.context(), "desk")
    settle(world)

    def at(known: int | None, valid: str | None = None) -> tuple[Any, ...]:
        return state(as_of(world.store, "person", 1, known=known, valid=valid and day(valid)))

    address = ADA[2]
    assert at(before) == ((address, "usable", 0.8),)
    assert at(bounced) == ((address, "undeliverable", 0.0),)
    assert at(bounced, "2021-06-01") == ((address, "usable", 0.9),)
    assert at(None) == ((address, "usable", 0.9),)


def test_an_address_is_that_of_the_time_and_preferences_too(world: World) -> None:
    first = world.seq()
    world.land(person("crm", "1", "2022-01-01", *ADA[:2], "ada@home.example", time_zone="Europe/London"))
    settle(world)

    then, now = (as_of(world.store, "person", 1, known=seq) for seq in (first, None))
    early = as_of(world.store, "person", 1, valid=day("2021-01-01"))

    assert [point["value"] for past in (then, early, now) for point in past.contact_points] == [
        ADA[2], ADA[2], "ada@home.example",
    ]  # fmt: skip
    assert (then.preference, early.preference) == (None, None)
    assert now.preference is not None
    assert (now.preference["time_zone"], now.preference["quiet_from"]) == ("Europe/London", "21:00")


def test_what_a_person_stated_is_that_of_the_time_and_of_no_retracted_source(world: World) -> None:
    first = world.seq()
    world.land(person("desk", "1", "2020-01-01", *ADA))
    settle(world)
    world.prefer("crm/1", day("2021-01-01"), "13:00", "email")
    second = settle(world)
    world.prefer("crm/1", day("2022-01-01"), None, "phone")
    world.prefer("desk/1", day("2023-01-01"), None, "sms")
    third = settle(world)
    retract(world.context(), "desk")
    settle(world)

    def at(known: int | None, valid: str | None = None) -> str | None:
        found = as_of(world.store, "person", 1, known=known, valid=valid and day(valid)).preference
        return found and found["stated_channel"]

    assert [at(seq) for seq in (first, second, third, None)] == [None, "email", "sms", "phone"]
    assert [at(third, valid) for valid in ("2020-06-01", "2021-06-01", "2022-06-01", "2023-06-01")] == [
        None, "email", "phone", "sms",
    ]  # fmt: skip
