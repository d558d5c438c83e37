"""The engine's OAuth tokens, kept in the store: sealed, durable before use, replaced only by who has seen the newest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import auth
from connectors.sdk.errors import FixConfig
from connectors.sdk.memory import MemoryTokens
from connectors.sdk.protocols import StoredToken
from pipelines.store.control_state import TokenEvent, load_token, save_token
from pipelines.store.owner import Owner
from pipelines.store.sealing import Sealer, find_sealer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.protocols import ConnectionSettings, Tokens
    from pipelines.store import Store

NEEDS_REAUTH: Final = "needs re-auth"
AUTHORISED: Final = "authorised"
_TIMES = ("expires_at", "claimed_until", "refresh_at")
_SECRETS = ("access_token", "refresh_token")


def tokens_for(
    store: Store, settings: ConnectionSettings, *, now: Callable[[], datetime], tenant_id: int = 1
) -> Tokens:
    """Return where a connection keeps its tokens; without a key those that can be had again stay in memory.

    A connection on refresh tokens cannot: it raises FixConfig that says how to make a key.
    """
    spec = auth.select(settings)
    if spec is None or not spec.type.startswith("oauth2_"):
        return MemoryTokens()
    sealer = find_sealer()
    if sealer is not None:
        return StoreTokens(store, sealer, tenant_id=tenant_id, now=now)
    if auth.rotates(settings):
        raise FixConfig(
            f"connection '{settings.name}' needs a key to keep its refresh tokens", where="UNISONO_KEY",
            why="a vendor may replace a refresh token with each use; the new one is stored, and only sealed",
            do="make a key with `unisono key new`, then export UNISONO_KEY=… (or `keyring set unisono key`)",
        )  # fmt: skip
    return MemoryTokens()


class StoreTokens:
    """Implements the sdk's Tokens; all processes on one store share what is saved here.

    A claim whose process has died is no claim: whoever loads it next may refresh at once.
    """

    def __init__(
        self, store: Store, sealer: Sealer, *, tenant_id: int = 1, now: Callable[[], datetime] | None = None
    ) -> None:
        self._store, self._sealer, self._tenant_id = store, sealer, tenant_id
        self._now = now or (lambda: datetime.now(UTC))

    def load(self, connection_id: str) -> StoredToken | None:
        """Return the tokens last saved; ``None`` before the first time. Raise FixConfig if our keys do not open them."""
        found = load_token(self._store, connection_id, tenant_id=self._tenant_id)
        return None if found is None else self._parse(connection_id, found.version, found.value)

    def save(self, token: StoredToken, expected_version: int) -> bool:
        """Replace the tokens if their version is still ``expected_version`` (0 = none yet); else change nothing."""
        return save_token(
            self._store, token.connection_id, self._value(token), expected_version=expected_version,
            event=self._event(token), tenant_id=self._tenant_id,
        )  # fmt: skip

    def _event(self, token: StoredToken) -> TokenEvent | None:
        """Return what happened to the family: a person is needed, or has been there."""
        if token.claimed_until is not None:
            return None
        kind = NEEDS_REAUTH if token.reauth else AUTHORISED if token.access_token else None
        return None if kind is None else TokenEvent(kind, token.seed, self._now(), token.reauth or "")

    def _value(self, token: StoredToken) -> dict[str, Any]:
        parts = {name: _json(part) for name, part in asdict(token).items() if name not in ("connection_id", "version")}
        secrets = {name: parts.pop(name) for name in _SECRETS}
        parts["sealed"] = self._sealer.seal(json.dumps(secrets), self._place(token.connection_id))
        if token.claimed_until is not None:
            parts["claimed_by"] = asdict(Owner.current())
        return parts

    def _parse(self, connection_id: str, version: int, value: Mapping[str, Any]) -> StoredToken:
        parts = dict(value)
        owner = parts.pop("claimed_by", None)
        sealed = parts.pop("sealed", None)
        if sealed is None:
            return StoredToken(
                connection_id, version, seed=""
            )  # written before tokens were sealed: begin from the seed
        secrets = json.loads(self._sealer.open(sealed, self._place(connection_id)))
        times = {name: datetime.fromisoformat(parts[name]) if parts.get(name) else None for name in _TIMES}
        parts["former"] = tuple(parts.get("former", ()))
        token = StoredToken(connection_id=connection_id, version=version, **{**parts, **secrets, **times})
        if owner is not None and Owner(**owner).is_dead():
            return replace(token, claimed_until=None)
        return token

    def _place(self, connection_id: str) -> str:
        return f"token {self._tenant_id}/{connection_id}"


def _json(part: Any) -> Any:
    return part.isoformat() if isinstance(part, datetime) else part
