"""A bulk read takes place in another process and never costs this one a committed row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from connectors.sdk.errors import StoreFailure
from pipelines.store import Store, arrow_out
from tests.store.rows import T, intern

RECORD = T["source_record"]
ALL = select(RECORD.c.source_key, RECORD.c.is_stub, RECORD.c.deleted_at).order_by(RECORD.c.source_record_id.desc())


@pytest.fixture
def _always_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_out, "BIG_RESULT", 0)


@pytest.mark.usefixtures("_always_big")
def test_rows_committed_around_a_bulk_read_stay(sqlite_url: str):
    with Store.open(sqlite_url) as store:
        intern(store, "1", "2")
        assert store.read_arrow(ALL).column("source_key").to_pylist() == ["2", "1"]
        intern(store, "3")
        assert store.read_arrow(ALL).num_rows == 3
        intern(store, "4")

    with Store.open(sqlite_url) as again:
        assert again.read(select(func.count()).select_from(RECORD)) == [(4,)]


@pytest.mark.usefixtures("_always_big")
def test_the_place_of_the_store_may_have_any_name(sqlite_url: str, tmp_path: Path):
    folder = tmp_path / "the client's data #1 100%"
    shutil.copytree(Path(sqlite_url.removeprefix("sqlite:///")).parent, folder)
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        intern(store, "1")

        rows = store.read_arrow(ALL)

    assert rows.to_pylist() == [{"source_key": "1", "is_stub": False, "deleted_at": None}]
    assert rows.schema.field("deleted_at").type == pa.timestamp("us", tz="UTC")


@pytest.mark.usefixtures("_always_big")
def test_a_bulk_read_that_fails_says_what_to_do(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch):
    intern(sqlite_store, "1")
    monkeypatch.setattr(arrow_out, "_CHILD", Path("/nowhere/child.py"))

    with pytest.raises(StoreFailure, match=r"bulk read failed(?s:.*)unisono doctor"):
        sqlite_store.read_arrow(ALL)
