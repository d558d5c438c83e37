"""What Dagster's checks ask: who can be reached, who may be, who contradicts himself, and what was left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.store import channel_reads
from tests.channels.hub import Hub

if TYPE_CHECKING:
    from pipelines.store import Store

MAIL = {"value": "a@example.org", "value_norm": "a@example.org"}
POINT = {"contact_kind": "email", "contact_value_norm": "a@example.org"}


def test_the_counts_tell_apart_who_can_be_reached_who_may_be_and_who_contradicts_himself(store: Store):
    hub = Hub(store)
    for number, name in enumerate(("crm/1", "crm/2", "crm/3"), 1):
        hub.link(number, name)
    hub.link(1, "desk/1")
    hub.points("crm/1", MAIL)
    hub.points("crm/2", {"value": "b@example.org", "value_norm": "b@example.org"})
    hub.points("crm/3", {"value": "c@example.org", "value_norm": "c@example.org", "deliverable": False})
    hub.acts("crm/1", POINT | {"status": "granted"})
    hub.acts("desk/1", POINT | {"status": "denied"})
    hub.acts("crm/2", {"status": "granted"})
    hub.run()

    found = channel_reads.counts(store, 1, "person")
    assert found == {"parties": 3, "reachable": 2, "permitted": 1, "contradictory": 1, "left_over": 0}

    hub.unlink("crm/3")
    assert channel_reads.counts(store, 1, "person")["left_over"] == 1
