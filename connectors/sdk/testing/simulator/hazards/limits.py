"""Hazards of limits: too many requests, used-up days, servers that fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.message import Response
    from connectors.sdk.testing.simulator.turn import Turn

_HUGE: Final = 3600.0
_KINDS: Final = ("seconds", "date", "absent", "huge")


class TooManyRequests(Act):
    """429 until the wait is over."""

    name = "too_many_requests"
    options: ClassVar[Mapping[str, Any]] = {"retry_after": "seconds", "wait": None}

    def prepare(self) -> None:
        """Work out how long the wait is."""
        self._kind = str(self.given["retry_after"])
        if self._kind not in _KINDS:
            message = f"retry_after {self._kind!r}; known: {', '.join(_KINDS)}"
            raise ValueError(message)
        wait = self.given["wait"]
        self._wait = float(wait) if wait is not None else _HUGE if self._kind == "huge" else 2.0
        self._until: datetime | None = None

    def answered(self, turn: Turn, response: Response) -> Response:
        """Refuse, and go on refusing until the time has come."""
        now = self.stage.clock.now()
        if self._until is not None and now < self._until and turn.stream != "token":
            turn.hazards.append(self.name)
            return self._refusal(self._until - now)
        if not self.here(turn):
            return response
        until = now + timedelta(seconds=self._wait)
        self._until = until if self._kind != "date" else until.replace(microsecond=0) + timedelta(seconds=1)
        self.fire(turn, f"Retry-After by {self._kind}, {self._wait:g} s")
        return self._refusal(self._until - now)

    def _refusal(self, left: timedelta) -> Response:
        response = self.stage.vendor.refuse_with("limit", 429)
        if self._kind == "absent":
            return response
        seconds = str(max(1, -int(-left.total_seconds() // 1)))
        until = format_datetime((self._until or self.stage.clock.now()).astimezone(UTC), usegmt=True)
        return replace(
            response, headers={**response.headers, "Retry-After": until if self._kind == "date" else seconds}
        )


class DailyQuota(Act):
    """So many requests a day."""

    name = "daily_quota"
    page: ClassVar[int | None] = None
    times = 0
    options: ClassVar[Mapping[str, Any]] = {"allowed": 2}

    def prepare(self) -> None:
        """Begin with nothing spent."""
        self._spent: dict[str, int] = {}

    def answered(self, turn: Turn, response: Response) -> Response:
        """Count, and refuse until midnight."""
        if turn.stream == "token":
            return response
        now = self.stage.clock.now().astimezone(UTC)
        day = now.date().isoformat()
        self._spent[day] = self._spent.get(day, 0) + 1
        if self._spent[day] <= self.given["allowed"]:
            return response
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.fire(turn, f"request {self._spent[day]} of {day}")
        refusal = self.stage.vendor.refuse_with("limit", 429)
        seconds = str(-int(-(midnight - now).total_seconds() // 1))
        return replace(refusal, headers={**refusal.headers, "Retry-After": seconds})


class ServerError(Act):
    """A burst of failures."""

    name = "server_error"
    times = 2
    options: ClassVar[Mapping[str, Any]] = {"status": 503}

    def answered(self, turn: Turn, response: Response) -> Response:
        """Fail."""
        if not self.here(turn):
            return response
        self.fire(turn, f"status {self.given['status']}")
        return self.stage.vendor.refuse_with("server", int(self.given["status"]))


ACTS = (TooManyRequests, DailyQuota, ServerError)
