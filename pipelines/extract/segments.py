"""From pages to committed segments: classify every record, write one Parquet file, commit everything in one transaction.

A segment is committed by a thread of its own while the next pages are fetched: Parquet and the database work outside
Python's lock. There is never more than one under way, so that segments are committed in order.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import pyarrow as pa

from connectors.sdk.protocols import Page, RawRecord
from connectors.sdk.specs import StreamSpec
from pipelines.context import StageContext
from pipelines.landing import SCHEMA, Landing
from pipelines.store import Lease, WriteTransaction, commits, heads, reads
from pipelines.store.heads import Known

SEGMENT_RECORDS = 20_000
SEGMENT_BYTES = 32 * 1024 * 1024
SEGMENT_PAGES = 2_000  # of a stream of many small parts: what one short transaction takes
_OLDER = "older than the version already landed"
_INSTANT = pa.timestamp("us", tz="UTC")
_HEADS = pa.schema(
    [
        ("source_key", pa.string()),
        ("row_no", pa.int64()),
        ("hash", pa.string()),
        ("op", pa.string()),
        ("record_time", _INSTANT),
        ("known", pa.int64()),
        ("is_stub", pa.bool_()),
    ]
)
_QUARANTINE = pa.schema(
    [
        ("object", pa.string()),
        ("source_key", pa.string()),
        ("reason", pa.string()),
        ("path", pa.string()),
        ("raw", pa.binary()),
        ("parent", pa.binary()),
    ]
)
_Place = tuple[str, str]


@dataclass
class _Part:
    """What one read brings to the segment under way."""

    pages: list[Page] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    landed: list[RawRecord] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    bad: list[RawRecord] = field(default_factory=list)
    first_row: int = 0


class SegmentWriter:
    """Collects pages and commits them as segments; a kill never costs more than SEGMENT_RECORDS records of a partition.

    That is what may be fetched twice: the segment being committed, the one coming together and the pages on their way.
    Partitions that were read between two commits share a file and a transaction; each keeps its own read, position and
    counts. ``filtered_by`` counts filtered records by rule, ``reasons`` holds why reads are not COMPLETE. An error of a
    commit is raised by the next ``add`` or ``flush``.
    """

    def __init__(
        self, context: StageContext, lease: Lease, landing: Landing, connection_id: str, load_id: int, spec: StreamSpec
    ) -> None:
        self._context, self._lease, self._landing, self._spec = context, lease, landing, spec
        self._connection_id, self._load_id = connection_id, load_id
        self.folder = (str(context.tenant_id), connection_id, spec.name)
        self.filtered_by: Counter[str] = Counter()
        self.reasons: set[str] = set()
        self._pages: list[Page] = []
        self._records = self._bytes = 0
        self._open: dict[_Place, reads.OpenRead] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="segment")
        self._under_way: Future[None] | None = None

    def add(self, page: Page) -> None:
        """Take a page; begin to commit when enough has come together."""
        size = sum([len(record.payload) for record in page.records])
        self._pages.append(page)
        self._records += len(page.records)
        self._bytes += size
        half = _is_half(self._records, len(page.records), SEGMENT_RECORDS) or _is_half(self._bytes, size, SEGMENT_BYTES)
        if half or len(self._pages) >= SEGMENT_PAGES:
            self._settle()
            self._under_way = self._thread.submit(self._commit_pages, self._taken())

    def flush(self) -> None:
        """Commit what is waiting: the file first, then one transaction; nothing of it counts before that."""
        self._settle()
        if self._pages:
            self._commit_pages(self._taken())

    def _settle(self) -> None:
        """Wait for the commit under way and raise its error."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _taken(self) -> list[Page]:
        pages, self._pages = self._pages, []
        self._records = self._bytes = 0
        return pages

    def _commit_pages(self, pages: list[Page]) -> None:
        self._open_reads(pages)
        known = self._known(pages)
        parts = self._classify(pages, known)
        landed = list(chain.from_iterable(part.landed for part in parts.values()))
        rows = _table(landed)
        name = self._landing.write(self.folder, self._lease.fence, rows) if landed else None
        brought = []
        for place, part in parts.items():
            mine = rows.slice(part.first_row, len(part.landed))
            brought.append(self._part(place, part, name, _heads(mine, known) if part.landed else None))
        self._commit(brought)
        self._context.progress(f"extract {self._connection_id}/{self._spec.name}: {len(landed):,} landed")

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor)

    def _open_reads(self, pages: list[Page]) -> None:
        new = {_place(page): page for page in reversed(pages) if page.restarted or _place(page) not in self._open}
        if not new:
            return
        wanted = [commits.Wanted(*place, restart=page.restarted) for place, page in sorted(new.items())]
        with self._write() as tx:
            self._open |= commits.open_reads(tx, self._load_id, self._connection_id, self._spec.name, wanted)

    def _classify(self, pages: list[Page], known: dict[str, Known]) -> dict[_Place, _Part]:
        """Give every record of the wire its place in the account, in the order it came."""
        account = _Account(known)
        parts: dict[_Place, _Part] = {}
        for page in pages:
            part = parts.setdefault(_place(page), _Part())
            part.pages.append(page)
            part.counts["wire"] += page.wire
            part.counts["filtered"] += page.filtered
            if page.filtered:
                self.filtered_by["manifest"] += page.filtered
            account.take(page.records, part, self._open[_place(page)].read_id)
        if account.older:
            self.filtered_by[_OLDER] += account.older
        row_no = 0
        for part in parts.values():
            part.first_row, row_no = row_no, row_no + len(part.landed)
        return parts

    def _known(self, pages: list[Page]) -> dict[str, Known]:
        keys = {record.key for page in pages for record in page.records if record.key is not None}
        if not keys:
            return {}
        store, tenant_id = self._context.store, self._context.tenant_id
        return heads.known(store, self._connection_id, self._spec.object, sorted(keys), tenant_id=tenant_id)

    def _commit(self, brought: list[commits.Part]) -> None:
        with self._write() as tx:
            commits.commit_parts(tx, brought)
        for part in brought:
            if part.end is not None:
                del self._open[part.opened.partition, part.opened.kind]
            if part.end is not None and part.end.reason:
                self.reasons.add(part.end.reason)

    def _part(self, place: _Place, part: _Part, name: str | None, newest: pa.Table | None) -> commits.Part:
        last, mine = part.pages[-1], part.landed
        files = [{"name": name, "first": part.first_row, "rows": len(mine)}] if mine and name else []
        segment = reads.Segment(
            object=self._spec.object,
            files=files,
            records=len(mine),
            counts=dict(part.counts),
            position=last.position,
            heads=newest,
            seen=pa.array(part.seen, pa.int64()) if part.seen else None,
            quarantine=_quarantine(part.bad, self._spec.object) if part.bad else None,
        )
        end = None
        if last.completeness is not None:
            end = commits.End(last.completeness.value, last.cursor, last.parent_hash, last.reason, last.proof)
        return commits.Part(self._open[place], segment, end)


