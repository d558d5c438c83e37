"""The digest holds contact points and preferences by what they mean, whatever the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipelines.store.digest import digest
from tests.channels.hub import Hub

if TYPE_CHECKING:
    from pipelines.store import Store

TABLES = ("golden_contact_point", "golden_preference")


def filled(store: Store, number: int, *, zone: str = "Europe/London") -> dict[str, str]:
    hub = Hub(store)
    hub.link(number, "crm/1", "crm/2")
    for name in ("crm/1", "crm/2"):
        hub.points(name, {"value": "a@example.org", "value_norm": "a@example.org"})
    hub.golden(number, time_zone=zone)
    hub.run()
    return {name: value for name, value in digest(store).items() if name in TABLES}


@pytest.mark.postgres
def test_equal_channels_have_equal_digests_under_other_numbers(sqlite_store: Store, postgres_store: Store):
    Hub(postgres_store).record("crm/0")

    first, second = filled(sqlite_store, 1), filled(postgres_store, 7)

    assert first == second
    assert len(set(first.values())) == 2


def test_another_preference_is_another_digest(sqlite_store: Store):
    first = filled(sqlite_store, 1)
    hub = Hub(sqlite_store)
    hub.golden(1, time_zone="Europe/Berlin")
    hub.run()

    assert digest(sqlite_store)["golden_contact_point"] == first["golden_contact_point"]
    assert digest(sqlite_store)["golden_preference"] != first["golden_preference"]
