"""Hazards: things that go wrong between a request and its answer, each switched on by name.

A fault wraps the vendor: it may answer itself, or let the vendor answer and change what it said. Faults are listed in
``FAULTS``; ``every`` is how many requests pass between two bursts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from .limits import too_many
from .message import Request, Response, answer_with

if TYPE_CHECKING:
    from .shape import Shape

Proceed = Callable[[Request], Response]


class Fault(Protocol):
    """One hazard; called for every request to a vendor's endpoints."""

    def __call__(self, shape: Shape, request: Request, proceed: Proceed) -> Response:
        """Return the answer to ``request``: a faulty one, or ``proceed(request)``, changed or not."""


@dataclass
class _Count:
    """Requests seen by each vendor; a burst begins at every n-th."""

    seen: dict[str, int] = field(default_factory=dict)

    def hits(self, vendor: str, every: int, burst: int) -> bool:
        self.seen[vendor] = self.seen.get(vendor, 0) + 1
        return self.seen[vendor] >= every and self.seen[vendor] % every < burst


@dataclass
class RateLimit:
    """Every n-th request, and ``burst - 1`` after it, is one too many for the vendor."""

    every: int = 40
    burst: int = 1
    wait_s: float = 1.0
    _count: _Count = field(default_factory=_Count)

    def __call__(self, shape: Shape, request: Request, proceed: Proceed) -> Response:
        """Answer with the vendor's own refusal."""
        if shape.limit is None or not self._count.hits(shape.vendor, self.every, self.burst):
            return proceed(request)
        return replace(too_many(shape.limit, self.wait_s), fault="rate_limit")


@dataclass
class ServerError:
    """Every n-th request, and ``burst - 1`` after it, ends in the vendor's server error."""

    every: int = 60
    burst: int = 1
    _count: _Count = field(default_factory=_Count)

    def __call__(self, shape: Shape, request: Request, proceed: Proceed) -> Response:
        """Answer with the vendor's own 5xx."""
        if not self._count.hits(shape.vendor, self.every, self.burst):
            return proceed(request)
        return replace(answer_with(shape.errors["server"]), fault="server_error")


FAULTS: dict[str, Callable[[int], Fault]] = {"rate_limit": RateLimit, "server_error": ServerError}


def wrapped(shape: Shape, faults: tuple[Fault, ...], proceed: Proceed) -> Proceed:
    """Return ``proceed`` behind all faults, the first outermost."""
    for fault in reversed(faults):
        proceed = _behind(shape, fault, proceed)
    return proceed


def _behind(shape: Shape, fault: Fault, proceed: Proceed) -> Proceed:
    return lambda request: fault(shape, request, proceed)
