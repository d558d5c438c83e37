"""The vendor without sockets: an httpx transport that answers from memory and waits on the simulator's clock.

What a broken delivery looks like is what h11 makes of it: a body shorter than its Content-Length is a protocol error, a
longer one is cut, a reset is a read error, and a pause longer than the client's patience a time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

import httpx

from .message import Request, Response, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_WHOLE: Final = Wire(ending="end")


class InProcess(httpx.AsyncBaseTransport):
    """Hands each request, whatever its host, to ``answer``; ``sleep`` lets the vendor's time pass."""

    def __init__(self, answer: Callable[[Request, str], Response], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._answer, self._sleep = answer, sleep

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        content = await request.aread()
        url = request.url
        origin = f"{url.scheme}://{url.netloc.decode()}"
        query = parse_qs(url.query.decode(), keep_blank_values=True)
        asked = Request(request.method, unquote(url.path), query, _lower(request.headers), content, origin)
        response = self._answer(asked, origin)
        wire = response.wire or _WHOLE
        patience = request.extensions.get("timeout", {}).get("read")
        await self._pause(response.delay_s, patience, request)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(response.body)),
            **response.headers,
        }
        stream = _Body(response.body, headers, wire, lambda s: self._pause(s, patience, request))
        return httpx.Response(response.status, headers=headers, stream=stream, request=request)

    async def _pause(self, seconds: float, patience: float | None, request: httpx.Request) -> None:
        if not seconds:
            return
        if patience is not None and seconds > patience:
            await self._sleep(patience)
            message = f"no byte for {patience:g} s (simulator)"
            raise httpx.ReadTimeout(message, request=request)
        await self._sleep(seconds)


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _Body(httpx.AsyncByteStream):
    """A body as it arrives."""

    def __init__(
        self, body: bytes, headers: dict[str, Any], wire: Wire, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        stated = {name.lower(): value for name, value in headers.items()}["content-length"]
        self._stated, self._wire, self._pause = int(stated), wire, pause
        self._sent = (body if wire.cut is None else body[: wire.cut])[: self._stated]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what comes, then fail as a broken connection does."""
        wire, sent = self._wire, self._sent
        if wire.stall_s:
            yield sent[: wire.stall_at]
            await self._pause(wire.stall_s)
            sent = sent[wire.stall_at :]
        yield sent
        if wire.ending == "reset":
            message = "connection reset by peer (simulator)"
            raise httpx.ReadError(message)
        if len(self._sent) < self._stated:
            message = (
                "peer closed connection without sending complete message body "
                f"(received {len(self._sent)} bytes, expected {self._stated})"
            )
            raise httpx.RemoteProtocolError(message)
