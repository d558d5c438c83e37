"""What is read for one golden entity is read by its members, however many others the store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from sqlalchemy import event

from pipelines.golden.reading import CONTACT_COLUMNS, CONTACT_KINDS
from pipelines.store import Store, channel_reads, golden_reads, tables
from pipelines.store.golden_reads import Scope
from tests.resolve.world import land, people

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # each makes two stores

_STEPS_AT_ONCE = 20
_READS: dict[str, Callable[[Store, Scope], Any]] = {
    "contacts": lambda store, scope: golden_reads.contacts(store, scope, CONTACT_KINDS, CONTACT_COLUMNS),
    "roles": golden_reads.roles,
    "members": lambda store, scope: golden_reads.members(store, scope, ["given_name"]),
    "points": channel_reads.points,
    "moved_points": channel_reads.moved_points,
    "events": channel_reads.events,
}


def steps(tmp_path: Any, count: int, read: Callable[[Store, Scope], Any]) -> int:
    """SQLite's steps to read one entity of a store of so many, each of one record."""
    taken = [0]

    def step() -> None:
        taken[0] += 1

    with Store.open(f"sqlite:///{tmp_path}/{count}.db") as store:
        land(store, people(count))
        ids = store.read_arrow(tables.source_record.select())["source_record_id"]
        links = {"source_record_id": ids, "entity": ["person"] * count, "entity_id": ids}
        with store.acquire("test") as lease, store.write(lease, cause="test") as tx:
            tx.insert(tables.crosswalk, pa.table(links))
        store.engine.dispose()
        event.listen(store.engine, "connect", lambda driver, _: driver.set_progress_handler(step, _STEPS_AT_ONCE))
        read(store, Scope(1, "person", ids=pa.array([7])))
    return taken[0]


@pytest.mark.parametrize("read", _READS.values(), ids=_READS.keys())
def test_reading_one_entity_costs_the_same_in_a_store_of_ten_times_as_many(tmp_path: Any, read: Any) -> None:
    assert steps(tmp_path, 600, read) <= steps(tmp_path, 60, read) + 5