class _Account:
    """What has been met of each key, in earlier loads and in this segment so far."""

    def __init__(self, known: dict[str, Known]) -> None:
        self._known = known
        self._met: dict[str, tuple[RawRecord | Known, int]] = {}
        self.older = 0

    def take(self, records: tuple[RawRecord, ...], part: _Part, read_id: int) -> None:
        """Sort a page's records into loaded, unchanged, duplicate, filtered and quarantined."""
        before = len(part.landed)
        keys = [record.key for record in records]
        if self._all_new(keys, records):
            self._met.update(zip(keys, zip(records, repeat(read_id), strict=False), strict=True))  # type: ignore[arg-type]
            part.landed.extend(records)
        else:
            self._one_by_one(records, part, read_id)
        part.counts["loaded"] += len(part.landed) - before
        part.counts["quarantined"] = len(part.bad)

    def _all_new(self, keys: list[str | None], records: tuple[RawRecord, ...]) -> bool:
        """Return whether every record is good and its key met for the first time: the common case, cheap to see."""
        distinct = set(keys)
        return (
            len(distinct) == len(keys)
            and None not in distinct
            and distinct.isdisjoint(self._met)
            and distinct.isdisjoint(self._known)
            and {record.problem for record in records} == {None}
            and None not in {record.hash for record in records}
        )

    def _one_by_one(self, records: tuple[RawRecord, ...], part: _Part, read_id: int) -> None:
        for record in records:
            key = record.key
            if key is None or record.hash is None or record.problem is not None:
                part.bad.append(record)
            elif key not in self._met and key not in self._known:
                self._met[key] = (record, read_id)
                part.landed.append(record)
            else:
                self._again(record, key, part, read_id)

    def _again(self, record: RawRecord, key: str, part: _Part, read_id: int) -> None:
        """Judge a record whose key has been met before."""
        old, met_by = self._met.get(key) or self._before(key)
        is_older = (
            record.record_time is not None and old.record_time is not None and record.record_time < old.record_time
        )
        same = (record.hash, record.op) == (old.hash, old.op)
        if not same and (old.hash is None or not is_older):
            self._met[key] = (record, read_id)
            part.landed.append(record)
            return
        if same:
            part.counts["duplicate" if met_by == read_id else "unchanged"] += 1
        else:
            part.counts["filtered"] += 1
            self.older += 1
        if met_by != read_id and key in self._known:
            part.seen.append(self._known[key].source_record_id)
        self._met[key] = (old, read_id)

    def _before(self, key: str) -> tuple[Known, int]:
        found = self._known[key]
        return found, found.last_read or 0


