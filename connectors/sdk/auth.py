"""Who is asking: turns a manifest's ``auth:`` and a connection's config into credentials for each request."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from connectors.sdk import templates
from connectors.sdk.errors import FixConfig
from connectors.sdk.http import Credentials, Redactor
from connectors.sdk.oauth import Grant, OAuth, PostForm, Refusal, bearer
from connectors.sdk.protocols import ConnectionSettings, Tokens

if TYPE_CHECKING:
    from connectors.sdk.specs import AuthSpec


class Auth(Protocol):
    """Gives credentials for each attempt."""

    spec: AuthSpec | None

    async def credentials(self) -> Credentials:
        """Return credentials that should be valid now, refreshing them first if they are about to expire."""

    async def refuse(self, used: Credentials) -> Refusal:
        """Handle a 401 to ``used``: say whether other credentials may now be tried, and whose."""

    def superseded(self, used: Credentials) -> bool:
        """Return whether somebody has newer credentials than ``used`` by now."""


def rotates(connection: ConnectionSettings) -> bool:
    """Return whether a connection lives on refresh tokens, which must be kept safe between runs."""
    spec = select(connection)
    return spec is not None and spec.type == "oauth2_refresh_token"


def select(connection: ConnectionSettings) -> AuthSpec | None:
    """Return the first ``auth:`` entry whose config keys are all given; raise FixConfig when none is."""
    manifest = connection.manifest
    for spec in manifest.auth:
        if all(connection.config.get(key) not in (None, "") for key in spec.when):
            return spec
    if not manifest.auth:
        return None
    ways = [" + ".join(spec.when) for spec in manifest.auth]
    raise FixConfig(
        "no way to authenticate",
        where=f"connection '{connection.name}'",
        do=f"give {', or '.join(ways)} in config:",
    )


def secrets_of(connection: ConnectionSettings) -> list[str]:
    """Return every secret text of a connection: those marked secret, and those used to authenticate."""
    manifest = connection.manifest
    used = {rest for spec in manifest.auth for kind, rest in templates.words(spec.options) if kind == "config"}
    used |= {key for spec in manifest.auth for key in spec.when}
    hidden = manifest.secret_keys | ({key for key in used if key not in _PUBLIC})
    values = [str(connection.config[key]) for key in sorted(hidden) if connection.config.get(key)]
    return [value for value in values if value]


_PUBLIC: Final = frozenset({"username", "email", "client_id", "shop", "subdomain", "domain", "account_id"})


@dataclass
class StaticAuth:
    """Credentials that never change: a token, a key, or name and password."""

    spec: AuthSpec | None
    given: Credentials

    async def credentials(self) -> Credentials:
        """Return the credentials."""
        return self.given

    async def refuse(self, used: Credentials) -> Refusal:
        """Return FINAL: there are no others."""
        del used
        return Refusal.FINAL

    def superseded(self, used: Credentials) -> bool:
        """Return False: there are no others."""
        del used
        return False


def build(
    connection: ConnectionSettings,
    *,
    tokens: Tokens,
    post_form: PostForm,
    redact: Redactor,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Auth:
    """Return the authenticator of a connection."""
    spec = select(connection)
    if spec is None:
        return StaticAuth(None, Credentials())
    options = _filled(spec, connection)
    if spec.type.startswith("oauth2_"):
        grant = Grant.of(spec, options, connection)
        return OAuth(spec, connection.connection_id, grant, tokens, post_form, redact, now, sleep)
    return StaticAuth(spec, _static(spec, options, redact))


def _filled(spec: AuthSpec, connection: ConnectionSettings) -> dict[str, Any]:
    defaults = {"client_id": "{config.client_id}", "client_secret": "{config.client_secret}"}
    if spec.type == "oauth2_refresh_token":
        defaults["refresh_token"] = "{config.refresh_token}"  # noqa: S105  a template word
    given = {**defaults, **spec.options} if spec.type.startswith("oauth2_") else spec.options
    return dict(templates.render_tree(given, {"config": connection.config}))


def _static(spec: AuthSpec, options: Mapping[str, Any], redact: Redactor) -> Credentials:
    if spec.type == "bearer":
        return Credentials(headers=(bearer(options, str(options["token"])),))
    if spec.type == "api_key":
        pair = (str(options["name"]), str(options["value"]))
        return Credentials(params=(pair,)) if options["in"] == "query" else Credentials(headers=(pair,))
    word = base64.b64encode(f"{options['username']}:{options['password']}".encode()).decode()
    redact.add(word)
    return Credentials(headers=(("Authorization", f"Basic {word}"),))
