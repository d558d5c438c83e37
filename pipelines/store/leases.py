"""Leases: who may write a scope. A newer holder has a higher fence; writes under an older one are refused.

The lease row (owner, heartbeat) is kept in ``control``; the fence that write transactions check is in the store itself,
so that the check and the write are one transaction on both databases.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, Engine, select, update

from connectors.sdk.errors import AlreadyRunning, LeaseLost, UnisonoError
from pipelines.store import tables
from pipelines.store.engine import begin_write
from pipelines.store.failures import translated
from pipelines.store.owner import Owner
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HEARTBEAT_S = 5.0
STALE_S = 30.0


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Lease:
    """The right to write one scope until released, lost or taken over; a context manager that heartbeats."""

    def __init__(
        self, control: Engine, scope: str, tenant_id: int, fence: int, holder: str, now: Callable[[], datetime]
    ) -> None:
        self.scope, self.tenant_id, self.fence, self.now = scope, tenant_id, fence, now
        self._control, self._holder = control, holder
        self._stop, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {scope}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """True once a heartbeat has seen that another process took the lease over."""
        return self._lost.is_set()

    def release(self) -> None:
        """Give the lease back; a second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        with (
            suppress(UnisonoError),
            translated(f"lease {self.scope}"),
            begin_write(self._control) as connection,
            connection.begin(),
        ):
            connection.execute(self._mine().values(holder=None))

    def heartbeat(self) -> None:
        """Say that the holder lives; notes when the lease is no longer ours."""
        with translated(f"lease {self.scope}"), begin_write(self._control) as connection, connection.begin():
            if connection.execute(self._mine().values(heartbeat_at=self.now())).rowcount == 0:
                self._lost.set()

    def _mine(self) -> Any:
        lease = tables.lease
        mine = (lease.c.tenant_id == self.tenant_id, lease.c.scope == self.scope, lease.c.holder == self._holder)
        return update(lease).where(*mine)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S) and not self.lost:
            with suppress(UnisonoError):
                self.heartbeat()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(
    engine: Engine,
    control: Engine,
    scope: str,
    *,
    tenant_id: int,
    now: Callable[[], datetime],
    owner: Owner | None = None,
) -> Lease:
    """Return the lease of a scope; a live holder raises AlreadyRunning with its name, a dead one is replaced."""
    owner, holder = owner or Owner.current(), uuid.uuid4().hex
    with translated(f"lease {scope}"), begin_write(control) as connection, connection.begin():
        fence = _take(connection, scope, tenant_id, owner, holder, now(), _known_fence(engine, scope, tenant_id))
    lease = Lease(control, scope, tenant_id, fence, holder, now)
    try:
        with translated(f"lease {scope}"), begin_write(engine) as connection, connection.begin():
            _raise_fence(connection, scope, tenant_id, fence)
    except BaseException:
        lease.release()  # a lease whose fence does not stand would only keep others out
        raise
    return lease


def check_fence(connection: Connection, lease: Lease) -> None:
    """Raise LeaseLost unless the lease is still the newest of its scope; holds a takeover off until the commit."""
    fence = tables.fence
    statement = select(fence.c.fence).where(fence.c.tenant_id == lease.tenant_id, fence.c.scope == lease.scope)
    current = connection.execute(statement.with_for_update(read=True)).scalar()
    if lease.lost or current != lease.fence:
        raise LeaseLost(
            "another process took over", where=lease.scope, why=f"fence {current}, ours {lease.fence}",
            do="nothing of this transaction was written; let the other run finish, then run again",
        )  # fmt: skip


def _known_fence(engine: Engine, scope: str, tenant_id: int) -> int:
    fence = tables.fence
    statement = select(fence.c.fence).where(fence.c.tenant_id == tenant_id, fence.c.scope == scope)
    with engine.connect() as connection:
        return int(connection.execute(statement).scalar() or 0)


def _take(
    connection: Connection, scope: str, tenant_id: int, owner: Owner, holder: str, now: datetime, known: int
) -> int:
    lease = tables.lease
    key = {"tenant_id": tenant_id, "scope": scope}
    connection.execute(insert_on_conflict(connection.dialect.name, lease, {**key, "fence": 0}, update=lambda _row: {}))
    same = (lease.c.tenant_id == tenant_id, lease.c.scope == scope)
    row = connection.execute(select(lease).where(*same).with_for_update()).one()
    if row.holder is not None:
        _refuse_if_alive(row, scope, now)
    fence = max(int(row.fence), known) + 1
    values = {
        "fence": fence, "holder": holder, "acquired_at": now, "heartbeat_at": now, "host": owner.host,
        "boot_id": owner.boot_id, "pid": owner.pid, "pid_started": owner.pid_started,
    }  # fmt: skip
    connection.execute(update(lease).where(*same).values(values))
    return fence


def _refuse_if_alive(row: Any, scope: str, now: datetime) -> None:
    holder = Owner(row.host, row.boot_id, row.pid, row.pid_started)
    silent = now - row.heartbeat_at
    if holder.is_dead() or silent > timedelta(seconds=STALE_S):
        return
    raise AlreadyRunning(
        "another run holds this work", where=scope,
        why=f"process {holder.pid} on {holder.host}, since {row.acquired_at:%Y-%m-%d %H:%M:%S} UTC",
        do=f"wait until it ends, or end that process; a silent holder is replaced after {STALE_S:.0f} s",
    )  # fmt: skip


def _raise_fence(connection: Connection, scope: str, tenant_id: int, fence: int) -> None:
    row = {"tenant_id": tenant_id, "scope": scope, "fence": fence}
    connection.execute(
        insert_on_conflict(connection.dialect.name, tables.fence, row, update=lambda new: {"fence": new.fence})
    )
