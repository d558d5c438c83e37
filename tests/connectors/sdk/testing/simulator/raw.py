"""A hostile vendor asked over plain HTTP, without our engine: in memory, or on loopback."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from connectors.sdk.testing.simulator import Hazard, HostileVendor

if TYPE_CHECKING:
    from collections.abc import Iterator

DOORS = ("memory", "loopback")
TOKEN = {"Authorization": "Bearer made-up-access-token"}


class Raw:
    """Asks one vendor; a bearer token goes with each request unless other headers are given."""

    def __init__(self, vendor: HostileVendor, base_url: str | None = None, read: float = 60.0) -> None:
        self.vendor, self._served, self._read = vendor, base_url, read

    def get(self, path: str = "/things", headers: Any = None, **params: Any) -> httpx.Response:
        """Send one GET; ``path`` may be a whole address."""
        base = self._served or self.vendor.base_url
        url = path if "://" in path else base + path
        return self.send("GET", url, headers=TOKEN if headers is None else headers, params=params or None)

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request through the door in use."""
        if self._served is not None:
            with httpx.Client(timeout=httpx.Timeout(5, read=self._read)) as client:
                return client.request(method, url, **options)

        async def once() -> httpx.Response:
            async with self.vendor.client() as client:
                return await client.request(method, url, timeout=httpx.Timeout(5, read=self._read), **options)

        return asyncio.run(once())

    def page(self, **params: Any) -> Any:
        """Return the body of one page of things."""
        response = self.get(limit=10, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def walk(self) -> Iterator[list[int]]:
        """Yield the ids of page after page, as far as ``next`` leads."""
        body = self.page()
        while True:
            yield ids(body)
            if not body.get("next"):
                return
            body = self.page(after=body["next"])


def ids(body: Any) -> list[int]:
    """Return the ids on a page."""
    return [record["id"] for record in body["items"] or ()]


def vendor(*hazards: Hazard, **words: Any) -> HostileVendor:
    """Return a made-up vendor with hazards."""
    return HostileVendor.generic(hazards=hazards, **words)


@contextmanager
def asked(door: str, made: HostileVendor, read: float = 60.0) -> Iterator[Raw]:
    """Ask a vendor through one of its doors."""
    if door == "memory":
        yield Raw(made, read=read)
        return
    with made.served() as base_url:
        yield Raw(made, base_url, read=read)
