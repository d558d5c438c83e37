"""The store that golden stage tests work on."""

from __future__ import annotations

import pytest

from pipelines.store import Store
from tests.golden.hub import Hub


@pytest.fixture
def hub(store: Store) -> Hub:
    """Ada in both connections, linked; Bob in one."""
    hub = Hub(store)
    hub.person("crm/1", "2026-01-01", "ada@example.org", full_name="Ada Lovelace", status="new", tags=["a"])
    hub.person("desk/1", "2026-02-01", "ada@desk.example", full_name="Ada Lovelace", status="open", tags=["b"])
    hub.person("desk/2", "2026-02-01", "bob@example.org", full_name="Bob")
    hub.link(1, "crm/1", "desk/1")
    hub.link(2, "desk/2")
    return hub
