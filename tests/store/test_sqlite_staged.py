"""Rows that go by way of a file are the rows that were given, and nothing of the file stays behind."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from connectors.sdk.errors import StoreFull
from pipelines.store import Counts, Store, digest, sqlite_staged
from pipelines.store.sqlite_staged import Attached
from tests.store.rows import T, intern, people, refs, writing

pytestmark = pytest.mark.slow  # thousands of rows each

PERSON = T["person"]
TEXTS = [None, "", "0", "it's", "é", "\t", "10:30", "a%b"]


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every insert goes by file, into a folder of the test's own."""
    monkeypatch.setattr(sqlite_staged, "WORTH_A_FILE", 1)
    monkeypatch.setattr("pipelines.store.bulk._WORTH_A_STAGE", 1)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def read_back(rows: pa.Table) -> list[tuple[Any, ...]]:
    driver = sqlite3.connect(":memory:")
    attached = Attached(driver)
    file = attached.make(rows)
    assert file is not None
    found = attached.attach(file)
    assert found is not None
    columns, source = found
    chosen = ", ".join(
        columns.get(name, "NULL") for name in rows.column_names
    )  # a column of NULL alone has no place there
    values = driver.execute(f"SELECT {chosen} FROM {source}").fetchall()
    attached.release()
    return values


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.string()),
        pa.array([None, 0, -1, 2**63 - 1, -(2**63)], pa.int64()),
        pa.array([None, 0.0, 1.5, -1e300], pa.float64()),
        pa.array([None, b"", b"0", b"\x00\xff"], pa.binary()),
        pa.array([None, True, False], pa.bool_()),
        pa.array(["it's :one ?1 %s"] * 3),
        pa.array([None, None], pa.string()),
        pa.array(["x", "a", None, "b"]).slice(1),
    ],
)
def test_every_value_comes_back_as_it_was_in_the_order_given(column: pa.Array) -> None:
    rows = pa.table({"n": pa.array(range(len(column)), pa.int64()), "value": column})

    assert read_back(rows) == list(zip(range(len(column)), column.to_pylist(), strict=True))


