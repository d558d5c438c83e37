"""What the fetch engine asks about earlier runs, answered from the store and the landing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from connectors.sdk import incremental
from connectors.sdk.protocols import ParentRecord, PartitionState
from connectors.sdk.specs import Manifest, StreamSpec
from pipelines.context import StageContext
from pipelines.landing import Landing
from pipelines.store import heads, reads


class StoreCheckpoints:
    """The engine's Checkpoints over our tables; parents come from the landing, where their payloads are."""

    def __init__(
        self, context: StageContext, landing: Landing, connection_id: str, spec: StreamSpec, manifest: Manifest
    ) -> None:
        self._context, self._landing, self._connection_id = context, landing, connection_id
        self._spec, self._manifest = spec, manifest

    def partition(self, partition: str) -> PartitionState | None:
        """Return what earlier runs left of a partition."""
        return self.partitions([partition]).get(partition)

    def partitions(self, names: Sequence[str]) -> Mapping[str, PartitionState]:
        """Return what earlier runs left of partitions, in one question to the store."""
        store, tenant_id = self._context.store, self._context.tenant_id
        rows = reads.partitions(store, self._connection_id, self._spec.name, only=names, tenant_id=tenant_id)
        whole = self._whole(names)
        return {
            name: _state(name, list(mine), whole.get(name))
            for name, mine in groupby(rows, key=lambda row: row.partition)
        }

    def _whole(self, names: Sequence[str]) -> Mapping[str, datetime]:
        """Return when partitions were last read whole; nobody asks unless the stream must be, now and then."""
        spec = self._spec.incremental
        if spec is None or spec.reconcile is None:
            return {}
        store, tenant_id = self._context.store, self._context.tenant_id
        return reads.whole_since(store, self._connection_id, self._spec.name, only=names, tenant_id=tenant_id)

    def live_records(self) -> int:
        """Return how many live records of this stream's object have been landed."""
        store, tenant_id = self._context.store, self._context.tenant_id
        return heads.live_count(store, self._connection_id, self._spec.object, tenant_id=tenant_id)

    def parents(self, parent_stream: str, changed_since_complete: bool) -> Iterable[ParentRecord]:
        """Yield landed, live parents, payload included, file by file."""
        found = heads.parents(
            self._context.store,
            self._connection_id,
            self._manifest.streams[parent_stream].object,
            self._spec.name,
            changed_only=changed_since_complete and not self._context.full,
            stream=parent_stream,
            tenant_id=self._context.tenant_id,
        )
        rows = sorted(
            found.select(["segment_id", "row_no", "source_key", "hash"]).to_pylist(),
            key=lambda row: (row["segment_id"], row["row_no"]),
        )
        files = heads.segments(
            self._context.store, (row["segment_id"] for row in rows), tenant_id=self._context.tenant_id
        )
        for segment_id, members in groupby(rows, key=lambda row: row["segment_id"]):
            payloads = self._payloads(str(files[segment_id][0]["name"]))
            for row in members:
                yield ParentRecord(row["source_key"], payloads[row["row_no"]].encode(), row["hash"])

    def _payloads(self, name: str) -> dict[int, str]:
        table = self._landing.read(name, ["ordinal", "payload"])
        return dict(zip(table.column("ordinal").to_pylist(), table.column("payload").to_pylist(), strict=True))


def _state(name: str, rows: list[reads.PartitionRow], whole: datetime | None) -> PartitionState:
    """Put the states of a partition's kinds of read together: each keeps its place, the later cursor counts."""
    cursor = None
    for row in rows:
        cursor = incremental.later(cursor, row.cursor)
    places = {row.state == "incremental": row.position for row in rows if row.open_read_id is not None}
    newest = max(rows, key=lambda row: row.complete_read_id or 0)
    finished = [row.completeness for row in rows if row.completeness is not None]
    return PartitionState(
        partition=name,
        cursor=cursor,
        position=places.get(False),
        changes=places.get(True),
        parent_hash=newest.parent_hash,
        complete=bool(finished) and set(finished) == {"COMPLETE"},
        whole=whole,
    )