def _is_half(collected: int, page: int, most: int) -> bool:
    """Return whether one more page would be too many: as much may be under way already, and two pages be on their way."""
    return collected > 0 and 2 * (collected + 2 * page) > most


def _place(page: Page) -> _Place:
    return page.partition, page.kind.value


def _columns(records: list[RawRecord]) -> tuple[Any, ...]:
    """Return the records field by field: key, payload, hash, record_time, cursor, op, parent, problem."""
    return tuple(zip(*records, strict=True)) or ((),) * len(RawRecord._fields)


def _table(records: list[RawRecord]) -> pa.Table:
    key, payload, content, time, _cursor, op, parent, _problem = _columns(records)
    columns = [
        pa.array(range(len(records)), pa.int64()),
        pa.array(key, pa.string()),
        pa.array(op, pa.string()),
        pa.array(content, pa.string()),
        pa.array(time, _INSTANT),
        pa.array(payload, pa.string()),
        pa.array(parent, pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def _heads(rows: pa.Table, known: dict[str, Known]) -> pa.Table:
    """Return the newest landed row of each key: of several in one segment the last one is the head."""
    keys = rows.column("source_key").to_pylist()
    newest = {key: place for place, key in enumerate(keys)}
    if len(newest) < len(keys):
        rows, keys = rows.take(pa.array(newest.values(), pa.int64())), list(newest)
    n = len(keys)
    before = [known.get(key) for key in keys] if known else []
    ids = pa.array([one and one.source_record_id for one in before] or pa.nulls(n), pa.int64())
    stubs = pa.array([one is not None and one.is_stub for one in before] or pa.repeat(False, n), pa.bool_())
    columns = [rows.column(name) for name in ("source_key", "ordinal", "hash", "op", "record_time")]
    return pa.table([*columns, ids, stubs], schema=_HEADS)


def _quarantine(records: list[RawRecord], object_name: str) -> pa.Table:
    key, payload, _hash, _time, _cursor, _op, parent, problems = _columns(records)
    columns = [
        pa.array([object_name] * len(records), pa.string()),
        pa.array(key, pa.string()),
        pa.array([problem.reason if problem else "the record has no key" for problem in problems], pa.string()),
        pa.array([problem.path if problem else None for problem in problems], pa.string()),
        pa.array(payload, pa.binary()),
        pa.array(parent, pa.binary()),
    ]
    return pa.table(columns, schema=_QUARANTINE)
