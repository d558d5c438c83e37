"""May I contact this person now: every reason against it is named, and what is unknown is a reason."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING

import pytest

from pipelines.channels import load_policy
from pipelines.channels.explain import explain_channels, line
from pipelines.channels.permission import Way, quiet, ways
from tests.channels.hub import Hub, at

if TYPE_CHECKING:
    from pipelines.store import Store

POLICY = load_policy()
NOON = at("2026-03-10T12:00")


@pytest.fixture
def hub(sqlite_store: Store) -> Hub:
    """Ada, in London, who allowed marketing at her one e-mail address."""
    return filled(sqlite_store)


def filled(store: Store) -> Hub:
    hub = Hub(store)
    hub.link(1, "crm/1")
    hub.points("crm/1", {"value": "Ada@Example.org", "value_norm": "ada@example.org"})
    hub.acts("crm/1", granted())
    hub.golden(1, time_zone="Europe/London")
    hub.run()
    return hub


def granted(**terms: object) -> dict[str, object]:
    return {"status": "granted", "contact_kind": "email", "contact_value_norm": "ada@example.org"} | terms


def asked(hub: Hub, moment=NOON, topic: str | None = None) -> list[Way]:
    return ways(hub.store, 1, POLICY, purpose="marketing", channel="email", at=moment, topic=topic)


def test_a_person_who_allowed_it_may_be_contacted_by_day(hub: Hub):
    assert asked(hub) == [Way("email", "Ada@Example.org", 1, ())]
    assert asked(hub)[0].open


def test_a_purpose_or_channel_of_which_nobody_said_anything_is_a_no(hub: Hub):
    assert ways(hub.store, 1, POLICY, purpose="analytics", channel="email", at=NOON) == []
    assert ways(hub.store, 1, POLICY, purpose="marketing", channel="sms", at=NOON) == []


def test_every_reason_against_it_is_named(hub: Hub):
    hub.acts("crm/1", granted(), granted(status="denied"))
    hub.golden(1, time_zone=None)
    hub.event("crm/e1", "bounce", "2026-03-01", party="crm/1", status="UNKNOWN_USER")
    for day in (7, 8, 9):
        hub.event(f"crm/s{day}", "SENT", f"2026-03-0{day}", party="crm/1")
    hub.run()

    assert asked(hub)[0].held == (
        "consent is denied",
        "the contact point is undeliverable",
        "the time zone is unknown",
        "3 messages in 7 days, at most 3 are allowed (the company's rule)",
    )
    assert "3 messages" not in str(asked(hub, at("2026-03-14T12:00"))[0].held)


def test_a_topic_follows_what_was_said_of_all_topics_unless_it_has_an_own_word(hub: Hub):
    hub.acts("crm/1", granted(), granted(status="denied", topic="offers"))

    assert asked(hub, topic="news")[0].open
    assert asked(hub, topic="offers")[0].held == ("consent is denied",)


@pytest.mark.parametrize(
    ("moment", "zone", "held"),
    [
        ("2026-01-10T12:00", "Europe/London", None),
        ("2026-01-10T12:00", "Pacific/Auckland", "quiet hours: it is 01:00 in Pacific/Auckland, quiet until 08:00"),
        ("2026-01-10T07:59", "Europe/London", "quiet hours: it is 07:59 in Europe/London, quiet until 08:00"),
        ("2026-07-10T07:59", "Europe/London", None),
        ("2026-01-10T08:00", "Europe/London", None),
        ("2026-01-10T21:00", "Europe/London", "quiet hours: it is 21:00 in Europe/London, quiet until 08:00"),
        ("2026-01-10T12:00", None, "the time zone is unknown"),
        ("2026-01-10T12:00", "GMT+one", "the time zone is unknown"),
        ("2026-01-10T12:00", "../../etc/passwd", "the time zone is unknown"),
    ],
)
def test_quiet_hours_are_those_of_the_persons_own_clock(moment: str, zone: str | None, held: str | None):
    assert quiet(at(moment), zone, time(21), time(8)) == held


def test_quiet_hours_within_a_day_and_none_at_all():
    assert quiet(NOON, "UTC", time(11), time(13)) is not None
    assert quiet(NOON, "UTC", time(13), time(14)) is None
    assert quiet(NOON, "UTC", time(0), time(0)) is None


def test_explain_says_where_every_channel_and_every_consent_comes_from(store: Store):
    hub = filled(store)
    hub.link(2, "desk/9")
    hub.acts("desk/9", granted(status="denied"))

    rows = explain_channels(hub.store, "person", "1")

    assert [row["what"] for row in rows] == ["contact_point", "consent", "act", "act", "preference"]
    assert rows[0]["sources"] == ["crm/contact/1"]
    assert rows[1]["status"] == "denied"
    assert {(row["source"], row["own"], row["status"]) for row in rows[2:4]} == {
        ("crm/contact/1", True, "granted"), ("desk/contact/9", False, "denied"),
    }  # fmt: skip
    assert line(rows[-1]) == "preference: time_zone=Europe/London, quiet_from=21:00, quiet_to=08:00"
