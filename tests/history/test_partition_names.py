"""The parts of a child stream are named by their parents' keys; erasure takes those names away, too."""

from __future__ import annotations

import pytest

from connectors.sdk.catalog import find_connectors
from connectors.sdk.partitions import names_below
from pipelines.erasure.gather import gather
from pipelines.store import Store, erasures
from pipelines.store.tables import partition_state, read, segment
from tests.history.world import World, person

pytestmark = pytest.mark.slow

KEY = "ada 7_7%"


def test_the_names_that_the_engine_gives_are_taken_away_and_no_others(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", KEY, "2025-01-01", "Ada", "Lovelace", "ada@x.example"))
    world.master()
    (engine_s,) = names_below(find_connectors()["zendesk"].manifest.streams["ticket_comments"])(KEY)
    assert engine_s == "tickets=ada%207_7%25"
    others = ["tickets=ada%207x7%25", f"{engine_s}9", "tickets=bob"]
    for number, name in enumerate([engine_s, f"lang=en,{engine_s}", *others]):
        world.write(lambda tx, name=name, number=number: _row(tx, name, number))

    erased = gather(sqlite_store, 1, "person", 1)
    world.write(lambda tx: erasures.destroy(tx, erased, {("crm", "contact"): ["visits"]}))

    for table in (partition_state, read, segment):
        named = sqlite_store.read(table.select().where(table.c.stream == "visits"))
        assert sorted({row.partition for row in named}) == sorted({*others, "erased:1"}), table.name


def _row(tx: object, name: str, number: int) -> None:
    place = {"connection_id": "crm", "stream": "visits", "partition": name}
    if number != 1:  # two names of one key would become one key of this table
        tx.insert_row(partition_state, place)
    known = {"read_id": 900 + number, "load_id": 900, **place}
    tx.insert_row(read, {**known, "kind": "SNAPSHOT", "status": "finished", "resumed": False, "started_seq": 1})
    counts = dict.fromkeys(("wire", "loaded", "unchanged", "duplicate", "filtered", "quarantined"), 0)
    tx.insert_row(
        segment,
        {"segment_id": 900 + number, **known, "object": "visit", "files": [], "records": 0, "fence": 1, **counts},
    )
