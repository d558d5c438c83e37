"""The engine's OAuth tokens, kept in the store: durable before use, replaced only by who has seen the newest."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connectors.sdk.protocols import StoredToken
from pipelines.store.control_state import load_token, save_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.store import Store

_TIMES = ("expires_at", "claimed_until")


class StoreTokens:
    """Implements the sdk's Tokens; all processes on one store share what is saved here."""

    def __init__(self, store: Store, *, tenant_id: int = 1) -> None:
        self._store, self._tenant_id = store, tenant_id

    def load(self, connection_id: str) -> StoredToken | None:
        """Return the tokens last saved; ``None`` before the first time."""
        found = load_token(self._store, connection_id, tenant_id=self._tenant_id)
        return None if found is None else _parse(connection_id, found.version, found.value)

    def save(self, token: StoredToken, expected_version: int) -> bool:
        """Replace the tokens if their version is still ``expected_version`` (0 = none yet); else change nothing."""
        value = {name: _json(part) for name, part in asdict(token).items() if name not in ("connection_id", "version")}
        return save_token(
            self._store, token.connection_id, value, expected_version=expected_version, tenant_id=self._tenant_id
        )


def _json(part: Any) -> Any:
    return part.isoformat() if isinstance(part, datetime) else part


def _parse(connection_id: str, version: int, value: Mapping[str, Any]) -> StoredToken:
    times = {name: datetime.fromisoformat(value[name]) if value.get(name) else None for name in _TIMES}
    return StoredToken(connection_id=connection_id, version=version, **{**value, **times})
