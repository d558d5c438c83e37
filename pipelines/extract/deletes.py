"""The end of a load: one fuse stands before every delete that its reads brought, whatever told of it.

A record is deleted by its own mark, by a list of deletes, by absence, or with its parent. The first three are counted
together; more than the fuse allows, and none of them is deleted: they are kept, shown, and wait for a person's word. The
records below a deleted parent follow it: the fuse was asked when the parent was deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.sdk.errors import StopStream
from connectors.sdk.partitions import names_below
from pipelines.extract import burial
from pipelines.extract.absence import Absences
from pipelines.store import absences, held, orphans

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from connectors.sdk.specs import StreamSpec
    from pipelines.context import StageContext
    from pipelines.extract.absence import Asker
    from pipelines.landing import Landing
    from pipelines.store import Lease, WriteTransaction

FUSE_SHARE = 0.05
FUSE_FLOOR = 50
_EXAMPLES = 3


class TooManyDeletes(StopStream):
    """More records are gone at the vendor than one load may delete; nothing was deleted."""


class Deletes:
    """Judges what one load's reads brought; call it under the stream's lease, when they have come to their end.

    ``details`` is what the load's report shows: of all deletes, and of absence by itself.
    """

    def __init__(
        self, context: StageContext, lease: Lease, landing: Landing, connection_id: str, load_id: int, spec: StreamSpec
    ) -> None:
        assert context.connection is not None
        self._context, self._lease, self._landing, self._spec = context, lease, landing, spec
        self._connection_id, self._load_id = connection_id, load_id
        self._unit = f"{context.connection.name}/{spec.name}"
        self._place = (connection_id, spec.name)
        where, tenant_id = (context.store, *self._place), context.tenant_id
        self._absences = None if spec.absence is None else Absences(*where, spec.absence, tenant_id=tenant_id)
        self._details: dict[str, Any] = {}

    @property
    def details(self) -> dict[str, Any]:
        """What was judged; empty where nothing was."""
        absent = self._absences.details if self._absences else {}
        return {name: found for name, found in (("deletes", self._details), ("absent", absent)) if found}

    async def judge(self, still_there: Asker) -> None:
        """Delete what is proven to be gone; raise TooManyDeletes when the fuse blows. ``still_there``: see Absences."""
        store, tenant_id = self._context.store, self._context.tenant_id
        parts, below = self._below()
        waiting = held.waiting(store, *self._place, tenant_id=tenant_id)
        marked = self._apart(waiting, below)
        if not (waiting.num_rows or parts or (self._absences and self._absences.pending)):
            return
        live = absences.live(store, *self._place, tenant_id=tenant_id)
        limit = max(FUSE_FLOOR, int(FUSE_SHARE * live))
        gone = await self._missing(still_there, limit, marked, below)
        counted = marked.num_rows + gone.num_rows
        blown = counted > limit and self._unit not in self._context.accept_deletes
        self._tell(marked, gone, below, live, limit, blown=blown)
        if blown:
            with self._write() as tx:
                self._keep(tx)
            raise self._too_many(marked, gone, live, limit)
        if self._with_parent is not True:
            parts, below = [], absences.nothing()
        self._bury(marked, pa.concat_tables([gone.select(_NAMES), below.select(_NAMES)]), parts)

    @property
    def _with_parent(self) -> bool | None:
        return self._spec.with_parent

    def _below(self) -> tuple[list[str], pa.Table]:
        """Return the parts whose parent is deleted, and the live records in them, unless they outlive their parents."""
        parent, tenant_id = self._spec.parent, self._context.tenant_id
        if parent is None or self._with_parent is False:
            return [], absences.nothing()
        assert self._context.connection is not None
        above = self._context.connection.connector.manifest.streams[parent.stream].object
        names = names_below(self._spec)
        parts = orphans.closed(self._context.store, *self._place, above, names, tenant_id=tenant_id)
        return parts, orphans.below(self._context.store, *self._place, parts, tenant_id=tenant_id)

    def _apart(self, waiting: pa.Table, below: pa.Table) -> pa.Table:
        """Return the deletes that wait, without those that follow a parent: they need no fuse of their own."""
        return absences.without(waiting, below.column("source_record_id")) if self._with_parent else waiting

    async def _missing(self, still_there: Asker, limit: int, marked: pa.Table, below: pa.Table) -> pa.Table:
        if self._absences is None:
            return absences.nothing()
        most = None if self._unit in self._context.accept_deletes else max(0, limit - marked.num_rows)
        taken = [marked.column("source_record_id"), *([below.column("source_record_id")] if self._with_parent else [])]
        others = pa.chunked_array([chunk for one in taken for chunk in one.chunks], pa.int64())
        return await self._absences.find(still_there, at_most=most, apart_from=others)

    def _tell(self, marked: pa.Table, gone: pa.Table, below: pa.Table, live: int, limit: int, *, blown: bool) -> None:
        counted = marked.num_rows + gone.num_rows
        follow = below.num_rows if self._with_parent else 0
        if self._absences is not None:
            self._absences.tell(live, limit if blown else None)
        if counted or below.num_rows:
            told = {"marked": marked.num_rows, "missing": gone.num_rows, "with_parent": follow}
            done = 0 if blown else counted + follow
            self._details = {name: n for name, n in told.items() if n} | {"deleted": done, "live": live, "fuse": limit}
        if blown:
            self._details["waiting"] = counted
        if below.num_rows and not self._with_parent:
            self._details["orphaned"] = below.num_rows

    def _too_many(self, marked: pa.Table, gone: pa.Table, live: int, limit: int) -> TooManyDeletes:
        m, k = marked.num_rows, gone.num_rows
        told = "are missing at the vendor" if not m else "are marked as deleted at the vendor"
        if m and k:
            told = f"are gone at the vendor ({m} marked as deleted, {k} missing)"
        some = [key for table in (marked, gone) for key in table.column("source_key").slice(0, _EXAMPLES).to_pylist()]
        return TooManyDeletes(
            f"{m + k} of {live} records {told}, one run may delete {limit}; none was deleted",
            where=self._unit, why=f"among them {', '.join(some[:_EXAMPLES])}",
            do=f"if they are really gone: unisono sync --accept-deletes {self._unit}; else look why the vendor hides them",
        )  # fmt: skip

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor)

    def _keep(self, tx: WriteTransaction) -> None:
        if self._absences is not None:
            self._absences.keep(tx)

    def _bury(self, marked: pa.Table, gone: pa.Table, parts: list[str]) -> None:
        """Land the tombstones; they and all that was judged are one transaction."""
        pending = self._absences is not None and self._absences.pending
        if not (marked.num_rows or gone.num_rows or parts or pending):
            return
        folder = (str(self._context.tenant_id), *self._place)
        tombs = burial.tombstones(self._landing, marked, gone)
        name = self._landing.write(folder, self._lease.fence, tombs.select(burial.LANDED)) if tombs.num_rows else ""
        with self._write() as tx:
            if tombs.num_rows:
                files = burial.files(name, tombs)
                absences.bury(tx, self._load_id, *self._place, self._spec.object, tombs, files)
            held.forget(tx, *self._place)
            orphans.settle(tx, *self._place, parts)
            if self._absences is not None:
                self._absences.settle(tx)


_NAMES = ["source_record_id", "source_key", "partition", "read_id"]
