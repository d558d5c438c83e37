"""Another library's SQLite files are quick while that is asked for, whole afterwards, and nobody else's change."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool, create_engine, text

from pipelines.store import Store
from pipelines.store.quick_files import QuickFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

FULL, NORMAL = 2, 1


@pytest.fixture
def events(tmp_path: Path) -> Iterator[Engine]:
    """Offer a log as Dagster keeps it: a file in WAL mode, opened for every event."""
    (tmp_path / "home").mkdir()
    engine = create_engine(f"sqlite:///{tmp_path}/home/events.db", poolclass=NullPool)
    yield engine
    engine.dispose()


def _begin(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
        connection.execute(text("CREATE TABLE event (id INTEGER PRIMARY KEY)"))
        connection.commit()


def _add(engine: Engine, count: int) -> None:
    for _ in range(count):
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO event DEFAULT VALUES"))


def _synchronous(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_only_files_below_the_folder_are_quick_and_only_until_it_is_closed(tmp_path: Path, events: Engine) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db", poolclass=NullPool)
    memory = create_engine("sqlite://")
    (tmp_path / "home_of_another").mkdir()
    beside = create_engine(f"sqlite:///{tmp_path}/home_of_another/events.db", poolclass=NullPool)

    with closing(QuickFiles(tmp_path / "home")):
        assert _synchronous(events) == NORMAL
        assert [_synchronous(engine) for engine in (other, memory, beside)] == [FULL, FULL, FULL]
        with (
            Store.open(f"sqlite:///{tmp_path}/unisono.db") as store,
            store.acquire("s") as lease,
            store.write(lease, cause="t") as tx,
        ):
            own = tx.connection.execute(text("PRAGMA synchronous")).scalar_one()
    assert _synchronous(events) == FULL
    with Store.open(f"sqlite:///{tmp_path}/unisono.db") as store, store.engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == own


def test_a_file_is_not_written_back_at_every_close_and_is_whole_at_the_end(tmp_path: Path, events: Engine) -> None:
    wal = tmp_path / "home" / "events.db-wal"

    with closing(QuickFiles(tmp_path / "home")):
        _begin(events)
        _add(events, 20)
        waiting = wal.stat().st_size
        with sqlite3.connect(tmp_path / "home" / "events.db") as reader:  # another process sees what is committed
            seen = reader.execute("SELECT count(*) FROM event").fetchone()[0]
        reader.close()

    assert waiting > 0
    assert seen == 20
    assert not wal.exists()
    with sqlite3.connect(tmp_path / "home" / "events.db") as reader:
        assert reader.execute("SELECT count(*) FROM event").fetchone()[0] == 20
    reader.close()


def test_without_it_every_close_writes_back(tmp_path: Path, events: Engine) -> None:
    _begin(events)
    _add(events, 1)

    assert not (tmp_path / "home" / "events.db-wal").exists()
