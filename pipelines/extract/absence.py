"""Deletes by absence: a record that complete snapshots no longer show is gone, if the manifest says so and the fuse holds.

Nothing is deleted for one absence alone: a record must be missing from two complete snapshots, or the vendor must say of
the record itself that there is none. More deletes than the fuse allows are shown and wait for a person's word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.errors import StopStream
from connectors.sdk.specs import AbsenceSpec
from pipelines.context import StageContext
from pipelines.landing import SCHEMA, Landing
from pipelines.store import Lease, absences

FUSE_SHARE = 0.05
FUSE_FLOOR = 50
_INSTANT = pa.timestamp("us", tz="UTC")
Asker = Callable[[list[str]], Awaitable[set[str]]]


class TooManyDeletes(StopStream):
    """More records are missing than one run may delete; nothing was deleted."""


class Absences:
    """Judges what the complete snapshots of one stream missed; call it under the stream's lease."""

    def __init__(
        self, context: StageContext, lease: Lease, landing: Landing, connection_id: str, load_id: int,
        spec: AbsenceSpec, object_name: str,
    ) -> None:  # fmt: skip
        assert context.connection is not None
        assert context.stream is not None
        self._context, self._lease, self._landing, self._spec = context, lease, landing, spec
        self._connection_id, self._load_id, self._object = connection_id, load_id, object_name
        self._stream, self._unit = context.stream, f"{context.connection.name}/{context.stream}"
        self.details: dict[str, Any] = {}

    async def judge(self, still_there: Asker) -> None:
        """Write tombstones for what is proven to be gone; raise TooManyDeletes when the fuse blows.

        ``still_there`` asks the vendor for single records and returns the keys of those that exist. ``details`` says
        how many were missed, deleted, and found after all.
        """
        store, tenant_id = self._context.store, self._context.tenant_id
        if not absences.unjudged(store, self._connection_id, self._stream, tenant_id=tenant_id):
            return
        found = absences.missed(store, self._connection_id, self._stream, tenant_id=tenant_id)
        live = absences.live(store, self._connection_id, self._stream, tenant_id=tenant_id)
        limit = max(FUSE_FLOOR, int(FUSE_SHARE * live))
        gone = await self._gone(found, limit, still_there)
        if found.num_rows:
            self.details |= {"missed": found.num_rows, "deleted": gone.num_rows, "live": live}
        if gone.num_rows > limit and not self._accepted:
            self.details |= {"deleted": 0, "waiting": gone.num_rows, "fuse": limit}
            self._keep(found)
            raise self._too_many(gone, live, limit)
        self._bury(found, gone)

    @property
    def _accepted(self) -> bool:
        return self._unit in self._context.accept_deletes

    async def _gone(self, found: pa.Table, limit: int, still_there: Asker) -> pa.Table:
        """Return those of the missed records that are proven to be gone; no more are asked for than the fuse needs."""
        if self._spec.rule == "twice":
            return found.filter(pc.fill_null(pc.less(found.column("first_read"), found.column("read_id")), False))
        asked = found if self._accepted else found.slice(0, limit + 1)
        there = await still_there(asked.column("source_key").to_pylist()) if asked.num_rows else set()
        if there:
            self.details["not_listed"] = len(there)
        return asked.filter(
            pc.invert(pc.is_in(asked.column("source_key"), value_set=pa.array(sorted(there), pa.string())))
        )

    def _too_many(self, gone: pa.Table, live: int, limit: int) -> TooManyDeletes:
        some = ", ".join(gone.column("source_key").slice(0, 3).to_pylist())
        return TooManyDeletes(
            f"{gone.num_rows} of {live} records are missing at the vendor, one run may delete {limit}; none was deleted",
            where=self._unit, why=f"among them {some}",
            do=f"if they are really gone: unisono sync --accept-deletes {self._unit}; else look why the vendor hides them",
        )  # fmt: skip

    def _keep(self, found: pa.Table) -> None:
        with self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor) as tx:
            absences.remember(tx, self._connection_id, self._stream, found)

    def _bury(self, found: pa.Table, gone: pa.Table) -> None:
        """Land the tombstones; they, what was missed and the judgement are one transaction."""
        folder = (str(self._context.tenant_id), self._connection_id, self._stream)
        tombs = _tombstones(gone)
        name = self._landing.write(folder, self._lease.fence, tombs.select(SCHEMA.names)) if gone.num_rows else ""
        with self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor) as tx:
            if gone.num_rows:
                files = _files(name, tombs.column("partition").to_pylist())
                absences.bury(tx, self._load_id, self._connection_id, self._stream, self._object, tombs, files)
            absences.remember(tx, self._connection_id, self._stream, _without(found, gone))
            absences.judge(tx, self._connection_id, self._stream)


def _tombstones(gone: pa.Table) -> pa.Table:
    """Return landed rows and heads of deletes; they carry no content and no vendor's time."""
    n = gone.num_rows
    numbers = pa.array(range(n), pa.int64())
    columns = {
        "ordinal": numbers, "row_no": numbers, "source_key": gone.column("source_key"),
        "op": pa.array(["delete"] * n, pa.string()), "hash": pa.array(["absent"] * n, pa.string()),
        "record_time": pa.nulls(n, _INSTANT), "payload": pa.array(["{}"] * n, pa.string()),
        "parent": pa.nulls(n, pa.string()), "known": gone.column("source_record_id"),
        "is_stub": pa.array([False] * n, pa.bool_()), "partition": gone.column("partition"),
        "read_id": gone.column("read_id"),
    }  # fmt: skip
    return pa.table(columns)


def _files(name: str, parts: list[str]) -> list[dict[str, Any]]:
    """Return the place of each part's rows in the file; the rows lie part by part."""
    files, first = [], 0
    for _, members in groupby(parts):
        rows = len(list(members))
        files.append({"name": name, "first": first, "rows": rows})
        first += rows
    return files


def _without(found: pa.Table, gone: pa.Table) -> pa.Table:
    ids = gone.column("source_record_id").combine_chunks()
    return found.filter(pc.invert(pc.is_in(found.column("source_record_id"), value_set=ids)))
