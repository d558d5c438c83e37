"""A clock that jumps over every wait and remembers how long each was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class SimClock:
    """One time for a vendor and its reader; nobody waits for it.

    ``waits`` are the sleeps asked for, in seconds, in order; ``advance`` lets time pass without anybody sleeping.
    """

    at: datetime = datetime(2026, 5, 1, 12, tzinfo=UTC)
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the moment."""
        return self.at

    def monotonic(self) -> float:
        """Return the moment as seconds that only grow."""
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once, and others have a turn."""
        self.waits.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=max(seconds, 0.0))
