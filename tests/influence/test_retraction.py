"""What a retracted source said of others counts no more: in relations, strengths, sums and absences; undone, it does."""

from __future__ import annotations

import pytest

from pipelines.influence.owner import nearest_owner
from pipelines.store import Store
from pipelines.store.influence_queries import fact_sums
from tests.influence.hub import Hub, day, parties

pytestmark = pytest.mark.slow  # each goes through whole stages


@pytest.fixture
def hub(store: Store) -> Hub:
    """Ada (1) works at Engines (10), which Carl (3) owns; all of them are the crm's, and the desk has facts about them."""
    hub = Hub(store)
    parties(hub, _1="crm/ada", _3="crm/carl", _10="crm/Engines")
    hub.say("crm/ada", ("crm/ada", "crm/Engines", "employment"), ("crm/carl", "crm/Engines", "account_ownership"))
    return hub


def untold(hub: Hub, *, expected: list[str]) -> None:
    """What the desk said is gone after its retraction, also where everything is made anew, and comes back as it was."""
    hub.run()
    before = hub.rows()
    hub.retract("desk")
    hub.run()
    without = hub.rows()
    assert without != before
    assert sorted(row["type"] for row in without) == expected
    assert hub.run(full=True)["written"] == 0
    assert hub.rows() == without

    hub.put_back("desk")
    hub.run()
    assert hub.rows() == before


def test_a_statement_of_a_retracted_source_makes_no_relation(hub: Hub) -> None:
    hub.say("desk/told", ("crm/ada", "crm/carl", "reports_to"))

    untold(hub, expected=["employment", "owner"])


def test_a_deal_of_a_retracted_source_makes_nobody_part_of_a_buying_group(hub: Hub) -> None:
    hub.fact("desk/d1", "opportunity", organization="crm/Engines", contact="crm/ada", owner="crm/carl")

    untold(hub, expected=["employment", "owner"])


def test_a_meeting_that_a_retracted_source_told_of_strengthens_nothing(hub: Hub) -> None:
    hub.meeting("desk/m1", "crm/ada", "crm/Engines", at="2026-01-01")

    untold(hub, expected=["employment", "owner"])


def test_a_fact_of_a_retracted_source_is_in_no_sum(hub: Hub) -> None:
    for key in ("crm/t1", "desk/t2"):
        hub.fact(key, "ticket", requester="crm/ada", subject="late")

    def tickets() -> list[int]:
        return fact_sums(hub.store, 1, "ticket", "requester", value=None, unit=None, ids=None)["facts"].to_pylist()

    both = tickets()
    hub.retract("desk")

    assert (both, tickets()) == ([2], [1])


def test_an_absence_that_a_retracted_source_told_of_sends_nobody_away(hub: Hub) -> None:
    hub.absent("desk/absences", "2026-01-01", "2026-03-01", of="crm/carl")
    hub.run()
    away = nearest_owner(hub.store, 10, day("2026-02-01"))
    hub.retract("desk")

    found = nearest_owner(hub.store, 10, day("2026-02-01"))

    assert away is None
    assert found is not None
    assert found.person_id == 3
