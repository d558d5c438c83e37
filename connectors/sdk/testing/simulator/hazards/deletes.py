"""Hazards of deletes: between two reads records go, and vendors say so in four ways, one of them silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from connectors.sdk import instants, paths
from connectors.sdk.testing.simulator.specimens import put, written

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.holdings import Held
    from connectors.sdk.testing.simulator.hostile import HostileVendor


class _Delete(Act):
    """Deletes ``count`` seeded records, or the one named, each time nobody reads until its times are spent."""

    page: ClassVar[int | None] = None
    options: ClassVar[Mapping[str, Any]] = {"count": 2}
    silent: ClassVar[bool] = False

    def between(self) -> None:
        """Delete."""
        if self.left <= 0 and not self.endless:
            return
        live = [held for held in self.lot.live() if not self.stage.oracle.mark(self.stream, held.key).gone]
        key = self.hazard.key
        chosen = [held for held in live if held.key == key] if key else self.stage.pick(live, self.given["count"])
        for held in chosen:
            self.delete(held)
            mark = self.stage.oracle.mark(self.stream, held.key)
            mark.gone, mark.late = True, self.silent
        if chosen:
            self.fire(None, f"{len(chosen)} records deleted", key=chosen[0].key)

    def delete(self, held: Held) -> None:
        """Delete one record in the vendor's way."""
        raise NotImplementedError


class DeleteByAbsence(_Delete):
    """Gone without a word."""

    name = "delete_by_absence"
    silent = True

    def delete(self, held: Held) -> None:
        """Forget it."""
        self.lot.remove(held)


class DeleteByEndpoint(_Delete):
    """Gone from the list; another list names it."""

    name = "delete_by_endpoint"

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether there is a list of deleted records at an address of its own."""
        spec = stage.manifest.streams[stream]
        return spec.listing is not None and spec.listing.request.path != spec.request.path

    def delete(self, held: Held) -> None:
        """Forget it and name it: its key, and when."""
        listing, record, now = self.lot.spec.listing, json.loads(held.payload), self.stage.clock.now()
        if listing is None:
            return
        note: Any = {}
        for ours, theirs in zip(self.lot.spec.key, listing.key, strict=True):
            put(note, theirs, paths.find(ours, record))
        if listing.record_time is not None:
            put(note, listing.record_time, written(None, listing.record_time_format, now))
        self.lot.retire(held, note)


class DeleteByArchivedList(_Delete):
    """Moved to the list of what is archived."""

    name = "delete_by_archived_list"

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether the list of all has a second form with what is archived."""
        spec = stage.manifest.streams[stream]
        return spec.listing is not None and spec.listing.request.path == spec.request.path

    def delete(self, held: Held) -> None:
        """Move it."""
        record = json.loads(held.payload)
        record["archived"] = True
        self.lot.maker.date(record, self.stage.clock.now(), self.lot.number())
        self.lot.retire(held, record)


class DeleteByFlag(_Delete):
    """It stays and says that it is deleted."""

    name = "delete_by_flag"

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether records can say so."""
        spec = stage.manifest.streams[stream]
        return spec.deleted is not None

    def delete(self, held: Held) -> None:
        """Mark it."""
        deleted = self.lot.spec.deleted
        if deleted is None:
            return
        record: Any = json.loads(held.payload)
        value: Any = instants.iso(self.stage.clock.now())
        if deleted.equals is not None:
            value = {"true": True, "false": False}.get(deleted.equals[0], deleted.equals[0])
        put(record, deleted.path, value)
        self.lot.maker.date(record, self.stage.clock.now(), self.lot.number())
        self.lot.rewrite(held, record)


ACTS = (DeleteByAbsence, DeleteByEndpoint, DeleteByArchivedList, DeleteByFlag)
