"""Mapping in a process of its own: the same rows, the same account and the same errors as in this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import StopStream
from connectors.sdk.mapping import MappingError
from pipelines import extract, normalise
from pipelines.normalise import parts, unit
from pipelines.normalise.batch import Origin
from pipelines.normalise.mapper import Mapper, MapTask
from pipelines.store import Store, digest, sqlite_staged
from pipelines.store.bulk import Bulk
from tests._hub import MAPPING, Hub, make_hub

pytestmark = pytest.mark.slow  # each starts a process

ADA = {"id": 1, "first": "Ada", "last": "Byron", "email": "ada@example.org", "updated": "2026-01-01T00:00:00Z"}
RECORDS = [
    ADA,
    {**ADA, "id": 2, "born": "never"},
    {**ADA, "id": 3, "unheard": {"of": 1}, "email": None},
    {**ADA, "id": 4, "gone": "true"},
    {**ADA, "first": "Augusta", "updated": "2026-02-01T00:00:00Z"},
]


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A second hub, whose records are mapped in this process."""
    with Store.open(f"sqlite:///{tmp_path}/twin/store.db") as store:
        yield make_hub(tmp_path / "twin", store, monkeypatch)


def _sync(hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> Any:
    monkeypatch.setattr(extract, "read_stream", hub.vendor.read_stream)
    hub.vendor.pages = [hub.page(records)]
    extract.run(hub.context())
    return normalise.run(hub.context())


def test_another_process_maps_to_the_same_store_and_gives_the_same_account(
    hub: Hub, twin: Hub, monkeypatch: pytest.MonkeyPatch
):
    here = _sync(twin, monkeypatch, RECORDS)
    monkeypatch.setattr(unit, "WORTH_A_PROCESS", 1)
    there = _sync(hub, monkeypatch, RECORDS)

    assert there.counts["quarantined"] == 1
    assert (there.counts, there.details) == (here.counts, here.details)
    assert digest(hub.store) == digest(twin.store)


def test_records_mapped_together_and_written_in_parts_give_the_same_store_and_account(
    hub: Hub, twin: Hub, monkeypatch: pytest.MonkeyPatch
):
    records = [{**record, "id": f"{number}-{record['id']}"} for number in range(3) for record in RECORDS]
    whole = _sync(twin, monkeypatch, records)
    written = []
    store_part = unit.Unit._store
    monkeypatch.setattr(
        unit.Unit, "_store", lambda *given: (written.append(given[2].told.num_rows), store_part(*given))[1]
    )
    monkeypatch.setattr(parts, "BATCH_ROWS", 4)
    cut = _sync(hub, monkeypatch, records)

    assert max(written) <= 4 < sum(written)
    assert (cut.counts, cut.details) == (whole.counts, whole.details)
    assert digest(hub.store) == digest(twin.store)


def test_what_is_prepared_before_a_transaction_gives_the_same_store(
    hub: Hub, twin: Hub, monkeypatch: pytest.MonkeyPatch
):
    notes = [{"id": 9, "about": 1, "text": "hello", "updated": "2026-01-05T00:00:00Z"}]
    changed = [{**RECORDS[0], "first": "Ada Augusta", "updated": "2026-03-01T00:00:00Z"}, RECORDS[1]]

    first = [*RECORDS, {**ADA, "id": 5, "email": "bob@example.org"}]

    def live(one: Hub) -> list[Any]:
        reports = [_sync(one, monkeypatch, first), _sync(one, monkeypatch, changed)]
        one.vendor.pages = [one.page(notes, stream="notes")]
        extract.run(one.context("notes"))
        return [(report.counts, report.details) for report in (*reports, normalise.run(one.context("notes")))]

    plain = live(twin)
    monkeypatch.setattr(sqlite_staged, "WORTH_A_FILE", 1)
    monkeypatch.setattr("pipelines.store.bulk._WORTH_A_STAGE", 1)
    used: list[str] = []
    insert_file = Bulk.insert_file
    monkeypatch.setattr(
        Bulk, "insert_file", lambda *given: (used.append(given[1].name) if given[3] else None, insert_file(*given))[1]
    )

    assert live(hub) == plain
    ahead = ["person", "contact_point"] if hub.store.dialect == "sqlite" else []
    assert used == ahead  # of the first load: what changed is compared row by row, and a note refers to somebody else
    assert digest(hub.store) == digest(twin.store)


def test_what_another_process_cannot_map_is_raised_here(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unit, "WORTH_A_PROCESS", 1)
    hub.remap(MAPPING.replace("birth_date: born", "birth_date: {path: born, format: '%Q'}"))

    with pytest.raises(MappingError, match="does not compile"):
        _sync(hub, monkeypatch, [ADA])


def test_a_mapping_process_that_died_ends_the_stream_and_says_what_to_do(sqlite_hub: Hub):
    task = MapTask(
        sqlite_hub.connection.connector,
        "people",
        Origin("toy", "person", "person", {}),
        None,
        None,
        sqlite_hub.config.landing_url,
    )

    with Mapper(task) as mapper:
        child = mapper.alone()._child
        assert child is not None
        child.kill()
        made = mapper.submit([])

    with pytest.raises(StopStream, match="run again"):
        made.result()
