"""The way bytes take: HTTP/1.1 over plain asyncio, to addresses that the guard has seen, and a client without detours.

httpx would resolve a name again when it connects, between check and use; here the guard's own answer is connected to.
TLS still verifies the name. With a proxy in the environment the proxy connects, and httpx's own transport is used:
the proxy is then the operator's guard.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httpx

from connectors.sdk.http1 import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connectors.sdk.guard import Guard

CONNECT_TIMEOUT: Final = 15.0
READ_TIMEOUT: Final = 60.0
TIMEOUT: Final = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None)
_TIMEOUTS: Final = TIMEOUT.as_dict()
_KEPT: Final = 16
_IDLE_SECONDS: Final = 30.0
_INJECTION: Final = frozenset(b"\r\n\0")
_PORTS: Final = {"http": 80, "https": 443}
Origin = tuple[str, str, int]
HEADERS: Final = {"user-agent": "unisono", "accept": "application/json", "accept-encoding": "gzip, deflate"}


def new_client(guard: Guard) -> httpx.AsyncClient:
    """Return the client that real reads use."""
    if _proxied():
        return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, headers=HEADERS)
    return DirectClient(guard)


def _proxied() -> bool:
    found = urllib.request.getproxies()
    return any(found.get(scheme) for scheme in ("http", "https", "all"))


@cache
def _tls() -> ssl.SSLContext:
    """Return one TLS context for all clients: reading the certificates takes longer than many a sync."""
    return httpx.create_ssl_context()


class AnswerHeaders(httpx.Headers):
    """The headers of an answer, which nobody changes: read once, and then looked at a dozen times."""

    def __init__(self, headers: httpx.Headers) -> None:
        """Read them all."""
        super().__init__(headers)
        self._read = dict(self.items())

    def __getitem__(self, key: str) -> str:
        """Return what a header says, in whatever letters its name is written."""
        return self._read[key.lower()]

    def __contains__(self, key: object) -> bool:
        """Return whether there is such a header."""
        return isinstance(key, str) and key.lower() in self._read

    def get(self, key: str, default: Any = None) -> Any:
        """Return what a header says, or the default."""
        return self._read.get(key.lower(), default)


class DirectClient(httpx.AsyncClient):
    """Sends a request as it is: no redirects, cookies, hooks or authentication of httpx's own around it."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self._direct = _Transport(guard, tls)
        super().__init__(transport=self._direct, timeout=TIMEOUT, headers=HEADERS, trust_env=False)

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Return the answer as a stream that the caller closes."""
        response = await self._direct.handle_async_request(request)
        response.request = request
        return response

    async def exchange(self, place: Origin, head: bytes) -> httpx.Response:
        """Send a request that is written already; return the answer as a stream that the caller closes."""
        return await self._direct.exchange(place, head, b"", _TIMEOUTS)


class _Transport(httpx.AsyncBaseTransport):
    """Keeps sockets open between requests; each carries one request at a time."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None) -> None:
        self._guard, self._own_tls = guard, tls
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions.get("timeout", {})
        return await self.exchange(origin_of(request.url), request_head(request), await request.aread(), timeouts)

    async def exchange(self, place: Origin, head: bytes, content: bytes, timeouts: dict[str, Any]) -> httpx.Response:
        """Send head and content on a socket that is open, or on a new one."""
        connection = self._kept(place) or await self._connect(place, timeouts.get("connect"))
        try:
            status, headers = await connection.ask(head, content, timeouts)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(status, headers=headers, stream=_Body(self, place, connection, timeouts))

    async def aclose(self) -> None:
        kept = [connection for connections in self._idle.values() for connection in connections]
        self._idle.clear()
        for connection in kept:
            connection.close()
        if kept:
            await asyncio.sleep(0)

    def take_back(self, place: Origin, connection: Connection) -> None:
        """Keep a socket for the next request, or close it."""
        if connection.reusable and len(self._idle[place]) < _KEPT:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle[place].append(connection)
        else:
            connection.close()

    def _kept(self, place: Origin) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - _IDLE_SECONDS
        while self._idle[place]:
            connection = self._idle[place].pop()
            if connection.open and connection.idle_since >= oldest:
                return connection
            connection.close()
        return None

    async def _connect(self, place: Origin, seconds: float | None) -> Connection:
        scheme, host, port = place
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._guard.addresses(host, port)
                return await self._first(addresses, port, host if scheme == "https" else None)
        except TimeoutError as why:
            raise httpx.ConnectTimeout(f"no connection to {host} within {seconds} s") from why
        except (OSError, ssl.SSLError) as why:
            raise httpx.ConnectError(str(why)) from why

    async def _first(self, addresses: Sequence[str], port: int, secure_name: str | None) -> Connection:
        """Connect to the first address that answers, of those the guard lets through."""
        failure: OSError = OSError("the name has no address")
        secure: dict[str, Any] = {}
        if secure_name is not None:
            secure = {"ssl": self._own_tls or _tls(), "server_hostname": secure_name}
        for address in addresses:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(Connection, address, port, **secure)
            except OSError as why:
                failure = why
            else:
                return connection
        raise failure


class _Body(httpx.AsyncByteStream):
    """An answer's bytes as they come; closing it gives the socket back."""

    def __init__(self, owner: _Transport, place: Origin, connection: Connection, timeouts: dict[str, Any]) -> None:
        self._owner, self._place, self._connection, self._timeouts = owner, place, connection, timeouts
        self._given_back = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._connection.body(self._timeouts)

    async def aclose(self) -> None:
        if not self._given_back:
            self._given_back = True
            self._owner.take_back(self._place, self._connection)


def origin_of(url: httpx.URL) -> Origin:
    """Return scheme, host and port of an address."""
    if url.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"cannot speak {url.scheme!r}; http and https can be")
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]


def injects(line: bytes) -> bool:
    """Return whether something in a line would begin another one."""
    return not _INJECTION.isdisjoint(line)


def request_head(request: httpx.Request) -> bytes:
    """Return request line and headers; whatever could begin another line is refused."""
    pairs = request.headers.raw
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in pairs]
    if any(map(injects, lines)):
        raise httpx.LocalProtocolError("a header or the path holds a line break or a NUL")
    return b"\r\n".join(lines) + b"\r\n\r\n"
