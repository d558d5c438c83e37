"""The influence stage on a store: what sources say of relationships becomes dated, weighted relations of golden entities."""

from __future__ import annotations

import pytest

from pipelines.store import Store
from pipelines.store.digest import digest
from pipelines.store.influence_queries import relations_of
from tests.influence.hub import Hub, day, parties

pytestmark = pytest.mark.slow  # each goes through whole stages


@pytest.fixture
def hub(store: Store) -> Hub:
    """Ada (1) and Bob (2) work at Engines (10); Carl (3) and Dora (4) sell; Mills (11) is another company."""
    hub = Hub(store)
    parties(hub, _1=("crm/ada", "desk/ada"), _2="crm/bob", _3="crm/carl", _4="crm/dora")
    parties(hub, _10=("crm/Engines", "desk/Engines"), _11="crm/Mills")
    return hub


def test_two_systems_that_say_the_same_make_one_relation(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment"))
    hub.say("desk/ada", ("desk/ada", "desk/Engines", "employment"))
    counts = hub.run()

    [row] = hub.rows()
    assert (row["from_id"], row["to_id"], row["type"], row["sources"]) == (1, 10, "employment", 2)
    assert row["told_by"] == sorted([hub.ids["crm/ada"], hub.ids["desk/ada"]])
    assert (counts["read"], counts["lifted"], counts["written"]) == (2, 2, 1)
    assert hub.run()["written"] == 0


def test_a_kind_follows_from_type_role_and_both_ends(hub: Hub) -> None:
    hub.say(
        "crm/ada",
        ("crm/carl", "crm/Engines", "account_ownership"),
        ("crm/dora", "crm/Engines", "account_ownership", {"role": "Service"}),
        ("crm/ada", "crm/bob", "hierarchy"),
        ("crm/Mills", "crm/Engines", "hierarchy"),
        ("crm/ada", "crm/bob", "influence"),
    )
    hub.run()

    found = {(row["type"], row["role"], row["hierarchy"], row["subject_id"]) for row in hub.rows()}
    assert found == {
        ("owner", "", "", 10), ("account_team", "service", "", 10), ("reports_to", "", "", 1), ("parent", "", "legal", 11),
        ("influencer", "", "", 1),
    }  # fmt: skip


def test_strength_follows_the_formula(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment"), at="2025-01-01")
    hub.say("desk/ada", ("desk/ada", "crm/Mills", "employment"), at="2026-01-01")
    hub.say("crm/bob", ("crm/bob", "crm/Engines", "buying_group", {"strength": 0.9, "role": "champion"}))
    for number in range(5):
        hub.meeting(f"crm/m{number}", "crm/ada", "crm/Engines", at="2025-01-01")
    hub.run()

    strengths = {(row["from_id"], row["to_id"]): (row["strength"], row["together"]) for row in hub.rows()}
    assert strengths == {
        (1, 10): (round(0.5 * 0.5 + 0.3 * 0.5 + 0.2 * 0.5, 4), 5),  # one system, a half-life old, met five times
        (1, 11): (round(0.5 * 0.5 + 0.3 * 1.0, 4), 0),
        (2, 10): (round(0.5 * 0.9 + 0.3 * 1.0, 4), 0),  # the source says how strong
    }


def test_a_crowd_is_no_meeting(hub: Hub) -> None:
    crowd = [f"crm/guest{number}" for number in range(19)]
    parties(hub, **{f"_{100 + number}": key for number, key in enumerate(crowd)})
    hub.say("crm/ada", ("crm/ada", "crm/bob", "influence"))
    hub.meeting("crm/webinar", "crm/ada", "crm/bob", *crowd)
    hub.meeting("crm/lunch", "crm/ada", "crm/bob", *crowd[:18])
    hub.run()

    assert [row["together"] for row in hub.rows()] == [1]


def test_who_joins_or_leaves_a_meeting_changes_the_relations_of_all_who_are_there(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/bob", "influence"))
    hub.meeting("crm/lunch", "crm/ada", "crm/carl")
    hub.run()
    hub.meeting("crm/lunch", "crm/ada", "crm/bob", "crm/carl")
    hub.run()
    assert [row["together"] for row in hub.rows()] == [1]

    hub.meeting("crm/lunch", "crm/bob", "crm/carl")
    hub.run()
    assert [row["together"] for row in hub.rows()] == [0]


def test_an_opportunity_names_the_account_team_and_the_buying_group(hub: Hub) -> None:
    deal = {"organization": "crm/Engines", "contact": "crm/ada", "owner": "crm/carl", "created_at": "2025-03-01"}
    hub.fact("crm/deal", "opportunity", **deal)
    hub.run()

    assert hub.held("account_team") == [(3, 10, "2025-03-01", None, None)]
    assert hub.held("buying_group") == [(1, 10, "2025-03-01", None, None)]
    assert {row["together"] for row in hub.rows()} == {1}


def test_spans_that_touch_are_one_and_others_stay_apart(hub: Hub) -> None:
    hub.say(
        "crm/ada",
        ("crm/ada", "crm/Engines", "employment", {"valid_from": "2019-01-01", "valid_to": "2020-01-01"}),
        ("crm/ada", "crm/Engines", "employment", {"valid_from": "2020-01-01", "valid_to": "2021-01-01"}),
        ("crm/ada", "crm/Engines", "employment", {"valid_from": "2023-01-01"}),
        at="2024-01-01",
    )
    hub.run()

    assert hub.held("employment") == [(1, 10, "2019-01-01", "2021-01-01", None), (1, 10, "2023-01-01", None, None)]


def test_an_end_that_another_source_knows_closes_an_open_statement_made_before_it(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment", {"valid_from": "2019-01-01"}), at="2019-05-01")
    ended = {"valid_from": "2019-01-01", "valid_to": "2021-01-01"}
    hub.say("desk/ada", ("desk/ada", "desk/Engines", "employment", ended), at="2021-01-02")
    hub.run()
    assert hub.held("employment") == [(1, 10, "2019-01-01", "2021-01-01", None)]

    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment", {"valid_from": "2019-01-01"}), at="2022-05-01")
    hub.run()
    hub.say(
        "crm/ada",
        ("crm/ada", "crm/Engines", "employment", {"valid_from": "2019-01-01", "role": "cto"}),
        at="2022-05-01",
    )
    hub.run()
    assert hub.held("employment") == [(1, 10, "2019-01-01", None, None)]


def test_an_undated_statement_supports_dated_ones_and_opens_the_last_only_when_it_came_later(hub: Hub) -> None:
    ended = {"valid_from": "2019-01-01", "valid_to": "2021-01-01"}
    hub.say("desk/ada", ("desk/ada", "desk/Engines", "employment", ended), at="2021-01-02")
    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment"), at="2020-05-01")
    hub.run()
    assert hub.held("employment") == [(1, 10, "2019-01-01", "2021-01-01", None)]
    assert hub.rows()[0]["sources"] == 2

    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment", {"role": "cto"}), at="2024-05-01")
    hub.run()
    assert hub.held("employment") == [(1, 10, "2019-01-01", None, None)]


def test_of_two_managers_at_one_time_the_later_claim_holds_and_the_other_is_flagged(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/carl", "reports_to", {"valid_from": "2020-01-01"}))
    hub.say("desk/ada", ("desk/ada", "crm/dora", "reports_to", {"valid_from": "2022-01-01"}))
    counts = hub.run()

    assert hub.held("reports_to") == [
        (1, 3, "2020-01-01", "2022-01-01", "superseded"), (1, 4, "2022-01-01", None, None),
    ]  # fmt: skip
    assert next(row["conflict_with"] for row in hub.rows() if row["to_id"] == 3) == 4
    assert counts["contradicted"] == 0


def test_a_contradiction_is_counted_and_does_not_hold(hub: Hub) -> None:
    dates = {"valid_from": "2020-01-01", "valid_to": "2021-01-01"}
    hub.say("crm/ada", ("crm/ada", "crm/carl", "reports_to", dates), at="2020-01-01")
    hub.say("desk/ada", ("desk/ada", "crm/dora", "reports_to", dates | {"strength": 1.0}), at="2020-01-01")
    counts = hub.run()

    assert [(row[1], row[4]) for row in hub.held("reports_to")] == [(3, "overruled"), (4, None)]
    assert counts["contradicted"] == 1
    shown = hub.store.query("SELECT to_id FROM v1_relationship WHERE type = 'reports_to'")
    assert [tuple(row) for row in shown.rows] == [(4,)]


def test_two_managers_of_one_record_are_told_apart_by_the_rows_own_key(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/dora", "reports_to"), ("crm/ada", "crm/carl", "reports_to"))
    hub.run()

    assert [(row[1], row[4]) for row in hub.held("reports_to")] == [(3, "overruled"), (4, None)]


def test_what_has_no_golden_end_one_end_only_or_no_length_is_counted(hub: Hub) -> None:
    hub.say(
        "crm/ada",
        ("crm/ada", "crm/nobody", "influence"),
        ("crm/ada", "desk/ada", "influence"),
        ("crm/ada", "crm/bob", "influence", {"valid_from": "2021-01-01", "valid_to": "2020-01-01"}),
        ("crm/ada", "crm/bob", "household"),
    )
    counts = hub.run()

    parts = {name: counts[name] for name in ("read", "orphans", "self_relations", "backwards", "lifted")}
    assert parts == {"read": 4, "orphans": 1, "self_relations": 1, "backwards": 1, "lifted": 1}
    assert [row["type"] for row in hub.rows()] == ["household"]


def test_a_merge_drops_self_relations_and_an_unmerge_brings_them_back(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/bob", "reports_to"), ("crm/bob", "crm/Engines", "employment"))
    hub.run()
    before, meaning = hub.rows(), digest(hub.store)["golden_relationship"]

    hub.link(1, "crm/bob")
    assert hub.run()["self_relations"] == 1
    assert [(row["from_id"], row["type"]) for row in hub.rows()] == [(1, "employment")]
    hub.link(2, "crm/bob")
    hub.run()

    assert hub.rows() == before
    assert digest(hub.store)["golden_relationship"] == meaning


def test_what_was_known_before_can_still_be_asked(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/carl", "reports_to"))
    hub.run()
    known = hub.store.read(hub_counter())[0][0]
    hub.say("crm/ada", ("crm/ada", "crm/dora", "reports_to"))
    hub.run()

    assert [row["to_id"] for row in relations_of(hub.store, 1, [1])] == [4]
    assert [row["to_id"] for row in relations_of(hub.store, 1, [1], known=known)] == [3]


def test_a_deleted_statement_and_a_lost_record_take_their_relations_away(hub: Hub) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/carl", "reports_to"))
    hub.say("crm/bob", ("crm/bob", "crm/carl", "reports_to"))
    hub.run()
    hub.say("crm/ada")
    hub.unlink("crm/bob")

    assert hub.run()["removed"] == 2
    assert hub.rows() == []


def test_only_subjects_that_changed_are_read(hub: Hub) -> None:
    for number in range(20):
        parties(hub, **{f"_{50 + number}": f"crm/p{number}"})
        hub.say(f"crm/p{number}", (f"crm/p{number}", "crm/Engines", "employment"))
    hub.run()
    hub.say("crm/p3", ("crm/p3", "crm/Mills", "employment"))

    assert hub.run()["read"] == 1


def test_a_new_rule_makes_everything_anew(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.say("crm/ada", ("crm/ada", "crm/carl", "reports_to"))
    hub.run()
    monkeypatch.setattr("pipelines.influence.rules.RULES_VERSION", 2)

    assert hub.run()["read"] == 1
    assert hub.run()["read"] == 0


def test_an_account_hierarchy_follows_the_parent_links(hub: Hub) -> None:
    hub.say("crm/Mills", ("crm/Mills", "crm/Engines", "hierarchy", {"hierarchy": "sales", "valid_from": "2020-01-01"}))
    counts = hub.run()

    assert (counts["hierarchy_written"], counts["cycles"]) == (1, 0)
    [row] = hub.rows("account_hierarchy")
    assert (row["hierarchy"], row["entity_id"], row["parent_id"], row["valid_from"]) == (
        "sales",
        11,
        10,
        day("2020-01-01"),
    )
    hub.say("crm/Mills")
    assert hub.run()["hierarchy_removed"] == 1


def hub_counter():
    from pipelines.store.tables import counter

    return counter.select().with_only_columns(counter.c.value).where(counter.c.name == "change_seq")
