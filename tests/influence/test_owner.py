"""Nearest owner: who looks after a customer and is there at a date, with the path that explains it."""

from __future__ import annotations

import pytest

from pipelines.influence.owner import Nearest, nearest_owner
from pipelines.store import Store
from tests.influence.hub import Hub, day, parties

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA, ENGINES, HOLDING, OWNER, STAND_IN, SECOND, TEAM, BOSS, OTHER = 1, 10, 11, 2, 3, 4, 5, 6, 7


@pytest.fixture
def hub(sqlite_store: Store) -> Hub:
    """Ada works at Engines, a subsidiary of Holding; Olaf owns Engines, with a stand-in in July, a team and a boss."""
    hub = Hub(sqlite_store)
    parties(hub, _1="crm/ada", _10="crm/Engines", _11="crm/Holding", _2="crm/olaf", _3="crm/sue", _4="crm/sam")
    parties(hub, _5="crm/tom", _6="crm/boss", _7="crm/otto")
    july = {"valid_from": "2026-07-01", "valid_to": "2026-08-01"}
    hub.say(
        "crm/all",
        ("crm/ada", "crm/Engines", "employment"),
        ("crm/Engines", "crm/Holding", "hierarchy", {"hierarchy": "sales", "valid_from": "2020-01-01"}),
        ("crm/olaf", "crm/Engines", "account_ownership"),
        ("crm/sue", "crm/olaf", "stand_in", july),
        ("crm/sam", "crm/sue", "stand_in", {"valid_from": "2026-07-20", "valid_to": "2026-07-25"}),
        ("crm/tom", "crm/Engines", "account_team"),
        ("crm/olaf", "crm/boss", "reports_to"),
        ("crm/otto", "crm/Holding", "account_ownership"),
    )
    hub.run()
    return hub


def found(hub: Hub, customer: int, at: str) -> Nearest:
    nearest = nearest_owner(hub.store, customer, day(at))
    assert nearest is not None
    return nearest


def steps(nearest: Nearest) -> list[tuple[str, int, int]]:
    return [(step.kind, step.from_id, step.to_id) for step in nearest.path]


def test_the_owner_is_nearest_while_there(hub: Hub) -> None:
    assert found(hub, ENGINES, "2026-06-30").person_id == OWNER
    assert steps(found(hub, ENGINES, "2026-06-30")) == [("owner", ENGINES, OWNER)]


def test_a_person_is_looked_after_by_the_owner_of_the_employer(hub: Hub) -> None:
    assert steps(found(hub, ADA, "2026-06-30")) == [("employment", ADA, ENGINES), ("owner", ENGINES, OWNER)]


def test_a_stand_in_takes_over_for_the_time_of_absence_and_the_stand_ins_stand_in_too(hub: Hub) -> None:
    nearest = found(hub, ENGINES, "2026-07-10")
    assert (steps(nearest), nearest.passed) == ([("owner", ENGINES, OWNER), ("stand_in", OWNER, STAND_IN)], (OWNER,))
    assert found(hub, ENGINES, "2026-07-22").person_id == SECOND
    assert found(hub, ENGINES, "2026-08-01").person_id == OWNER


def test_without_a_stand_in_the_team_then_the_manager_then_the_account_above(hub: Hub) -> None:
    hub.absent("crm/olaf", "2026-09-01", "2026-10-01")
    assert found(hub, ENGINES, "2026-09-10").person_id == TEAM
    hub.absent("crm/tom", "2026-09-01")
    assert steps(found(hub, ENGINES, "2026-09-10")) == [("owner", ENGINES, OWNER), ("reports_to", OWNER, BOSS)]
    hub.absent("crm/boss")
    nearest = found(hub, ADA, "2026-09-10")
    assert steps(nearest) == [
        ("employment", ADA, ENGINES),
        ("sales parent", ENGINES, HOLDING),
        ("owner", HOLDING, OTHER),
    ]
    assert nearest.passed == (OWNER, TEAM, BOSS)


def test_who_has_left_or_not_come_yet_is_not_there(hub: Hub) -> None:
    hub.absent("crm/olaf", "2020-01-01", "2026-05-01", role="employee")
    assert found(hub, ENGINES, "2026-04-30").person_id == OWNER
    assert found(hub, ENGINES, "2026-05-01").person_id == TEAM


def test_a_deputy_without_dates_is_asked_only_when_the_owner_is_away(hub: Hub) -> None:
    hub.say(
        "crm/more",
        ("crm/otto", "crm/tom", "stand_in"),
        ("crm/tom", "crm/Holding", "account_ownership"),
        at="2026-03-01",
    )
    hub.run()
    assert found(hub, HOLDING, "2026-06-01").person_id == TEAM
    hub.absent("crm/tom")
    assert found(hub, HOLDING, "2026-06-01").person_id == OTHER


def test_nobody_is_an_answer_and_circles_of_stand_ins_end(hub: Hub) -> None:
    parties(hub, _30="crm/Lonely", _31="crm/ann", _32="crm/ben")
    forever = {"valid_from": "2020-01-01"}
    hub.say(
        "crm/lonely",
        ("crm/ann", "crm/Lonely", "account_ownership"), ("crm/ben", "crm/ann", "stand_in", forever),
        ("crm/ann", "crm/ben", "stand_in", forever), ("crm/ann", "crm/ben", "reports_to"), ("crm/ben", "crm/ann", "reports_to"),
    )  # fmt: skip
    hub.run()
    assert nearest_owner(hub.store, 30, day("2026-06-01")) is None
    assert nearest_owner(hub.store, 999, day("2026-06-01")) is None
