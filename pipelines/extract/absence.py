"""Deletes by absence: a record that complete snapshots no longer show is gone, if the manifest says so.

Nothing is deleted for one absence alone: a record must be missing from two complete snapshots, or the vendor must say of
the record itself that there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.specs import AbsenceSpec
from pipelines.store import Store, WriteTransaction, absences

Asker = Callable[[list[str]], Awaitable[set[str]]]


class Absences:
    """What the complete snapshots of one stream missed that nobody has judged yet; use it under the stream's lease."""

    def __init__(self, store: Store, connection_id: str, stream: str, spec: AbsenceSpec, *, tenant_id: int) -> None:
        self._store, self._spec, self._tenant_id = store, spec, tenant_id
        self._place = (connection_id, stream)
        self.details: dict[str, Any] = {}
        self.pending = absences.unjudged(store, connection_id, stream, tenant_id=tenant_id) > 0
        self._found = self._gone = absences.nothing()

    async def find(self, still_there: Asker, *, at_most: int | None, apart_from: pa.Array) -> pa.Table:
        """Return those of the missed records that are proven to be gone, without those of ``apart_from`` (record ids).

        ``still_there`` asks the vendor for single records and returns the keys of those that exist; with ``at_most`` no
        more are asked for than one above it.
        """
        if not self.pending:
            return self._gone
        missed = absences.missed(self._store, *self._place, tenant_id=self._tenant_id)
        self._found = absences.without(missed, apart_from)
        self._gone = await self._proven(still_there, at_most)
        return self._gone

    def tell(self, live: int, held_back: int | None) -> None:
        """Fill ``details``: how many were missed, deleted, and found after all; ``held_back`` is the fuse that blew."""
        if not self._found.num_rows:
            return
        self.details |= {"missed": self._found.num_rows, "deleted": self._gone.num_rows, "live": live}
        if held_back is not None and self._gone.num_rows:
            self.details |= {"deleted": 0, "waiting": self._gone.num_rows, "fuse": held_back}

    def keep(self, tx: WriteTransaction) -> None:
        """Remember what was missed; it is judged again by the next load."""
        if self.pending:
            absences.remember(tx, *self._place, self._found)

    def settle(self, tx: WriteTransaction) -> None:
        """Say that the snapshots have been judged and what they deleted is deleted."""
        if self.pending:
            absences.remember(tx, *self._place, absences.without(self._found, self._gone.column("source_record_id")))
            absences.judge(tx, *self._place)

    async def _proven(self, still_there: Asker, at_most: int | None) -> pa.Table:
        found = self._found
        if self._spec.rule == "twice":
            return found.filter(pc.fill_null(pc.less(found.column("first_read"), found.column("read_id")), False))
        asked = found if at_most is None else found.slice(0, at_most + 1)
        there = await still_there(asked.column("source_key").to_pylist()) if asked.num_rows else set()
        if there:
            self.details["not_listed"] = len(there)
        return asked.filter(
            pc.invert(pc.is_in(asked.column("source_key"), value_set=pa.array(sorted(there), pa.string())))
        )
