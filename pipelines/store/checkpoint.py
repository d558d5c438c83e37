"""Moving SQLite's write-ahead log into the store's file: one process at a time, and only when it has grown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

if sys.platform != "win32":
    import fcntl

WAL_LIMIT_BYTES = 16 * 2**20


def checkpoint(engine: Engine, *, limit_bytes: int = WAL_LIMIT_BYTES) -> bool:
    """Checkpoint if the log is larger than the limit and no other process does so now; return whether it was done."""
    path = Path(engine.url.database or "")
    if engine.dialect.name != "sqlite" or _size(path.with_name(path.name + "-wal")) <= limit_bytes:
        return False
    handle = os.open(path.with_name(path.name + "-checkpoint"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if not _locked(handle):
            return False
        _run(engine)
    finally:
        os.close(handle)
    return True


def _run(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _locked(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
