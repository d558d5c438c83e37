"""The only place that speaks HTTP: time-outs, declared origins, size and time caps, and no secret in any text.

`Wire` sends one request once. What may be worth another attempt is raised as Transient; going on is `Session`'s.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urljoin

import httpx
import msgspec

from connectors.sdk.body import Body, Malformed
from connectors.sdk.envelopes import Envelopes
from connectors.sdk.errors import FixConfig, FixConnector, StopStream
from connectors.sdk.guard import ForbiddenAddress, Guard
from connectors.sdk.retry import Transient, is_transient, retry_after
from connectors.sdk.straight import Writer
from connectors.sdk.transport import HEADERS, TIMEOUT, AnswerHeaders, DirectClient, new_client
from connectors.sdk.unpack import unpacker

if TYPE_CHECKING:
    from datetime import datetime

    from connectors.sdk.paging import Request

ClientFactory = Callable[[], httpx.AsyncClient]

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024
MAX_SECONDS: Final = 300.0
GRANT_SECONDS: Final = 30.0
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SNIPPET: Final = 300
_SHORTEST_SECRET: Final = 4
_KEPT_HEADS: Final = 64
_EXTENSIONS: Final = {"timeout": TIMEOUT.as_dict()}
_JSON: Final = ("content-type", "application/json")
_logger: Final = logging.getLogger("unisono.http")


def _quiet(record: logging.LogRecord) -> bool:
    """Drop httpx's own line per request: it holds the full address, and with it keys sent as parameters."""
    return record.levelno >= logging.WARNING


logging.getLogger("httpx").addFilter(_quiet)


def client_factory(base_url: str, *, allow_private: bool = False) -> httpx.AsyncClient:
    """Return the client that real reads of a connection use; tests hand in their own function instead."""
    url = httpx.URL(base_url)
    return new_client(Guard.of(url.host, _port(url), allow_private=allow_private))


class Redactor:
    """Replaces secrets in text by ``***``, as they are, URL-encoded and base64-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know ``secrets`` from the start."""
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Know one more secret; very short ones are no secrets."""
        if secret is not None and len(secret) >= _SHORTEST_SECRET:
            encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
            self._forms |= {secret, quote(secret, safe=""), quote(secret), encoded}
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """Return ``text`` without any known secret."""
        return text if self._pattern is None else self._pattern.sub("***", text)


@dataclass(frozen=True)
class Credentials:
    """What proves who is asking: headers and parameters added to each request."""

    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    generation: int = 0


NOBODY: Final = Credentials()


@dataclass(frozen=True)
class Reply:
    """One answer, read whole. ``where`` is safe to show."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str
    where: str


def origin(url: str | httpx.URL) -> str:
    """Return ``scheme://host:port`` of an address, ports written out."""
    parsed = url if isinstance(url, httpx.URL) else httpx.URL(url)
    return f"{parsed.scheme}://{parsed.host}:{_port(parsed)}"


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


