"""From pages to committed segments: classify every record, write one Parquet file, commit everything in one transaction.

A segment is committed beside the reading of the next one (ADR 0043): Parquet, SQLite and the disk work without Python's lock.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from functools import cached_property, partial
from itertools import chain
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.protocols import Page, RawRecord, Records
from connectors.sdk.specs import StreamSpec
from pipelines.context import StageContext
from pipelines.extract.account import Account, Part
from pipelines.extract.beside import Beside
from pipelines.extract.holding import Holding, Waiting
from pipelines.extract.suppressed import ERASED, PARTIES, without_erased
from pipelines.landing import SCHEMA, Landing
from pipelines.store import Lease, WriteTransaction, commits, heads, reads, suppression
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


class _Sorted(NamedTuple):
    """A segment that only has to be written: its parts, the rows of its file, of each part the newest per key, what waits."""

    parts: dict[_Place, Part]
    rows: pa.Table
    heads: dict[_Place, pa.Table]
    waiting: Waiting


class SegmentWriter:
    """Collects pages and commits them as segments; a kill never costs more than SEGMENT_RECORDS records of a partition.

    That is what may be fetched twice: the segment being committed, the one coming together, and the page on its way.
    Segments are committed one after the other, in the order of their pages; after an error none is. Partitions that were
    read between two commits share a file and a transaction; each keeps its own read, position and counts. ``filtered_by``
    counts filtered records by rule, ``reasons`` holds why reads are not COMPLETE: both are whole once ``flush`` returns.
    """

    def __init__(
        self, context: StageContext, lease: Lease, landing: Landing, connection_id: str, load_id: int, spec: StreamSpec
    ) -> None:
        self._context, self._lease, self._landing, self._spec = context, lease, landing, spec
        self._connection_id, self._load_id = connection_id, load_id
        self.folder = (str(context.tenant_id), connection_id, spec.name)
        self._erased = suppression.load(context.store, context.tenant_id)
        self._holding = Holding(context.store, connection_id, spec.name, tenant_id=context.tenant_id)
        self.filtered_by: Counter[str] = Counter()
        self.reasons: set[str] = set()
        self._pages: list[Page] = []
        self._records = self._bytes = 0
        self._open: dict[_Place, reads.OpenRead] = {}
        self._beside = Beside()

    def add(self, page: Page) -> None:
        """Take a page; let a segment be committed when enough has come together. Raise what a commit has raised."""
        if self._beside.failed:
            self._settle()
        count, size = len(page.records), sum(map(len, Records.of(page.records).payloads))
        self._pages.append(page)
        self._records += count
        self._bytes += size
        full = _is_full(self._records, count, SEGMENT_RECORDS // 2) or _is_full(self._bytes, size, SEGMENT_BYTES // 2)
        if full or len(self._pages) >= SEGMENT_PAGES:
            self._hand_over()

    def flush(self) -> None:
        """Return when everything taken is committed; raise what a commit has raised."""
        self._hand_over()
        self._settle()

    def _hand_over(self) -> None:
        """Let what has come together be committed, once what came before it is."""
        if self._pages:
            self._settle()
            self._beside.start(partial(self._land, self._taken()))

    def _settle(self) -> None:
        """Wait for the segment under way; where it failed, nothing that came after it may ever be committed."""
        try:
            self._beside.wait()
        except BaseException:
            self._taken()
            raise

    def _land(self, pages: list[Page]) -> None:
        """Commit pages: the file first, then one transaction; nothing of them counts before that."""
        done = self._sorted(pages)
        pages.clear()  # the thread that runs this holds the list to the end
        landed = done.rows.num_rows
        names = self._file(done.rows), self._file(_table([done.waiting.rows]))
        done = done._replace(rows=SCHEMA.empty_table())  # the payloads are on the disk: none is held during the commit
        self._commit([self._part(place, part, names, done) for place, part in done.parts.items()], done.waiting)
        self._context.progress(f"extract {self._connection_id}/{self._spec.name}: {landed:,} landed")

    def _taken(self) -> list[Page]:
        pages, self._pages = self._pages, []
        self._records = self._bytes = 0
        return pages

    def _sorted(self, pages: list[Page]) -> _Sorted:
        """Give every record of the pages its place in the account and in the file to come; let go of the records."""
        self._open_reads(pages)
        known = self._known(pages)
        parts, waiting = self._classify(pages, known)
        rows = _table([part.landed for part in parts.values()])
        for part in parts.values():
            part.rows, part.landed = len(part.landed), Records()
        mine = {place: rows.slice(part.first_row, part.rows) for place, part in parts.items() if part.rows}
        return _Sorted(parts, rows, {place: _heads(some, known) for place, some in mine.items()}, waiting)

    def _file(self, rows: pa.Table) -> str | None:
        return self._landing.write(self.folder, self._lease.fence, rows) if rows.num_rows else None

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self._context.store.write(self._lease, cause=self._context.cause, actor=self._context.actor)

    def _open_reads(self, pages: list[Page]) -> None:
        new = {_place(page): page for page in reversed(pages) if page.restarted or _place(page) not in self._open}
        if not new:
            return
        wanted = [commits.Wanted(*place, restart=page.restarted) for place, page in sorted(new.items())]
        with self._write() as tx:
            self._open |= commits.open_reads(tx, self._load_id, self._connection_id, self._spec.name, wanted)

    def _classify(self, pages: list[Page], known: dict[str, Known]) -> tuple[dict[_Place, Part], Waiting]:
        """Give every record of the wire its place in the account, in the order it came."""
        account = Account(known, self._holding)
        parts: dict[_Place, Part] = {}
        for page in pages:
            part = parts.setdefault(_place(page), Part(page))
            part.last = page
            part.counts["wire"] += page.wire
            part.counts["filtered"] += page.filtered
            if page.filtered:
                self.filtered_by["manifest"] += page.filtered
            account.take(self._unerased(Records.of(page.records), part), part, self._open[_place(page)])
        if account.older:
            self.filtered_by[_OLDER] += account.older
        row_no = 0
        for part in parts.values():
            part.first_row, row_no = row_no, row_no + len(part.landed)
        held = {place: part.held for place, part in parts.items() if part.held}
        return parts, self._holding.sort(held, known, self._open, account.last_op)

    def _unerased(self, records: Records, part: Part) -> Records:
        """Leave out what was erased, so that a re-sync does not bring it back; where nobody was, nothing is looked at."""
        if self._erased is None:
            return records
        kept = without_erased(records, self._erased, self._connection_id, self._spec.object, self._is_party)
        part.counts["filtered"] += len(records) - len(kept)
        self.filtered_by[ERASED] += len(records) - len(kept)
        return kept

    @cached_property
    def _is_party(self) -> bool:
        connection = self._context.connection
        assert connection is not None
        return not PARTIES.isdisjoint(connection.connector.mapping.entities(self._spec.name))

    def _known(self, pages: list[Page]) -> dict[str, Known]:
        found = dict.fromkeys(chain.from_iterable(Records.of(page.records).keys for page in pages))
        found.pop(None, None)
        keys = cast("list[str]", list(found))
        if not keys:
            return {}
        store, tenant_id = self._context.store, self._context.tenant_id
        return heads.known(store, self._connection_id, self._spec.object, keys, tenant_id=tenant_id)

    def _commit(self, brought: list[commits.Part], waiting: Waiting) -> None:
        with self._write() as tx:
            commits.commit_parts(tx, brought)
        self._holding.committed(waiting)
        for part in brought:
            if part.end is not None:
                del self._open[part.opened.partition, part.opened.kind]
            if part.end is not None and part.end.reason:
                self.reasons.add(part.end.reason)

    def _part(self, place: _Place, part: Part, names: tuple[str | None, str | None], done: _Sorted) -> commits.Part:
        last, (name, aside) = part.last, names
        files: list[dict[str, str | int]] = (
            [{"name": name, "first": part.first_row, "rows": part.rows}] if part.rows and name else []
        )
        if part.held and aside:
            first, n = done.waiting.places[place]
            files.append({"name": aside, "first": first, "rows": n, "held": True})
        segment = reads.Segment(
            object=self._spec.object,
            files=files,
            records=part.rows + len(part.held),
            counts=dict(part.counts),
            position=last.position,
            heads=done.heads.get(place),
            held=done.waiting.tables.get(place),
            revived=done.waiting.revived if place == next(iter(done.parts)) else (),
            seen=pa.array(part.seen, pa.int64()) if part.seen else None,
            quarantine=_quarantine(part.bad, self._spec.object) if part.bad else None,
        )
        end = None
        if last.completeness is not None:
            end = commits.End(last.completeness.value, last.cursor, last.parent_hash, last.reason, last.proof)
        return commits.Part(self._open[place], segment, end)


def _is_full(collected: int, page: int, most: int) -> bool:
    """Return whether the next page would be too much, with the one after it on its way."""
    return collected > 0 and collected + 2 * page > most


def _place(page: Page) -> _Place:
    return page.partition, page.kind.value


def _table(parts: list[Records]) -> pa.Table:
    """Return the landed records of all parts as the rows of one file."""
    landed = parts[0] if len(parts) == 1 else Records()
    for part in parts if len(parts) > 1 else ():
        landed.extend(part)
    columns = [
        pa.array(np.arange(len(landed))),
        pa.array(landed.keys, pa.string()),
        pa.array(landed.ops, pa.string()),
        pa.array(landed.hashes, pa.string()),
        pa.array(landed.times, _INSTANT),
        _texts(landed.payloads),
        pa.array(landed.parents, pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def _texts(payloads: list[bytes]) -> pa.Array:
    """Return payloads as text without looking at each: they were parsed, so that they are UTF-8."""
    ends = np.cumsum(np.fromiter(map(len, payloads), np.int32, len(payloads)), dtype=np.int32)
    starts = pa.py_buffer(np.concatenate([np.zeros(1, np.int32), ends]))
    return pa.StringArray.from_buffers(len(payloads), starts, pa.py_buffer(b"".join(payloads)))


def _heads(rows: pa.Table, known: dict[str, Known]) -> pa.Table:
    """Return the newest landed row of each key: of several in one segment the last one is the head."""
    n = pc.count_distinct(rows.column("source_key")).as_py()
    if n < rows.num_rows:
        newest = {key: place for place, key in enumerate(rows.column("source_key").to_pylist())}
        rows = rows.take(pa.array(newest.values(), pa.int64()))
    before = [known.get(key) for key in rows.column("source_key").to_pylist()] if known else []
    ids = pa.array([one and one.source_record_id for one in before] or pa.nulls(n), pa.int64())
    stubs = pa.array([one is not None and one.is_stub for one in before] or pa.repeat(False, n), pa.bool_())
    columns = [rows.column(name) for name in ("source_key", "ordinal", "hash", "op", "record_time")]
    return pa.table([*columns, ids, stubs], schema=_HEADS)


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
