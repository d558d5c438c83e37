"""Hazards of cursors: ties, caps, times that do not move, clocks that are wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.message import Response
    from connectors.sdk.testing.simulator.turn import Turn


class _Cursor(Act):
    """Needs a stream that can be asked for what changed."""

    page: ClassVar[int | None] = None

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether the stream has a cursor."""
        return stage.manifest.streams[stream].incremental is not None


class TiesAtCursor(_Cursor):
    """Many records share one time; more of the same time come after the read."""

    name = "ties_at_cursor"
    options: ClassVar[Mapping[str, Any]] = {"count": 12, "later": 2}

    def prepare(self) -> None:
        """Give the newest records one time."""
        tied = self.lot.live()[-self.given["count"] :]
        self._at = self.stage.moment_of(self.stream, tied[-1])
        self._number = (tied[-1].facts or {}).get("@cursor")
        for one in tied:
            self.lot.redate(one, self._at, self._number)

    def between(self) -> None:
        """Let more of the same time appear."""
        added = self.lot.add(self._at, self.given["later"], cursor=self._number)
        self.fire(None, f"{len(added)} more at the time of {self.given['count']}", key=added[0].key)


class TiesOverCap(_Cursor):
    """More records at one timestamp than a query may give."""

    name = "ties_over_cap"
    options: ClassVar[Mapping[str, Any]] = {"count": 25_000, "cap": 10_000}

    def prepare(self) -> None:
        """Let the search refuse what lies beyond the cap."""
        self.stage.cap(self.stream, self.given["cap"])

    def between(self) -> None:
        """Write very many records at once."""
        if self.left <= 0 and not self.endless:
            return
        at = self.stage.clock.now().replace(microsecond=0)
        added = self.lot.add(at, self.given["count"], cursor=self.lot.number())
        self.fire(None, f"{len(added)} records at one timestamp, {self.given['cap']} a query", key=added[0].key)


class CreatedOnlyCursor(_Cursor):
    """Records change and their only time does not."""

    name = "created_only_cursor"
    options: ClassVar[Mapping[str, Any]] = {"count": 2}

    def between(self) -> None:
        """Change records silently."""
        chosen = self.lot.live()[: self.given["count"]]
        for held in chosen:
            mark = self.stage.oracle.mark(self.stream, held.key)
            mark.late = True
            mark.earlier.append(held.payload)
            self.lot.touch(held, self.stage.clock.now(), dated=False)
        self.fire(None, f"{len(chosen)} records changed, their time did not", key=chosen[0].key)


class ClockSkew(Act):
    """The vendor's clock is wrong."""

    name = "clock_skew"
    page: ClassVar[int | None] = None
    times = 0
    options: ClassVar[Mapping[str, Any]] = {"minutes": 10, "of": "both"}

    def _skewed(self) -> Any:
        return self.stage.clock.now() + timedelta(minutes=self.given["minutes"])

    def answered(self, turn: Turn, response: Response) -> Response:
        """Send a wrong Date."""
        if self.given["of"] not in ("date", "both") or turn.stream in (None, "token"):
            return response
        self.fire(turn, f"Date is {self.given['minutes']} minutes off")
        return replace(response, headers={**response.headers, "Date": format_datetime(self._skewed(), usegmt=True)})

    def between(self) -> None:
        """Date a new record by the wrong clock."""
        if self.given["of"] in ("values", "both"):
            added = self.lot.add(self._skewed(), 1)
            self.fire(None, f"a record dated {self.given['minutes']} minutes off", key=added[0].key)


ACTS = (TiesAtCursor, TiesOverCap, CreatedOnlyCursor, ClockSkew)