class Wire:
    """Sends requests to the declared origins of one connection, and nowhere else."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        origins: Iterable[str],
        redact: Redactor,
        now: Callable[[], datetime],
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """Keep what one connection may talk to."""
        self.redact = redact
        self._client, self._now, self._max_bytes, self._max_seconds = client, now, max_bytes, max_seconds
        self._origins = frozenset(origin(one) for one in origins)
        self._heads: dict[tuple[Any, ...], httpx.Headers] = {}
        self._direct = client if isinstance(client, DirectClient) else None
        self._writer, self._envelopes = Writer(), Envelopes()

    async def send(self, request: Request, credentials: Credentials = NOBODY) -> Reply:
        """Send one request and return its answer, whatever its status; follow redirects inside the origins."""
        reply = await self._first(request, credentials)
        for _ in range(_MAX_REDIRECTS - 1):
            if not _is_redirect(reply):
                return reply
            target = urljoin(reply.url, reply.headers["location"])
            self._guard(target, "a redirect")
            if request.method != "GET":
                raise StopStream("the vendor redirects a POST", where=reply.where, do="put the final address in path:")
            headers = self._head(request, credentials)
            reply = await self._once(httpx.Request("GET", target, headers=headers, extensions=_EXTENSIONS))
        if not _is_redirect(reply):
            return reply
        raise StopStream("too many redirects", where=self.safe(request.method, request.url), do="check base_url")

    async def _first(self, request: Request, credentials: Credentials) -> Reply:
        """Send the request to its own address; most are so plain that httpx has no part in it."""
        if self._direct is None or request.method != "GET" or request.body is not None:
            return await self._once(self._build(request, credentials))
        with self._written():
            params = (*request.params, *credentials.params)
            plain = self._writer.get(request.url, params, self._head(request, credentials))
        if plain is None:
            return await self._once(self._build(request, credentials))
        self._guard(plain.address.url, "the next page" if request.followed else "the request")
        opened = self._direct.exchange(plain.address.origin, plain.head)
        return await self._answer(opened, plain.url, self.safe("GET", plain.address.url))

    async def post_form(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> Reply:
        """Send a form, as OAuth token endpoints want it; nothing of it is ever shown."""
        self._guard(url, "token_url")
        auth = httpx.BasicAuth(*basic) if basic else None
        request = httpx.Request("POST", url, headers=HEADERS, data=dict(form), extensions=_EXTENSIONS)
        return await self._once(next(auth.auth_flow(request)) if auth else request, seconds=GRANT_SECONDS)

    def safe(self, method: str, url: str | httpx.URL) -> str:
        """Return ``GET https://…`` for messages: no credentials, no query values."""
        parsed = url if isinstance(url, httpx.URL) else httpx.URL(url)
        return self.redact(f"{method} {parsed.scheme}://{parsed.netloc.decode()}{parsed.path}")

    def snippet(self, reply: Reply) -> str:
        """Return the beginning of an answer for a message, secrets removed."""
        text = " ".join(self.redact(reply.content[: 4 * _SNIPPET].decode("utf-8", "replace")).split())
        return text if len(text) <= _SNIPPET else text[: _SNIPPET - 1] + "…"

    def _guard(self, url: str | httpx.URL, what: str) -> None:
        if origin(url) not in self._origins:
            raise StopStream(
                f"{what} leads to {self.redact(origin(url))}, which is not an origin of this connection",
                why=f"declared: {', '.join(sorted(self._origins))}",
                do="if it is the vendor's, add it to origins: in the manifest",
            )

    def _build(self, request: Request, credentials: Credentials) -> httpx.Request:
        url = with_query(request.url, (*request.params, *credentials.params))
        content = None if request.body is None else msgspec.json.encode(request.body)
        with self._written():
            headers = self._head(request, credentials)
            built = httpx.Request(request.method, url, headers=headers, content=content, extensions=_EXTENSIONS)
        self._guard(built.url, "the next page" if request.followed else "the request")
        return built

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Say of what cannot be an address or a header that the connector must be corrected."""
        try:
            yield
        except (httpx.InvalidURL, UnicodeEncodeError) as why:
            raise FixConnector(
                "the request cannot be written", why=self.redact(str(why)), do="check path and headers"
            ) from None

    def _head(self, request: Request, credentials: Credentials) -> httpx.Headers:
        """Return the headers of a request; those of a stream are the same on every page, and are made once."""
        own, proof, has_body = request.headers, credentials.headers, request.body is not None
        key = (own, proof, has_body)
        made = self._heads.get(key)
        if made is None:
            merged = {
                name.lower(): value for name, value in (*HEADERS.items(), *own, *proof, *((_JSON,) if has_body else ()))
            }
            if len(self._heads) > _KEPT_HEADS:
                self._heads.clear()
            made = self._heads[key] = httpx.Headers(merged)
        return made

    async def _once(self, request: httpx.Request, *, seconds: float | None = None) -> Reply:
        where = self.safe(request.method, request.url)
        return await self._answer(self._client.send(request, stream=True), str(request.url), where, seconds)

    async def _answer(
        self, opened: Awaitable[httpx.Response], url: str, where: str, seconds: float | None = None
    ) -> Reply:
        """Read an answer whole; say in our words what goes wrong on the way."""
        longest = seconds or self._max_seconds
        try:
            async with asyncio.timeout(longest):
                response = await opened
                response.headers = AnswerHeaders(response.headers)
                try:
                    content = await self._read(response, where)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Transient(f"the answer was not complete after {longest:.0f} s", where) from None
        except ForbiddenAddress as why:
            raise FixConfig(
                self.redact(str(why)), where=where, why="private networks are closed to connections",
                do="if it is meant, set allow_private_networks: true for the connection in unisono.yaml",
            ) from None  # fmt: skip
        except httpx.RemoteProtocolError as why:
            raise Transient(f"the answer ended early: {self.redact(str(why))}", where, final=StopStream) from None
        except httpx.TransportError as why:
            detail = self.redact(str(why)) or type(why).__name__
            raise Transient(f"no answer: {detail}", where) from None
        except (httpx.DecodingError, zlib.error) as why:
            raise Transient(f"the answer is garbled: {self.redact(str(why))}", where, final=StopStream) from None
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s -> %d, %d bytes", where, response.status_code, len(content))
        return Reply(response.status_code, response.headers, content, url, where)

    async def _read(self, response: httpx.Response, where: str) -> bytes:
        if response.is_stream_consumed:
            content = response.content
        else:
            content = await self._streamed(response, where)
        if len(content) > self._max_bytes:
            raise self._too_large(where)
        stated = response.headers.get("content-length", "")
        if stated.isdigit() and "content-encoding" not in response.headers and int(stated) != len(content):
            raise Transient(f"the answer has {len(content)} bytes instead of {stated}", where, final=StopStream)
        return content

    async def _streamed(self, response: httpx.Response, where: str) -> bytes:
        """Read to the end, or to the cap: of decoded bytes, so that a small answer cannot unpack into a large one."""
        stated = response.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > self._max_bytes:
            raise self._too_large(where)
        unpack = unpacker(response.headers.get("content-encoding", ""), where)
        parts: list[bytes] = []
        size = 0
        async for part in response.stream:  # type: ignore[union-attr]
            parts.append(unpack(part, self._max_bytes - size) if unpack else part)
            size += len(parts[-1])
            if size > self._max_bytes:
                raise self._too_large(where)
        if unpack is not None and not unpack.whole:
            raise Transient("the packed answer ended early", where, final=StopStream)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, where: str) -> StopStream:
        limit = self._max_bytes // (1024 * 1024)
        return StopStream(f"the answer is larger than {limit} MB", where=where, do="lower page_size")

    def body(self, reply: Reply) -> Body:
        """Return the JSON of a good answer; raise Transient for what is none, such as an HTML page with status 200."""
        content = reply.content.removeprefix(b"\xef\xbb\xbf")
        try:
            return Body(content, self._envelopes).check()
        except Malformed as why:
            kind = reply.headers.get("content-type", "no content type")
            what = f"status {reply.status} but not JSON ({kind}; {why}): {self.snippet(reply)[:80]}"
            raise Transient(what, reply.where, final=StopStream) from None

    def raise_if_transient(self, reply: Reply) -> None:
        """Raise Transient for a status that another attempt may change."""
        if is_transient(reply.status):
            wait = retry_after(reply.headers, self._now())
            raise Transient(f"status {reply.status}: {self.snippet(reply)}", reply.where, wait=wait)


def _is_redirect(reply: Reply) -> bool:
    return reply.status in _REDIRECTS and "location" in reply.headers


def with_query(url: str, params: Iterable[tuple[str, str]]) -> str:
    """Return ``url`` with ``params`` added to its own query; an added name replaces the same one there."""
    pairs = tuple(params)
    if not pairs:
        return url
    if "?" not in url:
        return f"{url}?{urlencode(pairs, quote_via=quote)}"
    parsed = httpx.URL(url)
    names = {name for name, _ in pairs}
    kept = [(name, value) for name, value in parsed.params.multi_items() if name not in names]
    return str(parsed.copy_with(query=urlencode([*kept, *pairs], quote_via=quote).encode()))


def parse_json(content: bytes) -> Any:
    """Return parsed JSON, ``None`` when it is none."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
