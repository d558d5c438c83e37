"""One run of normalise over one stream: which landed rows are due, mapped batch by batch, each in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import Entity
from connectors.sdk.errors import TooManyBad, Unaccounted
from connectors.sdk.mapping import MappedBatch
from pipelines.context import StageContext
from pipelines.fuse import Fuse, reason_text
from pipelines.landing import SCHEMA, Landing
from pipelines.normalise import rows as build
from pipelines.normalise.batch import Origin, Places, Ready, made_ready, with_ids
from pipelines.normalise.mapper import WORTH_A_PROCESS, Made, Mapper, MapTask
from pipelines.report import StageReport, imbalance
from pipelines.store import Lease, WriteTransaction, heads, quarantine, reads, source_rows, tables

_STAGE = "normalise"
_BATCH_ROWS = 20_000
_PARTIES = ("person", "organization")
_TOLD = ["ordinal", "source_key", "op", "record_time"]


@dataclass(frozen=True)
class _Batch:
    """Landed rows that go through together; ``watermark`` is what is consumed once they are committed."""

    rows: pa.Table
    watermark: int | None


class Unit:
    """Normalises one stream of one connection under its lease."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        assert context.connection is not None
        assert context.stream is not None
        self.context, self.lease, self.store = context, lease, context.store
        self.connection, self.stream = context.connection, context.stream
        self.folder = self.connection.connector
        self.mapping = self.folder.mapping
        self.object = self.folder.manifest.streams[self.stream].object
        self.landing = Landing(context.config.landing_url)
        self.counts: Counter[str] = Counter()
        self.details: dict[str, Counter[str]] = {"unmapped": Counter(), "warnings": Counter()}

    def run(self) -> StageReport:
        """Consume new segments, then heads that an older mapping version has read."""
        with self._write() as tx:
            manifest = self.folder.manifest
            self.connection_id = reads.register_connection(tx, self.connection.name, manifest.name, manifest.major)
        try:
            watermark = self.store.watermark(_STAGE, self._unit, tenant_id=self.context.tenant_id)
            segments = self._segments_after(watermark)
            self._consume(self._new(segments, watermark), sum(one.records for one in segments))
            stale = self._stale_heads()
            self._consume(self._stale(stale), stale.num_rows)
        except TooManyBad as error:
            return replace(self._report(), error=str(error), exit_code=error.exit_code)
        return self._report()

    @cached_property
    def task(self) -> MapTask:
        """What is mapped, and how."""
        connection = self.connection
        return MapTask(self.folder.path, self.stream, self._origin, connection.timezone, connection.region)

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self.store.write(self.lease, cause=self.context.cause, actor=self.context.actor)

    @property
    def _unit(self) -> str:
        return f"{self.connection_id}/{self.stream}"

    def _segments_after(self, watermark: int) -> list[heads.CommittedSegment]:
        return heads.segments_after(
            self.store, self.connection_id, self.stream, watermark, tenant_id=self.context.tenant_id
        )

    def _new(self, found: list[heads.CommittedSegment], watermark: int) -> Iterator[_Batch]:
        """Yield batches of committed rows after the watermark; a commit is never split over two watermarks."""
        waiting: list[pa.Table] = []
        number, last = 0, watermark
        for seq, segments in groupby(found, key=lambda one: one.change_seq):
            landed = [self._slice(file, one.segment_id) for one in segments for file in one.files]
            size = sum(part.num_rows for part in landed)
            if waiting and number + size > _BATCH_ROWS:
                yield _Batch(_renumbered(waiting), last)
                waiting, number = [], 0
            waiting += landed
            number, last = number + size, seq
        if last > watermark:
            yield _Batch(_renumbered(waiting), last)

    def _slice(self, file: dict[str, int | str], segment_id: int) -> pa.Table:
        table = self.landing.read(str(file["name"])).slice(int(file["first"]), int(file["rows"]))
        erased = pc.equal(table.column("op"), "erased")
        if pc.any(erased).as_py():
            table = table.filter(pc.invert(erased))
        return table.append_column("segment_id", pa.repeat(pa.scalar(segment_id, pa.int64()), table.num_rows))

    def _stale_heads(self) -> pa.Table:
        """Return the heads read by an older mapping version; all of them with ``full``."""
        version = self.mapping.version if not self.context.full else 2**31 - 1
        return heads.stale_heads(self.store, self.connection_id, self.object, version, tenant_id=self.context.tenant_id)

    def _stale(self, found: pa.Table) -> Iterator[_Batch]:
        """Yield the landed rows of these heads, file by file."""
        if found.num_rows == 0:
            return
        files = heads.segments(
            self.store, found.column("segment_id").unique().to_pylist(), tenant_id=self.context.tenant_id
        )
        for segment_id, members in _by_segment(found):
            landed = self.landing.read(str(files[segment_id][0]["name"]))
            due = landed.filter(pc.is_in(landed.column("ordinal"), value_set=members))
            due = due.append_column("segment_id", pa.repeat(pa.scalar(segment_id, pa.int64()), due.num_rows))
            for start in range(0, due.num_rows, _BATCH_ROWS):
                yield _Batch(_renumbered([due.slice(start, _BATCH_ROWS)]), None)

    def _consume(self, batches: Iterator[_Batch], due: int) -> None:
        """Map batches of ``due`` rows and commit what came out; the next part is made ready while one is written.

        A record that was landed twice takes two rounds, each a transaction of its own, so that its history has both.
        The watermark of a batch is committed with the last of its parts.
        """
        waiting: tuple[pa.Table, int | None, Future[Made]] | None = None
        with Mapper(self.task) as mapper:
            if due >= WORTH_A_PROCESS:
                mapper.alone()
            for part, watermark in _parts(batches):
                present, waiting = waiting, (part, watermark, mapper.submit(part))
                self._commit(present)
            self._commit(waiting)

    def _commit(self, done: tuple[pa.Table, int | None, Future[Made]] | None) -> None:
        if done is None:
            return
        part, watermark, made = done
        mapped, ready = made.result()
        self._watch(part, mapped)
        with self._write() as tx:
            if part.num_rows:
                self._store(tx, part, mapped, ready)
            if watermark is not None:
                tx.set_watermark(_STAGE, self._unit, watermark)
        self.context.progress(f"normalise {self._unit}: {self.counts['read']:,} read")

    def _watch(self, part: pa.Table, mapped: MappedBatch) -> None:
        """Raise TooManyBad before a batch is written whose records go bad one after another."""
        if part.num_rows == 0:
            return
        bad = mapped.quarantine
        at = pc.index_in(bad.column("ordinal"), value_set=part.column("ordinal").combine_chunks()).to_pylist()
        pairs = zip(bad.column("reason").to_pylist(), bad.column("path").to_pylist(), strict=True)
        self._fuse.take(part.num_rows, sorted(at), [reason_text(*pair) for pair in pairs])

    @cached_property
    def _fuse(self) -> Fuse:
        where = f"{self.connection.name}/{self.stream}"
        do = (
            "nothing of this batch was written: mend mapping.yaml, or set timezone: or quarantine: max_bad of the connection, "
            "then sync again"
        )
        return Fuse(self.connection.fuse(self.stream), where, do)

    @cached_property
    def _origin(self) -> Origin:
        return Origin(self.connection_id, self.object, self._main_entity(), self._owners())

    def _store(self, tx: WriteTransaction, part: pa.Table, mapped: MappedBatch, ready: Ready) -> None:
        own = tx.intern(self._origin.own_refs(part.column("source_key"))).column("source_record_id")
        bad = pc.is_in(part.column("ordinal"), value_set=mapped.quarantine.column("ordinal").combine_chunks())
        good = part.select(_TOLD).append_column("source_record_id", own).filter(pc.invert(bad))
        self._store_deletes(tx, good)
        self._store_rows(tx, good, own.to_numpy(), ready)
        self._store_quarantine(tx, part, good, mapped)
        source_rows.mark_mapped(tx, own, self.mapping.version)
        self._count(part, mapped)
        fault = imbalance(_STAGE, self.counts)
        if fault is not None:
            do = "report this with the mapping: it is a fault of the engine"
            raise Unaccounted("rows are not accounted for, so nothing was written", where=self._unit, why=fault, do=do)

    def _store_rows(self, tx: WriteTransaction, good: pa.Table, own: Places, ready: Ready) -> None:
        refs = tx.intern(ready.refs)
        for name, table in build.stub_contacts(refs).items():
            if table.num_rows:
                tx.upsert(tables.metadata.tables[name], table)
        numbers = refs.column("source_record_id").to_numpy()[ready.where]
        parents = good.filter(pc.equal(good.column("op"), "upsert")).select(["source_record_id"])
        source_rows.mark_live(tx, parents.column("source_record_id"))
        for name, rows in ready.rows.items():
            entity, table = self.store.vocabulary.entity(name), tables.metadata.tables[name]
            new = with_ids(entity, rows, own, numbers)
            if self._is_timed(name):
                current = source_rows.current_rows(tx, name, parents.column("source_record_id"))
                new = build.with_term_times(entity, new, current)
            counts = tx.replace_set(table, parents, new)
            self.counts.update(
                emitted=new.num_rows, written=counts.written, unchanged=counts.unchanged, retired=counts.retired
            )

    def _store_deletes(self, tx: WriteTransaction, good: pa.Table) -> None:
        """Retire what deleted records had said; their rows stay with ``deleted_at``, their history too."""
        gone = good.filter(pc.equal(good.column("op"), "delete"))
        if gone.num_rows == 0:
            return
        owners = gone.select(["source_record_id"]).append_column("deleted_at", gone.column("record_time"))
        self.counts.update(retired=self._retire(tx, owners))
        source_rows.mark_deleted(tx, owners)
        self.counts.update(deleted=gone.num_rows)

    def _retire(self, tx: WriteTransaction, owners: pa.Table) -> int:
        """Leave nothing of what these records said current; returns how many rows were."""
        nothing = made_ready(_NOTHING, {}, self._entities(), self._origin, self.mapping.version)
        nobody = np.empty(0, np.int64)
        retired = 0
        for name, rows in nothing.rows.items():
            empty = with_ids(self.store.vocabulary.entity(name), rows, nobody, nobody)
            retired += tx.replace_set(tables.metadata.tables[name], owners, empty).retired
        return retired

    def _entities(self) -> list[Entity]:
        return [self.store.vocabulary.entity(name) for name in self._emitted()]

    def _store_quarantine(self, tx: WriteTransaction, part: pa.Table, good: pa.Table, mapped: MappedBatch) -> None:
        bad = build.quarantine_rows(part, mapped.quarantine, self.object, self.mapping.version)
        quarantine.add(tx, _STAGE, self.connection_id, self.stream, self._versioned(bad))
        keys = pa.table(
            {"object": pa.array([self.object] * good.num_rows, pa.string()), "source_key": good.column("source_key")}
        )
        quarantine.resolve(tx, _STAGE, self.connection_id, self.stream, keys)

    def _versioned(self, bad: pa.Table) -> pa.Table:
        """Say which version of the connector met the bad records."""
        version = self.folder.manifest.version
        return bad.append_column("schema_version", pa.array([version] * bad.num_rows, pa.string()))

    def _main_entity(self) -> str | None:
        names = self._emitted()
        return next((name for name in names if name in _PARTIES), names[0] if names else None)

    def _emitted(self) -> tuple[str, ...]:
        return tuple(self.mapping.entities(self.stream))

    def _owners(self) -> dict[str, str | None]:
        """Which entity the records of each object of this connector are: what a stub of it will become."""
        owners: dict[str, str | None] = {}
        for name, spec in self.folder.manifest.streams.items():
            emitted = list(self.mapping.entities(name))
            owners[spec.object] = next((one for one in emitted if one in _PARTIES), emitted[0] if emitted else None)
        return owners

    def _is_timed(self, name: str) -> bool:
        return self.store.vocabulary.entity(name).kind in build.TIMED_KINDS

    def _count(self, part: pa.Table, mapped: MappedBatch) -> None:
        self.counts.update(read=part.num_rows, mapped=mapped.mapped, quarantined=mapped.quarantine.num_rows)
        self.details["unmapped"].update(mapped.unmapped)
        self.details["warnings"].update(
            {f"{path}: {reason}": count for (path, reason), count in mapped.warnings.items()}
        )

    def _report(self) -> StageReport:
        names = ("read", "mapped", "quarantined", "emitted", "written", "unchanged", "retired", "deleted")
        return StageReport(
            stage=_STAGE,
            connection=self.connection.name,
            stream=self.stream,
            counts={name: self.counts[name] for name in names},
            details={name: dict(found) for name, found in self.details.items() if found},
        )


_NOTHING = SCHEMA.append(pa.field("segment_id", pa.int64())).empty_table()


def _parts(batches: Iterator[_Batch]) -> Iterator[tuple[pa.Table, int | None]]:
    """Yield what one transaction takes, the watermark beside the last part of its batch."""
    for batch in batches:
        *first, last = build.in_rounds(batch.rows) or [batch.rows]
        yield from ((part, None) for part in first)
        yield last, batch.watermark


def _renumbered(parts: list[pa.Table]) -> pa.Table:
    """Put parts together; ``row_no`` keeps a row's place in its file, ``ordinal`` counts through the batch."""
    whole = pa.concat_tables(parts or [_NOTHING])
    whole = whole.append_column("row_no", whole.column("ordinal"))
    return whole.set_column(whole.column_names.index("ordinal"), "ordinal", pa.array(range(whole.num_rows), pa.int64()))


def _by_segment(found: pa.Table) -> Iterator[tuple[int, pa.Array]]:
    for segment_id in found.column("segment_id").unique().to_pylist():
        yield (
            segment_id,
            found.filter(pc.equal(found.column("segment_id"), segment_id)).column("row_no").combine_chunks(),
        )
