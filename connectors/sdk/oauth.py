"""OAuth 2 tokens of one connection: seeds and families, one refresher, saved before use.

A refresh token may work only once. So one process claims the refresh by compare-and-swap, new tokens are saved before
they are used, and whoever lost the race uses what the winner saved. The refresh token in the configuration is a seed: it
begins a family of tokens, and once the family has one of its own the seed is not shown to the vendor again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from connectors.sdk import templates
from connectors.sdk.errors import FixConfig, RetryLater
from connectors.sdk.http import Credentials, Redactor, Reply, parse_json
from connectors.sdk.protocols import ConnectionSettings, StoredToken, Tokens

if TYPE_CHECKING:
    from connectors.sdk.specs import AuthSpec

_AHEAD: Final = timedelta(seconds=60)
_AHEAD_SHARE: Final = 0.1
_CLAIM: Final = timedelta(seconds=180)  # longer than a grant with its retries can take, see Session and Wire
_FIRST_POLL, _POLL = 0.02, 0.5
_REMEMBERED: Final = 50
_SPENT: Final = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "expired_refresh_token"})

PostForm = Callable[[str, Mapping[str, str], "tuple[str, str] | None"], Awaitable[Reply]]


class NeedsReauth(FixConfig):
    """The vendor does not accept the refresh token any more: a person must authorise the connection again."""


class Refusal(Enum):
    """What became of credentials that the vendor answered with 401."""

    FINAL = "there are no others"
    FOUND = "somebody else has newer ones"
    RENEWED = "they were renewed just now"


def bearer(options: Mapping[str, Any], token: str) -> tuple[str, str]:
    """Return the header that carries a token, named and prefixed as the manifest says."""
    prefix = str(options.get("prefix", "Bearer"))
    return str(options.get("header", "Authorization")), f"{prefix} {token}".strip()


@dataclass(frozen=True)
class Grant:
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
    def of(cls, spec: AuthSpec, options: Mapping[str, Any], connection: ConnectionSettings) -> Grant:
        """Return the grant that a manifest's ``auth:`` entry means, its words filled."""
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
        """Return the form of a token request, and name and password where the client says them by Basic."""
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
        grant: Grant,
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
        self._lock, self._grants = asyncio.Lock(), 0
        self._take(self._load())

    async def credentials(self) -> Credentials:
        """Return the access token, refreshed first when it is missing or about to expire."""
        if not self._usable(self._token):
            async with self._lock:
                if not self._usable(self._token):
                    self._take(await self._renewed(self._token))
        return self._proof

    async def refuse(self, used: Credentials) -> Refusal:
        """Refresh unless somebody already did since ``used`` was given."""
        async with self._lock:
            if used.generation != self._proof.generation:
                return Refusal.FOUND
            grants = self._grants
            self._take(await self._renewed(self._token, refused=True))
            return Refusal.FOUND if self._grants == grants else Refusal.RENEWED

    def superseded(self, used: Credentials) -> bool:
        """Look whether another process has saved newer tokens than ``used``."""
        newest = self._load()
        if newest.access_token is not None and newest.claimed_until is None:
            self._take(newest)
        return self._proof.generation != used.generation

    def _take(self, token: StoredToken) -> None:
        self._token = token
        header = bearer(self._grant.options, token.access_token or "")
        self._proof = Credentials(headers=(header,), generation=hash(token.access_token))

    def _usable(self, token: StoredToken) -> bool:
        """Return whether the access token has some life left, enough not to die on its way."""
        if token.access_token is None or token.expires_at is None:
            return token.access_token is not None
        return self._now() < (token.refresh_at or token.expires_at - _AHEAD)

    def _alive(self, token: StoredToken) -> bool:
        return token.access_token is not None and token.expires_at is not None and self._now() < token.expires_at

    def _load(self) -> StoredToken:
        stored = self._tokens.load(self._id)
        token = stored if stored is not None and stored.seed == self._grant.seed else self._family(stored)
        self._redact.add(token.access_token)
        self._redact.add(token.refresh_token)
        if token.reauth is not None:
            raise self._must_authorise(token.reauth, self._grant.url)
        return token

    def _family(self, stored: StoredToken | None) -> StoredToken:
        """Begin a family from the configured seed; one that the vendor has replaced before begins nothing."""
        if stored is None:
            return StoredToken(self._id, 0, self._grant.seed)
        if self._grant.seed in stored.former:
            raise FixConfig(
                "this refresh token was spent before", where=f"connection {self._id}",
                why="the connection has been authorised anew since", do="take the newest refresh_token into config:",
            )  # fmt: skip
        spent = (stored.seed,) if stored.rotated or stored.reauth else ()
        former = (*stored.former, *spent)[-_REMEMBERED:]
        return StoredToken(self._id, stored.version, self._grant.seed, former=former)

    async def _renewed(self, known: StoredToken, *, refused: bool = False) -> StoredToken:
        """Return newer tokens than ``known``: another process's, or our own after winning the claim.

        While another process renews a token that still lives, it goes on being used.
        """
        poll = _FIRST_POLL
        while True:
            current = self._load()
            if current.access_token != known.access_token and current.claimed_until is None and self._usable(current):
                return current
            if current.claimed_until is not None and self._now() < current.claimed_until:
                if not refused and self._alive(current):
                    return current
                await self._sleep(poll)
                poll = min(2 * poll, _POLL)
                continue
            until = self._now() + _CLAIM
            claim = replace(current, version=current.version + 1, claimed_until=until, presented=True)
            if self._tokens.save(claim, current.version):
                return await self._claimed(claim, in_doubt=current.presented, refused=refused)

    async def _claimed(self, claim: StoredToken, *, in_doubt: bool, refused: bool) -> StoredToken:
        """Ask for tokens and save them; whatever happens, the claim does not outlive this process's try."""
        free = replace(claim, version=claim.version + 1, claimed_until=None)
        try:
            answer = await self._ask(claim, in_doubt=in_doubt, refused=refused)
        except _Spent as why:
            self._tokens.save(replace(free, presented=False, reauth=why.reason), claim.version)
            raise self._must_authorise(why.reason, why.where) from None
        except FixConfig:
            self._tokens.save(replace(free, presented=in_doubt), claim.version)
            raise
        except BaseException:
            self._tokens.save(free, claim.version)
            raise
        token = self._from_answer(claim, answer)
        if not self._tokens.save(token, claim.version):
            raise RetryLater(
                "another process replaced the tokens meanwhile",
                where=f"connection {self._id}",
                do="run again",
            )
        return token

    async def _ask(self, claim: StoredToken, *, in_doubt: bool, refused: bool) -> Mapping[str, Any]:
        form, basic = self._grant.form(claim.refresh_token or self._grant.refresh_token)
        reply = await self._post(self._grant.url, form, basic)
        answer = parse_json(reply.content)
        if reply.status < 300 and isinstance(answer, dict) and answer.get("access_token"):  # noqa: PLR2004  HTTP's number
            return answer
        code = _code(answer)
        if self._grant.kind == "refresh_token" and code.lower() in _SPENT:
            raise _Spent(self._why_spent(code, in_doubt=in_doubt), reply.where)
        when = self.spec.when if self.spec else ()
        raise FixConfig(
            f"the vendor refuses to {'renew' if refused or claim.access_token else 'give'} an access token",
            where=reply.where,
            why=f"status {reply.status}" + (f", {self._redact(code)}" if code else ""),
            do=f"authorise again and set {', '.join(when)} in config:",
        )

    def _why_spent(self, code: str, *, in_doubt: bool) -> str:
        if in_doubt:
            return f"{self._redact(code)}; a process ended between the vendor's answer and its being saved"
        return f"{self._redact(code)}; it was revoked, has expired, or was used elsewhere"

    def _must_authorise(self, reason: str, where: str) -> NeedsReauth:
        when = self.spec.when if self.spec else ()
        return NeedsReauth(
            "the vendor refuses to renew the access token: the connection must be authorised again", where=where,
            why=reason, do=f"authorise again and set {', '.join(when)} in config:; a new refresh_token begins anew",
        )  # fmt: skip

    def _from_answer(self, claim: StoredToken, answer: Mapping[str, Any]) -> StoredToken:
        self._grants += 1
        access, fresh = str(answer["access_token"]), answer.get("refresh_token")
        self._redact.add(access)
        self._redact.add(fresh)
        shown = claim.refresh_token or self._grant.refresh_token
        expires_at, refresh_at = self._times(templates.as_text(answer.get("expires_in")))
        return replace(
            claim,
            version=claim.version + 1,
            access_token=access,
            refresh_token=str(fresh) if fresh else shown,
            rotated=claim.rotated or (bool(fresh) and str(fresh) != shown),
            expires_at=expires_at,
            refresh_at=refresh_at,
            claimed_until=None,
            presented=False,
        )

    def _times(self, seconds: str) -> tuple[datetime | None, datetime | None]:
        """Return when a token ends, and when to renew it: a minute ahead, or a tenth of a short life."""
        try:
            life = timedelta(seconds=float(seconds))
        except ValueError:
            return None, None
        now = self._now()
        return now + life, now + life - min(_AHEAD, life * _AHEAD_SHARE)


class _Spent(Exception):
    """The vendor does not accept the refresh token any more."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(reason)
        self.reason, self.where = reason, where


def _code(answer: Any) -> str:
    """Return the word by which a token endpoint says what is wrong: RFC 6749's, or a vendor's own."""
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("error") or answer.get("status") or "")
