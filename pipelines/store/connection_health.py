"""How each connection is: ok, about to expire, in need of a person, or waiting for its vendor; and what was put off.

Kept beside tokens and quota (``control.db`` on SQLite): written by whoever fetches, without the store's lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from pipelines.store.engine import begin_write
from pipelines.store.failures import translated
from pipelines.store.tables import connection_event, connection_health, deferred
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pipelines.store.store import Store


class HealthState(StrEnum):
    """What a connection needs: nothing, time, or a person."""

    OK = "ok"
    EXPIRING = "expiring"
    LIMITED = "rate limited"
    FAILING = "failing"
    NEEDS_REAUTH = "needs re-auth"


@dataclass(frozen=True)
class Health:
    """One connection's row; ``state_at`` says what it is worth at an instant."""

    connection_id: str
    name: str
    state: HealthState
    token_expires_at: datetime | None = None
    limited_until: datetime | None = None
    last_ok_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None

    def state_at(self, now: datetime, margin: timedelta) -> HealthState:
        """Return the state now: a limit that is over is none, a token that nobody renewed is about to expire."""
        if self.state is HealthState.LIMITED and (self.limited_until is None or self.limited_until <= now):
            return HealthState.OK
        if self.state is HealthState.OK and self.token_expires_at is not None and self.token_expires_at <= now + margin:
            return HealthState.EXPIRING
        return self.state


@dataclass(frozen=True)
class Deferred:
    """A stream whose run ended because its vendor said when to come back."""

    connection: str
    stream: str
    not_before: datetime
    reason: str | None


def read_health(store: Store, *, tenant_id: int = 1) -> Sequence[Health]:
    """Return the health of every connection that was ever fetched, by name."""
    table = connection_health
    query = select(table).where(table.c.tenant_id == tenant_id).order_by(table.c.name)
    with translated("connection health"), store.control.connect() as connection:
        rows = connection.execute(query).fetchall()
    return [
        Health(
            row.connection_id, row.name, HealthState(row.state), row.token_expires_at, row.limited_until, row.last_ok_at,
            row.last_error, row.last_error_at,
        )
        for row in rows
    ]  # fmt: skip


def write_health(store: Store, health: Health, *, tenant_id: int = 1) -> None:
    """Replace a connection's row; what is ``None`` in ``last_ok_at`` and ``last_error`` stays as it was."""
    row = {
        "tenant_id": tenant_id, "connection_id": health.connection_id, "name": health.name, "state": health.state.value,
        "token_expires_at": health.token_expires_at, "limited_until": health.limited_until,
        "last_ok_at": health.last_ok_at, "last_error": health.last_error, "last_error_at": health.last_error_at,
    }  # fmt: skip
    kept = {"last_ok_at", "last_error", "last_error_at", "token_expires_at"}
    given = [
        name for name in row if name not in ("tenant_id", "connection_id") and not (name in kept and row[name] is None)
    ]
    statement = insert_on_conflict(
        store.dialect, connection_health, row, update=lambda new: {name: new[name] for name in given}
    )
    with translated("connection health"), begin_write(store.control) as connection, connection.begin():
        connection.execute(statement)


def read_events(store: Store, *, tenant_id: int = 1) -> Sequence[tuple[str, str, str]]:
    """Return (connection_id, kind, family) of every event."""
    table = connection_event
    query = select(table.c.connection_id, table.c.kind, table.c.family).where(table.c.tenant_id == tenant_id)
    with translated("connection event"), store.control.connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(table.c.at))]


def defer(store: Store, what: Deferred, *, tenant_id: int = 1) -> None:
    """Remember that a stream is to be run again, not before an instant."""
    row = {
        "tenant_id": tenant_id, "connection": what.connection, "stream": what.stream, "not_before": what.not_before,
        "reason": what.reason,
    }  # fmt: skip
    statement = insert_on_conflict(
        store.dialect, deferred, row, update=lambda new: {"not_before": new.not_before, "reason": new.reason}
    )
    with translated("deferred run"), begin_write(store.control) as connection, connection.begin():
        connection.execute(statement)


def undefer(store: Store, connection_name: str, stream: str, *, tenant_id: int = 1) -> None:
    """Forget that a stream was put off: it has been run."""
    mine = (
        deferred.c.tenant_id == tenant_id, deferred.c.connection == connection_name, deferred.c.stream == stream,
    )  # fmt: skip
    with translated("deferred run"), begin_write(store.control) as connection, connection.begin():
        connection.execute(delete(deferred).where(*mine))


def read_deferred(store: Store, *, until: datetime | None = None, tenant_id: int = 1) -> Sequence[Deferred]:
    """Return what was put off; with ``until`` only what may be run at that instant."""
    query = select(deferred).where(deferred.c.tenant_id == tenant_id)
    if until is not None:
        query = query.where(deferred.c.not_before <= until)
    query = query.order_by(deferred.c.connection, deferred.c.stream)
    with translated("deferred run"), store.control.connect() as connection:
        rows = connection.execute(query).fetchall()
    return [Deferred(row.connection, row.stream, row.not_before, row.reason) for row in rows]
