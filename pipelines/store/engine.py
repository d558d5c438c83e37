"""How the master store is connected to: SQLite in WAL mode, or PostgreSQL through psycopg 3."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url

from connectors.sdk.errors import FixConfig

BUSY_TIMEOUT_S = 30.0
SAFE_SQLITE = (3, 51, 3)
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-32768",
    "wal_autocheckpoint=0",  # Store checkpoints, one process at a time
    "journal_size_limit=16777216",
)
_WRITE = {"unisono_write": True}
_PICKED = "CREATE TEMP TABLE picked (id BIGINT NOT NULL)"
"""Made once for each connection: to roll back a transaction that made a table costs SQLite its whole schema, read anew."""


def store_url(url: str) -> URL:
    """Return the URL with the driver this product uses; a URL of another database raises FixConfig."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise _bad_url(url, str(error)) from error
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite+pysqlite")
    raise _bad_url(parsed.render_as_string(), "it is neither a SQLite file nor PostgreSQL")


def sqlite_path(url: URL) -> Path:
    """Return the file of a SQLite store."""
    return Path(url.database or "")


def exists(url: str) -> bool:
    """Return whether there is something to open: a SQLite file; a server's database is asked when it is opened."""
    parsed = store_url(url)
    return parsed.get_backend_name() != "sqlite" or sqlite_path(parsed).is_file()


def control_url(url: URL) -> URL:
    """Return where leases, tokens and quota live: a file beside a SQLite store, else the same database."""
    if url.get_backend_name() != "sqlite":
        return url
    path = sqlite_path(url)
    return url.set(database=str(path.with_name(f"{path.stem}.control.db")))


def open_engine(url: URL, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Return an engine whose transactions behave alike on both stores (snapshot reads, one writer at a time)."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, busy_timeout_s)
    options = f"-c timezone=UTC -c lock_timeout={int(busy_timeout_s * 1000)}"
    return create_engine(url, connect_args={"options": options}, pool_pre_ping=True)


def begin_write(engine: Engine) -> Connection:
    """Return a connection whose next transaction takes SQLite's write lock at once."""
    return engine.connect().execution_options(**_WRITE)


def sqlite_is_safe() -> bool:
    """Return whether this SQLite build is free of the WAL-reset bug (3.51.3 and newer)."""
    return sqlite3.sqlite_version_info >= SAFE_SQLITE


def _sqlite_engine(url: URL, busy_timeout_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed from the first word
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_PICKED)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("unisono_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _bad_url(url: str, why: str) -> FixConfig:
    return FixConfig(
        f"cannot use the store URL {url!r}", where="store", why=why,
        do="write sqlite:///path/to/unisono.db or postgresql://user@host/database",
    )  # fmt: skip
