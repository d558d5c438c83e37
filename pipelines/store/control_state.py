"""Small state that processes share while they fetch: OAuth tokens and request quotas (``control.db`` on SQLite)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from connectors.sdk.buckets import Ask, Grant, State, settle, without
from pipelines.store.engine import begin_write
from pipelines.store.failures import translated
from pipelines.store.tables import connection_event, quota, token
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pipelines.store.store import Store


@dataclass(frozen=True)
class VersionedToken:
    """A connection's token and the version that its next save must name."""

    value: Mapping[str, Any]
    version: int


@dataclass(frozen=True)
class TokenEvent:
    """What happened to a family of tokens: a person is needed, or has been there."""

    kind: str
    family: str
    at: datetime
    detail: str


def load_token(store: Store, connection_id: str, *, tenant_id: int = 1) -> VersionedToken | None:
    """Return the stored token of a connection; ``None`` if there is none."""
    mine = (token.c.tenant_id == tenant_id, token.c.connection_id == connection_id)
    with translated("token"), store.control.connect() as connection:
        row = connection.execute(select(token.c.value, token.c.version).where(*mine)).first()
    return None if row is None else VersionedToken(row.value, row.version)


def save_token(
    store: Store,
    connection_id: str,
    value: Mapping[str, Any],
    *,
    expected_version: int,
    event: TokenEvent | None = None,
    tenant_id: int = 1,
) -> bool:
    """Store a token if the stored version is the expected one (0 = none yet); False if another process was first.

    What happened to the token's family is recorded with it or not at all, and once.
    """
    row = {"tenant_id": tenant_id, "connection_id": connection_id, "version": 1, "value": dict(value)}
    mine = (token.c.tenant_id == tenant_id, token.c.connection_id == connection_id, token.c.version == expected_version)
    if expected_version == 0:
        statement = insert_on_conflict(store.dialect, token, row, update=lambda _row: {})
    else:
        statement = update(token).where(*mine).values(version=expected_version + 1, value=dict(value))
    with translated("token"), begin_write(store.control) as connection, connection.begin():
        saved = connection.execute(statement.returning(token.c.version)).first() is not None
        if saved and event is not None:
            told = {"tenant_id": tenant_id, "connection_id": connection_id, **asdict(event)}
            connection.execute(insert_on_conflict(store.dialect, connection_event, told, update=lambda _row: {}))
    return saved


def exchange_quota(
    store: Store, account: str, asks: Sequence[Ask], *, now: float, tenant_id: int = 1
) -> Sequence[Grant]:
    """Settle what one process asks of an account's buckets, in one transaction: all of them grant, or none does.

    ``connectors.sdk.quota.settle`` is the rule; the store only makes it one for all processes.
    """
    names = [f"{account}/{ask.bucket.name}" for ask in asks]
    with translated("quota"), begin_write(store.control) as connection, connection.begin():
        states = _locked(store, connection, names, tenant_id, now)
        settled = [settle(states[name], ask, now) for name, ask in zip(names, asks, strict=True)]
        short = any(grant.wait for _, grant in settled)
        for name, (state, grant) in zip(names, settled, strict=True):
            kept = without(state, grant) if short else state
            if kept != states[name]:
                _keep(connection, tenant_id, name, kept)
    return [Grant(wait=grant.wait, closed=grant.closed) if short else grant for _, grant in settled]


def _locked(store: Store, connection: Connection, names: Sequence[str], tenant_id: int, now: float) -> dict[str, State]:
    """Return the buckets' states, locked in the order of their names so that two processes cannot wait in a circle."""
    mine = (quota.c.tenant_id == tenant_id, quota.c.account.in_(names))
    query = select(quota.c.account, quota.c.state).where(*mine).order_by(quota.c.account).with_for_update()
    found = {row.account: State.from_json(row.state) for row in connection.execute(query)}
    missing = sorted(set(names) - set(found))
    if missing:
        at = datetime.fromtimestamp(now, UTC)
        for name in missing:
            row = {"tenant_id": tenant_id, "account": name, "window_started_at": at, "used": 0}
            connection.execute(insert_on_conflict(store.dialect, quota, row, update=lambda _row: {}))
        found = {row.account: State.from_json(row.state) for row in connection.execute(query)}
    return found


def _keep(connection: Connection, tenant_id: int, name: str, state: State) -> None:
    closed = datetime.fromtimestamp(state.closed_until, UTC) if state.closed_until else None
    mine = (quota.c.tenant_id == tenant_id, quota.c.account == name)
    connection.execute(update(quota).where(*mine).values(used=state.used, blocked_until=closed, state=state.to_json()))
