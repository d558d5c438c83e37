"""From pages to committed segments: classify every record, write one Parquet file, commit everything in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pyarrow as pa

from connectors.sdk.protocols import Page, RawRecord
from connectors.sdk.specs import StreamSpec
from pipelines.context import StageContext
from pipelines.landing import SCHEMA, Landing
from pipelines.store import Lease, WriteTransaction, heads, reads

SEGMENT_RECORDS = 20_000
SEGMENT_BYTES = 32 * 1024 * 1024
_OLDER = "older than the version already landed"
_HEADS = pa.schema(
    [
        ("source_key", pa.string()),
        ("row_no", pa.int64()),
        ("hash", pa.string()),
        ("op", pa.string()),
        ("record_time", pa.timestamp("us", tz="UTC")),
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


@dataclass(frozen=True)
class _Head:
    """What is known of a key: the content and time last landed, and which read met it last."""

    hash: str
    record_time: object
    read_id: int
    identity: int | None


@dataclass
class _Part:
    """What one partition brings to the segment under way."""

    counts: Counter[str] = field(default_factory=Counter)
    landed: list[tuple[int, RawRecord]] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    bad: list[RawRecord] = field(default_factory=list)


class SegmentWriter:
    """Collects pages and commits them as segments of about SEGMENT_RECORDS records.

    Partitions that were read between two commits share a file and a transaction; each keeps its own read, position and
    counts. ``filtered_by`` counts filtered records by rule, ``reasons`` holds why reads are not COMPLETE.
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
        self._open: dict[str, reads.OpenRead] = {}

    def add(self, page: Page) -> None:
        """Take a page; commit when enough has come together."""
        self._pages.append(page)
        self._records += len(page.records)
        self._bytes += sum(len(record.payload) for record in page.records)
        if self._records >= SEGMENT_RECORDS or self._bytes >= SEGMENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit what is waiting: the file first, then one transaction; nothing of it counts before that."""
        if not self._pages:
            return
        pages, self._pages = self._pages, []
        self._records = self._bytes = 0
        self._open_reads(pages)
        parts = self._classify(pages)
        landed = [record for part in parts.values() for _, record in part.landed]
        name = self._landing.write(self.folder, self._lease.fence, _table(landed)) if landed else None
        with self._write() as tx:
            for partition, part in parts.items():
                self._commit(tx, partition, part, name, [page for page in pages if page.partition == partition])
        self._context.progress(f"extract {self._connection_id}/{self._spec.name}: {len(landed):,} landed")

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor)

    def _open_reads(self, pages: list[Page]) -> None:
        new = {page.partition: page for page in reversed(pages) if page.restarted or page.partition not in self._open}
        if not new:
            return
        with self._write() as tx:
            for partition, page in sorted(new.items()):
                self._open[partition] = reads.open_or_resume_read(
                    tx,
                    self._load_id,
                    self._connection_id,
                    self._spec.name,
                    partition,
                    page.kind.value,
                    restart=page.restarted,
                )

    def _classify(self, pages: list[Page]) -> dict[str, _Part]:
        """Give every record of the wire its place in the account, in the order it came."""
        known = self._known(pages)
        parts: dict[str, _Part] = {}
        row_no = 0
        for page in pages:
            part = parts.setdefault(page.partition, _Part())
            part.counts["wire"] += page.wire
            part.counts["filtered"] += page.filtered
            if page.filtered:
                self.filtered_by["manifest"] += page.filtered
            read_id = self._open[page.partition].read_id
            for record in page.records:
                verdict = self._verdict(record, known, read_id)
                part.counts[verdict] += 1
                if verdict == "loaded":
                    part.landed.append((row_no, record))
                    row_no += 1
                elif verdict == "quarantined":
                    part.bad.append(record)
                elif verdict == "unchanged" and known[record.key or ""].identity is not None:
                    part.seen.append(known[record.key or ""].identity or 0)
        return _numbered(parts)

    def _verdict(self, record: RawRecord, known: dict[str, _Head], read_id: int) -> str:
        if record.problem is not None or record.key is None or record.hash is None:
            return "quarantined"
        content = f"{record.op}:{record.hash}"
        head = known.get(record.key)
        if head is None:
            known[record.key] = _Head(content, record.record_time, read_id, None)
            return "loaded"
        if head.hash == content:
            known[record.key] = _Head(content, head.record_time, read_id, head.identity)
            return "duplicate" if head.read_id == read_id else "unchanged"
        if record.record_time is not None and head.record_time is not None and record.record_time < head.record_time:  # type: ignore[operator]
            self.filtered_by[_OLDER] += 1
            return "filtered"
        known[record.key] = _Head(content, record.record_time, read_id, None)
        return "loaded"

    def _known(self, pages: list[Page]) -> dict[str, _Head]:
        keys = sorted({record.key for page in pages for record in page.records if record.key is not None})
        if not keys:
            return {}
        found = heads.heads(
            self._context.store, self._connection_id, self._spec.object, keys, tenant_id=self._context.tenant_id
        )
        return {
            row["source_key"]: _Head(
                f"{row['op']}:{row['hash']}", row["record_time"], row["last_read"], row["source_record_id"]
            )
            for row in found.to_pylist()
        }

    def _commit(self, tx: WriteTransaction, partition: str, part: _Part, name: str | None, pages: list[Page]) -> None:
        opened = self._open[partition]
        last = pages[-1]
        mine = part.landed
        files = [{"name": name, "first": mine[0][0], "rows": len(mine)}] if mine and name else []
        segment = reads.Segment(
            object=self._spec.object,
            files=files,
            records=len(mine),
            counts=dict(part.counts),
            position=last.position,
            heads=_heads(mine) if mine else None,
            seen=pa.array(part.seen, pa.int64()) if part.seen else None,
            quarantine=_quarantine(part.bad, self._spec.object) if part.bad else None,
        )
        reads.commit_segment(tx, opened, segment)
        if last.completeness is not None:
            if last.reason:
                self.reasons.add(last.reason)
            reads.finish_read(
                tx,
                opened,
                last.completeness.value,
                cursor=last.cursor,
                parent_hash=last.parent_hash,
                reason=last.reason,
            )
            del self._open[partition]


def _numbered(parts: dict[str, _Part]) -> dict[str, _Part]:
    """Number the landed rows so that each partition's lie together in the file."""
    row_no = 0
    for part in parts.values():
        first, row_no = row_no, row_no + len(part.landed)
        part.landed = [(first + offset, record) for offset, (_, record) in enumerate(part.landed)]
    return parts


