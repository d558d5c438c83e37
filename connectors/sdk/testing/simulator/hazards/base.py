"""What every hazard is: a name, a place, parameters, and hooks on the way of a request through the vendor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connectors.sdk.testing.simulator.turn import NoHazards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.stock import Lot
    from connectors.sdk.testing.simulator.turn import Turn

TOKEN_KINDS: Final = frozenset({"cursor", "header_link", "next_url"})
NUMBERED: Final = frozenset({"page_number", "offset"})


@dataclass(frozen=True)
class Hazard:
    """One thing that is to go wrong: what, where (stream, page from 1, record key), how often, and how exactly.

    ``times``: so often and then never again; 0 = always; null = as often as this hazard does by itself.
    """

    name: str
    stream: str | None = None
    page: int | None = None
    key: str | None = None
    times: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        name: str,
        *,
        stream: str | None = None,
        page: int | None = None,
        key: str | None = None,
        times: int | None = None,
        **parameters: Any,
    ) -> None:
        for label, value in (
            ("name", name), ("stream", stream), ("page", page), ("key", key), ("times", times), ("parameters", parameters),
        ):  # fmt: skip
            object.__setattr__(self, label, value)


@dataclass(frozen=True)
class Firing:
    """One time that a hazard happened."""

    hazard: str
    stream: str | None
    page: int
    key: str | None
    at: float
    detail: str = ""


class Act(NoHazards):
    """A hazard at work on one vendor; subclasses override the hooks they need.

    ``page`` and ``times`` are what it does by itself; ``options`` its parameters with their defaults.
    """

    name: ClassVar[str]
    page: ClassVar[int | None] = 2
    times: ClassVar[int] = 1
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, hazard: Hazard, stage: HostileVendor) -> None:
        if unknown := sorted(set(hazard.parameters) - set(self.options)):
            known = ", ".join(self.options) or "none"
            message = f"{hazard.name} has no parameter {', '.join(unknown)}; it has: {known}"
            raise ValueError(message)
        self.hazard, self.stage = hazard, stage
        self.at_page = self._usual_page() if hazard.page is None else hazard.page
        self.left = self.times if hazard.times is None else hazard.times
        self.endless = self.left == 0
        self.given = {**self.options, **hazard.parameters}
        self.firings: list[Firing] = []

    def _usual_page(self) -> int | None:
        """Return the page where it happens by itself; the only one where there is but one."""
        names = [self.hazard.stream] if self.hazard.stream in self.stage.lots else list(self.stage.lots)
        several = any(paging_of(self.stage, name) != "single_page" for name in names if name is not None)
        return self.page if several or self.page is None else 1

    @classmethod
    def applies(cls, _stage: HostileVendor, _stream: str) -> bool:
        """Return whether the hazard can happen to a stream as this vendor serves it."""
        return True

    # --- hooks ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Act before the first request."""

    def between(self) -> None:
        """Act while nobody reads."""

    # --- what hooks use --------------------------------------------------------------------------------------------

    @property
    def lot(self) -> Lot:
        """Return the records of the hazard's stream, or of the first one it applies to."""
        return self.stage.lots[self.stream]

    @property
    def stream(self) -> str:
        """Return the hazard's stream, or the first one it applies to."""
        if self.hazard.stream is not None:
            return self.hazard.stream
        return next((name for name in self.stage.lots if self.applies(self.stage, name)), next(iter(self.stage.lots)))

    def mine(self, turn: Turn) -> bool:
        """Return whether the request is for the hazard's stream, any data stream where none was named."""
        return turn.stream not in (None, "token") and self.hazard.stream in (None, turn.stream)

    def here(self, turn: Turn) -> bool:
        """Return whether the request is at the hazard's place and it may happen once more."""
        return self.mine(turn) and turn.page == self.at_page and (self.endless or self.left > 0)

    def fire(self, turn: Turn | None, detail: str = "", *, key: str | None = None) -> None:
        """Note that it happened, and spend one time."""
        self.left -= 1
        stream, page = (turn.stream, turn.page) if turn is not None else (self.stream, 0)
        self.firings.append(Firing(self.hazard.name, stream, page, key, self.stage.clock.monotonic(), detail))
        if turn is not None and self.hazard.name not in turn.hazards:
            turn.hazards.append(self.hazard.name)


def paging_of(stage: HostileVendor, stream: str) -> str:
    """Return the paginator type by which a stream is listed."""
    return stage.manifest.streams[stream].request.paginator.type


def says_more(stage: HostileVendor, stream: str) -> bool:
    """Return whether the vendor says where a numbered or keyed list ends: a total, a count of pages, or more."""
    paginator = stage.manifest.streams[stream].request.paginator
    names = ("has_more_path", "total_path", "total_pages_path", "total_header", "next_offset_path")
    return any(getattr(paginator, name, None) for name in names)
