"""A hostile vendor: one vendor with named hazards, an oracle, a log of its traffic, and two doors (memory and loopback)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from connectors.sdk import instants, paths
from connectors.sdk.manifest import connect, load_manifest
from connectors.sdk.specs import Manifest

from .clock import SimClock
from .derive import gone_from, shape_of
from .generic import generic_manifest, made_up_config
from .hazards import Plan
from .holdings import Holdings
from .listening import Listening
from .message import Request, Response
from .oracle import Oracle
from .specimens import Maker, specimens
from .stock import Lot, as_parent
from .traffic import Asked, Traffic
from .transport import InProcess
from .turn import Turn
from .vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.sdk.protocols import ConnectionSettings, ParentRecord
    from connectors.sdk.specs import StreamSpec

    from .hazards import Hazard
    from .holdings import Held

MODEL: Final = {
    "id": 1,
    "name": "Ada Ånd",
    "amount": 12.50,
    "state": "active",
    "tags": ["a", "b"],
    "address": {"city": "Oslo"},
}
_THIEF: Final = b'{"items": [], "stolen": true}'
_PARENTS: Final = 4


class HostileVendor:
    """One vendor; ``generic`` and ``of`` make it. Equal arguments give equal records, hazards and answers."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        models: Mapping[str, Sequence[dict[str, Any]]],
        counts: Mapping[str, int],
        config: Mapping[str, Any],
        hazards: Sequence[Hazard],
        seed: int,
        clock: SimClock | None,
        limited: bool,
        page_size: int | None = None,
    ) -> None:
        self.manifest, self.config, self.seed = manifest, dict(config), seed
        self.clock = clock or SimClock()
        self.rng = Random(seed)
        self.traffic, self.oracle = Traffic(), Oracle(self)
        self._page_size, self._lock = page_size, RLock()
        self._listening: Listening | None = None
        connection = self.connection()
        self.base_url = connection.base_url
        shape = shape_of(connection, limited=limited)
        self.lots = {name: self._lot(spec, models, counts) for name, spec in manifest.streams.items()}
        self._bind()
        given = {name: lot.first() for name, lot in self.lots.items()}
        holdings = Holdings(None, shape, {**given, **{gone_from(name): [] for name in given}})
        for lot in self.lots.values():
            lot.holdings = holdings
        self.plan = Plan(hazards, self)
        self.vendor = Vendor(shape, holdings, self.clock.monotonic, limited=limited, hazards=self.plan)
        self.plan.prepare()

    @classmethod
    def generic(
        cls,
        *,
        paging: str = "cursor",
        auth: str = "bearer",
        cursor: str | None = None,
        deletes: str | None = None,
        records: int = 25,
        page_size: int = 10,
        limit: tuple[int, float] | None = None,
        cap: int | None = None,
        partitions: Sequence[str] = (),
        children: bool = False,
        hazards: Sequence[Hazard] = (),
        seed: int = 7,
        clock: SimClock | None = None,
        stream: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return a made-up vendor; the words are in the README."""
        manifest = generic_manifest(
            paging=paging, auth=auth, cursor=cursor, deletes=deletes, page_size=page_size, limit=limit, cap=cap,
            partitions=partitions, children=children, stream=stream or {},
        )  # fmt: skip
        counts = {"things": records, "parents": _PARENTS}
        models = {name: [MODEL] for name in manifest.streams}
        return cls(
            manifest, models=models, counts=counts, config=made_up_config(manifest), hazards=hazards, seed=seed,
            clock=clock, limited=limit is not None,
        )  # fmt: skip

    @classmethod
    def of(
        cls,
        connector: Path | str | Manifest,
        *,
        records: int | None = None,
        page_size: int | None = None,
        payloads: Mapping[str, Sequence[bytes]] | None = None,
        config: Mapping[str, Any] | None = None,
        hazards: Sequence[Hazard] = (),
        seed: int = 7,
        clock: SimClock | None = None,
        streams: Sequence[str] | None = None,
        limited: bool = False,
    ) -> Self:
        """Return the vendor that a connector speaks to, from its manifest and its fixtures."""
        manifest = connector if isinstance(connector, Manifest) else load_manifest(connector)
        folder = manifest.path.parent if manifest.path.parent.is_dir() else None
        if streams is not None:
            manifest = replace(manifest, streams={name: manifest.streams[name] for name in streams})
        if page_size is not None:
            manifest = paged(manifest, page_size)
        models = {name: specimens(folder, spec, (payloads or {}).get(name)) for name, spec in manifest.streams.items()}
        counts = {name: records or _enough(spec) for name, spec in manifest.streams.items()}
        counts |= {name: len(given) for name, given in (payloads or {}).items()}
        return cls(
            manifest, models=models, counts=counts, config=config or made_up_config(manifest), hazards=hazards,
            seed=seed, clock=clock, limited=limited, page_size=page_size,
        )  # fmt: skip

    # --- how it comes about ----------------------------------------------------------------------------------------

    def _lot(self, spec: StreamSpec, models: Mapping[str, Sequence[dict[str, Any]]], counts: Mapping[str, int]) -> Lot:
        return Lot(spec, Maker(spec, models[spec.name]), self.clock, counts[spec.name], spec.request.page_size or 10)

    def _bind(self) -> None:
        """Make parents first, and give their children what the paths of requests need of them."""
        for lot in self.lots.values():
            parent = lot.spec.parent
            if parent is None or parent.stream not in self.lots:
                continue
            above = self.lots[parent.stream]
            records = [above.maker.record(i + 1, self.clock.now(), i + 1) for i in range(min(_PARENTS, above.count))]
            lot.bindings = [{word: paths.find(path, one) for word, path in parent.bind.items()} for one in records]

    # --- what a reader needs -----------------------------------------------------------------------------------------

    def connection(self, manifest: Manifest | None = None, *, base_url: str | None = None) -> ConnectionSettings:
        """Return a connection to this vendor, by its own manifest or another reader's."""
        manifest = manifest or self.manifest
        if self._page_size is not None:
            manifest = paged(manifest, self._page_size)
        name = manifest.name
        return connect(
            manifest, name=name, connection_id=f"{name}-1", config=self.config, base_url=base_url, timezone="UTC",
            streams=tuple(manifest.streams),
        )  # fmt: skip

    def client(self) -> httpx.AsyncClient:
        """Return a client whose every request comes here, whatever its host."""
        return httpx.AsyncClient(
            transport=InProcess(self.answer, self.clock.sleep), timeout=60.0, follow_redirects=False
        )

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on loopback; yield the base URL for a connection."""
        with Listening(self.answer) as listening:
            self._listening = listening
            try:
                yield listening.base_url + httpx.URL(self.base_url).path.rstrip("/")
            finally:
                self._listening = None

    def parents(self, stream: str) -> tuple[ParentRecord, ...]:
        """Return the records of a stream that others hang on: one without children, one with most, two with two each."""
        return tuple(as_parent(held) for held in self.lots[stream].live()[:_PARENTS])

    def between_reads(self, hours: float = 1.0) -> None:
        """Let time pass between two syncs, and happen what happens meanwhile."""
        with self._lock:
            self.clock.advance(hours * 3600)
            self.plan.between()
            self.clock.advance(1)

    def check_fired(self) -> None:
        """Raise AssertionError for each hazard that was planned and never happened."""
        idle = [f"{hazard.name}({hazard.stream or 'any stream'}, page {hazard.page})" for hazard in self.plan.unfired()]
        if idle:
            message = f"planned and never fired: {', '.join(idle)}"
            raise AssertionError(message)

    # --- what hazards use --------------------------------------------------------------------------------------------

    def pick(self, held: Sequence[Held], count: int) -> list[Held]:
        """Return so many records, by the vendor's seed."""
        return self.rng.sample(list(held), min(count, len(held)))

    def moment(self, micros: int) -> datetime:
        """Return the moment of a cursor that is a time."""
        return instants.EPOCH + timedelta(microseconds=micros)

    def moment_of(self, stream: str, held: Held) -> datetime:
        """Return when a record was changed last, as far as it says."""
        asked = self.manifest.streams[stream].incremental
        cursor = held.facts["@cursor"] if held.facts else None
        timed = asked is not None and asked.cursor_format != "integer"
        return self.moment(cursor) if timed and cursor is not None else self.clock.now().replace(microsecond=0)

    def cap(self, stream: str, cap: int) -> None:
        """Let every query for changes of a stream end at so many results."""
        shape = self.vendor.shape
        asked = self.manifest.streams[stream].incremental
        queries = [asked.request, *([asked.keyset.request] if asked.keyset else [])] if asked else []
        endpoints = [
            replace(one, cap=cap) if one.stream == stream and getattr(one.asks, "spec", None) in queries else one
            for one in shape.endpoints
        ]
        self.vendor.shape = replace(shape, endpoints=endpoints)

    def foreign_origin(self, wanted: str) -> str:
        """Return an origin that is not the vendor's and can be reached: by name in memory, by port on loopback."""
        return self._listening.foreign_url if self._listening else wanted

    # --- the door ----------------------------------------------------------------------------------------------------

    def answer(self, request: Request, origin: str) -> Response:
        """Answer a request to any origin; one that is not the vendor's gets what a thief would say."""
        with self._lock:
            turn = Turn(request)
            if self._is_foreign(origin):
                response = Response(200, _THIEF)
            else:
                response = self.vendor.answer(replace(request, path=request.path.rstrip("/")), turn)
            date = format_datetime(self.clock.now(), usegmt=True)
            response = replace(response, headers={"Date": date, **response.headers})
            self._log(turn, origin, response)
            return response

    def _is_foreign(self, origin: str) -> bool:
        if self._listening is not None:
            return origin == self._listening.foreign_url
        known = [self.base_url, *self.manifest.origins, *_addresses(self.manifest)]
        return origin not in {_origin(url) for url in known}

    def _log(self, turn: Turn, origin: str, response: Response) -> None:
        request = turn.request
        query = {name: values[-1] for name, values in request.query.items()}
        self.traffic.add(Asked(
            self.clock.monotonic(), request.method, origin, request.path, query, response.status, turn.stream, turn.page,
            turn.records, tuple(turn.hazards), self.vendor.door.presented(request), self._is_foreign(origin),
        ))  # fmt: skip


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _addresses(manifest: Manifest) -> list[str]:
    """Return the addresses of their own that requests of a manifest go to."""
    found = [str(spec.options.get("token_url", "")) for spec in manifest.auth]
    for stream in manifest.streams.values():
        found += [stream.request.path, stream.incremental.request.path if stream.incremental else ""]
    return [url for url in found if "://" in url and "{" not in url]


def _enough(spec: StreamSpec) -> int:
    """Return how many records make two and a half pages, or half of the only one."""
    size = spec.request.page_size or 10
    return max(1, size // 2) if spec.request.paginator.type == "single_page" else size * 5 // 2


def paged(manifest: Manifest, size: int) -> Manifest:
    """Return a manifest that asks for pages of another size wherever it states one."""
    streams = {}
    for name, stream in manifest.streams.items():
        request, asked = stream.request, stream.incremental
        small = replace(request, page_size=size) if request.page_size else request
        if asked is not None and asked.request.page_size:
            asked = replace(asked, request=replace(asked.request, page_size=size))
        streams[name] = replace(stream, request=small, incremental=asked)
    return replace(manifest, streams=streams)
