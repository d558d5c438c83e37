"""The only place that speaks HTTP: time-outs, declared origins, size caps, and no secret in any text.

`Wire` sends one request once. What may be worth another attempt is raised as Transient; going on is `Session`'s.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urljoin

import httpx
import msgspec

from connectors.sdk.body import Body, Malformed
from connectors.sdk.errors import FixConnector, StopStream
from connectors.sdk.retry import Transient, is_transient, retry_after

if TYPE_CHECKING:
    from datetime import datetime

    from connectors.sdk.paging import Request

ClientFactory = Callable[[], httpx.AsyncClient]

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SNIPPET: Final = 300
_SHORTEST_SECRET: Final = 4
_TIMEOUT: Final = httpx.Timeout(60.0, connect=15.0, pool=None)
_logger: Final = logging.getLogger("unisono.http")


def _quiet(record: logging.LogRecord) -> bool:
    """Drop httpx's own line per request: it holds the full address, and with it keys sent as parameters."""
    return record.levelno >= logging.WARNING


logging.getLogger("httpx").addFilter(_quiet)


def client_factory() -> httpx.AsyncClient:
    """Return the client that real reads use; tests hand in their own function instead."""
    return httpx.AsyncClient(
        timeout=_TIMEOUT,
        follow_redirects=False,
        headers={"user-agent": "unisono", "accept": "application/json"},
    )


class Redactor:
    """Replaces secrets in text by ``***``, as they are, URL-encoded and base64-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know ``secrets`` from the start."""
        self._forms: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Know one more secret; very short ones are no secrets."""
        if secret is not None and len(secret) >= _SHORTEST_SECRET:
            encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
            self._forms |= {secret, quote(secret, safe=""), quote(secret), encoded}

    def __call__(self, text: str) -> str:
        """Return ``text`` without any known secret."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, "***")
        return text


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
    port = parsed.port or {"http": 80, "https": 443}.get(parsed.scheme, 0)
    return f"{parsed.scheme}://{parsed.host}:{port}"


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
    ) -> None:
        """Keep what one connection may talk to."""
        self.redact = redact
        self._client, self._now, self._max_bytes = client, now, max_bytes
        self._origins = frozenset(origin(one) for one in origins)

    async def send(self, request: Request, credentials: Credentials = NOBODY) -> Reply:
        """Send one request and return its answer, whatever its status; follow redirects inside the origins."""
        built = self._build(request, credentials)
        for _ in range(_MAX_REDIRECTS):
            reply = await self._once(built)
            if reply.status not in _REDIRECTS or "location" not in reply.headers:
                return reply
            target = urljoin(str(built.url), reply.headers["location"])
            self._guard(target, "a redirect")
            if built.method != "GET":
                raise StopStream("the vendor redirects a POST", where=reply.where, do="put the final address in path:")
            built = self._client.build_request("GET", target, headers=built.headers)
        raise StopStream("too many redirects", where=self.safe(request.method, request.url), do="check base_url")

    async def post_form(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> Reply:
        """Send a form, as OAuth token endpoints want it; nothing of it is ever shown."""
        self._guard(url, "token_url")
        auth = httpx.BasicAuth(*basic) if basic else None
        request = self._client.build_request("POST", url, data=dict(form))
        return await self._once(next(auth.auth_flow(request)) if auth else request)

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
        headers, content = [*request.headers, *credentials.headers], None
        if request.body is not None:
            content = msgspec.json.encode(request.body)
            headers.append(("content-type", "application/json"))
        try:
            built = self._client.build_request(request.method, url, headers=headers, content=content)
        except (httpx.InvalidURL, UnicodeEncodeError) as why:
            raise FixConnector(
                "the request cannot be written", why=self.redact(str(why)), do="check path and headers"
            ) from None
        self._guard(built.url, "the next page" if request.followed else "the request")
        return built

    async def _once(self, request: httpx.Request) -> Reply:
        where = self.safe(request.method, request.url)
        try:
            response = await self._client.send(request, stream=True)
            try:
                content = await self._read(response, where)
            finally:
                await response.aclose()
        except httpx.RemoteProtocolError as why:
            raise Transient(f"the answer ended early: {self.redact(str(why))}", where, final=StopStream) from None
        except httpx.TransportError as why:
            detail = self.redact(str(why)) or type(why).__name__
            raise Transient(f"no answer: {detail}", where) from None
        except httpx.DecodingError as why:
            raise Transient(f"the answer is garbled: {self.redact(str(why))}", where, final=StopStream) from None
        _logger.debug("%s -> %d, %d bytes", where, response.status_code, len(content))
        return Reply(response.status_code, response.headers, content, str(request.url), where)

    async def _read(self, response: httpx.Response, where: str) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self._max_bytes:
                limit = self._max_bytes // (1024 * 1024)
                raise StopStream(f"the answer is larger than {limit} MB", where=where, do="lower page_size")
            parts.append(part)
        stated = response.headers.get("content-length", "")
        if stated.isdigit() and "content-encoding" not in response.headers and int(stated) != size:
            raise Transient(f"the answer has {size} bytes instead of {stated}", where, final=StopStream)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def body(self, reply: Reply) -> Body:
        """Return the JSON of a good answer; raise Transient for what is none, such as an HTML page with status 200."""
        content = reply.content.removeprefix(b"\xef\xbb\xbf")
        try:
            return Body(content).check()
        except Malformed as why:
            kind = reply.headers.get("content-type", "no content type")
            what = f"status {reply.status} but not JSON ({kind}; {why}): {self.snippet(reply)[:80]}"
            raise Transient(what, reply.where, final=StopStream) from None

    def raise_if_transient(self, reply: Reply) -> None:
        """Raise Transient for a status that another attempt may change."""
        if is_transient(reply.status):
            wait = retry_after(reply.headers, self._now())
            raise Transient(f"status {reply.status}: {self.snippet(reply)}", reply.where, wait=wait)


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
