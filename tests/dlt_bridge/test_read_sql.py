"""dlt's sql_database as a connection, on SQLite: nothing at the cursor is lost, a kill costs one segment, types survive."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines.dlt_bridge import read
from pipelines.extract import segments
from pipelines.store import Store
from pipelines.store.digest import digest
from tests.dlt_bridge.hubs import DltHub, dlt_hub

pytestmark = pytest.mark.slow  # each goes through whole stages

_TABLE = "CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, first, last, email, updated_at, born)"


def _write(folder: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "legacy.db")) as database, database:
        database.execute(_TABLE)
        database.executemany(
            "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?, ?)",
            (row if len(row) == 6 else (*row, None) for row in rows),
        )


def _hub(folder: Path, store: Store, *, incremental: bool = True, **config: Any) -> DltHub:
    stream = {"record_time": "updated_at", **({"incremental": {"cursor_path": "updated_at"}} if incremental else {})}
    block = {
        "source": "sql_database",
        "config": {"credentials": "sqlite:///legacy.db", **config},
        "streams": {"customers": stream},
    }
    return dlt_hub(folder, store, block)


def _at(day: int) -> str:
    return f"2026-01-{day:02d} 00:00:00"


def test_rows_land_with_the_tables_own_key_and_become_people(tmp_path: Path, store: Store):
    _write(tmp_path, [(1, "Ada", "L", "ada@x.example", _at(1)), (2, "Bob", "M", None, _at(2))])
    hub = _hub(tmp_path, store)

    report, mapped = hub.extract(), hub.normalise()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 2)
    assert (mapped.counts["mapped"], hub.quarantined()) == (2, [])
    points = hub.store.query("SELECT value FROM v1_contact_point").rows
    assert [tuple(row) for row in points] == [("ada@x.example",)]


def test_the_second_run_reads_from_the_cursor_and_loses_no_tie(tmp_path: Path, sqlite_store: Store):
    _write(tmp_path, [(number, "A", "B", None, _at(number)) for number in (1, 2, 3)])
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()
    _write(tmp_path, [(3, "Changed", "B", None, _at(3)), (4, "Tie", "B", None, _at(3)), (5, "New", "B", None, _at(4))])

    report = hub.extract()

    assert report.counts == {"read": 3, "loaded": 3, "unchanged": 0, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert [row["first"] for row in hub.landed()[3:]] == ["Changed", "Tie", "New"]
    assert hub.extract().counts["loaded"] == 0


def test_a_row_without_a_cursor_value_is_not_lost(tmp_path: Path, sqlite_store: Store):
    _write(tmp_path, [(1, "A", "B", None, _at(1))])
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()
    _write(tmp_path, [(2, "No time", "B", None, None)])

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"], report.counts["unchanged"]) == ("COMPLETE", 1, 1)


def test_full_reads_everything_again_and_lands_nothing_twice(tmp_path: Path, sqlite_store: Store):
    _write(tmp_path, [(1, "A", "B", None, _at(1)), (2, "C", "D", None, _at(2))])
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()

    report = hub.extract(full=True)

    assert (report.counts["read"], report.counts["unchanged"], report.counts["loaded"]) == (2, 2, 0)


def test_a_retyped_value_lands_as_it_is_and_is_quarantined_where_it_cannot_be_mapped(
    tmp_path: Path, sqlite_store: Store
):
    _write(tmp_path, [(1, "Ada", "L", None, _at(1))])
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()
    hub.normalise()
    _write(tmp_path, [(1, 17, "L", 9007199254740993, _at(2), 1815.5), (2, b"\xff\x00", "L", None, _at(3))])

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 2)
    assert [(row["first"], row["email"]) for row in hub.landed()[1:]] == [(17, 9007199254740993), ("/wA=", None)]
    assert hub.normalise().counts["quarantined"] == 1


def test_typed_columns_of_sqlite_come_as_they_are_stored(tmp_path: Path, sqlite_store: Store):
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as database, database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, updated_at DATETIME, amount NUMERIC(30, 6))")
        rows = [(1, "2026-01-01T08:00:00+02:00", 9007199254740993), (2, "soon", "about 5"), (3, 20260101, 0.1)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)

    report = _hub(tmp_path, sqlite_store, incremental=False).extract()

    hub = _hub(tmp_path, sqlite_store, incremental=False)
    assert (report.completeness, report.counts["loaded"], report.counts["quarantined"]) == ("COMPLETE", 1, 2)
    assert hub.landed() == [{"id": 1, "updated_at": "2026-01-01T08:00:00+02:00", "amount": 9007199254740993}]


def test_a_cursor_that_changed_its_type_stops_the_stream_and_full_goes_on(tmp_path: Path, sqlite_store: Store):
    _write(tmp_path, [(1, "A", "B", None, 1)])
    hub = dlt_hub(
        tmp_path, sqlite_store,
        {
            "source": "sql_database", "config": {"credentials": "sqlite:///legacy.db"},
            "streams": {"customers": {"incremental": {"cursor_path": "updated_at"}}},
        },
    )  # fmt: skip
    hub.extract()
    _write(tmp_path, [(1, "A", "B", None, _at(1)), (2, "C", "B", None, _at(2))])

    stopped, anew = hub.extract(), hub.extract(full=True)

    assert stopped.completeness == "PARTIAL"
    assert "unisono sync --full" in (stopped.error or "")
    assert (anew.completeness, anew.counts["loaded"]) == ("COMPLETE", 2)


def test_a_table_without_a_key_names_what_is_missing(tmp_path: Path, sqlite_store: Store):
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as database, database:
        database.execute("CREATE TABLE customers (name)")

    report = _hub(tmp_path, sqlite_store, incremental=False).extract()

    assert report.exit_code == 2
    assert "key:" in (report.error or "")


def test_a_table_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path, sqlite_store: Store):
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as database, database:
        database.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")

    report = _hub(tmp_path, sqlite_store, incremental=False).extract()

    assert (report.completeness, report.exit_code) == ("PARTIAL", 2)
    assert "customers" in (report.error or "")


def test_arrow_batches_of_the_pyarrow_backend_land_alike(tmp_path: Path, sqlite_store: Store):
    _write(tmp_path, [(1, "Ada", 'quote " and \\ and \n', None, _at(1)), (2, "Bob", "é", "b@x.example", _at(2))])
    hub = _hub(tmp_path, sqlite_store, backend="pyarrow")

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 2)
    assert [(row["id"], row["last"]) for row in hub.landed()] == [(1, 'quote " and \\ and \n'), (2, "é")]


_KILLED = """
import os, sys
from pathlib import Path
from pipelines.config import load_config
from pipelines.dlt_bridge import read
from pipelines.extract import segments
from pipelines.store import Store, commits
from tests.dlt_bridge.hubs import DltHub

