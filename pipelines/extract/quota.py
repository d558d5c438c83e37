"""The quota of a vendor account, counted in the store: all streams and processes that use the account share it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from connectors.sdk import auth
from connectors.sdk.quota import AccountQuota
from pipelines.store.control_state import exchange_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from connectors.sdk.buckets import Ask, Grant
    from connectors.sdk.protocols import ConnectionSettings
    from pipelines.store import Store


class StoreLedger:
    """Implements the sdk's Ledger on the store's control tables."""

    blocking = True

    def __init__(self, store: Store, *, tenant_id: int = 1) -> None:
        self._store, self._tenant_id = store, tenant_id

    def exchange(self, account: str, asks: Sequence[Ask], now: float) -> Sequence[Grant]:
        """Settle all asks in one transaction."""
        return exchange_quota(self._store, account, asks, now=now, tenant_id=self._tenant_id)


def account_of(settings: ConnectionSettings) -> str:
    """Return the account's name: the connector, and a hash of where it is asked and of who asks; not the connection."""
    proof = "\0".join((settings.base_url, *sorted(auth.secrets_of(settings))))
    return f"{settings.connector}:{hashlib.sha256(proof.encode()).hexdigest()[:16]}"


def store_quota(
    store: Store, settings: ConnectionSettings, *, now: Callable[[], datetime], tenant_id: int = 1
) -> AccountQuota:
    """Return the quota of a connection's account."""
    return AccountQuota.of(
        settings.limits,
        ledger=StoreLedger(store, tenant_id=tenant_id),
        account=account_of(settings),
        patience=settings.patience_s,
        clock=lambda: now().timestamp(),
    )
