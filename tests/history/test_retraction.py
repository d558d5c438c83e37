"""A bad source can be taken back, and taking it back can be undone: nothing is lost on either way."""

from __future__ import annotations

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.history import retract, undo_retraction
from pipelines.store import Store
from pipelines.store.digest import digest
from pipelines.store.tables import evidence, metadata
from tests.golden.tables import day
from tests.history.world import World, person

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = ("Ada", "Lovelace", "ada@engines.example")
BOB = ("Robert", "Babbage", "bob@engines.example")


def merged(store: Store) -> World:
    """Ada in both sources; Bob in the crm; the desk says that Bob's second address is Ada's: a bad bridge."""
    world = World(store)
    world.land(person("crm", "1", "2025-01-01", *ADA), person("crm", "2", "2025-01-01", *BOB))
    world.master()
    world.land(person("desk", "1", "2025-06-01", *ADA, job_title="Countess"), person("desk", "2", "2025-06-01", *BOB))
    world.master()
    return world


def test_a_retracted_source_has_no_part_in_links_evidence_and_golden_rows(sqlite_store: Store) -> None:
    world = merged(sqlite_store)
    ids = world.ids

    report = retract(world.context(), "desk", reason="bad import")
    world.master()

    assert report.counts == {"read": 2, "written": 2}
    assert set(world.links()) == {ids["crm/1"], ids["crm/2"]}
    assert {row["job_title"] for row in world.golden().values()} == {None}
    assert {row["source_count"] for row in world.golden().values()} == {1}
    assert not sqlite_store.read(evidence.select().where(evidence.c.known_to.is_(None)))


def test_undoing_a_retraction_gives_back_everything_byte_by_byte(store: Store) -> None:
    world = merged(store)
    before, meaning = world.state(), digest(store)

    retract(world.context(), "desk")
    world.master()
    between = digest(store)
    undo_retraction(world.context(), "desk")
    world.master()

    assert world.state() == before
    assert digest(store) == meaning
    assert between["golden_person"] != meaning["golden_person"]
    assert between["retracted_record"] != meaning["retracted_record"]


@pytest.mark.slow
def test_history_of_a_retracted_source_stays(sqlite_store: Store) -> None:
    world = merged(sqlite_store)
    tables = [metadata.tables[name] for name in ("person", "contact_point", "source_record", "raw_head")]
    counts = [len(sqlite_store.read(table.select())) for table in tables]

    retract(world.context(), "desk")
    world.master()

    assert [len(sqlite_store.read(table.select())) for table in tables] == counts


@pytest.mark.slow
def test_only_records_since_an_instant_are_retracted_and_so_are_later_ones(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("desk", "1", "2025-01-01", *ADA), person("desk", "2", "2025-06-01", *BOB))
    world.master()

    retract(world.context(), "desk", since=day("2025-03-01"))
    world.master()
    early = set(world.links())
    world.land(
        person("desk", "3", "2025-07-01", "Late", "Comer", "late@x.example"), person("desk", "1", "2025-02-01", *ADA)
    )
    world.master()

    assert early == {world.ids["desk/1"]}
    assert set(world.links()) == {world.ids["desk/1"]}
    undo_retraction(world.context(), "desk")
    world.master()
    assert set(world.links()) == set(world.ids.values())


@pytest.mark.slow
def test_a_full_run_gives_what_the_incremental_one_gave(sqlite_store: Store) -> None:
    world = merged(sqlite_store)
    retract(world.context(), "desk")
    world.master()
    before = world.state()

    world.master(full=True)

    assert world.state() == before


def test_what_a_retracted_source_said_of_anothers_record_is_taken_back_too(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", "1", "2025-01-01", "Ada", "Lovelace", None), person("desk", "9", "2025-01-01", *BOB))
    phone = {"row_key": ["told"], "kind": ["phone"], "value": ["+442079460000"], "value_norm": ["+442079460000"]}
    rows = {"source_record_id": [world.ids["desk/9"]], "party": [world.ids["crm/1"]], **phone}
    world.write(lambda tx: tx.upsert(metadata.tables["contact_point"], pa.table(rows)))
    world.master()
    ada = world.links()[world.ids["crm/1"]]
    before = world.golden()[ada]["primary_phone"]

    retract(world.context(), "desk")
    world.master()
    without = world.golden()[ada]["primary_phone"]
    undo_retraction(world.context(), "desk")
    world.master()

    assert (before, without, world.golden()[ada]["primary_phone"]) == ("+442079460000", None, "+442079460000")


def test_a_dry_run_counts_and_changes_nothing(sqlite_store: Store) -> None:
    world = merged(sqlite_store)
    before = digest(sqlite_store)

    report = retract(world.context(), "desk", dry_run=True)

    told = {name: report.details[name] for name in ("records", "links", "entities", "emptied")}
    assert told == {"records": 2, "links": 2, "entities": 2, "emptied": 0}
    assert report.counts["written"] == 0
    assert digest(sqlite_store) == before


def test_wrong_requests_are_refused_with_what_to_do(sqlite_store: Store) -> None:
    world = merged(sqlite_store)

    with pytest.raises(FixConfig, match="no connection 'dsk'"):
        retract(world.context(), "dsk")
    with pytest.raises(FixConfig, match="nothing of connection 'desk'"):
        undo_retraction(world.context(), "desk")
    retract(world.context(), "desk")
    with pytest.raises(FixConfig, match="retracted already"):
        retract(world.context(), "desk")
