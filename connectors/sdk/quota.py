"""The requests one vendor account may make, counted inside one process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from connectors.sdk.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from connectors.sdk.specs import Limits


class AccountQuota:
    """At most ``requests`` in any window of ``per_seconds``; whoever shares the object shares the account.

    An answer with Retry-After stops all of them until then. Without ``requests`` only that holds.
    """

    def __init__(
        self,
        requests: int | None = None,
        per_seconds: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Start with nothing spent."""
        self._clock, self._sleep = clock, sleep
        self._sent: deque[float] = deque(maxlen=requests or 0)
        self._window = per_seconds or 0.0
        self._closed_until = float("-inf")

    @classmethod
    def of(cls, limits: Limits) -> AccountQuota:
        """Return the quota of a manifest's ``limits:``."""
        return cls(limits.requests, limits.per_seconds)

    async def acquire(self, n: int = 1) -> None:
        """Return when ``n`` more requests may be sent; first come, first served."""
        now = start = self._clock()
        for _ in range(n):
            if self._sent.maxlen and len(self._sent) == self._sent.maxlen:
                start = max(start, self._sent[0] + self._window)
            self._sent.append(start)
        while max(start, self._closed_until) > now:
            await self._sleep(max(start, self._closed_until) - now)
            now = self._clock()

    def observe(self, headers: Mapping[str, str], now: datetime) -> None:
        """Close the account for as long as the answer's Retry-After says."""
        wait = retry_after(headers, now)
        if wait is not None:
            self._closed_until = max(self._closed_until, self._clock() + wait)
