"""One connection's conversation with its vendor: quota, credentials and retries around each request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Self

from connectors.sdk import auth as authentication
from connectors.sdk.body import Body
from connectors.sdk.errors import FixConfig
from connectors.sdk.http import ClientFactory, Credentials, Redactor, Reply, Wire, client_factory
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
    ) -> None:
        """Prepare; nothing is sent yet."""
        manifest = connection.manifest
        self.connection = connection
        self._quota, self._now, self._sleep = quota, now, sleep
        self.redact = Redactor(authentication.secrets_of(connection))
        self._client = (factory or client_factory)()
        self.wire = Wire(self._client, (connection.base_url, *manifest.origins), self.redact, now)
        self._slots = asyncio.Semaphore(manifest.limits.concurrency)
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
        """Close the client and its connections."""
        await self._client.__aexit__(kind, why, trace)

    async def fetch(self, request: Request) -> Fetched:
        """Return a good JSON answer; raise Refused, RetryLater, StopStream or FixConfig, never another error."""
        return await with_retries(lambda: self._attempt(request), sleep=self._sleep)

    def vendor_time(self, reply: Reply) -> datetime:
        """Return when the vendor says it answered, by its Date header, else our own time."""
        try:
            return parsedate_to_datetime(reply.headers["date"])
        except (KeyError, ValueError, TypeError):
            return self._now()

    async def _attempt(self, request: Request) -> Fetched:
        async with self._slots:
            used = await self._auth.credentials()
            reply = await self._sent(request, used)
            if reply.status == _UNAUTHORISED and await self._auth.refuse(used):
                reply = await self._sent(request, await self._auth.credentials())
        if reply.status == _UNAUTHORISED:
            raise self._unauthorised(reply)
        self.wire.raise_if_transient(reply)
        if reply.status >= _FIRST_ERROR:
            raise Refused(reply.status, reply.where, self.wire.snippet(reply))
        if reply.status == _NO_CONTENT:
            return Fetched(Body(b"{}"), reply, empty=True)
        return Fetched(self.wire.body(reply), reply)

    async def _sent(self, request: Request, used: Credentials) -> Reply:
        await self._quota.acquire()
        reply = await self.wire.send(request, used)
        self._quota.observe(reply.headers, self._now())
        return reply

    async def _post_form(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> Reply:
        async def attempt() -> Reply:
            reply = await self.wire.post_form(url, form, basic)
            self.wire.raise_if_transient(reply)
            return reply

        return await with_retries(attempt, sleep=self._sleep)

    def _unauthorised(self, reply: Reply) -> FixConfig:
        spec = self._auth.spec
        keys = ", ".join(spec.when) if spec else "nothing"
        return FixConfig(
            f"{self.connection.manifest.title} does not accept the credentials of connection '{self.connection.name}'",
            where=reply.where,
            why=f"status 401: {self.wire.snippet(reply)}",
            do=f"check {keys} in its config:",
        )
