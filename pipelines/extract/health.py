"""What a load leaves in the table of the connections' health, and what it puts off to the instant its vendor named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.oauth import NeedsReauth
from connectors.sdk.retry import VendorBusy
from pipelines.extract.tokens import StoreTokens
from pipelines.store import connection_health
from pipelines.store.connection_health import Deferred, Health, HealthState

if TYPE_CHECKING:
    from datetime import datetime

    from connectors.sdk.errors import UnisonoError
    from connectors.sdk.protocols import Tokens
    from pipelines.context import StageContext


def note(context: StageContext, connection_id: str, tokens: Tokens | None, error: UnisonoError | None) -> None:
    """Record how the context's load ended: for doctor, for Dagster, and for whoever runs the stream again."""
    assert context.connection is not None
    assert context.stream is not None
    now, text = context.now(), None if error is None else str(error).splitlines()[0]
    health = Health(
        connection_id, context.connection.name, _state(error), _expires_at(tokens, connection_id, error),
        limited_until=error.not_before if isinstance(error, VendorBusy) else None,
        last_ok_at=now if error is None else None, last_error=text, last_error_at=None if error is None else now,
    )  # fmt: skip
    connection_health.write_health(context.store, health, tenant_id=context.tenant_id)
    _schedule(context, context.connection.name, context.stream, error)


def _state(error: UnisonoError | None) -> HealthState:
    if error is None:
        return HealthState.OK
    if isinstance(error, VendorBusy):
        return HealthState.LIMITED
    return HealthState.NEEDS_REAUTH if isinstance(error, NeedsReauth) else HealthState.FAILING


def _expires_at(tokens: Tokens | None, connection_id: str, error: UnisonoError | None) -> datetime | None:
    if error is not None or not isinstance(tokens, StoreTokens):
        return None
    token = tokens.load(connection_id)
    return token.expires_at if token else None


def _schedule(context: StageContext, name: str, stream: str, error: UnisonoError | None) -> None:
    store, tenant_id = context.store, context.tenant_id
    if isinstance(error, VendorBusy) and error.not_before is not None:
        reason = str(error).splitlines()[0]
        connection_health.defer(store, Deferred(name, stream, error.not_before, reason), tenant_id=tenant_id)
    elif any((one.connection, one.stream) == (name, stream) for one in _put_off(context)):
        connection_health.undefer(store, name, stream, tenant_id=tenant_id)


def _put_off(context: StageContext) -> list[Deferred]:
    return list(connection_health.read_deferred(context.store, tenant_id=context.tenant_id))
