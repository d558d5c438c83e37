"""One connection's conversation with its vendor: quota, credentials and retries around each request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from connectors.sdk import auth as authentication
from connectors.sdk import paths
from connectors.sdk.body import Body
from connectors.sdk.errors import FixConfig
from connectors.sdk.http import ClientFactory, Credentials, Redactor, Reply, Wire, client_factory, parse_json
from connectors.sdk.notices import Notices
from connectors.sdk.oauth import Refusal
from connectors.sdk.retry import with_retries

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from connectors.sdk.paging import Request
    from connectors.sdk.protocols import ConnectionSettings, Quota, Tokens

Sleep = Callable[[float], Awaitable[None]]
_NO_CONTENT: Final = 204
_UNAUTHORISED: Final = 401
_FIRST_ERROR: Final = 300
_REFUSALS: Final = 50  # each but two needs a renewal by somebody else in between
_RENEWALS: Final = 2
_GRANT_ATTEMPTS: Final = 3
_GRANT_PATIENCE: Final = 15.0


class Refused(Exception):
    """The vendor refused one request for good: a 4xx that no retry will change."""

    def __init__(self, status: int, where: str, snippet: str) -> None:
        super().__init__(f"status {status}: {snippet}")
        self.status, self.where, self.snippet = status, where, snippet


@dataclass(frozen=True)
class Fetched:
    """A good answer."""

    body: Body
    reply: Reply
    empty: bool = False


class Session:
    """Use as ``async with``; ``fetch`` is safe to call from many tasks."""

    def __init__(
        self,
        connection: ConnectionSettings,
        *,
        tokens: Tokens,
        quota: Quota,
        now: Callable[[], datetime],
        factory: ClientFactory | None = None,
        sleep: Sleep = asyncio.sleep,
        notices: Notices | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. What the vendor announces is put into ``notices``."""
        manifest = connection.manifest
        self.connection = connection
        self.notices = Notices(manifest.notices) if notices is None else notices
        self._quota, self._now, self._sleep = quota, now, sleep
        self.redact = Redactor(authentication.secrets_of(connection))
        self._client = (
            factory() if factory else client_factory(connection.base_url, allow_private=connection.allow_private)
        )
        self.wire = Wire(self._client, (connection.base_url, *manifest.origins), self.redact, now)
        self._below = urlsplit(connection.base_url).path
        self._slots = asyncio.Semaphore(connection.limits.concurrency)
        self._auth = authentication.build(
            connection, tokens=tokens, post_form=self._post_form, redact=self.redact, now=now, sleep=sleep
        )

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client and its connections; permits not used go back to the account."""
        self._quota.close()
        await self._client.__aexit__(kind, why, trace)

    async def fetch(self, request: Request) -> Fetched:
        """Return a good JSON answer; raise Refused, RetryLater, StopStream or FixConfig, never another error."""
        return await with_retries(
            lambda: self._attempt(request), sleep=self._sleep, patience=self.connection.patience_s, now=self._now
        )

    def vendor_time(self, reply: Reply) -> datetime:
        """Return when the vendor says it answered, by its Date header, else our own time."""
        try:
            return parsedate_to_datetime(reply.headers["date"])
        except (KeyError, ValueError, TypeError):
            return self._now()

    async def _attempt(self, request: Request) -> Fetched:
        path = self._path(request.url)
        more = self._quota.slots(request.method, path)
        async with self._slots:
            reply = await (self._after(more, request, path) if more else self._accepted(request, path))
        if self._refuses(reply):
            raise self._unauthorised(reply)
        self.wire.raise_if_transient(reply)
        if reply.status >= _FIRST_ERROR:
            raise Refused(reply.status, reply.where, self.wire.snippet(reply))
        if reply.status == _NO_CONTENT:
            return Fetched(Body(b"{}"), reply, empty=True)
        return Fetched(self.wire.body(reply), reply)

    async def _after(self, slots: Sequence[asyncio.Semaphore], request: Request, path: str) -> Reply:
        """Send when the kinds of requests that this one belongs to have room."""
        async with AsyncExitStack() as held:
            for slot in slots:
                await held.enter_async_context(slot)
            return await self._accepted(request, path)

    async def _accepted(self, request: Request, path: str) -> Reply:
        """Send until the credentials are accepted, or until two renewals of our own have been refused.

        One is not enough: others share the token, and may have used it up before we came to send.
        """
        used, reply = await self._sent(request, path)
        renewals = 0
        for _ in range(_REFUSALS):
            if not self._refuses(reply):
                return reply
            answer = await self._auth.refuse(used)
            if answer is Refusal.FINAL:
                return reply
            used, reply = await self._sent(request, path)
            renewals += answer is Refusal.RENEWED
            if renewals >= _RENEWALS and not self._auth.superseded(used):
                return reply
        return reply

    async def _sent(self, request: Request, path: str) -> tuple[Credentials, Reply]:
        """Send when the quota allows it, with credentials that are alive then and not only when the wait began."""
        await self._auth.credentials()
        await self._quota.acquire(request.method, path)
        used = await self._auth.credentials()
        reply = await self.wire.send(request, used)
        self._quota.observe(reply.headers, self._now(), status=reply.status, method=request.method, path=path)
        self.notices.look(reply.headers, path, self.redact)
        return used, reply

    def _refuses(self, reply: Reply) -> bool:
        """Return whether the vendor does not accept the credentials: 401, or what its manifest says."""
        said = self.connection.manifest.unauthorised
        if said is None or reply.status != said.status:
            return reply.status == _UNAUTHORISED
        return paths.text_of(paths.find(said.path, parse_json(reply.content))) == said.equals

    def _path(self, url: str) -> str:
        """Return the path below base_url, as the classes of ``limits:`` know it."""
        return urlsplit(url).path.removeprefix(self._below)

    async def _post_form(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> Reply:
        async def attempt() -> Reply:
            reply = await self.wire.post_form(url, form, basic)
            self.wire.raise_if_transient(reply)
            return reply

        return await with_retries(attempt, sleep=self._sleep, attempts=_GRANT_ATTEMPTS, patience=_GRANT_PATIENCE)

    def _unauthorised(self, reply: Reply) -> FixConfig:
        spec = self._auth.spec
        keys = ", ".join(spec.when) if spec else "nothing"
        return FixConfig(
            f"{self.connection.manifest.title} does not accept the credentials of connection '{self.connection.name}'",
            where=reply.where,
            why=f"status {reply.status}: {self.wire.snippet(reply)}",
            do=f"check {keys} in its config:",
        )
