"""Hazards of a world that does not stand still while it is read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Act, paging_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.sdk.testing.simulator.holdings import Held
    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.turn import Turn


class _Moving(Act):
    """Needs a list of several pages."""

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether anything can happen between two pages."""
        return paging_of(stage, stream) != "single_page"

    def _met(self, turn: Turn) -> Sequence[Held]:
        """Return the records that have been read already, as many as the hazard wants."""
        return turn.result.records[: turn.start][: self.given["count"]] if turn.result else ()

    def _tick(self) -> None:
        self.stage.clock.advance(1)


class RowsInserted(_Moving):
    """New records push the others down."""

    name = "rows_inserted"
    options: ClassVar[Mapping[str, Any]] = {"count": 3}

    def before(self, turn: Turn) -> bool:
        """Add records at the head."""
        if not self.here(turn) or turn.stream is None:
            return False
        self._tick()
        added = self.stage.lots[turn.stream].add(self.stage.clock.now(), self.given["count"], head=True)
        for held in added:
            self.stage.oracle.mark(turn.stream, held.key).late = True
        self.fire(turn, f"{len(added)} records at the head", key=added[0].key)
        return True


class RowsDeleted(_Moving):
    """Records that were read go, and the others move up."""

    name = "rows_deleted"
    options: ClassVar[Mapping[str, Any]] = {"count": 3}

    def before(self, turn: Turn) -> bool:
        """Delete records of the pages before."""
        if not self.here(turn) or turn.stream is None:
            return False
        met = list(self._met(turn))
        for held in met:
            self.stage.lots[turn.stream].remove(held)
            mark = self.stage.oracle.mark(turn.stream, held.key)
            mark.gone = mark.late = True
        if met:
            self.fire(turn, f"{len(met)} records already read", key=met[0].key)
        return bool(met)


class UpdatedWhilePaging(_Moving):
    """Records that were read change."""

    name = "updated_while_paging"
    options: ClassVar[Mapping[str, Any]] = {"count": 2}

    def before(self, turn: Turn) -> bool:
        """Change records of the pages before; a list in order of time moves them to its end."""
        if not self.here(turn) or turn.stream is None:
            return False
        self._tick()
        met = list(self._met(turn))
        for held in met:
            mark = self.stage.oracle.mark(turn.stream, held.key)
            mark.late = True
            mark.earlier.append(held.payload)
            self.stage.lots[turn.stream].touch(held, self.stage.clock.now())
        if met:
            self.fire(turn, f"{len(met)} records already read", key=met[0].key)
        return bool(met)


class LateCommit(Act):
    """Records become visible after younger ones were read."""

    name = "late_commit"
    page: ClassVar[int | None] = None
    options: ClassVar[Mapping[str, Any]] = {"count": 2, "behind": 90}

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether the stream is read by time."""
        asked = stage.manifest.streams[stream].incremental
        return asked is not None and asked.cursor_format != "integer"

    def between(self) -> None:
        """Show records that were written a while before the newest."""
        if self.left <= 0 and not self.endless:
            return
        newest = max((held.facts["@cursor"] or 0 for held in self.lot.live() if held.facts), default=0)
        at = self.stage.moment(newest) - timedelta(seconds=self.given["behind"])
        added = self.lot.add(at, self.given["count"])
        self.fire(None, f"{len(added)} records dated {at.isoformat()}", key=added[0].key)


ACTS = (RowsInserted, RowsDeleted, UpdatedWhilePaging, LateCommit)
