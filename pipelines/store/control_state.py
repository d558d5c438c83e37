"""Small state that processes share while they fetch: OAuth tokens and request quotas (``control.db`` on SQLite)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from pipelines.store.engine import begin_write
from pipelines.store.failures import translated
from pipelines.store.tables import quota, token
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.store.store import Store


@dataclass(frozen=True)
class VersionedToken:
    """A connection's token and the version that its next save must name."""

    value: Mapping[str, Any]
    version: int


def load_token(store: Store, connection_id: str, *, tenant_id: int = 1) -> VersionedToken | None:
    """Return the stored token of a connection; ``None`` if there is none."""
    mine = (token.c.tenant_id == tenant_id, token.c.connection_id == connection_id)
    with translated("token"), store.control.connect() as connection:
        row = connection.execute(select(token.c.value, token.c.version).where(*mine)).first()
    return None if row is None else VersionedToken(row.value, row.version)


def save_token(
    store: Store, connection_id: str, value: Mapping[str, Any], *, expected_version: int, tenant_id: int = 1
) -> bool:
    """Store a token if the stored version is the expected one (0 = none yet); False if another process was first."""
    row = {"tenant_id": tenant_id, "connection_id": connection_id, "version": 1, "value": dict(value)}
    mine = (token.c.tenant_id == tenant_id, token.c.connection_id == connection_id, token.c.version == expected_version)
    if expected_version == 0:
        statement = insert_on_conflict(store.dialect, token, row, update=lambda _row: {})
    else:
        statement = update(token).where(*mine).values(version=expected_version + 1, value=dict(value))
    with translated("token"), begin_write(store.control) as connection, connection.begin():
        return connection.execute(statement.returning(token.c.version)).first() is not None


def take_quota(
    store: Store, account: str, n: int, *, limit: int, per_seconds: float, now: datetime, tenant_id: int = 1
) -> float:
    """Take ``n`` requests of an account's budget; returns 0.0, or how many seconds to wait before asking again.

    The budget is ``limit`` per window of ``per_seconds``, shared by all processes of this store.
    """
    key = {"tenant_id": tenant_id, "account": account}
    mine = (quota.c.tenant_id == tenant_id, quota.c.account == account)
    with translated("quota"), begin_write(store.control) as connection, connection.begin():
        fresh = insert_on_conflict(
            store.dialect, quota, {**key, "window_started_at": now, "used": 0}, update=lambda _row: {}
        )
        connection.execute(fresh)
        row = connection.execute(select(quota).where(*mine).with_for_update()).one()
        wait, started, used = _window(row, n, limit, timedelta(seconds=per_seconds), now)
        if wait == 0.0:
            connection.execute(update(quota).where(*mine).values(window_started_at=started, used=used))
    return wait


def block_quota(store: Store, account: str, until: datetime, *, tenant_id: int = 1) -> None:
    """Let no process ask the account's vendor before ``until`` (Retry-After)."""
    row = {"tenant_id": tenant_id, "account": account, "window_started_at": until, "used": 0, "blocked_until": until}
    statement = insert_on_conflict(store.dialect, quota, row, update=lambda new: {"blocked_until": new.blocked_until})
    with translated("quota"), begin_write(store.control) as connection, connection.begin():
        connection.execute(statement)


def _window(row: Any, n: int, limit: int, length: timedelta, now: datetime) -> tuple[float, datetime, int]:
    if row.blocked_until is not None and row.blocked_until > now:
        return (row.blocked_until - now).total_seconds(), now, 0
    if now >= row.window_started_at + length:
        return 0.0, now, n
    if row.used and row.used + n > limit:
        return (row.window_started_at + length - now).total_seconds(), now, 0
    return 0.0, row.window_started_at, row.used + n