def test_a_store_filled_by_files_equals_one_filled_by_binding(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(store: Store) -> None:
        ids = intern(store, *map(str, range(8)))
        with writing(store) as tx:
            tx.insert(PERSON, people(ids, [text or "none" for text in TEXTS]))

    fill(sqlite_store)
    monkeypatch.setattr(sqlite_staged, "WORTH_A_FILE", 1_000_000)
    with Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        fill(other)
        assert digest(other) == digest(sqlite_store)


def test_more_inserts_than_files_can_be_attached_all_go_in(sqlite_store: Store) -> None:
    ids = intern(sqlite_store, *map(str, range(30)))

    with writing(sqlite_store) as tx:
        for start in range(0, 30, 2):  # fifteen inserts
            tx.insert(PERSON, people(ids[start : start + 2], [f"{start}", f"{start + 1}"]))

    assert sqlite_store.read(select(PERSON.c.full_name).order_by(PERSON.c.source_record_id)) == [
        (str(number),) for number in range(30)
    ]


def test_a_file_made_ahead_that_finds_no_room_is_not_needed(sqlite_store: Store) -> None:
    ids = intern(sqlite_store, *map(str, range(40)))

    with writing(sqlite_store) as tx:
        for start in range(0, 40, 2):
            some = ids[start : start + 2]
            rows = people(some, [f"{start}", f"{start + 1}"])
            with sqlite_store.row_file(PERSON, rows) as file:
                assert tx.replace_set(PERSON, pa.table({"source_record_id": some}), rows, file) == Counts(written=2)

    assert len(sqlite_store.read(select(PERSON.c.full_name))) == 40


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
def test_nothing_of_a_file_stays_after_its_transaction(sqlite_store: Store, temporary: Path, fails: bool) -> None:
    ids = intern(sqlite_store, "1", "2")

    def work() -> None:
        with writing(sqlite_store) as tx:
            tx.insert(PERSON, people(ids, ["Ada", "Bob"]))
            if fails:
                raise ZeroDivisionError

    if fails:
        with pytest.raises(ZeroDivisionError):
            work()
    else:
        work()

    with sqlite_store.engine.connect() as connection:
        attached = [row[1] for row in connection.exec_driver_sql("PRAGMA database_list")]
    assert [name for name in attached if name not in ("main", "temp")] == []
    assert list(temporary.iterdir()) == []
    assert len(sqlite_store.read(select(PERSON.c.full_name))) == (0 if fails else 2)


def test_a_file_made_ahead_is_what_is_written_where_nothing_was_said_yet(sqlite_store: Store) -> None:
    ids = intern(sqlite_store, "1", "2")
    rows, parents = people(ids, ["Ada", "Bob"]), pa.table({"source_record_id": ids})

    for expected in (Counts(written=2), Counts(unchanged=2)):  # the second time the rows themselves are compared
        with sqlite_store.row_file(PERSON, rows) as file, writing(sqlite_store) as tx:
            assert file is not None
            assert tx.replace_set(PERSON, parents, rows, file) == expected

    seq = select(PERSON.c.full_name, PERSON.c.cause, PERSON.c.known_from == PERSON.c.change_seq, PERSON.c.deleted_at)
    assert sqlite_store.read(seq.order_by(PERSON.c.source_record_id)) == [
        ("Ada", "test", True, None), ("Bob", "test", True, None),
    ]  # fmt: skip


def test_a_full_temporary_folder_is_named_and_nothing_is_written(
    sqlite_store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = intern(sqlite_store, "1", "2")
    monkeypatch.setattr(sqlite_staged, "_PRAGMAS", ("journal_mode=OFF", "max_page_count=1"))  # as a full disk does it
    said = pytest.raises(StoreFull, match=r"temporary folder(?s:.*)full(?s:.*)TMPDIR")

    with said, writing(sqlite_store) as tx:
        tx.insert(PERSON, people(ids, ["Ada", "Bob"]))
    with said, sqlite_store.row_file(PERSON, people(ids, ["Ada", "Bob"])):
        pass

    assert sqlite_store.read(select(PERSON.c.full_name)) == []
    assert list(temporary.iterdir()) == []


def test_ids_are_told_ahead_only_if_every_record_has_one_and_is_no_stub(sqlite_store: Store) -> None:
    ids = intern(sqlite_store, "1", "2")
    intern(sqlite_store, "3", stub=True)

    def known(*keys: str) -> list[int] | None:
        found = sqlite_store.known_records("crm", "contact", pa.chunked_array([list(keys)]), tenant_id=1)
        return None if found is None else found.tolist()

    assert known("2", "1") == [ids[1], ids[0]]
    assert known("1", "3") is None
    assert known("1", "never met") is None


def test_references_of_one_object_get_the_ids_that_references_of_many_get(sqlite_store: Store) -> None:
    first = intern(sqlite_store, "1", "é:'\"", "2")
    mixed = pa.concat_tables([refs("2", "é:'\"", "1"), refs("1", name="company", entity="organization")])

    with writing(sqlite_store) as tx:
        assert tx.intern(mixed).column("source_record_id").to_pylist()[:3] == first[::-1]
        assert tx.intern(refs("é:'\"", "1")).column("source_record_id").to_pylist() == [first[1], first[0]]


def test_threads_of_one_process_write_in_turn_instead_of_being_refused(sqlite_url: str) -> None:
    entered, done, failures = threading.Event(), list[str](), list[BaseException]()

    with (
        Store.open(sqlite_url, busy_timeout_s=0.01) as store,
        store.acquire("master/first") as one,
        store.acquire("master/second") as other,
    ):

        def second() -> None:
            try:
                entered.wait()
                with store.write(other, cause="test") as tx:
                    done.append("second")
                    tx.intern(refs("2"))
            except BaseException as error:  # noqa: BLE001  told to the test
                failures.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        with store.write(one, cause="test") as tx:
            entered.set()
            thread.join(0.3)  # by now SQLite alone would have refused it
            done.append("first")
            tx.intern(refs("1"))
        thread.join()

        assert (done, failures) == (["first", "second"], [])
        assert len(store.read(select(T["source_record"].c.source_key))) == 2