def _table(records: list[RawRecord]) -> pa.Table:
    columns = [
        pa.array(range(len(records)), pa.int64()),
        pa.array([record.key for record in records], pa.string()),
        pa.array([record.op for record in records], pa.string()),
        pa.array([record.hash for record in records], pa.string()),
        pa.array([record.record_time for record in records], pa.timestamp("us", tz="UTC")),
        pa.array([record.payload for record in records], pa.binary()).cast(pa.string()),
        pa.array([record.parent for record in records], pa.binary()).cast(pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def _heads(landed: list[tuple[int, RawRecord]]) -> pa.Table:
    """Return the newest landed row of each key: of several in one segment the last one is the head."""
    newest = {record.key: (row_no, record) for row_no, record in landed}
    rows = list(newest.values())
    columns: Iterator[pa.Array] = iter(
        [
            pa.array([record.key for _, record in rows], pa.string()),
            pa.array([row_no for row_no, _ in rows], pa.int64()),
            pa.array([record.hash for _, record in rows], pa.string()),
            pa.array([record.op for _, record in rows], pa.string()),
            pa.array([record.record_time for _, record in rows], pa.timestamp("us", tz="UTC")),
        ]
    )
    return pa.table(list(columns), schema=_HEADS)


def _quarantine(records: list[RawRecord], object_name: str) -> pa.Table:
    problems = [record.problem for record in records]
    columns = [
        pa.array([object_name] * len(records), pa.string()),
        pa.array([record.key for record in records], pa.string()),
        pa.array([problem.reason if problem else "the record has no key" for problem in problems], pa.string()),
        pa.array([problem.path if problem else None for problem in problems], pa.string()),
        pa.array([record.payload for record in records], pa.binary()),
        pa.array([record.parent for record in records], pa.binary()),
    ]
    return pa.table(columns, schema=_QUARANTINE)
