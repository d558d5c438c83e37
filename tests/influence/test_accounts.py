"""Account hierarchies: as of a date, through a deal between companies, without circles, rolled up exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.influence.accounts import Measure, Sum, account_tree, roll_up
from pipelines.influence.health import health
from pipelines.store import Store
from tests.influence.hub import Hub, day, parties

pytestmark = pytest.mark.slow  # each goes through whole stages

NOW = day("2026-06-01")


@pytest.fixture
def hub(store: Store) -> Hub:
    """Holding (1) over Mills (2) over Engines (3); Rival (4) buys Mills on 2025-03-01."""
    hub = Hub(store)
    parties(hub, _1="crm/Holding", _2="crm/Mills", _3=("crm/Engines", "desk/Engines"), _4="crm/Rival", _9="crm/ada")
    below(hub, "crm/Engines", "crm/Mills")
    hub.say(
        "crm/Mills",
        ("crm/Mills", "crm/Holding", "hierarchy", {"valid_from": "2015-01-01", "valid_to": "2025-03-01"}),
        ("crm/Mills", "crm/Rival", "hierarchy", {"valid_from": "2025-03-01"}),
    )
    for number, (party, amount, currency) in enumerate(
        [
            ("crm/Engines", "100.10", "EUR"),
            ("desk/Engines", "0.000001", "EUR"),
            ("crm/Mills", "7", "USD"),
            ("crm/Rival", "5", "EUR"),
        ]
    ):
        hub.fact(f"crm/deal{number}", "opportunity", organization=party, amount=Decimal(amount), currency=currency)
    hub.fact("crm/gone", "opportunity", organization="crm/Engines", currency="EUR")
    hub.run()
    return hub


def below(hub: Hub, child: str, parent: str, at: str = "2020-01-01", **terms) -> None:
    hub.say(child, (child, parent, "hierarchy", terms), at=at)


def test_a_deal_changes_the_tree_from_its_date_on(hub: Hub) -> None:
    before, after = (account_tree(hub.store, "legal", day(at)) for at in ("2025-02-28", "2025-03-01"))

    assert before.path(3) == [3, 2, 1]
    assert after.path(3) == [3, 2, 4]
    assert [place.entity_id for place in before.below(1)] == [1, 2, 3]
    assert [place.entity_id for place in after.below(1)] == [1]


def test_a_roll_up_follows_the_tree_of_its_date_and_keeps_currencies_apart(hub: Hub) -> None:
    measure = Measure.named("opportunity.amount")
    before = roll_up(hub.store, 1, measure, "legal", day("2025-02-28"))
    after = roll_up(hub.store, 4, measure, "legal", NOW)

    assert before.total(1) == {"EUR": Sum(2, Decimal("100.100001")), "USD": Sum(1, Decimal(7))}
    assert before.own(1) == {}
    assert after.total(4) == {"EUR": Sum(3, Decimal("105.100001")), "USD": Sum(1, Decimal(7))}
    assert after.own(4) == {"EUR": Sum(1, Decimal(5))}
    assert before.total(4) == {}
    assert roll_up(hub.store, 1, measure, "legal", NOW).total(1) == {}


def test_facts_can_only_be_counted_and_an_account_alone_is_its_own_tree(hub: Hub) -> None:
    counted = roll_up(hub.store, 3, Measure.named("opportunity"), "legal", NOW)
    assert counted.total(3) == {"": Sum(3, Decimal(3))}
    assert [place.entity_id for place in counted.places] == [3]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("oportunity", "opportunity"),
        ("opportunity.amont", "amount"),
        ("opportunity.name", "amount"),
        ("ticket@assignes", "assignee"),
    ],
)
def test_a_measure_that_is_none_is_answered_with_those_there_are(text: str, known: str) -> None:
    with pytest.raises(FixConfig, match=known):
        Measure.named(text)


def test_an_unknown_hierarchy_is_answered_with_the_known_ones(hub: Hub) -> None:
    with pytest.raises(FixConfig, match="legal"):
        account_tree(hub.store, "leagl", NOW)


def test_kinds_of_hierarchy_do_not_mix(hub: Hub) -> None:
    below(hub, "crm/Rival", "crm/Holding", hierarchy="billing")
    hub.run()

    assert account_tree(hub.store, "billing", NOW).path(4) == [4, 1]
    assert account_tree(hub.store, "legal", NOW).path(4) == [4]


def test_a_circle_is_broken_at_its_weakest_newest_link_for_its_time_and_reported(hub: Hub) -> None:
    below(hub, "crm/Rival", "crm/Engines", at="2026-01-01", valid_from="2024-01-01", valid_to="2026-05-01")
    counts = hub.run()

    assert counts["cycles"] == 1
    rows = [(row["entity_id"], row["parent_id"], row["cut"]) for row in hub.rows("account_hierarchy") if row["cut"]]
    assert rows == [(2, 4, "cycle")]  # Mills → Rival began last
    assert account_tree(hub.store, "legal", day("2025-02-01")).path(4) == [4, 3, 2, 1]
    assert account_tree(hub.store, "legal", day("2025-06-01")).path(4) == [4, 3, 2]
    assert account_tree(hub.store, "legal", NOW).path(3) == [3, 2, 4]
    found = health(hub.store)
    assert (found.circles, found.cut, found.loose_ends, found.is_sound) == (0, 1, 0, True)


def test_health_sees_a_circle_and_a_loose_end_that_should_not_be(hub: Hub) -> None:
    from sqlalchemy import update

    from pipelines.store.tables import account_hierarchy

    with hub.store.acquire("test") as lease, hub.store.write(lease, cause="test") as tx:
        tx.execute(update(account_hierarchy).where(account_hierarchy.c.parent_id == 1).values(parent_id=3))
    hub.unlink("crm/Rival")

    found = health(hub.store)
    assert (found.circles, found.loose_ends, found.is_sound) == (1, 1, False)


def test_a_change_of_one_link_writes_one_row(hub: Hub) -> None:
    below(hub, "crm/Engines", "crm/Rival", at="2026-02-01", valid_from="2026-02-01")
    counts = hub.run()
    assert (counts["hierarchy_written"], counts["hierarchy_removed"]) == (1, 0)
    assert hub.run(full=True)["hierarchy_written"] == 0
