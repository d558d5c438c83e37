"""Past states are rebuilt exactly: what was known at a commit, and of that what was true at an instant."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.history import retract
from pipelines.history.past import as_of, commit_of
from pipelines.store import Store, history_reads
from tests.golden.tables import day
from tests.history.chronicle import Chronicle
from tests.history.world import World, gone, person

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = ("Ada", "Lovelace", "ada@engines.example")


def test_every_past_state_is_rebuilt_as_it_was(sqlite_store: Store) -> None:
    chronicle = Chronicle(World(sqlite_store), seed=5)
    chronicle.run(steps=8)

    wrong = [past.seq for past in chronicle.states if not chronicle.is_rebuilt(past)]

    assert wrong == []
    assert len({json.dumps(past.golden, default=str) for past in chronicle.states}) > 5


def test_what_was_true_at_an_instant_is_taken_from_the_versions_of_that_time(store: Store) -> None:
    world = World(store)
    for year, title in ((2020, "Pupil"), (2022, "Analyst"), (2024, "Countess")):
        world.land(person("crm", "1", f"{year}-01-01", *ADA, job_title=title))
        world.master()
    world.land(gone("crm", "1", "2025-01-01"))

    def title_at(instant: str) -> Any:
        return as_of(store, "person", 1, known=world.seq(), valid=day(instant)).values["job_title"]

    found = [title_at(instant) for instant in ("2020-01-01", "2021-06-01", "2022-01-01", "2024-12-31")]

    assert found == ["Pupil", "Pupil", "Analyst", "Countess"]
    for instant in ("2019-12-31", "2025-01-01"):
        with pytest.raises(FixConfig, match="nothing of"):
            title_at(instant)


def test_what_came_later_was_not_known_before(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", "1", "2020-01-01", *ADA, job_title="Pupil"))
    world.master()
    before, instant = world.seq(), world.clock
    world.land(person("crm", "1", "2020-06-01", *ADA, job_title="Analyst"))
    world.master()

    known_then = as_of(sqlite_store, "person", 1, known=before, valid=day("2021-01-01"))
    known_by_clock = as_of(sqlite_store, "person", 1, known=instant, valid=day("2021-01-01"))
    known_now = as_of(sqlite_store, "person", 1, valid=day("2021-01-01"))

    assert (known_then.values["job_title"], known_by_clock, known_now.values["job_title"]) == (
        "Pupil", known_then, "Analyst",
    )  # fmt: skip


def test_an_id_stands_for_what_it_was_at_that_commit(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(
        person("crm", "1", "2020-01-01", *ADA), person("crm", "2", "2020-01-01", "Bob", "Babbage", "b@x.example")
    )
    world.master()
    apart = world.seq()
    world.land(person("crm", "2", "2021-01-01", *ADA))
    world.master()

    then, now = (as_of(sqlite_store, "person", 2, known=seq) for seq in (apart, None))

    assert (then.entity_id, then.members, then.values["given_name"]) == (2, ("crm/contact/2",), "Bob")
    assert (now.entity_id, now.members) == (1, ("crm/contact/1", "crm/contact/2"))
    with pytest.raises(FixConfig, match="was not known"):
        as_of(sqlite_store, "person", 2, known=1)


def test_a_retracted_source_is_still_there_in_the_past(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", "1", "2020-01-01", *ADA), person("desk", "1", "2021-01-01", *ADA, job_title="Countess"))
    world.master()
    before = world.seq()
    retract(world.context(), "desk")
    world.master()

    then, now = as_of(sqlite_store, "person", 1, known=before), as_of(sqlite_store, "person", 1)

    assert then.members == ("crm/contact/1", "desk/contact/1")
    assert (then.values["job_title"], now.values["job_title"]) == ("Countess", None)


def test_an_instant_names_the_newest_commit_made_by_then(sqlite_store: Store) -> None:
    world = World(sqlite_store)
    world.land(person("crm", "1", "2020-01-01", *ADA))
    first, at = world.seq(), world.clock
    world.land(person("crm", "1", "2021-01-01", *ADA))

    assert commit_of(sqlite_store, at) == first
    assert commit_of(sqlite_store, at - timedelta(days=1)) == 0
    assert commit_of(sqlite_store, None) == world.seq()
    assert history_reads.committed_at(sqlite_store, 1, first) == at
