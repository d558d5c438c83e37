"""One reader: fetches a stream as extract does, keeps what a store would keep, and remembers how each read ended."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from connectors.sdk.engine import read_stream
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens
from connectors.sdk.protocols import Completeness
from connectors.sdk.quota import AccountQuota

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from connectors.sdk.http import ClientFactory
    from connectors.sdk.protocols import ConnectionSettings, Page, ParentRecord, RawRecord, Tokens
    from connectors.sdk.specs import StreamSpec

MANY = 1_000_000


class Clock(Protocol):
    """A clock that nobody waits for."""

    waits: list[float]

    def now(self) -> datetime:
        """Return the time."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Jump ahead."""


class Door(Protocol):
    """A vendor that can be read in process."""

    clock: Any

    @property
    def client(self) -> ClientFactory:
        """Return a factory of clients, every host of which leads to the vendor."""

    def connection(self) -> ConnectionSettings:
        """Return a connection whose credentials the vendor accepts."""

    def parents(self, stream: str) -> Iterable[ParentRecord]:
        """Return the records that a child stream is read below."""


@dataclass
class Read:
    """How one read went: what came, how each partition ended, and the error that ended it, if one did."""

    kind: str = ""
    records: list[RawRecord] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    ends: dict[str, Completeness] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    error: Exception | None = None
    stopped: bool = False
    said: str = ""

    @property
    def complete(self) -> bool:
        """True when the read claims to have seen everything."""
        ended = bool(self.ends) and all(end is Completeness.COMPLETE for end in self.ends.values())
        return ended and self.error is None and not self.stopped

    @property
    def outcome(self) -> str:
        """Say in words how it ended."""
        if self.error is not None:
            return f"{type(self.error).__name__}: {str(self.error).splitlines()[0]}"
        if self.stopped:
            return "stopped by the kit"
        ends = ", ".join(sorted({end.value for end in self.ends.values()})) or "no page at all"
        return ends + (f" ({self.reasons[0]})" if self.reasons else "")


class Trial:
    """Reads streams of one connection one after the other; ``held`` is what a store would hold."""

    def __init__(self, door: Door, streams: Mapping[str, StreamSpec], *, tokens: Tokens | None = None) -> None:
        self.door, self.streams = door, streams
        self.connection = door.connection()
        self.tokens: Any = tokens or MemoryTokens()
        self.held: dict[str, dict[str, RawRecord]] = {}
        self.quarantined: dict[str, list[RawRecord]] = {}
        self.checkpoints: dict[str, MemoryCheckpoints] = {}
        self.last: dict[str, Read] = {}
        clock, limits = door.clock, self.connection.manifest.limits
        self.quota = AccountQuota.of(limits, clock=clock.monotonic, sleep=clock.sleep)

    def read(self, stream: str, *, full: bool = False, stop_after: int | None = None, keep_last: bool = True) -> Read:
        """Read a stream; ``stop_after`` pages the process dies, with (``keep_last``) or without its last page stored."""
        read = Read()
        with _listening() as said:
            asyncio.run(self._read(read, stream, full=full, stop_after=stop_after, keep_last=keep_last))
        read.said = said()
        if not read.pages and read.error is None and self.streams[stream].parent is not None:
            states = self.marks(stream).states.values()
            read.ends = {
                one.partition: Completeness.COMPLETE for one in states if one.complete and one.position is None
            }
        self.last[stream] = read
        return read

    async def _read(self, read: Read, stream: str, *, full: bool, stop_after: int | None, keep_last: bool) -> None:
        marks = self.marks(stream)
        flow = read_stream(
            self.streams[stream], self.connection, checkpoints=marks, tokens=self.tokens, quota=self.quota,
            client_factory=self.door.client, now=self.door.clock.now, full=full, sleep=self.door.clock.sleep,
        )  # fmt: skip
        try:
            async with aclosing(flow) as pages:
                async for page in pages:
                    last = stop_after is not None and len(read.pages) + 1 >= stop_after and page.completeness is None
                    if keep_last or not last:
                        self._keep(stream, page)
                        marks.save(page)
                    self._note(read, page)
                    if last:
                        read.stopped = True
                        return
        except Exception as why:  # noqa: BLE001  whatever it is, it is the outcome to be judged
            read.error = why

    def marks(self, stream: str) -> MemoryCheckpoints:
        """Return what earlier reads of a stream left; a stream that is said to be small counts as large."""
        if stream not in self.checkpoints:
            parent = self.streams[stream].parent
            parents = {parent.stream: tuple(self.door.parents(parent.stream))} if parent else {}
            self.checkpoints[stream] = MemoryCheckpoints(parents)
            self.checkpoints[stream].live = MANY
        return self.checkpoints[stream]

    def _keep(self, stream: str, page: Page) -> None:
        held = self.held.setdefault(stream, {})
        for record in page.records:
            if record.problem is not None or record.key is None:
                self.quarantined.setdefault(stream, []).append(record)
            else:
                held[record.key] = record

    def _note(self, read: Read, page: Page) -> None:
        read.kind = page.kind.value
        read.pages.append(page)
        read.records += page.records
        if page.completeness is not None:
            read.ends[page.partition] = page.completeness
            read.reasons += [page.reason] if page.reason else []


@contextmanager
def _listening() -> Iterator[Callable[[], str]]:
    """Collect every line that anything logs meanwhile."""
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root, ours = logging.getLogger(), logging.getLogger("unisono")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield lambda: "\n".join(lines)
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)
