"""What can be said of a store's health: facts for ``unisono doctor``."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from pipelines.store import migrate, tables
from pipelines.store.engine import SAFE_SQLITE, sqlite_is_safe
from pipelines.store.owner import Owner

if TYPE_CHECKING:
    from pipelines.store.store import Store


@dataclass(frozen=True)
class Fact:
    """One finding: what it is, what was seen, whether it is well, and what to do if not."""

    name: str
    value: str
    ok: bool = True
    do: str | None = None


def facts(store: Store) -> list[Fact]:
    """Return what is known of the store's database, its revision and who holds which lease."""
    return [_database(store), *_wal(store), _revision(store), *_leases(store)]


def _database(store: Store) -> Fact:
    if store.dialect == "postgresql":
        with store.engine.connect() as connection:
            version = str(connection.exec_driver_sql("SHOW server_version").scalar_one())
        return Fact("database", f"PostgreSQL {version}")
    safe = ".".join(map(str, SAFE_SQLITE))
    advice = f"take a Python whose SQLite is {safe} or newer, or PostgreSQL: older builds can corrupt a log they reset"
    return Fact(
        "database", f"SQLite {sqlite3.sqlite_version}", ok=sqlite_is_safe(), do=None if sqlite_is_safe() else advice
    )


def _wal(store: Store) -> list[Fact]:
    if store.dialect == "postgresql":
        return []
    with store.engine.connect() as connection:
        mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    advice = (
        None if mode == "wal" else "put the store on a local disk: readers and the writer block each other without WAL"
    )
    return [Fact("journal", mode, ok=mode == "wal", do=advice)]


def _revision(store: Store) -> Fact:
    found, newest = migrate.revision(store.engine), migrate.head()
    advice = None if found == newest else "open the store once with this version (`unisono sync`), which upgrades it"
    return Fact("schema revision", f"{found} (this version: {newest})", ok=found == newest, do=advice)


def _leases(store: Store) -> list[Fact]:
    lease = tables.lease
    with store.control.connect() as connection:
        rows = connection.execute(select(lease).where(lease.c.holder.is_not(None)).order_by(lease.c.scope)).fetchall()
    return [_lease(row.scope, Owner(row.host, row.boot_id, row.pid, row.pid_started)) for row in rows]


def _lease(scope: str, owner: Owner) -> Fact:
    dead = owner.is_dead()
    advice = "nothing: the next run takes the lease over" if dead else None
    state = "ended without giving it back" if dead else "running"
    return Fact(f"lease {scope}", f"process {owner.pid} on {owner.host}, {state}", ok=not dead, do=advice)
