"""A request for a page as the bytes that go out, written without httpx's objects: of a stream only the query differs.

What is written is what httpx would write; a test holds both to be the same. Requests with a body or another method, and
addresses with a query of their own, are left to httpx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx

from connectors.sdk.transport import Origin, injects, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT: Final = 64


class Address(NamedTuple):
    """An address without a query: where it leads, and what of it stands in each request."""

    url: httpx.URL
    text: str
    origin: Origin
    path: bytes
    host: bytes


class Outgoing(NamedTuple):
    """One request, ready to be sent."""

    address: Address
    url: str
    head: bytes


class Writer:
    """Writes GET requests; what they have in common is looked at once."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._addresses: dict[str, Address] = {}
        self._lines: dict[int, tuple[httpx.Headers, bytes]] = {}

    def get(self, url: str, params: Sequence[tuple[str, str]], headers: httpx.Headers) -> Outgoing | None:
        """Return the request, None if it must be left to httpx; raise httpx.InvalidURL as httpx does.

        ``headers`` must not change afterwards.
        """
        if "?" in url or "#" in url or "host" in headers:
            return None
        address = self._addresses.get(url) or self._address(url)
        query = "?" + urlencode(params, quote_via=quote) if params else ""
        start = b"GET %s%s HTTP/1.1\r\nHost: %s" % (address.path, query.encode("ascii"), address.host)
        return Outgoing(address, address.text + query, start + self._common(headers))

    def _address(self, url: str) -> Address:
        if len(self._addresses) >= _KEPT:
            self._addresses.clear()
        parsed = httpx.URL(url)
        made = Address(parsed, str(parsed), origin_of(parsed), parsed.raw_path, parsed.netloc)
        self._addresses[url] = made
        return made

    def _common(self, headers: httpx.Headers) -> bytes:
        """Return the lines of the headers with the empty line behind them."""
        known = self._lines.get(id(headers))
        if known is None:
            if len(self._lines) >= _KEPT:
                self._lines.clear()
            lines = [b"%s: %s" % pair for pair in headers.raw]
            if any(map(injects, lines)):
                raise httpx.LocalProtocolError("a header holds a line break or a NUL")
            # kept with its headers, so that no others come to have their id
            known = self._lines[id(headers)] = (headers, b"\r\n".join([b"", *lines, b"", b""]))
        return known[1]
