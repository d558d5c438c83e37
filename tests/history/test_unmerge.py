"""Merges can be taken back: whatever happened in between, an earlier partition has its ids, links and golden rows again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines import steward
from pipelines.history import retract, undo_retraction
from pipelines.store import Store
from tests.golden.tables import day
from tests.history.sequences import become, comes_back
from tests.history.world import World, person
from tests.resolve.links import Links


def test_any_sequence_of_merges_and_unmerges_gives_back_every_id() -> None:
    wrong = [seed for seed in range(300) if not comes_back(seed)]

    assert wrong == []


def test_an_entity_nothing_touched_keeps_its_id_while_others_merge_and_part() -> None:
    links = Links()
    become(links, [[1, 2], [3], [4, 5], [6]])
    first = dict(links.crosswalk)

    become(links, [[1, 2, 3], [4, 5], [6]])
    become(links, [[1, 2], [3, 6], [4, 5]])

    assert {record: links.crosswalk[record] for record in (4, 5)} == {record: first[record] for record in (4, 5)}


def test_equal_halves_take_back_their_own_ids_whichever_comes_first() -> None:
    links = Links()
    become(links, [[2], [1]])
    first = dict(links.crosswalk)

    become(links, [[1, 2]])
    become(links, [[1], [2]])

    assert links.crosswalk == first


@pytest.mark.slow
def test_what_a_steward_merged_and_took_back_is_byte_for_byte_as_before(sqlite_store: Store) -> None:
    world, rng = World(sqlite_store), np.random.default_rng(7)
    names = (("Ada", "Lovelace"), ("Robert", "Babbage"), ("Grace", "Hopper"), ("Alan", "Turing"))
    world.land(*(person("crm", f, "2025-01-01", g, f, f"{g}@x.example", job_title=g) for g, f in names))
    world.master()
    links, golden, _ = world.state()

    made = []
    for left, right in ((0, 1), (2, 3), (1, 2)):
        pair = [f"crm/contact/{names[each][1]}" for each in (left, right)]
        made.append(steward.match(world.context(), *pair, seen=world.seq(), reason="test").decision.decision_id)
        world.master()
    merged = world.links()
    for decision_id in rng.permutation(made).tolist():
        steward.undo(world.context(), decision_id, seen=world.seq(), reason="test")
        world.master()

    assert len(set(merged.values())) == 1
    assert world.state()[:2] == (links, golden)


@pytest.mark.slow
def test_decisions_and_retractions_undone_in_turn_leave_the_links_and_golden_rows_from_before(store: Store) -> None:
    world = World(store)
    for connection, at in (("crm", "2025-01-01"), ("desk", "2025-02-01")):
        said = (("Ada", "Lovelace"), ("Robert", "Babbage"))
        world.land(*(person(connection, f, at, g, f, f"{g}@x.example", job_title=connection) for g, f in said))
    world.master()
    states, undos = [world.state()], list[Callable[[], object]]()

    def do(act: Callable[[], object], undo: Callable[[object], object]) -> None:
        done = act()
        undos.append(lambda: undo(done))
        world.master()
        states.append(world.state())

    def take_back(done: steward.Outcome) -> None:
        steward.undo(world.context(), done.decision.decision_id, seen=world.seq(), reason="test")

    def decide(act: Callable[..., object], *records: object) -> None:
        do(lambda: act(world.context(), *records, seen=world.seq(), reason="test"), take_back)

    decide(steward.match, "crm/contact/Lovelace", "crm/contact/Babbage")
    do(lambda: retract(world.context(), "crm"), lambda _: undo_retraction(world.context(), "crm"))
    decide(steward.no_match, "crm/contact/Lovelace", "desk/contact/Lovelace")
    decide(steward.match, "desk/contact/Lovelace", "desk/contact/Babbage")
    wrong = []
    for number in reversed(range(len(undos))):
        undos[number]()
        world.master()
        wrong += [number] if world.state()[:2] != states[number][:2] else []

    assert wrong == []
    assert len({str(links) for links, _, _ in states}) > 3


@pytest.mark.slow
def test_a_merge_that_a_steward_takes_back_gives_each_person_what_it_stated_itself(store: Store) -> None:
    world = World(store)
    said = (("Ada", "Lovelace", "12:30", "email"), ("Robert", "Babbage", "15:00", "phone"))
    world.land(
        *(person("crm", f, "2025-01-01", g, f, f"{g}@x.example", time_zone="Europe/London") for g, f, *_ in said)
    )
    for number, (_, family, quiet, channel) in enumerate(said):
        world.prefer(f"crm/{family}", day(f"2025-02-0{number + 1}"), quiet, channel)

    def stated() -> dict[int, tuple[object, ...]]:
        world.master()
        world.around()
        rows = store.query("SELECT entity_id, stated_channel, quiet_also, stated FROM v1_golden_preference").rows
        return {row[0]: tuple(map(str, row[1:])) for row in rows}

    apart = stated()
    pair = [f"crm/contact/{family}" for _, family, *_ in said]
    done = steward.match(world.context(), *pair, seen=world.seq(), reason="test")
    together = stated()
    steward.undo(world.context(), done.decision.decision_id, seen=world.seq(), reason="test")

    assert [(row[0], "15:00" in row[1], row[2].count("quiet_hours")) for row in together.values()] == [
        ("phone", True, 2)
    ]
    assert stated() == apart
    assert sorted(row[0] for row in apart.values()) == ["email", "phone"]
