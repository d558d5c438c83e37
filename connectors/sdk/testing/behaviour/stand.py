"""The vendor as the connector's simulator.yaml describes it, holding records that the kit lays out one by one.

The description is written from the vendor's documentation, not from the manifest: what the manifest says wrongly shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from connectors.sdk.manifest import connect
from connectors.sdk.protocols import ParentRecord
from connectors.sdk.records import canonical_hash
from connectors.sdk.testing.simulator.blocks import Made, World
from connectors.sdk.testing.simulator.holdings import Held, Holdings, held
from connectors.sdk.testing.simulator.message import Request, Response
from connectors.sdk.testing.simulator.vendor import Vendor
from connectors.sdk.testing.simulator.world.rows import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from connectors.sdk.http import ClientFactory
    from connectors.sdk.protocols import ConnectionSettings
    from connectors.sdk.specs import Manifest, StreamSpec
    from connectors.sdk.testing.simulator.shape import Endpoint, Shape
    from connectors.sdk.testing.simulator.world.rows import Rows

START: Final = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
PAGE: Final = 3
CAP: Final = 12
ENDLESS: Final = 2_500
_HOST: Final = "https://vendor.simulator.example"
_MINUTE: Final = 60_000


class FakeClock:
    """A clock that nobody waits for: sleeping jumps ahead."""

    def __init__(self, at: datetime = START) -> None:
        self._at, self._passed = at, 0.0
        self.waits: list[float] = []

    def now(self) -> datetime:
        """Return the time."""
        return self._at + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Return seconds since the start."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Jump ahead and remember by how much."""
        self.waits.append(seconds)
        self._passed += max(0.0, seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds


@dataclass(frozen=True)
class Asked:
    """One request as the vendor saw it."""

    at: float
    origin: str
    method: str
    path: str
    status: int
    records: int


class Endless(Exception):
    """More requests than any sound read of so few records needs."""


class _Laid(Holdings):
    """Holdings that begin empty."""

    def __init__(self, world: World, shape: Shape) -> None:
        super().__init__(world, shape)
        self._streams = {name: {} for name in shape.streams}


class Stand:
    """One vendor for one trial: lay records out, read them, change them, read again."""

    def __init__(
        self, manifest: Manifest, shape: Shape, world: World, *, page: int | None = PAGE, limited: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.manifest, self.shape, self.world = manifest, shape if page is None else _small(shape, page), world
        self.clock = FakeClock()
        self.holdings = _Laid(world, self.shape)
        self.config = dict(shape.demo.get("config", {}) if config is None else config)
        self.asked: list[Asked] = []
        self.skew = 0.0
        self.before: Callable[[Request], Response | None] | None = None
        self.after: Callable[[Request, Response], Response] | None = None
        self.open(limited=limited)
        self._rows: dict[str, Rows] = {}

    def open(self, *, limited: bool = False) -> None:
        """Begin (again) to answer by ``shape``; ``limited`` enforces its rate limit."""
        self._vendor = Vendor(self.shape, self.holdings, self.clock.monotonic, limited=limited)

    def rotates(self) -> None:
        """From now on each refresh token works once, and an access token for an hour."""
        oauth = {**(self.shape.auth.oauth or {}), "rotates": True, "expires_in": 3600}
        self.shape = replace(self.shape, auth=replace(self.shape.auth, oauth=oauth))
        self.open()

    def revoke(self) -> None:
        """End every access token that was issued."""
        self._vendor.door._issued.clear()  # noqa: SLF001  the vendor's own book of tokens

    @cached_property
    def client(self) -> ClientFactory:
        """Return a factory of clients that talk to this vendor, whatever host they name."""
        return lambda: httpx.AsyncClient(transport=_Transport(self), trust_env=False)

    def connection(self) -> ConnectionSettings:
        """Return a connection with credentials that the vendor accepts."""
        base = _HOST + self.shape.mount
        return connect(self.manifest, name="kit", connection_id="kit", config=self.config, base_url=base)

    def parents(self, stream: str) -> Iterable[ParentRecord]:
        """Return the records held of a parent stream."""
        held_now = self.holdings.records(stream).values()
        return [ParentRecord(one.key, one.payload, canonical_hash(one.payload)) for one in held_now]

    def keys(self, stream: str) -> set[str]:
        """Return the keys that the vendor holds."""
        return set(self.holdings.records(stream))

    def lay(self, stream: str, times: Sequence[int], below: Sequence[int] | None = None, first: int = 0) -> list[Held]:
        """Add a record for each time (epoch ms), ``below`` the parents at those places."""
        parts = self.shape.parts(stream)
        made: list[Held] = []
        for number, part in enumerate(parts):
            mine = [at for at in range(len(times)) if at % len(parts) == number]
            if mine:
                under = None if below is None else [below[at] for at in mine]
                made += self._lay(part, [times[at] for at in mine], under, first + number * 50_000)
        self.holdings.put(stream, made)
        return made

    def _lay(self, part: str, times: list[int], below: list[int] | None, first: int) -> list[Held]:
        source = self.world.first_block.rows(self.shape.vendor, part)
        stream = self.shape.streams[part]
        count = len(times)
        rows = source.take(
            [(first + at) % source.count for at in range(count)], created=times, updated=times, now=times,
            number=list(range(first, first + count)), place=_places(below or [0] * count, first),
        )  # fmt: skip
        if stream.nested is not None and below is not None:
            self._hang(rows, stream.nested["link"], stream.nested["stream"], below)
        _identify(rows, stream)
        self._rows[part] = rows
        return held(Made(stream, rows), stream.template.render(rows))

    def _hang(self, rows: Rows, link: str, parent: str, below: list[int]) -> None:
        old, new = self.world.first_block.rows(self.shape.vendor, parent), self._rows[parent]
        for name, one in list(rows.links.items()):
            if one.rows is old or name == link:
                rows.links[name] = Link(new, below)

    def touch(self, stream: str, key: str, at: int) -> Held:
        """Change a record at a time; its key stays."""
        old = self.holdings.records(stream)[key]
        assert old.made is not None  # every record here was laid out
        shape = old.made.shape
        rows = old.made.rows.take([old.at], updated=[at], now=[at])
        self.world.first_block.add(self.shape, shape, shape.change or {}, rows, at, at % 10_007)
        new = held(Made(shape, rows), shape.template.render(rows))[0]
        new.parent = old.parent
        self.holdings.put(stream, [new])
        return new

    def drop(self, stream: str, key: str) -> None:
        """Delete a record without a trace."""
        self.holdings.records(stream).pop(key)
        self.holdings.put(stream, [])

    def is_item(self, request: Request) -> bool:
        """Return whether a request asks for one record and not for a list."""
        matched = [
            one for one in self.shape.endpoints if one.method == request.method and one.pattern.match(request.path)
        ]
        return bool(matched) and matched[0].item is not None

    def is_token(self, request: Request) -> bool:
        """Return whether a request asks for tokens."""
        oauth = self.shape.auth.oauth
        return oauth is not None and request.path == oauth["path"]

    def mine(self, request: Request) -> bool:
        """Return whether a request came to this vendor's own host."""
        return request.base.startswith(_HOST)

    def answer(self, request: httpx.Request, content: bytes) -> Response:
        """Answer one request; a reader that asks without end is ended."""
        if len(self.asked) >= ENDLESS:
            message = f"{ENDLESS} requests and no end"
            raise Endless(message)
        parts = urlsplit(str(request.url))
        origin = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.removeprefix(self.shape.mount).rstrip("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, httpx.URL(path).path, query, headers, content, origin + self.shape.mount)
        hazard = self.before(asked) if self.before else None
        response = self._vendor.answer(asked) if hazard is None else hazard
        response = self.after(asked, response) if self.after else response
        seen = Asked(self.clock.monotonic(), origin, asked.method, asked.path, response.status, response.records)
        self.asked.append(seen)
        return response


class _Transport(httpx.AsyncBaseTransport):
    """Carries requests to a stand without a socket."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with the vendor's own Date."""
        response = self._stand.answer(request, await request.aread())
        date = format_datetime(self._stand.clock.now() + timedelta(seconds=self._stand.skew), usegmt=True)
        return httpx.Response(response.status, headers={"date": date, **response.headers}, content=response.body)


def _places(below: list[int], first: int) -> list[int]:
    """Return each row's place among those of its parent."""
    seen: dict[int, int] = {}
    places = []
    for parent in below:
        places.append(first + seen.get(parent, 0))
        seen[parent] = seen.get(parent, 0) + 1
    return places


def _identify(rows: Rows, stream: Any) -> None:
    """Give each row its own id; a written table's ids are told apart by a number."""
    rows.columns["id"] = ids = stream.id.values(rows)
    if len(set(map(str, ids))) < rows.count:
        same = [name for name, values in rows.columns.items() if list(values) == list(ids)]
        for name in same:
            rows.columns[name] = [f"{value}{at}" for at, value in enumerate(ids)]


def _small(shape: Shape, page: int) -> Shape:
    """Return the shape with pages of ``page`` records and caps of ``CAP`` results."""
    return replace(shape, endpoints=[_small_endpoint(one, page) for one in shape.endpoints])


def _small_endpoint(endpoint: Endpoint, page: int) -> Endpoint:
    if endpoint.page is None:
        return endpoint
    size = {"param": endpoint.page["size"]["param"], "default": page, "max": page}
    return replace(endpoint, page={**endpoint.page, "size": size}, cap=CAP if endpoint.cap else None)


def small_stream(spec: StreamSpec, shape: Shape, page: int = PAGE) -> StreamSpec:
    """Return the stream asking for pages of ``page``; a declared cap shrinks as the vendor's own does."""
    request = replace(spec.request, page_size=page) if spec.request.page_size else spec.request
    if spec.incremental is None:
        return replace(spec, request=request)
    asked = spec.incremental.request
    caps = [one.cap for one in shape.endpoints if one.cap]
    cap = spec.incremental.cap and max(1, round(spec.incremental.cap * CAP / (caps[0] if caps else 10_000)))
    asked = replace(asked, page_size=page) if asked.page_size else asked
    return replace(spec, request=request, incremental=replace(spec.incremental, request=asked, cap=cap))


def minutes(count: int, *, every: float = 1.0, before: float = 60.0 * 24, now: datetime = START) -> list[int]:
    """Return times in epoch ms: ``count`` of them, ``every`` minutes apart, the last ``before`` minutes before now."""
    last = int(now.timestamp() * 1000) - round(before * _MINUTE)
    return [last - round((count - 1 - at) * every * _MINUTE) for at in range(count)]
