"""A made-up vendor on httpx.MockTransport, a clock that never waits, and one call that reads a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from connectors.sdk.engine import read_stream
from connectors.sdk.manifest import Manifest, connect, load_manifest
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens
from connectors.sdk.quota import AccountQuota

if TYPE_CHECKING:
    from pathlib import Path

    from connectors.sdk.protocols import ConnectionSettings, Page, RawRecord

BASE = "https://api.vendor.example"
SECRET = "made-up-secret-token"
Answer = httpx.Response | Exception
Handler = Callable[[httpx.Request], Answer]

HEAD: dict[str, Any] = {
    "name": "made_up",
    "title": "Made-up",
    "version": "0.1.0",
    "category": "crm",
    "summary": "a vendor that exists in tests only",
    "docs": "https://vendor.example/docs",
    "base_url": BASE,
    "config": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"type": "string", "secret": True}
            for name in ("access_token", "client_id", "client_secret", "refresh_token", "password")
        },
    },
    "auth": [{"when": ["access_token"], "type": "bearer", "token": "{config.access_token}"}],
    "limits": {"concurrency": 2},
}
STREAM: dict[str, Any] = {"object": "thing", "key": "id", "path": "/things", "data_selector": "items"}


@dataclass
class Clock:
    """A clock that jumps over every wait and remembers how long each was."""

    at: datetime = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        return self.at.timestamp()


def write_manifest(folder: Path, streams: Mapping[str, Any], **changes: Any) -> Path:
    """Write a connector's folder; return it."""
    path = folder / "made_up"
    path.mkdir(exist_ok=True)
    text = yaml.safe_dump({**HEAD, **changes, "streams": dict(streams)}, sort_keys=False)
    (path / "manifest.yaml").write_text(text, encoding="utf-8")
    return path


def manifest(folder: Path, stream: Mapping[str, Any] | None = None, **changes: Any) -> Manifest:
    """Return a manifest with the stream ``things``, and ``parents`` for it to hang on."""
    streams = {
        "things": {**STREAM, **(stream or {})},
        "parents": {**STREAM, "object": "parent", "path": "/parents"},
    }
    return load_manifest(write_manifest(folder, streams, **changes))


def page(items: Iterable[Any] | None, headers: Mapping[str, str] | None = None, **body: Any) -> httpx.Response:
    """Return an answer whose ``items`` are records; whole numbers become records with that id."""
    records = items if items is None else [{"id": item} if isinstance(item, int) else item for item in items]
    return httpx.Response(200, json={"items": records, **body}, headers=headers)


class Vendor:
    """Answers in order, or by a function; keeps what it was asked."""

    def __init__(self, answers: Iterable[Answer] | Handler, *, limit: int = 200) -> None:
        self.asked: list[httpx.Request] = []
        self._limit = limit
        self._answers = answers if callable(answers) else iter(list(answers))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert len(self.asked) < self._limit, "the engine asks without end"
        answer = self._answers(request) if callable(self._answers) else next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))

    def params(self, name: str) -> list[str | None]:
        """Return one query parameter of each request in order."""
        return [request.url.params.get(name) for request in self.asked]

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.asked]


class Capped(Vendor):
    """A search that shows at most ``cap`` results per query: after those it names no next page, or refuses it.

    It filters ``since``/``until`` (closed) and ``key`` (above), sorts by time and then key, or with ``key`` by key.
    """

    def __init__(
        self,
        records: Iterable[Mapping[str, Any]],
        *,
        cap: int,
        order: str = "updated",
        total: bool = False,
        limit: int = 200,
    ) -> None:
        super().__init__(self._search, limit=limit)
        self._records, self._cap, self._order, self._total = list(records), cap, order, total

    def _search(self, request: httpx.Request) -> Answer:
        asked = request.url.params
        start, size = int(asked.get("after", 0)), int(asked.get("size", 2))
        if start + size > self._cap:
            return httpx.Response(400, json={"message": f"only {self._cap} results"})
        found = [record for record in self._records if self._fits(record, asked)]
        by = "id" if "key" in asked else self._order
        found.sort(key=lambda record: (record[by], record["id"]))
        more = {"next": str(start + size)} if start + size < len(found) else {}
        return page(found[start : start + size], **more, **({"total": len(found)} if self._total else {}))

    @staticmethod
    def _fits(record: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
        since, until = asked.get("since", ""), asked.get("until", "9")
        return since <= record["updated"] <= until and record["id"] > int(asked.get("key", -1))


@dataclass
class Hub:
    """What one connection keeps between runs."""

    manifest: Manifest
    config: Mapping[str, str] = field(default_factory=lambda: {"access_token": SECRET})
    checkpoints: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)
    tokens: MemoryTokens = field(default_factory=MemoryTokens)
    clock: Clock = field(default_factory=Clock)
    timezone: str | None = None
    pages: list[Page] = field(default_factory=list)

    @property
    def connection(self) -> ConnectionSettings:
        return connect(
            self.manifest, name="mine", connection_id="made_up-1", config=self.config, timezone=self.timezone
        )

    def read(self, vendor: Vendor, *, full: bool = False, stop_after: int | None = None) -> list[Page]:
        """Run one read of ``things``, storing every page; return this run's pages, also kept when it fails."""
        self.pages = []
        asyncio.run(self._read(vendor, full=full, stop_after=stop_after))
        return self.pages

    async def _read(self, vendor: Vendor, *, full: bool, stop_after: int | None) -> None:
        quota = AccountQuota(clock=self.clock.monotonic, sleep=self.clock.sleep)
        reading = read_stream(
            self.manifest.stream("things"), self.connection, checkpoints=self.checkpoints, tokens=self.tokens,
            quota=quota, client_factory=vendor.client, now=self.clock.now, sleep=self.clock.sleep, full=full,
        )  # fmt: skip
        async for page in reading:
            self.pages.append(page)
            self.checkpoints.save(page)
            if len(self.pages) == stop_after:
                break
        await reading.aclose()

    @property
    def records(self) -> list[RawRecord]:
        return [record for page in self.pages for record in page.records]

    @property
    def keys(self) -> list[str | None]:
        return [record.key for record in self.records]
