"""The vendor's own rate limit: a sliding window."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from .message import Response, answer_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from .shape import Limit


class Window:
    """At most ``limit.requests`` in any ``limit.seconds``, measured by ``clock``."""

    def __init__(self, limit: Limit, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._seen: deque[float] = deque()

    def refusal(self) -> Response | None:
        """Count one request; return the vendor's refusal if it is one too many."""
        now = self._clock()
        while self._seen and self._seen[0] <= now - self._limit.seconds:
            self._seen.popleft()
        if len(self._seen) >= self._limit.requests:
            return too_many(self._limit, self._seen[0] + self._limit.seconds - now)
        self._seen.append(now)
        return None


def too_many(limit: Limit, wait_s: float) -> Response:
    """Return the vendor's answer to one request too many, with Retry-After where it sends one."""
    response = answer_with(limit.answer)
    if not limit.retry_after:
        return response
    seconds = str(max(1, int(wait_s + 0.999)))
    return replace(response, headers={**response.headers, "Retry-After": seconds})
