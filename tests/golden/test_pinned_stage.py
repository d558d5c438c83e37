"""Pins on a store: they bind until they expire, cost only their own entity, and are flagged when a source moved."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.golden.explain import explain
from tests.golden.hub import Hub
from tests.golden.tables import day

pytestmark = pytest.mark.slow  # each goes through whole stages


def status(hub: Hub, **options: Any) -> tuple[str, str, int]:
    """Bring golden up to date: Ada's status, the rule that chose it, and how many entities were made anew."""
    made = hub.counts(**options)["entities"]
    ada = hub.golden()[1]
    return ada["status"], ada["provenance"]["status"][1], made


def test_a_pin_makes_only_its_own_entity_anew_and_wins(hub: Hub) -> None:
    hub.counts()
    hub.pin(1, "crm/1", "status", "married")
    assert status(hub) == ("married", "manual", 1)
    assert status(hub) == ("married", "manual", 0)
    hub.person("desk/1", "2027-01-01", full_name="Ada Lovelace", status="shut", tags=["b"])
    assert status(hub) == ("married", "manual", 1)


def test_a_pin_that_is_undone_gives_the_value_back_to_the_rules(hub: Hub) -> None:
    hub.counts()
    before = {number: row["provenance"] for number, row in hub.golden().items()}
    hub.pin(1, "crm/1", "status", "married")
    hub.counts()
    hub.unpin(1)
    assert status(hub) == ("open", "recent", 1)
    assert {number: row["provenance"] for number, row in hub.golden().items()} == before


def test_a_pin_ends_when_it_expires_without_any_other_change(hub: Hub) -> None:
    hub.pin(1, "crm/1", "status", "married", expires="2026-07-01")
    assert status(hub) == ("married", "manual", 2)
    assert status(hub, at="2026-06-30") == ("married", "manual", 0)
    assert status(hub, at="2026-07-01") == ("open", "recent", 1)
    assert status(hub, at="2026-07-02") == ("open", "recent", 0)
    assert status(hub, at="2026-06-30") == ("married", "manual", 1), "the same instant gives the same answer"


@pytest.mark.parametrize("at", ["2026-06-30", "2026-07-02"])
def test_a_full_run_gives_what_incremental_runs_give_with_pins(hub: Hub, at: str) -> None:
    hub.counts()
    hub.pin(1, "crm/1", "status", "married", expires="2026-07-01")
    hub.pin(2, "desk/2", "full_name", "Robert")
    hub.counts()
    hub.counts(at=at)
    incremental = hub.golden()
    assert hub.counts(full=True, at=at)["written"] == 0
    assert hub.golden() == incremental


def test_a_pin_goes_with_its_record_through_merge_and_unmerge(hub: Hub) -> None:
    hub.pin(1, "desk/2", "status", "shut")
    hub.counts()
    hub.link(1, "desk/2")
    hub.counts()
    assert hub.golden()[1]["status"] == "shut"
    hub.link(2, "desk/2")
    hub.counts()
    assert (hub.golden()[1]["status"], hub.golden()[2]["status"]) == ("open", "shut")


def test_a_pin_is_flagged_only_when_what_it_overrules_says_something_else(hub: Hub) -> None:
    hub.counts()
    hub.pin(1, "crm/1", "status", "married")
    assert hub.run().details["pins"]["moved"] == []
    hub.person("desk/1", "2026-03-01", full_name="Ada L.", status="open", tags=["b"])
    assert hub.run().details["pins"]["moved"] == [], "another attribute moved"
    hub.person("desk/1", "2026-03-01", full_name="Ada L.", status="married", tags=["b"])
    assert hub.run().details["pins"]["moved"] == [], "the source agrees now"
    hub.person("desk/1", "2026-03-01", full_name="Ada L.", status="widowed", tags=["b"])
    assert hub.run().details["pins"]["moved"] == [1]
    assert hub.run(full=True).details["pins"]["moved"] == [1]
    assert explain(hub.store, "person", 1, "status", now=day("2026-06-01"))[0]["pin"]["moved"] is True


def test_a_new_record_that_contradicts_a_pin_flags_it(hub: Hub) -> None:
    hub.pin(1, "crm/1", "primary_email", "ada@home.example")
    assert hub.run().details["pins"]["moved"] == []
    hub.person("crm/7", "2026-03-01", "a.l@new.example", full_name="Ada L.")
    hub.link(1, "crm/7")
    assert hub.run().details["pins"]["moved"] == [1]
    assert hub.golden()[1]["primary_email"] == "ada@home.example"


def test_a_pin_that_cannot_be_applied_is_reported_and_explained(hub: Hub) -> None:
    hub.pin(1, "crm/1", "status", 7)
    report = hub.run()
    assert report.details["pins"] == {"open": 1, "moved": [], "unusable": {1: "7 is no value of 'status'"}}
    assert hub.golden()[1]["status"] == "open"
    (cell,) = explain(hub.store, "person", 1, "status", now=day("2026-06-01"))
    assert cell["unusable_pins"][0]["problem"] == "7 is no value of 'status'"


def test_explain_shows_the_pin_the_person_and_what_it_overrules(hub: Hub) -> None:
    hub.pin(1, "crm/1", "status", "single")
    hub.pin(2, "desk/1", "status", "married", expires="2026-07-01")
    hub.counts()
    (cell,) = explain(hub.store, "person", 1, "status", now=day("2026-06-01"))
    assert (cell["value"], cell["rule"], cell["source"]) == ("married", "manual", "desk-1/contact/desk/1")
    assert cell["pin"]["reason"] == "said so"
    assert cell["pin"]["expires_at"] == "2026-07-01T00:00:00Z"
    assert [each["decision_id"] for each in cell["pin"]["replaces"]] == [1]
    assert [(loser["value"], loser["rule"]) for loser in cell["losers"]] == [("open", "manual"), ("new", "manual")]
    stored = hub.golden()[1]["provenance"]
    assert [cell["source_record_id"], cell["rule"], cell["since"]] == stored["status"]
    (after,) = explain(hub.store, "person", 1, "status", now=day("2026-07-01"))
    assert after["value"] == "single", "the newer pin has run out"
