"""A store with a few people, and a steward at it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines import golden, resolve
from pipelines.config import HubConfig
from pipelines.context import StageContext
from pipelines.store import Store, identity, tables

if TYPE_CHECKING:
    from pipelines.report import StageReport

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
ADA = {"given_name": "Ada", "family_name": "Lovelace", "email": "ada@engines.example"}
BOB = {"given_name": "Bob", "family_name": "Babbage", "email": "bob@engines.example"}
CAT = {"given_name": "Cat", "family_name": "Curie", "email": "cat@engines.example"}


class Desk:
    """A steward's view of a store: what she looks at, and the stages that follow her."""

    def __init__(self, store: Store) -> None:
        self.store = store
        config = HubConfig(store_url=str(store.url), landing_url="memory://", connections=(), path=Path("unisono.yaml"))
        self.context = StageContext(config=config, store=store, now=lambda: NOW, entity="person", actor="user:eve")

    def at(self, now: datetime) -> Desk:
        """The same desk at another time."""
        desk = Desk(self.store)
        desk.context = replace(self.context, now=lambda: now)
        return desk

    @property
    def seen(self) -> int:
        """The version of everything that can be seen now."""
        return identity.last_change(self.store, 1)

    def look(self) -> dict[str, object]:
        """What every action is given: the version seen, and a reason."""
        return {"seen": self.seen, "reason": "looked at both"}

    def run(self, *, full: bool = False) -> StageReport:
        """Resolve what changed."""
        return resolve.run(replace(self.context, full=full, actor="system"))

    def survive(self) -> None:
        """Make the golden records of what changed."""
        golden.run(replace(self.context, actor="system"))

    def crosswalk(self) -> dict[int, int]:
        """Record to golden id."""
        rows = self.store.read_arrow(tables.crosswalk.select())
        return dict(sorted(zip(rows["source_record_id"].to_pylist(), rows["entity_id"].to_pylist(), strict=True)))


@pytest.fixture
def desk(store: Store) -> Desk:
    """A desk at an empty store, on SQLite and on PostgreSQL."""
    return Desk(store)


@pytest.fixture
def sqlite_desk(sqlite_store: Store) -> Desk:
    """A desk at an empty SQLite store."""
    return Desk(sqlite_store)
