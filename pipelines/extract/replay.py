"""Replay of what could not be read: the stored raw records are read again under the present rules and landed.

What goes through is a segment of its own, in a load of its own: normalise then takes it like any other. A record of which
something newer was landed meanwhile stays where it is. What the vendor's own reads have come to is not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from connectors.sdk import instants
from connectors.sdk.protocols import RawRecord
from connectors.sdk.records import RecordReader
from pipelines.context import StageContext
from pipelines.landing import SCHEMA, Landing
from pipelines.report import StageReport
from pipelines.store import Lease, WriteTransaction, held, quarantine, reads, replayed
from pipelines.store.quarantine_reads import Entry, Filter, entries, payloads

_STAGE = "extract"
_ENTRIES_AT_ONCE = 5_000


def replay(context: StageContext, ids: Sequence[int] | None = None, reason: str | None = None) -> StageReport:
    """Read the stream's unreadable records again; ``ids`` or ``reason`` choose among them."""
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    with context.store.acquire(
        f"ingest/{connection.name}/{stream}", now=context.now, tenant_id=context.tenant_id
    ) as lease:
        return _Replay(context, lease).run(ids, reason)


@dataclass(frozen=True)
class _Again:
    """An entry and what its raw is under the present rules."""

    entry: Entry
    record: RawRecord


class _Replay:
    """One replay of one stream under its lease."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        assert context.connection is not None
        assert context.stream is not None
        self.context, self.lease, self.store = context, lease, context.store
        self.connection, self.stream = context.connection, context.stream
        self.spec = self.connection.connector.manifest.streams[self.stream]
        self.reader = RecordReader(self.spec, instants.zone(self.connection.timezone))
        self.counts: Counter[str] = Counter()

    def run(self, ids: Sequence[int] | None, reason: str | None) -> StageReport:
        manifest = self.connection.connector.manifest
        with self._write() as tx:
            self.connection_id = reads.register_connection(tx, self.connection.name, manifest.name, manifest.major)
        wanted = Filter(self.connection_id, self.stream, _STAGE, reason, ids)
        chosen = entries(self.store, wanted, tenant_id=self.context.tenant_id)
        for start in range(0, len(chosen), _ENTRIES_AT_ONCE):
            self._replay(chosen[start : start + _ENTRIES_AT_ONCE])
        names = ("read", "loaded", "unchanged", "duplicate", "filtered", "quarantined")
        return StageReport(
            _STAGE, self.connection.name, self.stream, counts={name: self.counts[name] for name in names},
            completeness="COMPLETE", details={"replay": True},
        )  # fmt: skip

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self.store.write(self.lease, cause="replay", actor=self.context.actor)

    def _replay(self, chosen: Sequence[Entry]) -> None:
        again = self._again(chosen)
        good = [one for one in again if one.record.problem is None and one.record.hash is not None]
        verdicts = self._verdicts(good)
        landed = [one for one in good if verdicts[one.entry.quarantine_id] == "loaded"]
        name = self._land([one.record for one in landed]) if landed else None
        with self._write() as tx:
            if landed and name:
                replayed.commit(tx, self.connection_id, self.stream, self.spec.object, name, self._heads(landed))
                waiting = self._held()
                keys = {one.record.key for one in landed}
                held.drop(tx, [one.source_record_id for key, one in waiting.items() if key in keys])
            quarantine.close(tx, [one.entry.quarantine_id for one in good], quarantine.REPLAYED)
        self.counts.update(read=len(again), quarantined=len(again) - len(good))
        self.counts.update(Counter(verdicts.values()))

    def _again(self, chosen: Sequence[Entry]) -> list[_Again]:
        raws = payloads(self.store, [one.quarantine_id for one in chosen], tenant_id=self.context.tenant_id)
        found = []
        for one in chosen:
            raw, parent = raws[one.quarantine_id]
            if raw is not None:
                found.append(_Again(one, self.reader.cut([raw], parent).records[0]))
        return found

    def _verdicts(self, good: Sequence[_Again]) -> dict[int, str]:
        """Say what becomes of each: loaded, unchanged, or filtered because something newer is there."""
        known = self._known([one.record.key for one in good if one.record.key is not None])
        verdicts: dict[int, str] = {}
        for one in good:
            record, head = one.record, known.get(one.record.key or "")
            content = (record.op, record.hash)
            if head is None:
                verdict = "loaded"
            elif head[:2] == content:
                verdict = "unchanged"
            else:
                verdict = "loaded" if _is_newer(record, one.entry, head) else "filtered"
            if verdict == "loaded":
                known[record.key or ""] = (*content, record.record_time, one.entry.change_seq)
            verdicts[one.entry.quarantine_id] = verdict
        return verdicts

    def _known(self, keys: Sequence[str]) -> dict[str, tuple[object, ...]]:
        if not keys:
            return {}
        found = replayed.known_heads(
            self.store, self.connection_id, self.spec.object, sorted(set(keys)), tenant_id=self.context.tenant_id
        )
        heads: dict[str, tuple[object, ...]] = {row[0]: tuple(row[1:]) for row in found}
        waiting = self._held()
        return heads | {
            key: ("delete", one.hash, one.record_time, one.change_seq) for key, one in waiting.items() if key in heads
        }

    def _held(self) -> dict[str, held.Held]:
        return held.known(self.store, self.connection_id, self.stream, tenant_id=self.context.tenant_id)

    def _land(self, records: Sequence[RawRecord]) -> str:
        columns = [
            pa.array(range(len(records)), pa.int64()),
            pa.array([one.key for one in records], pa.string()),
            pa.array([one.op for one in records], pa.string()),
            pa.array([one.hash for one in records], pa.string()),
            pa.array([one.record_time for one in records], pa.timestamp("us", tz="UTC")),
            pa.array([one.payload for one in records], pa.binary()).cast(pa.string()),
            pa.array([one.parent for one in records], pa.binary()).cast(pa.string()),
        ]
        folder = (str(self.context.tenant_id), self.connection_id, self.stream)
        landing = Landing(self.context.config.landing_url)
        return landing.write(folder, self.lease.fence, pa.table(columns, schema=SCHEMA))

    def _heads(self, landed: Sequence[_Again]) -> pa.Table:
        """Return the newest landed row of each key, with the read that met it."""
        newest = {one.record.key: (row_no, one) for row_no, one in enumerate(landed)}
        rows = list(newest.values())
        return pa.table(
            {
                "source_key": pa.array([one.record.key for _, one in rows], pa.string()),
                "row_no": pa.array([row_no for row_no, _ in rows], pa.int64()),
                "hash": pa.array([one.record.hash for _, one in rows], pa.string()),
                "op": pa.array([one.record.op for _, one in rows], pa.string()),
                "record_time": pa.array([one.record.record_time for _, one in rows], pa.timestamp("us", tz="UTC")),
                "last_read": pa.array([one.entry.read_id or 0 for _, one in rows], pa.int64()),
            }
        )


def _is_newer(record: RawRecord, entry: Entry, head: tuple[object, ...]) -> bool:
    """Compare by the vendor's time where both have one, else by the order in which they came."""
    _, _, landed_time, landed_seq = head
    if record.record_time is not None and landed_time is not None:
        return bool(record.record_time >= landed_time)  # type: ignore[operator]
    return entry.change_seq >= int(str(landed_seq))


__all__ = ["replay"]
