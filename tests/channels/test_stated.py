"""Stated preferences on a store: made from records, given back by an unmerge, honoured before anybody is contacted."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.channels import load_policy
from pipelines.channels.explain import explain_channels, line
from pipelines.channels.permission import ways
from pipelines.store.digest import digest
from tests.channels.hub import Hub, at

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.store import Store

POLICY = load_policy()
NOON = at("2026-03-10T12:00")


def quiet(start: str | None, end: str | None, **terms: Any) -> dict[str, Any]:
    return {"kind": "quiet_hours", "time_from": start, "time_to": end} | terms


def cap(messages: int, days: int | None, **terms: Any) -> dict[str, Any]:
    return {"kind": "frequency", "max_messages": messages, "per_days": days} | terms


def prefers(channel: str, day: str) -> dict[str, Any]:
    return {"kind": "channel", "preferred_channel": channel, "stated_at": at(day)}


@pytest.fixture
def hub(store: Store) -> Hub:
    """Ada and Bob, of one connection each, who state different things; both allowed marketing by e-mail."""
    hub = Hub(store)
    for number, name in ((1, "crm/1"), (2, "desk/2")):
        address = f"{number}@example.org"
        hub.link(number, name)
        hub.points(name, {"value": address, "value_norm": address})
        hub.acts(name, {"status": "granted", "contact_kind": "email", "contact_value_norm": address})
        hub.golden(number, time_zone="Europe/London")
    hub.states("crm/1", prefers("phone", "2026-01-01"), quiet("20:00", "09:00"), cap(2, 7))
    hub.states("desk/2", prefers("sms", "2026-02-01"), quiet("12:00", "13:00"), cap(1, 30))
    hub.run()
    return hub


def held(hub: Hub, moment: datetime = NOON, number: int = 1, **asked: str) -> list[str]:
    """What holds the first contact point back."""
    wanted = {"purpose": "marketing", "channel": "email"} | asked
    return list(ways(hub.store, number, POLICY, at=moment, **wanted)[0].held)  # type: ignore[arg-type]


@pytest.mark.slow
def test_merge_unites_what_two_people_state_and_unmerge_gives_each_its_own(hub: Hub):
    apart = hub.found("golden_preference")
    hub.link(1, "desk/2")
    hub.run()
    together = hub.found("golden_preference")

    assert set(together) == {1}
    row = together[1]
    assert (row["stated_channel"], row["quiet_from"], row["quiet_to"], row["quiet_also"]) == (
        "sms", "20:00", "09:00", [["12:00", "13:00"]],
    )  # fmt: skip
    assert (row["max_messages"], row["per_days"]) == (1, 30)
    assert [one["source"] for one in row["stated"]].count(hub.ids["crm/1"]) == 2

    hub.link(2, "desk/2")
    hub.run()

    assert hub.found("golden_preference") == apart
    assert [apart[number]["stated_channel"] for number in (1, 2)] == ["phone", "sms"]
    assert hub.run(full=True)["preferences"] == 0


@pytest.mark.slow
def test_only_who_states_something_new_is_made_anew_and_what_is_taken_back_is_gone(hub: Hub):
    hub.states("crm/1", prefers("email", "2026-04-01"))

    assert (hub.run()["entities"], hub.found("golden_preference")[1]["stated_channel"]) == (1, "email")
    assert hub.found("golden_preference")[1]["quiet_from"] == "21:00"

    hub.states("crm/1")
    assert hub.run()["entities"] == 1
    assert hub.found("golden_preference")[1]["stated"] is None


def test_the_persons_own_quiet_hours_hold_and_say_whose_rule_they_are(hub: Hub):
    assert held(hub) == []
    assert held(hub, at("2026-03-10T20:30")) == [
        "quiet hours: it is 20:30 in Europe/London, quiet until 09:00 (the person's own rule, stated by crm/contact/1)"
    ]
    assert [reason.rpartition("(")[2] for reason in held(hub, at("2026-03-10T22:00"))] == [
        "the company's rule)", "the person's own rule, stated by crm/contact/1)",
    ]  # fmt: skip


def test_a_statement_counts_from_its_commit_as_consent_does(hub: Hub):
    hub.states("crm/1", quiet("11:00", "13:00"))

    assert held(hub) != []


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-03-29T00:30", False),  # 00:30 GMT, the night the clocks go forward: 01:30 is followed by 03:00
        ("2026-03-29T00:59", False),
        ("2026-03-29T01:00", True),  # 02:00 BST, the end of the quiet hours, which no clock showed
        ("2026-10-25T00:30", False),  # 01:30 BST, the night the clocks go back
        ("2026-10-25T01:30", False),  # 01:30 GMT: the same time of the clock once more
        ("2026-10-25T02:00", True),
        ("2026-10-24T22:59", True),  # 23:59 BST
        ("2026-10-24T23:00", False),  # 00:00 BST
    ],
)
def test_hours_past_midnight_and_nights_when_the_clocks_change_are_those_of_the_persons_clock(
    sqlite_store: Store, tmp_path, moment: str, open_: bool
):
    hub = Hub(sqlite_store)
    hub.link(1, "crm/1")
    hub.points("crm/1", {"value": "a@example.org", "value_norm": "a@example.org"})
    hub.acts("crm/1", {"status": "granted", "contact_kind": "email", "contact_value_norm": "a@example.org"})
    hub.golden(1, time_zone="Europe/London")
    hub.states("crm/1", quiet("00:00", "02:00"))
    hub.run()
    never = tmp_path / "channels.yaml"
    never.write_text('quiet_hours: {from: "00:00", to: "00:00"}\n', encoding="utf-8")

    (way,) = ways(hub.store, 1, load_policy(never), purpose="marketing", channel="email", at=at(moment))

    assert way.open is open_


def test_the_persons_own_number_holds_before_the_companys_and_each_of_them_after_a_merge(hub: Hub):
    for day in (8, 9):
        hub.event(f"crm/s{day}", "SENT", f"2026-03-0{day}", party="crm/1")

    assert held(hub) == ["2 messages in 7 days, at most 2 are allowed (the person's own rule, stated by crm/contact/1)"]
    assert held(hub, NOON + timedelta(days=6)) == []
    hub.link(1, "desk/2")
    assert [reason.partition(",")[0] for reason in held(hub, NOON + timedelta(days=6, hours=2))] == [
        "2 messages in 30 days"
    ]


def test_a_rule_about_one_channel_or_purpose_holds_there_only(hub: Hub):
    hub.states(
        "crm/1", cap(1, 7, channel="email"), cap(0, 7, purpose="service"), quiet("11:00", "13:00", channel="phone")
    )
    hub.event("crm/c1", "call", "2026-03-09", party="crm/1", channel="phone", type="call", direction="outbound")

    assert held(hub) == []
    hub.event("crm/s1", "SENT", "2026-03-09", party="crm/1")
    assert held(hub) == ["1 messages in 7 days, at most 1 are allowed (the person's own rule, stated by crm/contact/1)"]


def test_what_is_stated_by_halves_holds(hub: Hub):
    hub.states("crm/1", quiet("20:00", None), cap(2, None))

    assert held(hub) == [
        "quiet hours without begin or end (the person's own rule, stated by crm/contact/1)",
        "at most so many messages, but not how many in how many days (the person's own rule, stated by crm/contact/1)",
    ]


def test_explain_names_the_record_and_the_time_of_every_statement_and_which_one_counts(hub: Hub):
    hub.link(1, "desk/2")
    hub.run()

    rows = [row for row in explain_channels(hub.store, "person", 1) if row["what"] == "stated"]

    assert [(row["kind"], row["source"], row["counts"]) for row in rows] == [
        ("channel", "desk/contact/2", True), ("frequency", "crm/contact/1", True), ("frequency", "desk/contact/2", True),
        ("quiet_hours", "crm/contact/1", True), ("quiet_hours", "desk/contact/2", True), ("channel", "crm/contact/1", False),
    ]  # fmt: skip
    assert line(rows[0]) == (
        "stated: kind=channel, preferred_channel=sms, said_at=2026-02-01T00:00:00.000000Z, source=desk/contact/2, counts=True"
    )


def test_the_view_shows_what_is_stated_beside_what_is_derived(hub: Hub):
    columns = "stated_channel, quiet_from, quiet_to, max_messages, per_days, answered_channel, stated"
    (row,) = hub.store.query(f"SELECT {columns} FROM v1_golden_preference WHERE entity_id = 1").rows

    assert row[:-1] == ("phone", "20:00", "09:00", 2, 7, None)
    told = json.loads(row[-1]) if isinstance(row[-1], str) else row[-1]
    assert [one["kind"] for one in told] == ["channel", "frequency", "quiet_hours"]


@pytest.mark.postgres
def test_equal_statements_have_equal_digests_under_other_numbers(sqlite_store: Store, postgres_store: Store):
    def filled(store: Store, number: int) -> str:
        hub = Hub(store)
        hub.link(number, "crm/1", "desk/1")
        for name in hub.ids:
            hub.states(name, prefers("sms", "2026-02-01"), quiet("12:00", "13:00"))
        hub.golden(number, time_zone="Europe/London")
        hub.run()
        return digest(store)["golden_preference"]

    Hub(postgres_store).record("crm/0")

    assert filled(sqlite_store, 1) == filled(postgres_store, 7)
