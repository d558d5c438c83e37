"""Any installed dlt source: its state is our cursor, connections do not see each other, faults end one stream only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext

from pipelines.store import Store, reads
from tests.dlt_bridge import sources
from tests.dlt_bridge.hubs import DltHub, dlt_hub

pytestmark = pytest.mark.slow  # dlt is imported and run

_HERE = "tests.dlt_bridge.sources"
_PLAIN = """\
connector: legacy
version: 1
streams:
  customers:
    emit: [{entity: person, terms: {given_name: first, family_name: last}}]
"""


@pytest.fixture(autouse=True)
def _rows() -> Iterator[None]:
    sources.ROWS[:] = [{"id": number, "first": "A", "updated": number} for number in (1, 2, 3)]
    sources.BEGAN_AT.clear()
    yield
    sources.ROWS.clear()


def _hub(folder: Path, store: Store, source: str, streams: dict[str, Any] | None = None, **config: Any) -> DltHub:
    block = {"source": f"{_HERE}:{source}", "config": config, "streams": streams or {"customers": {}}}
    return dlt_hub(folder, store, block, _PLAIN)


def test_an_incremental_argument_gets_the_last_value_of_the_last_complete_read(tmp_path: Path, store: Store):
    hub = _hub(tmp_path, store, "crm")
    hub.extract()
    sources.ROWS += [{"id": 4, "first": "Tie", "updated": 3}, {"id": 3, "first": "Changed", "updated": 3}]

    report = hub.extract()

    assert sources.BEGAN_AT == [0, 3]
    assert report.counts == {"read": 3, "loaded": 2, "unchanged": 1, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert [row["first"] for row in hub.landed()[3:]] == ["Tie", "Changed"]


def test_full_begins_where_the_source_begins(tmp_path: Path, sqlite_store: Store):
    hub = _hub(tmp_path, sqlite_store, "crm")
    hub.extract()

    hub.extract(full=True)

    assert sources.BEGAN_AT == [0, 0]


def test_the_state_a_source_keeps_for_itself_is_kept(tmp_path: Path, sqlite_store: Store):
    hub = _hub(tmp_path, sqlite_store, "crm", {"orders": {}, "customers": {}}, greeting="good day")

    hub.extract("orders")
    hub.extract("orders")

    assert hub.landed("orders") == [{"id": 1, "said": "good day"}, {"id": 2, "said": "good day"}]


def test_the_cursor_moves_with_a_complete_read_only(tmp_path: Path, sqlite_store: Store):
    hub = _hub(tmp_path, sqlite_store, "breaks", {"customers": {"resource": "breaks"}})

    report = hub.extract()

    (state,) = reads.partitions(sqlite_store, "legacy", "customers")
    assert (report.completeness, report.counts["loaded"]) == ("PARTIAL", 2)
    assert "the source fell over" in (report.error or "")
    assert state.cursor is None


def test_connections_do_not_see_each_others_state(tmp_path: Path, sqlite_store: Store):
    first = _hub(tmp_path / "a", sqlite_store, "crm", {"orders": {}})
    first.extract("orders")
    (tmp_path / "b").mkdir()
    block = {"source": f"{_HERE}:crm", "streams": {"orders": {}}}
    row = {"name": "other", "dlt": block, "mapping": "../a/mapping.yaml"}
    second = DltHub(tmp_path / "b", sqlite_store, _reload(tmp_path / "b", sqlite_store, row))

    second.extract("orders")

    cursors = [reads.partitions(sqlite_store, name, "orders")[0].cursor for name in ("legacy", "other")]
    assert [json.loads(cursor or "")["sources"]["crm"]["resources"]["orders"] for cursor in cursors] == [
        {"runs": 1}
    ] * 2


def test_a_row_that_json_cannot_hold_is_quarantined_alone(tmp_path: Path, sqlite_store: Store):
    hub = _hub(tmp_path, sqlite_store, "odd", {"customers": {"resource": "odd"}})

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"], report.counts["quarantined"]) == ("COMPLETE", 1, 3)
    assert hub.landed() == [{"id": 1, "fine": {"deep": [1.10, "eA==", None]}}]


def test_arrow_tables_land_without_their_rows_being_touched(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
):
    def touched(row: Any) -> bytes:
        raise AssertionError(f"a row of an Arrow table was handled in Python: {row!r}")

    monkeypatch.setattr("pipelines.dlt_bridge.encode.json_row", touched)
    hub = _hub(tmp_path, store, "table", {"customers": {"resource": "table", "record_time": "updated_at"}}, rows=25_000)

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 25_000)
    last = {"id": 24_999, "first": "First 24999", "last": f"Last {24_999 % 977}", "email": "person.24999@mail.example"}
    assert hub.landed()[-1] == {**last, "amount": 249.99, "updated_at": "2026-01-01T06:56:39.000000Z"}


def test_reading_writes_no_file_of_dlt_and_starts_no_pipeline(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    _hub(tmp_path / "hub", sqlite_store, "crm").extract()

    assert not (tmp_path / "dlt").exists()
    assert not (tmp_path / "home").exists()
    assert not Container()[PipelineContext].is_active()


@pytest.mark.parametrize(
    ("source", "resource", "message"),
    [
        ("no_such_function", "customers", "cannot be imported"),
        ("crm", "custmers", "did you mean 'customers'"),
        ("ROWS", "x", "not a dlt source"),
    ],
)
def test_a_source_that_cannot_be_used_is_a_fault_of_the_configuration(
    tmp_path: Path, sqlite_store: Store, source: str, resource: str, message: str
):
    report = _hub(tmp_path, sqlite_store, source, {"customers": {"resource": resource}}).extract()

    assert report.exit_code == 2
    assert message in (report.error or "")


def _reload(folder: Path, store: Store, row: dict[str, Any]) -> Any:
    from pipelines.config import load_config

    document = {"store": str(store.url), "landing": "landing", "connections": [row]}
    (folder / "unisono.yaml").write_text(json.dumps(document), encoding="utf-8")
    return load_config(folder / "unisono.yaml")
