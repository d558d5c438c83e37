"""Named hazards, by family; ``HAZARDS`` is the table, ``Plan`` what is switched on at one vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import cursors, deletes, limits, moving, notices, pages, tokens, values, wire
from .base import Act, Firing, Hazard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.sdk.testing.simulator.holdings import Held, Result
    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.message import Response
    from connectors.sdk.testing.simulator.turn import Leaf, Turn

__all__ = ["FAMILIES", "HAZARDS", "Act", "Firing", "Hazard", "Plan", "applies"]

FAMILIES: Final[Mapping[str, Sequence[type[Act]]]] = {
    "pages": pages.ACTS,
    "moving": moving.ACTS,
    "cursors": cursors.ACTS,
    "wire": wire.ACTS,
    "limits": limits.ACTS,
    "tokens": tokens.ACTS,
    "values": values.ACTS,
    "deletes": deletes.ACTS,
    "notices": notices.ACTS,
}
HAZARDS: Final[Mapping[str, type[Act]]] = {act.name: act for acts in FAMILIES.values() for act in acts}


def applies(name: str, vendor: HostileVendor, stream: str = "things") -> bool:
    """Return whether a hazard can happen to a stream as this vendor serves it."""
    return _act(name).applies(vendor, stream)


def _act(name: str) -> type[Act]:
    if name not in HAZARDS:
        message = f"unknown hazard {name!r}; known: {', '.join(HAZARDS)}"
        raise ValueError(message)
    return HAZARDS[name]


class Plan:
    """The hazards switched on at one vendor, what was planned and what fired."""

    def __init__(self, hazards: Sequence[Hazard], vendor: HostileVendor) -> None:
        self.planned = tuple(hazards)
        self._vendor = vendor
        self.acts: list[Act] = []

    def prepare(self) -> None:
        """Make the hazards and let them act before the first request; one that cannot happen here is an error."""
        for hazard in self.planned:
            kind = _act(hazard.name)
            act = kind(hazard, self._vendor)
            if act.stream not in self._vendor.lots:
                message = f"{hazard.name}: no stream {act.stream!r}; known: {', '.join(self._vendor.lots)}"
                raise ValueError(message)
            if not kind.applies(self._vendor, act.stream):
                message = f"{hazard.name} cannot happen to {act.stream}: {(kind.applies.__doc__ or '').strip()}"
                raise ValueError(message.replace(": Return whether", ": it must hold that"))
            self.acts.append(act)
            act.prepare()

    @property
    def fired(self) -> list[Firing]:
        """Return what happened, in order of time."""
        return sorted((firing for act in self.acts for firing in act.firings), key=lambda firing: firing.at)

    def unfired(self) -> list[Hazard]:
        """Return the hazards that never happened."""
        return [act.hazard for act in self.acts if not act.firings]

    def between(self) -> None:
        """Let the hazards act while nobody reads."""
        for act in self.acts:
            act.between()

    def before(self, turn: Turn) -> bool:
        """Let the hazards act before a page is cut."""
        changed = [act.before(turn) for act in self.acts]
        return any(changed)

    def result(self, turn: Turn, result: Result) -> Result:
        """Return the list that pages are cut from."""
        for act in self.acts:
            result = act.result(turn, result)
        return result

    def start(self, turn: Turn, start: int, size: int) -> int | None:
        """Return where to cut instead, by the first hazard that says so."""
        found = [act.start(turn, start, size) for act in self.acts]
        return next((one for one in found if one is not None), None)

    def most(self, turn: Turn) -> int | None:
        """Return the least that any hazard allows."""
        found = [most for act in self.acts if (most := act.most(turn)) is not None]
        return min(found, default=None)

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Change a page."""
        for act in self.acts:
            act.leaf(turn, leaf)

    def text(self, stream: str, held: Held, text: str) -> str:
        """Return a record as it is written."""
        for act in self.acts:
            text = act.text(stream, held, text)
        return text

    def answered(self, turn: Turn, response: Response) -> Response:
        """Return the answer, changed or not."""
        for act in self.acts:
            response = act.answered(turn, response)
        return response