folder, url = Path(sys.argv[1]), sys.argv[2]
read._ROWS = segments.SEGMENT_RECORDS = 100
commit, calls = commits.commit_parts, []

def killed(*args):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), 9)
    return commit(*args)

commits.commit_parts = killed
with Store.open(url) as store:
    DltHub(folder, store, load_config(folder / "unisono.yaml")).extract()
"""


@pytest.mark.parametrize("incremental", [True, False])
def test_a_kill_between_segments_costs_at_most_one_segment_and_nothing_else(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, incremental: bool
):
    rows = [(number, f"N{number}", "B", None, _at(1 + number // 90)) for number in range(600)]
    _write(tmp_path, rows)
    hub = _hub(tmp_path, sqlite_store, incremental=incremental)
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(sqlite_store.url)]
    dead = subprocess.run(command, capture_output=True, text=True, check=False)
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", 100)
    monkeypatch.setattr(read, "_ROWS", 100)

    after = hub.extract()
    hub.normalise()

    assert (dead.returncode, after.completeness) == (-9, "COMPLETE"), dead.stderr
    assert after.counts["loaded"] == 300
    assert after.counts["read"] <= (400 if incremental else 600)
    assert len(hub.landed()) == 600
    assert digest(sqlite_store) == _calm_digest(tmp_path / "calm", rows, incremental=incremental)


def _calm_digest(folder: Path, rows: list[tuple[Any, ...]], *, incremental: bool) -> dict[str, str]:
    """Return the digest of a store that read the same rows without being disturbed."""
    _write(folder, rows)
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        hub = _hub(folder, store, incremental=incremental)
        hub.extract()
        hub.normalise()
        return digest(store)
