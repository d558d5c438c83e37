"""The write-ahead log is moved into the store when it has grown, by one process at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.store.checkpoint import checkpoint
from tests.store.rows import intern

if TYPE_CHECKING:
    from pipelines.store import Store


def log_of(store: Store) -> Path:
    return Path(f"{store.url.database}-wal")


def test_a_grown_log_is_checkpointed_and_a_small_one_left(sqlite_store: Store):
    intern(sqlite_store, "1")

    assert not checkpoint(sqlite_store.engine, limit_bytes=10**9)
    assert checkpoint(sqlite_store.engine, limit_bytes=0)


def test_only_one_process_checkpoints(sqlite_store: Store):
    intern(sqlite_store, "1")
    with Path(f"{sqlite_store.url.database}-checkpoint").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert not checkpoint(sqlite_store.engine, limit_bytes=0)
