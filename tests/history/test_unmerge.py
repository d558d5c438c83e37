"""Merges can be taken back: whatever happened in between, an earlier partition has its ids, links and golden rows again."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines import steward
from pipelines.store import Store
from tests.history.sequences import Links, comes_back
from tests.history.world import World, person


def test_any_sequence_of_merges_and_unmerges_gives_back_every_id() -> None:
    wrong = [seed for seed in range(300) if not comes_back(seed)]

    assert wrong == []


def test_an_entity_nothing_touched_keeps_its_id_while_others_merge_and_part() -> None:
    links = Links()
    links.become([[1, 2], [3], [4, 5], [6]])
    first = dict(links.crosswalk)

    links.become([[1, 2, 3], [4, 5], [6]])
    links.become([[1, 2], [3, 6], [4, 5]])

    assert {record: links.crosswalk[record] for record in (4, 5)} == {record: first[record] for record in (4, 5)}


def test_equal_halves_take_back_their_own_ids_whichever_comes_first() -> None:
    links = Links()
    links.become([[2], [1]])
    first = dict(links.crosswalk)

    links.become([[1, 2]])
    links.become([[1], [2]])

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
