"""Our engine reading a hostile vendor: in-memory checkpoints, the simulator's clock, and what it holds afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.engine import read_stream
from connectors.sdk.errors import UnisonoError
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens
from connectors.sdk.protocols import Completeness
from connectors.sdk.quota import AccountQuota

if TYPE_CHECKING:
    from connectors.sdk.protocols import Page, Quota, Tokens
    from connectors.sdk.specs import Manifest

    from .hostile import HostileVendor

ENDLESS: Final = 2_000


class Endless(Exception):
    """The engine asks without end."""


@dataclass
class ReadResult:
    """One run over one stream: its pages, or the error it ended in."""

    pages: list[Page] = field(default_factory=list)
    error: Exception | None = None

    @property
    def completeness(self) -> Completeness | None:
        """Return COMPLETE if every partition was; else the first other verdict; null where the run failed."""
        ends = [page.completeness for page in self.pages if page.completeness is not None]
        if self.error is not None or not ends:
            return None
        return next((one for one in ends if one is not Completeness.COMPLETE), Completeness.COMPLETE)

    @property
    def complete(self) -> bool:
        """Return whether the run claims to have everything."""
        return self.completeness is Completeness.COMPLETE

    @property
    def reasons(self) -> list[str]:
        """Return why parts of it are not proven."""
        return [page.reason for page in self.pages if page.reason]

    @property
    def keys(self) -> list[str | None]:
        """Return the key of each record in the order they came."""
        return [record.key for page in self.pages for record in page.records]


class Reader:
    """Reads a vendor's streams, run after run; ``manifest`` is the reader's where it is not the vendor's."""

    def __init__(
        self,
        vendor: HostileVendor,
        *,
        manifest: Manifest | None = None,
        base_url: str | None = None,
        tokens: Tokens | None = None,
        quota: Quota | None = None,
        endless: int = ENDLESS,
    ) -> None:
        """Start without any earlier run; ``base_url`` reads over real HTTP; past ``endless`` requests a run ends."""
        self.vendor, self.settings = vendor, vendor.connection(manifest, base_url=base_url)
        self.checkpoints: dict[str, MemoryCheckpoints] = {}
        self.held: dict[str, dict[str, bytes | None]] = {}
        self.quarantined: dict[str, list[tuple[str | None, str, bytes]]] = {}
        self.tokens = tokens or MemoryTokens()
        self._quota, self._real, self._endless = quota, base_url is not None, endless

    def read(self, stream: str = "things", *, full: bool = False, stop_after: int | None = None) -> ReadResult:
        """Run once over a stream; what came is kept, whatever the run ended in."""
        return asyncio.run(self.run(stream, full=full, stop_after=stop_after))

    async def run(self, stream: str = "things", *, full: bool = False, stop_after: int | None = None) -> ReadResult:
        """Run once, inside an event loop."""
        result = ReadResult()
        try:
            await self._run(stream, result, full=full, stop_after=stop_after)
        except (UnisonoError, Endless) as why:
            result.error = why
        return result

    async def _run(self, stream: str, result: ReadResult, *, full: bool, stop_after: int | None) -> None:
        vendor, clock = self.vendor, self.vendor.clock
        spec = self.settings.manifest.streams[stream]
        parents = {spec.parent.stream: vendor.parents(spec.parent.stream)} if spec.parent else {}
        checkpoints = self.checkpoints.setdefault(stream, MemoryCheckpoints(parents))
        self.held.setdefault(stream, {})
        self.quarantined.setdefault(stream, [])
        checkpoints.live = sum(payload is not None for payload in self.held[stream].values())
        last = vendor.traffic.count() + self._endless
        options: dict[str, Any] = {} if self._real else {"client_factory": vendor.client}
        pages = read_stream(
            spec, self.settings, checkpoints=checkpoints, tokens=self.tokens, quota=self._quota_of(clock),
            now=clock.now, sleep=clock.sleep, full=full, **options,
        )  # fmt: skip
        try:
            async for page in pages:
                result.pages.append(page)
                checkpoints.save(page)
                self._take(stream, page)
                if vendor.traffic.count() > last:
                    message = f"more than {self._endless} requests in one run"
                    raise Endless(message)
                if len(result.pages) == stop_after:
                    break
        finally:
            await pages.aclose()

    def _quota_of(self, clock: Any) -> Quota:
        limits = self.settings.manifest.limits
        return self._quota or AccountQuota(
            limits.requests, limits.per_seconds, clock=clock.monotonic, sleep=clock.sleep
        )

    def _take(self, stream: str, page: Page) -> None:
        for record in page.records:
            if record.problem is not None:
                self.quarantined[stream].append((record.key, record.problem.reason, bytes(record.payload)))
            elif record.key is not None:
                self.held[stream][record.key] = None if record.op == "delete" else bytes(record.payload)
