"""Retraction and erasure where resolve works by its index: only what is reached is decided anew, and the result is the same."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.erasure.gather import gather
from pipelines.history import retract, undo_retraction
from pipelines.store import Store, erasures, match_index
from pipelines.store.tables import partition_state
from tests.history.world import World, person

pytestmark = pytest.mark.slow  # each goes through whole stages


def crowd(store: Store) -> World:
    """Enough people that a model is learned and an index kept; the desk knows a few of them."""
    world, rng = World(store), np.random.default_rng(4)
    names = [
        (f"Given{rng.integers(90)}", f"Family{rng.integers(400)}", f"p{number}@x.example") for number in range(700)
    ]
    world.land(*(person("crm", str(n), "2025-01-01", *name) for n, name in enumerate(names)))
    world.land(*(person("desk", str(n), "2025-02-01", *name) for n, name in enumerate(names[:40])))
    world.master()
    return world


@pytest.mark.slow
def test_a_retraction_by_increments_equals_a_full_run_and_is_undone_byte_by_byte(sqlite_store: Store) -> None:
    world = crowd(sqlite_store)
    before = world.state()

    retract(world.context(), "desk")
    world.master()
    retracted = world.state()
    world.master(full=True)
    full = world.state()
    undo_retraction(world.context(), "desk")
    world.master()

    assert len(retracted[0]) == len(before[0]) - 40
    assert full == retracted
    assert world.state() == before


@pytest.mark.slow
def test_an_erased_person_leaves_the_index_and_everybody_else_stays(sqlite_store: Store) -> None:
    world = crowd(sqlite_store)
    links, golden, _ = world.state()
    number = links[world.ids["crm/3"]]
    erased = gather(sqlite_store, 1, "person", number)
    assert len(erased.own) == 2

    with sqlite_store.acquire("master/erase") as lease, sqlite_store.write(lease, cause="erase") as tx:
        erasures.destroy(tx, erased)
    world.master()

    kept = {record: each for record, each in links.items() if record not in erased.own_ids}
    assert world.links() == kept
    assert world.golden() == {each: row for each, row in golden.items() if each != number}
    indexed = match_index.all_rows(sqlite_store, 1, "person")
    assert set(erased.own_ids).isdisjoint(line.record for line in indexed)
    before = world.state()
    world.master(full=True)
    assert world.state() == before


def test_the_partitions_of_an_erased_person_do_not_bear_its_key(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", "ada-77", "2025-01-01", "Ada", "Lovelace", "ada@x.example"))
    world.master()
    place = {"connection_id": "crm", "stream": "visits", "partition": "ada-77"}
    other = {"connection_id": "crm", "stream": "orders", "partition": "ada-77"}
    for row in (place, other):
        world.write(lambda tx, row=row: tx.insert_row(partition_state, {**row, "position": {"after": "ada-77"}}))

    erased = gather(sqlite_store, 1, "person", 1)
    world.write(lambda tx: erasures.destroy(tx, erased, {("crm", "contact"): ["visits"]}))

    rows = {row.stream: (row.partition, row.position) for row in sqlite_store.read(partition_state.select())}
    assert rows == {"visits": ("erased:1", None), "orders": ("ada-77", {"after": "ada-77"})}
