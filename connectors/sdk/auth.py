"""Who is asking: turns a manifest's ``auth:`` and a connection's config into headers, and keeps OAuth tokens alive.

A refresh token may work only once. So one process claims the refresh by compare-and-swap, new tokens are saved before
they are used, and whoever lost the race uses what the winner saved.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urljoin

from connectors.sdk import templates
from connectors.sdk.errors import FixConfig, RetryLater
from connectors.sdk.http import Credentials, Redactor, Reply, parse_json
from connectors.sdk.protocols import ConnectionSettings, StoredToken, Tokens

if TYPE_CHECKING:
    from connectors.sdk.specs import AuthSpec

_AHEAD: Final = timedelta(seconds=60)
_CLAIM: Final = timedelta(seconds=60)
_POLL: Final = 0.5

PostForm = Callable[[str, Mapping[str, str], "tuple[str, str] | None"], Awaitable[Reply]]


class Auth(Protocol):
    """Gives credentials for each attempt."""

    spec: AuthSpec | None

    async def credentials(self) -> Credentials:
        """Return credentials that should be valid now, refreshing them first if they are about to expire."""

    async def refuse(self, used: Credentials) -> bool:
        """Handle a 401 to ``used``: return True when other credentials may now be tried."""


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

    async def refuse(self, used: Credentials) -> bool:
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
        grant = _Grant.of(spec, options, connection)
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
        return Credentials(headers=(_bearer(options, str(options["token"])),))
    if spec.type == "api_key":
        pair = (str(options["name"]), str(options["value"]))
        return Credentials(params=(pair,)) if options["in"] == "query" else Credentials(headers=(pair,))
    word = base64.b64encode(f"{options['username']}:{options['password']}".encode()).decode()
    redact.add(word)
    return Credentials(headers=(("Authorization", f"Basic {word}"),))


def _bearer(options: Mapping[str, Any], token: str) -> tuple[str, str]:
    prefix = str(options.get("prefix", "Bearer"))
    return str(options.get("header", "Authorization")), f"{prefix} {token}".strip()


@dataclass(frozen=True)
class _Grant:
    """How new tokens are asked for."""

    kind: str
    url: str
    client_id: str
    client_secret: str
    refresh_token: str | None
    in_basic: bool
    extra: Mapping[str, str]
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, spec: AuthSpec, options: Mapping[str, Any], connection: ConnectionSettings) -> _Grant:
        kind = "refresh_token" if spec.type == "oauth2_refresh_token" else "client_credentials"
        extra = dict(options.get("token_params", {}))
        if "scope" in options:
            extra["scope"] = str(options["scope"])
        url = str(options["token_url"])
        base = connection.base_url if url.startswith("/") else connection.base_url + "/"
        return cls(
            kind=str(options.get("grant_type", kind)), url=base + url if "://" not in url else urljoin(base, url),
            client_id=str(options.get("client_id", "")), client_secret=str(options.get("client_secret", "")),
            refresh_token=options.get("refresh_token"), in_basic=options.get("client_in") == "basic", extra=extra,
            options=options,
        )  # fmt: skip

    @property
    def seed(self) -> str:
        """Fingerprint of the configured credentials: other ones make the stored tokens worthless."""
        text = "\0".join((self.client_id, self.refresh_token or self.client_secret))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def form(self, refresh_token: str | None) -> tuple[dict[str, str], tuple[str, str] | None]:
        form = {"grant_type": self.kind, **self.extra}
        if self.kind == "refresh_token" and refresh_token:
            form["refresh_token"] = refresh_token
        if self.in_basic:
            return form, (self.client_id, self.client_secret)
        return {**form, "client_id": self.client_id, "client_secret": self.client_secret}, None


class OAuth:
    """OAuth 2 tokens of one connection, refreshed ahead of expiry and after a 401, by one refresher at a time."""

    def __init__(
        self,
        spec: AuthSpec,
        connection_id: str,
        grant: _Grant,
        tokens: Tokens,
        post_form: PostForm,
        redact: Redactor,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Start from what is stored; nothing is sent before the first use."""
        self.spec: AuthSpec | None = spec
        self._id, self._grant, self._tokens, self._post = connection_id, grant, tokens, post_form
        self._redact, self._now, self._sleep = redact, now, sleep
        self._lock = asyncio.Lock()
        self._token = self._load()

    async def credentials(self) -> Credentials:
        """Return the access token, refreshed first when it is missing or about to expire."""
        async with self._lock:
            if not self._usable(self._token):
                self._token = await self._renewed(self._token)
            return self._as_credentials()

    async def refuse(self, used: Credentials) -> bool:
        """Refresh unless somebody already did since ``used`` was given."""
        async with self._lock:
            if used.generation == self._token.version:
                self._token = await self._renewed(self._token, refused=True)
            return True

    def _as_credentials(self) -> Credentials:
        header = _bearer(self._grant.options, self._token.access_token or "")
        return Credentials(headers=(header,), generation=self._token.version)

    def _usable(self, token: StoredToken) -> bool:
        return token.access_token is not None and (token.expires_at is None or self._now() + _AHEAD < token.expires_at)

    def _load(self) -> StoredToken:
        stored = self._tokens.load(self._id)
        fresh = StoredToken(self._id, stored.version if stored else 0, self._grant.seed)
        token = stored if stored is not None and stored.seed == self._grant.seed else fresh
        self._redact.add(token.access_token)
        self._redact.add(token.refresh_token)
        return token

    async def _renewed(self, known: StoredToken, *, refused: bool = False) -> StoredToken:
        """Return newer tokens than ``known``: another process's, or our own after winning the claim."""
        while True:
            current = self._load()
            if current.version != known.version and current.claimed_until is None and self._usable(current):
                return current
            claimed = current.claimed_until
            if claimed is not None and self._now() < claimed:
                await self._sleep(_POLL)
                continue
            claim = replace(current, version=current.version + 1, claimed_until=self._now() + _CLAIM)
            if self._tokens.save(claim, current.version):
                return await self._claimed(claim, refused=refused)

    async def _claimed(self, claim: StoredToken, *, refused: bool) -> StoredToken:
        try:
            answer = await self._ask(claim, refused=refused)
        except BaseException:
            self._tokens.save(replace(claim, version=claim.version + 1, claimed_until=None), claim.version)
            raise
        token = self._from_answer(claim, answer)
        if not self._tokens.save(token, claim.version):
            raise RetryLater(
                "another process replaced the tokens meanwhile",
                where=f"connection {self._id}",
                do="run again",
            )
        return token

    async def _ask(self, claim: StoredToken, *, refused: bool) -> Mapping[str, Any]:
        form, basic = self._grant.form(claim.refresh_token or self._grant.refresh_token)
        reply = await self._post(self._grant.url, form, basic)
        answer = parse_json(reply.content)
        if reply.status < 300 and isinstance(answer, dict) and answer.get("access_token"):  # noqa: PLR2004  HTTP's number
            return answer
        code = answer.get("error") if isinstance(answer, dict) else None
        when = self.spec.when if self.spec else ()
        raise FixConfig(
            f"the vendor refuses to {'renew' if refused or claim.access_token else 'give'} an access token",
            where=reply.where,
            why=f"status {reply.status}" + (f", {self._redact(str(code))}" if code else ""),
            do=f"authorise again and set {', '.join(when)} in config:",
        )

    def _from_answer(self, claim: StoredToken, answer: Mapping[str, Any]) -> StoredToken:
        access, fresh = str(answer["access_token"]), answer.get("refresh_token")
        seconds = templates.as_text(answer.get("expires_in"))
        self._redact.add(access)
        self._redact.add(fresh)
        return replace(
            claim,
            version=claim.version + 1,
            access_token=access,
            refresh_token=str(fresh) if fresh else claim.refresh_token,
            expires_at=self._now() + timedelta(seconds=float(seconds)) if seconds else None,
            claimed_until=None,
        )
