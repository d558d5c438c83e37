"""HTTP/1.1 over one socket: httptools parses, asyncio carries, nothing lies between.

httpx's usual path parses in Python, with a lock and several turns of the event loop per answer; that is most of what a
page costs. Whatever is malformed, too early an end or a stall is an httpx error of the kind httpx itself would raise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Headers = list[tuple[bytes, bytes]]

_HIGH_WATER: Final = 4 * 1024 * 1024
_MAX_HEAD: Final = 256 * 1024
_FIRST_FINAL: Final = 200
_SWITCHING: Final = 101


class Connection(asyncio.Protocol):
    """One socket; ``ask`` one request at a time, read its ``body`` to the end, then ``reusable`` says what follows."""

    def __init__(self) -> None:
        """Start unconnected; the event loop's ``create_connection`` connects it."""
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        self._closed = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._head_size = 0
        self._headers: Headers = []
        self._status = 0
        self._complete = self._keep = self._asked = self._paused = False
        self._broken: str | None = None

    # --- the event loop calls these -----------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Parse what came; bytes nobody asked for make the connection unusable."""
        if self._broken is None:
            if not self._asked or self._complete:
                self._broken = "the server sent more than its answer"
            else:
                self._parse(data)
        if self._size > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = "the server switched to another protocol"
        except (httptools.HttpParserError, _TooMuch) as why:
            # an answer that is whole stays good; what follows it makes the connection unusable
            self._broken = str(why) or "the answer is not HTTP"

    def eof_received(self) -> bool:
        """Take the end of the stream."""
        self._closed = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._closed, self._lost = True, exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Hold writes back until the socket takes more."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let writes go on."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- the parser calls these ---------------------------------------------------------------------------------
    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._head_size += len(name) + len(value)
        if self._head_size > _MAX_HEAD:
            raise _TooMuch("the answer's headers are too large")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status; interim answers (100, 103) are passed over."""
        status = self._parser.get_status_code()
        if _SWITCHING != status < _FIRST_FINAL:
            self._headers = []
        else:
            self._status = status

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """Take the end of an answer."""
        self._complete = self._status > 0
        self._keep = self._complete and bool(self._parser.should_keep_alive())

    # --- the transport calls these ------------------------------------------------------------------------------
    async def ask(self, head: bytes, content: bytes, timeouts: dict[str, Any]) -> tuple[int, Headers]:
        """Send one request; return status and headers of its answer."""
        self._begin()
        self._asked = True
        await self._write(head + content, timeouts.get("write"))
        while not self._status:
            await self._more(timeouts.get("read"))
        return self._status, self._headers

    async def body(self, timeouts: dict[str, Any]) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes; raise when it ends before its end."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._size -= len(part)
                yield part
            if self._complete or (self._closed and self._ends_with_connection() and self._lost is None):
                return
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            await self._more(timeouts.get("read"))

    @property
    def reusable(self) -> bool:
        """Return whether another request may be sent on this socket."""
        return self._keep and self.open

    @property
    def open(self) -> bool:
        """Return whether nothing has ended or gone wrong."""
        return not self._closed and self._broken is None

    def close(self) -> None:
        """Close the socket."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def secured(self, transport: asyncio.BaseTransport) -> None:
        """Go on over TLS."""
        self._transport = transport  # type: ignore[assignment]

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport."""
        assert self._transport is not None
        return self._transport

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _ in self._headers}
        return bool(self._status) and not names & {b"content-length", b"transfer-encoding"}

    async def _more(self, seconds: float | None) -> None:
        """Wait until something has come; raise what went wrong instead."""
        if self._broken is not None:
            raise httpx.RemoteProtocolError(self._broken)
        if self._closed:
            if self._lost is not None:
                raise httpx.ReadError(str(self._lost) or "the connection was reset")
            what = "in the middle of its answer" if self._status else "without an answer"
            raise httpx.RemoteProtocolError(f"the server disconnected {what}")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError as why:
            raise httpx.ReadTimeout(f"nothing came for {seconds} s") from why
        finally:
            self._waiter = None

    async def _write(self, data: bytes, seconds: float | None) -> None:
        if self._transport is None or self._transport.is_closing():
            raise httpx.WriteError("the connection is closed")
        self._transport.write(data)
        if self._drained is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._drained
        except TimeoutError as why:
            raise httpx.WriteTimeout(f"nothing could be sent for {seconds} s") from why

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _TooMuch(Exception):
    """Stops the parser."""
