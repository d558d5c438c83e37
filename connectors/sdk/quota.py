"""The requests one vendor account may make, shared by all who use it: streams, and through a ledger processes too.

A process takes permits from the ledger in small leases, as many as it used up the last time, so that a shared ledger
costs little; what is left of a lease goes back.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.buckets import Ask, Bucket, Grant, MemoryLedger
from connectors.sdk.ratelimits import Seen, read_headers
from connectors.sdk.retry import PATIENCE, VendorBusy, retry_after
from connectors.sdk.specs import Limits, RequestClass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from connectors.sdk.buckets import Ledger

DEFAULT: Final = "default"
DAILY: Final = "daily"
_TOO_MANY: Final = 429
_FEW: Final = 16
_UNSAID_WAIT: Final = 1.0
_BATCHES: Final = 8


@dataclass
class _Held:
    """The permits of one bucket in this process's hand."""

    bucket: Bucket
    permits: int = 0
    until: float = 0.0
    expires: float = 0.0
    batch: int = 1
    taken: int = 0
    seen: Seen | None = None
    closed_until: float = 0.0

    def ready(self, now: float) -> bool:
        return self.permits > 0 and now <= self.expires and self.closed_until <= now

    def ask(self, now: float, waiting: int) -> Ask:
        """Say what came back since the last time, and how many are wanted: as many as the last lease used up."""
        left = ((self.until, self.permits),) if self.permits else ()
        allowed = self.bucket.requests or 1
        if self.permits:
            self.batch = max(1, self.taken)
        elif now <= self.expires:
            self.batch = min(2 * self.batch, max(1, allowed // _BATCHES))
        said = Ask(self.bucket, max(waiting, self.batch), left, self.seen, self.closed_until)
        self.permits, self.taken, self.seen = 0, 0, None
        return said

    def take(self, grant: Grant, now: float) -> None:
        self.permits, self.until, self.expires = grant.permits, grant.until, now + self.bucket.lease


@dataclass(frozen=True)
class _Way:
    """The buckets one kind of request takes from; ``first`` is where a refusal without a name belongs."""

    held: tuple[_Held, ...]
    slots: tuple[asyncio.Semaphore, ...] = ()

    @property
    def first(self) -> _Held:
        return self.held[0]


@dataclass
class _Account:
    """What an AccountQuota remembers while it runs."""

    held: dict[str, _Held] = field(default_factory=dict)
    ways: dict[tuple[RequestClass, ...], _Way] = field(default_factory=dict)


class AccountQuota:
    """Lets requests go as fast as every limit of the account allows, and not faster.

    A wait longer than ``patience`` raises VendorBusy with the instant before which nothing may be asked.
    """

    def __init__(
        self,
        requests: int | None = None,
        per_seconds: float | None = None,
        *,
        limits: Limits | None = None,
        ledger: Ledger | None = None,
        account: str = "",
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Start with empty hands; ``ledger`` is where the others of the same account count too."""
        self._limits = limits or Limits(requests=requests, per_seconds=per_seconds)
        self._ledger, self._account, self._patience = ledger or MemoryLedger(), account, patience
        self._clock, self._sleep = clock, sleep
        self._known = _Account()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0

    @classmethod
    def of(cls, limits: Limits, **options: Any) -> AccountQuota:
        """Return the quota of a manifest's ``limits:``."""
        return cls(limits=limits, **options)

    async def acquire(self, method: str = "GET", path: str = "/") -> None:
        """Return when one more such request may be sent."""
        way = self._way(method, path)
        now = self._clock()
        if all(held.ready(now) for held in way.held):
            self._take(way)
            return
        self._waiting += 1
        try:
            async with self._own_lock():
                await self._refill(way)
                self._take(way)
        finally:
            self._waiting -= 1

    def _own_lock(self) -> asyncio.Lock:
        """Return the lock of this event loop: one quota may serve several runs, one after the other."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    def slots(self, method: str, path: str) -> Sequence[asyncio.Semaphore]:
        """Return what bounds the requests of this kind that run at one time."""
        return self._way(method, path).slots

    def observe(
        self, headers: Mapping[str, str], now: datetime, *, status: int = 200, method: str = "GET", path: str = "/"
    ) -> None:
        """Learn from an answer: Retry-After closes, remaining counts show what others took of the account."""
        way = self._way(method, path)
        wait = retry_after(headers, now)
        at = self._clock()
        if wait is None and status == _TOO_MANY:
            wait = min(_UNSAID_WAIT, way.first.bucket.per_seconds)
        if wait:
            self._shut(way.first, at + wait, at)
        for seen in read_headers(self._limits.headers, headers, at):
            held = self._held_by(seen.bucket) if seen.bucket else way.first
            if held is not None:
                self._heed(held, seen)

    def close(self) -> None:
        """Give back what is left in hand and tell the ledger what was learnt last."""
        now = self._clock()
        asks = [
            replace(held.ask(now, 0), want=0)
            for held in self._known.held.values()
            if held.permits or held.seen or held.closed_until > now
        ]
        if asks:
            self._ledger.exchange(self._account, asks, now)

    def _shut(self, held: _Held, until: float, now: float) -> None:
        """Close a bucket here and, before anything else happens, for all who share the account."""
        if until > held.closed_until:
            held.closed_until = until
            self._ledger.exchange(self._account, [replace(held.ask(now, 0), want=0)], now)

    def _heed(self, held: _Held, seen: Seen) -> None:
        held.seen = seen
        if seen.remaining is not None and seen.remaining < min(held.permits, _FEW):
            held.expires = 0.0

    def _take(self, way: _Way) -> None:
        for held in way.held:
            held.permits -= 1
            held.taken += 1

    async def _refill(self, way: _Way) -> None:
        """Ask the ledger until every bucket of the request is in hand; sleep as long as it says."""
        while True:
            now = self._clock()
            empty = [held for held in way.held if not held.ready(now)]
            if not empty:
                return
            asks = [held.ask(now, self._waiting) for held in empty]
            grants = await self._exchange(asks, now)
            wait = max(grant.wait for grant in grants)
            if wait <= 0:
                for held, grant in zip(empty, grants, strict=True):
                    held.take(grant, now)
                continue
            if wait > self._patience:
                raise self._busy(empty, grants, now + wait)
            await self._sleep(wait)

    async def _exchange(self, asks: Sequence[Ask], now: float) -> Sequence[Grant]:
        if not self._ledger.blocking:
            return self._ledger.exchange(self._account, asks, now)
        return await asyncio.to_thread(self._ledger.exchange, self._account, asks, now)

    def _busy(self, empty: Sequence[_Held], grants: Sequence[Grant], until: float) -> VendorBusy:
        held, grant = max(zip(empty, grants, strict=True), key=lambda pair: pair[1].wait)
        what = (
            "the vendor closed the account" if grant.closed else f"the account's {held.bucket.name} budget is used up"
        )
        at = datetime.fromtimestamp(until, UTC)
        return VendorBusy(what, where=self._account or None, seconds=grant.wait, not_before=at)

    def _held_by(self, name: str) -> _Held | None:
        return self._known.held.get(name)

    def _way(self, method: str, path: str) -> _Way:
        classes = tuple(one for one in self._limits.classes if one.matches(method, path))
        found = self._known.ways.get(classes)
        if found is None:
            found = self._known.ways[classes] = self._new_way(classes)
        return found

    def _new_way(self, classes: tuple[RequestClass, ...]) -> _Way:
        limits = self._limits
        buckets = [Bucket(one.name, one.requests, one.per_seconds or 0.0) for one in classes]
        if not any(one.separate for one in classes):
            buckets.append(Bucket(DEFAULT, limits.requests, limits.per_seconds or 0.0))
        if limits.daily is not None:
            buckets.append(Bucket(DAILY, limits.daily.requests, daily=limits.daily))
        held = tuple(self._known.held.setdefault(bucket.name, _Held(bucket)) for bucket in buckets)
        slots = tuple(asyncio.Semaphore(one.concurrency) for one in classes if one.concurrency)
        return _Way(held, slots)
