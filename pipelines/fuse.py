"""The fuse: a load that goes bad stops, instead of filling quarantine record by record.

A window slides over the records in the order they come (as in Conduit's dead-letter queue); more than ``max_bad`` bad ones
among the last ``window`` blow it. The first records count too: the window need not be full.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connectors.sdk.errors import TooManyBad

_SHOWN = 3


@dataclass(frozen=True)
class FuseLimits:
    """Of the last ``window`` records at most ``max_bad`` may be bad; ``window`` 0 switches the fuse off."""

    window: int = 100
    max_bad: int = 50


@dataclass
class Fuse:
    """Watches one run over one stream; ``take`` raises TooManyBad once the window holds too many bad records."""

    limits: FuseLimits
    where: str
    do: str
    _bad_at: deque[int] = field(default_factory=deque)
    _seen: int = 0
    _reasons: Counter[str] = field(default_factory=Counter)

    def take(self, number: int, bad: Sequence[int], reasons: Iterable[str]) -> None:
        """Count the next ``number`` records, of which those at the positions ``bad`` (ascending) are bad and why."""
        self._reasons.update(reasons)
        if self.limits.window <= 0:
            return
        for position in bad:
            self._bad_at.append(self._seen + position)
            while self._bad_at[0] <= self._bad_at[-1] - self.limits.window:
                self._bad_at.popleft()
            if len(self._bad_at) > self.limits.max_bad:
                raise self._blown()
        self._seen += number

    def _blown(self) -> TooManyBad:
        span = min(self.limits.window, self._bad_at[-1] + 1)
        told = "; ".join(f"{count:,} x {reason}" for reason, count in self._reasons.most_common(_SHOWN))
        return TooManyBad(
            f"{len(self._bad_at)} of the last {span} records are bad, at most {self.limits.max_bad} may be",
            where=self.where, why=f"most often: {told}", do=self.do,
        )  # fmt: skip


def reason_text(reason: str, path: str | None) -> str:
    """Return a reason with the path it is about."""
    return f"{path}: {reason}" if path else reason
