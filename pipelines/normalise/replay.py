"""Replay: records that were bad are mapped again under the present rules, as if they had never been bad.

Every landed version of such a record goes through once more, in the order it was landed, starting from nothing and inside
one transaction; so values, and since when they hold, are those of a store that had the present mapping from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.context import StageContext
from pipelines.landing import Landing
from pipelines.normalise.parts import piece_of, read_piece, together
from pipelines.normalise.unit import Unit
from pipelines.report import StageReport
from pipelines.store import Lease, WriteTransaction, heads, quarantine
from pipelines.store.quarantine_reads import Entry, Filter, entries

_STAGE = "normalise"
_KEYS_AT_ONCE = 2_000


def replay(context: StageContext, ids: Sequence[int] | None = None, reason: str | None = None) -> StageReport:
    """Map what is waiting, then map the stream's bad records again; ``ids`` or ``reason`` choose among them."""
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    with context.store.acquire(
        f"ingest/{connection.name}/{stream}", now=context.now, tenant_id=context.tenant_id
    ) as lease:
        return _Replay(context, lease).replay(ids, reason)


class _Replay(Unit):
    """A unit whose batches are whole histories of records."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        super().__init__(context, lease)
        self._bad: list[pa.Table] = []
        self._last_good: dict[str, bool] = {}

    def replay(self, ids: Sequence[int] | None, reason: str | None) -> StageReport:
        """Run normally, then replay; the report counts both."""
        report = self.run()
        if report.error is not None:
            return report
        wanted = Filter(self.connection_id, self.stream, _STAGE, reason, ids, replayable=True)
        chosen = [
            one
            for one in entries(self.store, wanted, tenant_id=self.context.tenant_id)
            if one.object == self.object and one.source_key is not None
        ]
        self.counts["replayed"] = 0
        keys = sorted({one.source_key for one in chosen if one.source_key is not None})
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[start : start + _KEYS_AT_ONCE]
            mine = set(part)
            self._replay_keys(part, [one for one in chosen if one.source_key in mine])
        return self._report()

    def _replay_keys(self, keys: list[str], chosen: list[Entry]) -> None:
        history = self._history(keys)
        if history.num_rows == 0:
            return
        self._bad, self._last_good = [], {}
        with self._write() as tx:
            self._forget(tx, history)
            for part in self.task.map_rows(history):
                self._store(tx, part)
            self._settle(tx, chosen)

    def _history(self, keys: list[str]) -> pa.Table:
        """Return every landed version of these records that was consumed already, in the order of landing."""
        tenant_id = self.context.tenant_id
        consumed = self.store.watermark(_STAGE, self._unit, tenant_id=tenant_id)
        found = heads.segments_after(self.store, self.connection_id, self.stream, 0, tenant_id=tenant_id)
        return together(list(self._versions([one for one in found if one.change_seq <= consumed], keys)))

    def _versions(self, segments: Sequence[heads.CommittedSegment], keys: list[str]) -> Iterator[pa.Table]:
        wanted, landing = pa.array(keys, pa.string()), Landing(self.context.config.landing_url)
        for one in segments:
            for file in one.files:
                landed = read_piece(landing, piece_of(file, one.segment_id))
                mine = landed.filter(pc.is_in(landed.column("source_key"), value_set=wanted))
                if mine.num_rows:
                    yield mine

    def _forget(self, tx: WriteTransaction, history: pa.Table) -> None:
        """Retire what these records say now, so that the first version is mapped onto nothing."""
        keys = pa.chunked_array([history.column("source_key").unique()])
        owners = tx.intern(self._origin.own_refs(keys)).select(["source_record_id"])
        self._retire(tx, owners)

    def _store_quarantine(self, tx: WriteTransaction, good: pa.Table, bad: pa.Table) -> None:
        """Keep the verdicts: only that on the newest version of a record says whether it stays in quarantine."""
        del tx  # nothing is entered before all versions have been seen
        if bad.num_rows:
            self._bad.append(bad)
        self._last_good.update(dict.fromkeys(bad.column("source_key").to_pylist(), False))
        self._last_good.update(dict.fromkeys(good.column("source_key").to_pylist(), True))

    def _settle(self, tx: WriteTransaction, chosen: list[Entry]) -> None:
        still = {
            place for rows in self._bad for place in zip(*(rows.column(n).to_pylist() for n in _PLACE), strict=True)
        }
        mended = [one.quarantine_id for one in chosen if (one.segment_id, one.row_no) not in still]
        quarantine.relabel(tx, mended, quarantine.REPLAYED)
        self.counts["replayed"] += len(mended)
        good = [key for key, is_good in self._last_good.items() if is_good]
        keys = pa.table(
            {"object": pa.array([self.object] * len(good), pa.string()), "source_key": pa.array(good, pa.string())}
        )
        quarantine.resolve(tx, _STAGE, self.connection_id, self.stream, keys)
        bad = pa.array([key for key, is_good in self._last_good.items() if not is_good], pa.string())
        for rows in self._bad:
            newest = rows.filter(pc.is_in(rows.column("source_key"), value_set=bad))
            quarantine.add(tx, _STAGE, self.connection_id, self.stream, self._versioned(newest))


_PLACE = ("segment_id", "row_no")
