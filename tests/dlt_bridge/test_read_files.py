"""dlt's filesystem as a connection: CSV and Parquet drops, only what is new, nothing guessed, bad lines quarantined."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.store import Store
from tests.dlt_bridge.hubs import DltHub, dlt_hub

HEADER = "id,first,last,email,updated_at\n"


def _drop(folder: Path, name: str, content: str | bytes, *, minute: int) -> None:
    file = folder / "drop" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    at = datetime(2026, 2, 1, 8, minute, tzinfo=UTC).timestamp()
    os.utime(file, (at, at))


def _hub(folder: Path, store: Store, **stream: Any) -> DltHub:
    words = {"file_glob": "customers_*.csv", "key": "id", **stream}
    block = {"source": "filesystem", "config": {"bucket_url": "drop"}, "streams": {"customers": words}}
    return dlt_hub(folder, store, block)


def test_csv_values_stay_the_text_they_are(tmp_path: Path, store: Store):
    _drop(tmp_path, "customers_1.csv", HEADER + '007,Ada,"L, the ""first""",ada@x.example,\n', minute=1)
    hub = _hub(tmp_path, store)

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 1)
    row = {"id": "007", "first": "Ada", "last": 'L, the "first"', "email": "ada@x.example", "updated_at": ""}
    assert hub.landed() == [row]
    assert hub.normalise().counts["mapped"] == 1


def test_the_second_run_reads_new_and_changed_files_only(tmp_path: Path, sqlite_store: Store):
    _drop(tmp_path, "customers_1.csv", HEADER + "1,Ada,L,,\n2,Bob,M,,\n", minute=1)
    _drop(tmp_path, "customers_2.csv", HEADER + "3,Cat,N,,\n", minute=2)
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()
    idle = hub.extract()
    _drop(tmp_path, "customers_1.csv", HEADER + "1,Ada,Lovelace,,\n2,Bob,M,,\n", minute=4)
    _drop(tmp_path, "customers_3.csv", HEADER + "4,Dan,O,,\n", minute=3)

    report = hub.extract()

    assert (idle.completeness, idle.counts["read"]) == ("COMPLETE", 0)
    assert report.counts == {"read": 3, "loaded": 2, "unchanged": 1, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert [row["last"] for row in hub.landed()[3:]] == ["O", "Lovelace"]


def test_a_file_that_came_in_the_same_instant_as_the_last_one_is_not_lost(tmp_path: Path, sqlite_store: Store):
    _drop(tmp_path, "customers_1.csv", HEADER + "1,Ada,L,,\n", minute=1)
    hub = _hub(tmp_path, sqlite_store)
    hub.extract()
    _drop(tmp_path, "customers_2.csv", HEADER + "2,Bob,M,,\n", minute=1)

    assert hub.extract().counts["loaded"] == 1


def test_the_newer_file_wins_whatever_the_names_are(tmp_path: Path, sqlite_store: Store):
    _drop(tmp_path, "customers_a.csv", HEADER + "1,New,L,,\n", minute=2)
    _drop(tmp_path, "customers_b.csv", HEADER + "1,Old,L,,\n", minute=1)
    hub = _hub(tmp_path, sqlite_store)

    hub.extract()

    assert [row["first"] for row in hub.landed()] == ["Old", "New"]


def test_one_bad_line_is_quarantined_and_the_others_land(tmp_path: Path, sqlite_store: Store):
    lines = HEADER.encode() + b"1,Ada,L,,\n2,too,short\n3,b\xffd,M,,\n,No key,M,,\n5,Eve,P,,\n"
    _drop(tmp_path, "customers_1.csv", lines, minute=1)
    hub = _hub(tmp_path, sqlite_store)

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"], report.counts["quarantined"]) == ("COMPLETE", 2, 3)
    assert [row["id"] for row in hub.landed()] == ["1", "5"]
    assert len(hub.quarantined()) == 3


def test_a_declared_encoding_and_delimiter_are_used(tmp_path: Path, sqlite_store: Store):
    text = HEADER.replace(",", ";") + "1;Zoë;Müller;;\n"
    _drop(tmp_path, "customers_1.csv", text.encode("latin-1"), minute=1)
    hub = _hub(tmp_path, sqlite_store, delimiter=";", encoding="latin-1")

    hub.extract()

    assert [(row["first"], row["last"]) for row in hub.landed()] == [("Zoë", "Müller")]


def test_a_column_that_is_there_twice_stops_the_stream(tmp_path: Path, sqlite_store: Store):
    _drop(tmp_path, "customers_1.csv", "id,first,first\n1,Ada,Bob\n", minute=1)

    report = _hub(tmp_path, sqlite_store).extract()

    assert report.completeness == "PARTIAL"
    assert "'first' is there twice" in (report.error or "")


def test_a_parquet_drop_lands_its_types_without_loss(tmp_path: Path, store: Store):
    table = pa.table(
        {
            "id": pa.array([2**53 + 1], pa.int64()),
            "first": ["Ada"],
            "amount": pa.array([Decimal("12345678901234567890.123456")], pa.decimal128(38, 6)),
            "updated_at": pa.array([datetime(2026, 1, 1, 12, tzinfo=UTC)], pa.timestamp("us", tz="Europe/Berlin")),
            "born": [date(1815, 12, 10)],
            "photo": [b"\x00\xff"],
            "tags": [["a", None]],
            "gone": pa.array([None], pa.string()),
        }
    )
    (tmp_path / "drop").mkdir(parents=True)
    pq.write_table(table, tmp_path / "drop" / "customers_1.parquet")
    hub = _hub(tmp_path, store, file_glob="*.parquet", record_time="updated_at")

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 1)
    (row,) = hub.landed()
    assert (row["id"], row["born"], row["photo"], row["tags"], row["gone"]) == (
        2**53 + 1,
        "1815-12-10",
        "AP8=",
        ["a", None],
        None,
    )
    assert row["updated_at"] == "2026-01-01T12:00:00.000000Z"


def test_json_lines_keep_their_own_bytes(tmp_path: Path, sqlite_store: Store):
    _drop(tmp_path, "customers_1.jsonl", '{"id": 1, "amount": 1.10}\n\n{broken\n', minute=1)
    hub = _hub(tmp_path, sqlite_store, file_glob="*.jsonl")

    report = hub.extract()

    assert (report.counts["loaded"], report.counts["quarantined"]) == (1, 1)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path, sqlite_store: Store):
    report = _hub(tmp_path, sqlite_store, file_glob="missing/*.csv").extract()

    assert (report.completeness, report.counts["read"]) == ("COMPLETE", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"key": None}, "files have no key"),
        ({"file_glob": "*.xyz"}, "the format of these files is unknown"),
        ({"incremental": {"cursor_path": "x"}}, "files have one cursor only"),
    ],
)
def test_a_declaration_that_cannot_be_read_names_its_line(
    tmp_path: Path, sqlite_store: Store, words: dict[str, Any], message: str
):
    stream = {key: value for key, value in {"file_glob": "*.csv", "key": "id", **words}.items() if value is not None}
    block = {"source": "filesystem", "config": {"bucket_url": "drop"}, "streams": {"customers": stream}}

    with pytest.raises(FixConfig, match=message) as error:
        dlt_hub(tmp_path, sqlite_store, block)

    assert (error.value.where or "").startswith(f"{tmp_path}/unisono.yaml:")
