"""What can go wrong with a database is said in the product's own words, with what to do; nothing half-written stays."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, select

from connectors.sdk.errors import FixConfig, RetryLater, StoreFailure, StoreFull, StoreLocked
from pipelines.store import Store
from pipelines.store.failures import translated
from tests.store.rows import T, intern, refs

if TYPE_CHECKING:
    from pathlib import Path


def test_a_locked_store_says_so_and_that_nothing_was_written(sqlite_url: str):
    with Store.open(sqlite_url, busy_timeout_s=0.05) as store, store.acquire("master/test") as lease:
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with (
            pytest.raises(StoreLocked, match=r"locked by another writer(?s:.*)run again"),
            store.write(lease, cause="test"),
        ):
            pass
        other.execute("ROLLBACK")
        other.close()

        with store.write(lease, cause="test") as tx:
            tx.intern(refs("1"))


@pytest.mark.postgres
def test_a_locked_row_on_postgresql_says_so(postgres_url: str):
    with (
        Store.open(postgres_url, busy_timeout_s=0.05) as store,
        store.acquire("master/test") as lease,
        store.engine.connect() as other,
    ):
        other.exec_driver_sql("LOCK TABLE counter IN EXCLUSIVE MODE")

        with pytest.raises(StoreLocked), store.write(lease, cause="test"):
            pass


def test_a_full_disk_is_named_and_leaves_the_old_state(sqlite_store: Store):
    intern(sqlite_store, "1")
    sqlite_store.engine.dispose()
    with sqlite_store.acquire("master/test") as lease:
        driver = sqlite_store.engine.raw_connection()
        pages = driver.cursor().execute("PRAGMA page_count").fetchone()[0]
        driver.cursor().execute(f"PRAGMA max_page_count={pages}")
        driver.close()

        with (
            pytest.raises(StoreFull, match=r"no space left(?s:.*)free space on that disk"),
            sqlite_store.write(lease, cause="test") as tx,
        ):
            tx.intern(refs(*(f"{n:050d}" for n in range(20_000))))

    assert sqlite_store.read(select(T["source_record"].c.source_key)) == [("1",)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_met_outside_the_database_is_named_too(number: int):
    with pytest.raises(StoreFull), translated("landing"):
        raise OSError(number, "full")


def test_a_full_postgresql_is_named():
    class DiskFullError(Exception):
        sqlstate = "53100"

    with pytest.raises(StoreFull), translated("store"):
        raise DiskFullError


def test_other_errors_pass_unchanged():
    with pytest.raises(PermissionError), translated("store"):
        raise PermissionError(errno.EACCES, "no")


def test_a_server_that_does_not_answer_asks_to_run_again():
    with pytest.raises(RetryLater, match=r"does not answer(?s:.*)nothing is lost"):
        Store.open("postgresql://nobody@127.0.0.1:1/none")


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "store.db").mkdir()

    with pytest.raises(StoreFailure, match="cannot be written"):
        Store.open(f"sqlite:///{tmp_path}/store.db")


def test_a_file_that_is_no_store_is_named(tmp_path: Path):
    (tmp_path / "store.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(StoreFailure, match="damaged"):
        Store.open(f"sqlite:///{tmp_path}/store.db")


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense", "duckdb:///x.db"])
def test_a_store_of_another_kind_is_refused_with_what_is_allowed(url: str):
    with pytest.raises(FixConfig, match=r"write sqlite:///path(?s:.*)postgresql://"):
        Store.open(url)


def test_a_password_is_not_shown_in_errors():
    with pytest.raises(RetryLater) as caught:
        Store.open("postgresql://nobody:s3cret@127.0.0.1:1/none")

    assert "s3cret" not in str(caught.value)


def test_a_store_of_another_revision_is_refused_unless_it_may_be_upgraded(sqlite_url: str):
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    engine.dispose()

    with pytest.raises(StoreFailure, match="revision 0000, this version needs"):
        Store.open(sqlite_url, create=False)


def test_a_store_of_a_newer_version_is_left_alone(sqlite_url: str):
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(StoreFailure, match="written by a newer version"):
        Store.open(sqlite_url)
