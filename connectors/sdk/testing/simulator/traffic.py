"""Every request a vendor was asked, its rate over any window, and who was shown which credential."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

_TOO_MANY: Final = 429


@dataclass(frozen=True)
class Asked:
    """One request and what became of it; ``at`` is the vendor's clock in seconds, ``credential`` what was presented."""

    at: float
    method: str
    origin: str
    path: str
    query: dict[str, str]
    status: int
    stream: str | None = None
    page: int = 0
    records: int = 0
    hazards: tuple[str, ...] = ()
    credential: tuple[str, ...] = ()
    foreign: bool = False


@dataclass
class Traffic:
    """All requests in the order they came."""

    requests: list[Asked] = field(default_factory=list)

    def add(self, asked: Asked) -> None:
        """Keep one."""
        self.requests.append(asked)

    def count(self, stream: str | None = None) -> int:
        """Return how many requests there were, or how many for one stream."""
        return sum(stream in (None, asked.stream) for asked in self.requests)

    def peak(self, seconds: float) -> int:
        """Return the most requests in any window of so many seconds, however it is laid."""
        times = sorted(asked.at for asked in self.requests)
        return max((i + 1 - bisect_right(times, at - seconds) for i, at in enumerate(times)), default=0)

    def presented(self) -> dict[str, set[str]]:
        """Return which credentials each origin has seen."""
        seen: dict[str, set[str]] = {}
        for asked in self.requests:
            seen.setdefault(asked.origin, set()).update(asked.credential)
        return seen

    def foreign(self) -> list[Asked]:
        """Return the requests that went to an origin which is not the vendor's."""
        return [asked for asked in self.requests if asked.foreign]

    def refused(self) -> list[Asked]:
        """Return the requests that were one too many."""
        return [asked for asked in self.requests if asked.status == _TOO_MANY]
