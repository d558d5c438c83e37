"""The influence map of a customer: roles in buying, managers, and the best way in."""

from __future__ import annotations

import pytest

from pipelines.influence.people import influence_map
from pipelines.store import Store
from tests.influence.hub import Hub, day, parties

NOW = day("2026-06-01")


@pytest.fixture
def hub(sqlite_store: Store) -> Hub:
    """Ada decides and reports to Bob; Cleo is employed only; Olaf owns Cleo; Cleo influences Ada; Eve has left."""
    hub = Hub(sqlite_store)
    parties(
        hub, _1="crm/ada", _2="crm/bob", _3="crm/cleo", _4="crm/eve", _5="crm/olaf", _6="crm/tom", _10="crm/Engines"
    )
    hub.say(
        "crm/all",
        ("crm/ada", "crm/Engines", "employment"),
        ("crm/ada", "crm/Engines", "buying_group", {"role": "Decision_Maker"}),
        ("crm/ada", "crm/Engines", "buying_group", {"role": "champion", "strength": 1.0}),
        ("crm/cleo", "crm/Engines", "employment"),
        ("crm/eve", "crm/Engines", "employment", {"valid_from": "2019-01-01", "valid_to": "2020-01-01"}),
        ("crm/ada", "crm/bob", "reports_to"),
        ("crm/bob", "crm/Engines", "employment"),
        ("crm/cleo", "crm/ada", "influence"),
        ("crm/olaf", "crm/cleo", "account_ownership"),
        ("crm/tom", "crm/Engines", "account_team"),
    )
    hub.run()
    return hub


def test_the_map_shows_roles_strengths_and_managers_as_of_a_date(hub: Hub) -> None:
    found = influence_map(hub.store, 10, NOW)

    assert [(one.person_id, list(one.roles), one.reports_to) for one in found.members] == [
        (1, ["champion", "decision_maker"], 2), (2, [], None), (3, [], None),
    ]  # fmt: skip
    assert [one.person_id for one in found.buying_group] == [1]
    assert found.members[0].strength == found.members[0].roles["champion"] == 0.8
    assert found.team == (5, 6)
    assert 4 in {one.person_id for one in influence_map(hub.store, 10, day("2019-06-01")).members}


def test_the_best_way_in_is_the_product_of_strengths_and_respects_depth(hub: Hub) -> None:
    found = influence_map(hub.store, 10, NOW)

    way = found.best_way_in(2)
    assert way is not None
    assert (way.people, way.kinds) == ((5, 3, 1, 2), ("owner", "influencer", "reports_to"))
    weights = {(edge.a, edge.b): edge.strength for edge in found.edges}
    assert way.strength == pytest.approx(weights[5, 3] * weights[3, 1] * weights[1, 2])
    assert found.best_way_in(2, depth=2) is None


def test_influence_goes_one_way_only(hub: Hub) -> None:
    found = influence_map(hub.store, 10, NOW)
    assert 3 not in found.reach(1)
    assert set(found.reach(3)) == {1, 2, 5}
