"""The channels stage on a store: every distinct contact point, marked and ranked; what changed is made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipelines.channels import stage
from tests.channels.hub import Hub, at

if TYPE_CHECKING:
    from pipelines.store import Store

pytestmark = pytest.mark.slow  # each goes through whole stages


@pytest.fixture
def hub(store: Store) -> Hub:
    """Ada in two connections, who share one e-mail address; Bob in one."""
    hub = Hub(store)
    hub.link(1, "crm/1", "desk/1")
    hub.link(2, "desk/2")
    work = {"value": "Ada@Example.org", "value_norm": "ada@example.org", "rank": 1, "use": "work"}
    hub.points("crm/1", work, {"kind": "phone", "value": "020 7946 0000", "value_norm": "+442079460000", "rank": 2})
    home = {"value": "ada@home.example", "value_norm": "ada@home.example", "rank": 2, "verified": True}
    hub.points("desk/1", {**work, "rank": None, "use": None}, home)
    hub.points("desk/2", {"value": "bob@example.org", "value_norm": "bob@example.org", "verified": False})
    return hub


def test_every_distinct_contact_point_stands_once_with_who_says_it(hub: Hub):
    assert hub.run() == {"read": 5, "entities": 2, "written": 4, "unchanged": 0, "preferences": 0, "removed": 0}

    found = hub.found()
    assert set(found) == {(1, "ada@example.org"), (1, "ada@home.example"), (1, "+442079460000"), (2, "bob@example.org")}
    work = found[1, "ada@example.org"]
    assert (work["use"], work["sources"]) == ("work", sorted([hub.ids["crm/1"], hub.ids["desk/1"]]))
    assert (work["rank"], found[1, "ada@home.example"]["rank"], found[1, "+442079460000"]["rank"]) == (2, 1, 1)
    assert [found[key]["verified"] for key in ((1, "ada@home.example"), (2, "bob@example.org"))] == [True, False]


def test_a_second_run_reads_nothing_and_a_full_run_changes_nothing(hub: Hub):
    hub.run()
    before = hub.found()

    assert hub.run() == {"read": 0, "entities": 0, "written": 0, "unchanged": 0, "preferences": 0, "removed": 0}
    assert hub.run(full=True) == {
        "read": 5,
        "entities": 2,
        "written": 0,
        "unchanged": 4,
        "preferences": 0,
        "removed": 0,
    }
    assert hub.found() == before


def test_only_the_party_that_something_happened_to_is_made_anew(hub: Hub):
    hub.run()
    hub.event("desk/e1", "delivered", "2026-02-01", party="desk/2")

    assert hub.run() == {"read": 1, "entities": 1, "written": 1, "unchanged": 0, "preferences": 0, "removed": 0}
    assert hub.found()[2, "bob@example.org"]["deliverability"] == 0.9


def test_merge_and_unmerge_give_back_the_same_contact_points_and_preferences(hub: Hub):
    hub.golden(1, language="en-GB", time_zone="Europe/London")
    for day in (1, 2, 3):
        hub.event(f"desk/e{day}", "replied", f"2026-02-0{day}T09:00", party="desk/2")
    hub.run()
    apart = hub.found(), hub.found("golden_preference")
    hub.link(1, "desk/2")
    hub.run()
    assert {key[0] for key in hub.found()} == {1}
    assert hub.found("golden_preference")[1]["answered_channel"] == "email"

    hub.link(2, "desk/2")
    hub.run()

    assert (hub.found(), hub.found("golden_preference")) == apart


def test_a_point_that_a_source_no_longer_has_goes_and_one_that_has_ended_stays_marked(hub: Hub):
    hub.run()
    hub.points("desk/1", {"value": "ada@home.example", "value_norm": "ada@home.example", "valid_to": at("2026-03-01")})
    hub.points("crm/1", {"value": "Ada@Example.org", "value_norm": "ada@example.org"})

    assert hub.run()["removed"] == 1
    assert hub.point_states() == {
        (1, "ada@example.org"): "usable", (1, "ada@home.example"): "ended", (2, "bob@example.org"): "usable",
    }  # fmt: skip


def test_a_party_without_members_loses_its_rows(hub: Hub):
    hub.golden(2, language="de")
    hub.run()
    hub.unlink("desk/2")
    hub.write(lambda tx: tx.execute(stage.tables.metadata.tables["golden_person"].delete()))

    assert hub.run()["removed"] == 2
    assert {key[0] for key in hub.found()} == {1}
    assert hub.found("golden_preference") == {}


def test_incremental_runs_in_small_spans_give_what_a_full_run_gives(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage, "SPAN_ENTITIES", 1)
    monkeypatch.setattr(stage, "WRITE_ROWS", 1)
    hub.run()
    hub.event("desk/e1", "bounce", "2026-02-01", party="crm/1", status="UNKNOWN_USER")
    hub.run()
    hub.link(2, "crm/1")
    hub.golden(2, time_zone="Europe/Berlin")
    hub.run()
    incremental = hub.found(), hub.found("golden_preference")

    assert hub.run(full=True)["written"] == 0
    assert (hub.found(), hub.found("golden_preference")) == incremental
    assert hub.point_states()[2, "ada@example.org"] == "undeliverable"
    assert hub.point_states()[1, "ada@example.org"] == "usable"


def test_another_policy_makes_every_row_anew(hub: Hub, tmp_path):
    hub.run()
    policy = tmp_path / "channels.yaml"
    policy.write_text("deliverability: {unknown: 0.25}\n", encoding="utf-8")

    assert hub.run(policy=policy)["written"] == 3
    assert hub.found()[2, "bob@example.org"]["deliverability"] == 0.25
