"""One run of normalise over one stream: which landed rows are due, mapped batch by batch, each in one transaction."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import Entity
from connectors.sdk.errors import TooManyBad, Unaccounted
from connectors.sdk.mapping import MappedBatch
from pipelines.context import StageContext
from pipelines.fuse import Fuse, reason_text
from pipelines.landing import Landing
from pipelines.normalise import parts
from pipelines.normalise import rows as build
from pipelines.normalise.batch import Origin, Places, Ready, made_ready, refers_to_itself, with_ids
from pipelines.normalise.mapper import WORTH_A_PROCESS, Made, Mapper, MapTask
from pipelines.report import StageReport, imbalance
from pipelines.store import Lease, WriteTransaction, heads, quarantine, reads, source_rows, tables
from pipelines.store.sqlite_staged import RowFile

_STAGE = "normalise"
_PARTIES = ("person", "organization")
_NOBODY = np.empty(0, np.int64)
_AHEAD = 1
"""How many batches may be mapped before they are written: so many are in memory."""


class _Ahead(NamedTuple):
    """What was done before a transaction: the ids of the part's records, and by entity rows and the file that holds them."""

    own: Places | None = None
    rows: Mapping[str, tuple[pa.Table, RowFile | None]] = MappingProxyType({})


_NOTHING = _Ahead()


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
            watermark = self._watermark(self._unit)
            segments = self._segments_after(watermark)
            self._consume(parts.new_batches(segments, watermark), sum(one.records for one in segments))
            self._consume_stale(first=watermark == 0)
        except TooManyBad as error:
            return replace(self._report(), error=str(error), exit_code=error.exit_code)
        return self._report()

    @cached_property
    def task(self) -> MapTask:
        """What is mapped, and how."""
        connection = self.connection
        url, spark = self.context.config.landing_url, self.context.config.spark
        return MapTask(self.folder, self.stream, self._origin, connection.timezone, connection.region, url, spark)

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        return self.store.write(self.lease, cause=self.context.cause, actor=self.context.actor)

    @property
    def _unit(self) -> str:
        return f"{self.connection_id}/{self.stream}"

    def _segments_after(self, watermark: int) -> list[heads.CommittedSegment]:
        return heads.segments_after(
            self.store, self.connection_id, self.stream, watermark, tenant_id=self.context.tenant_id
        )

    def _consume_stale(self, *, first: bool) -> None:
        """Read again what an older version of the mapping has read; to look for it takes a look at every head.

        There is none where the stream was never read before, nor where the last run ended with this version.
        """
        version, unit = self.mapping.version, f"{self._unit}/mapping"
        ended = self._watermark(unit) == version
        if self.context.full or not (first or ended):
            self._consume(*self._stale())
        if not ended:
            with self._write() as tx:
                tx.set_watermark(_STAGE, unit, version)

    def _watermark(self, unit: str) -> int:
        return self.store.watermark(_STAGE, unit, tenant_id=self.context.tenant_id)

    def _stale(self) -> tuple[Iterator[parts.Batch], int]:
        """Return heads read by an older mapping version (all of them with ``full``), and how many they are."""
        version = self.mapping.version if not self.context.full else 2**31 - 1
        tenant_id = self.context.tenant_id
        found = heads.stale_heads(self.store, self.connection_id, self.object, version, tenant_id=tenant_id)
        ids = found.column("segment_id").unique().to_pylist()
        files = heads.segments(self.store, ids, tenant_id=tenant_id) if ids else {}
        return parts.stale_batches(found, files), found.num_rows

    def _consume(self, batches: Iterator[parts.Batch], due: int) -> None:
        """Map batches of ``due`` rows and commit what came out; the next ones are mapped while one is written."""
        waiting: deque[tuple[int | None, Future[list[Made]]]] = deque()
        with Mapper(self.task) as mapper:
            if due >= WORTH_A_PROCESS and self.task.spark is None:
                mapper.alone()
            for batch in batches:
                waiting.append((batch.watermark, mapper.submit(batch.pieces)))
                if len(waiting) > _AHEAD:
                    self._commit(*waiting.popleft())
            while waiting:
                self._commit(*waiting.popleft())

    def _commit(self, watermark: int | None, made: Future[list[Made]]) -> None:
        """Write a batch, each part in a transaction of its own; its watermark is committed with the last."""
        done = made.result()
        for number, part in enumerate(done, 1):
            self._watch(part)
            with self._ahead(part) as ahead, self._write() as tx:
                self._store(tx, part, ahead)
                if watermark is not None and number == len(done):
                    tx.set_watermark(_STAGE, self._unit, watermark)
        if watermark is not None and not done:
            with self._write() as tx:
                tx.set_watermark(_STAGE, self._unit, watermark)
        self.context.progress(f"normalise {self._unit}: {self.counts['read']:,} read")

    @contextmanager
    def _ahead(self, part: Made) -> Iterator[_Ahead]:
        """Do what needs no transaction before one is begun, where the part is large enough: it keeps others waiting."""
        keys = part.told.column("source_key")
        own = self.store.known_records(self.connection_id, self.object, keys, tenant_id=self.context.tenant_id)
        if own is None:
            yield _NOTHING
            return
        with ExitStack() as files:
            made: dict[str, tuple[pa.Table, RowFile | None]] = {}
            for name, rows in part.ready.rows.items():
                entity = self.store.vocabulary.entity(name)
                if refers_to_itself(entity, rows):
                    new = with_ids(entity, rows, own, _NOBODY)
                    made[name] = new, files.enter_context(self.store.row_file(tables.metadata.tables[name], new))
            yield _Ahead(own, made)

    def _watch(self, part: Made) -> None:
        """Raise TooManyBad before a part is written whose records go bad one after another."""
        bad = part.mapped.quarantine
        at = pc.index_in(bad.column("ordinal"), value_set=part.told.column("ordinal").combine_chunks()).to_pylist()
        pairs = zip(bad.column("reason").to_pylist(), bad.column("path").to_pylist(), strict=True)
        self._fuse.take(part.told.num_rows, sorted(at), [reason_text(*pair) for pair in pairs])

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

    def _store(self, tx: WriteTransaction, part: Made, ahead: _Ahead = _NOTHING) -> None:
        told, quarantined = part.told, part.mapped.quarantine
        own = ahead.own
        if own is None:
            own = tx.intern(self._origin.own_refs(told.column("source_key"))).column("source_record_id").to_numpy()
        ids = pa.array(own)
        bad = pc.is_in(told.column("ordinal"), value_set=quarantined.column("ordinal").combine_chunks())
        good = told.append_column("source_record_id", ids).filter(pc.invert(bad))
        self._store_deletes(tx, good)
        self._store_rows(tx, good, own, part.ready, ahead)
        self._store_quarantine(tx, good, part.bad)
        source_rows.mark_mapped(tx, ids, self.mapping.version)
        self._count(part.mapped)
        fault = imbalance(_STAGE, self.counts)
        if fault is not None:
            do = "report this with the mapping: it is a fault of the engine"
            raise Unaccounted("rows are not accounted for, so nothing was written", where=self._unit, why=fault, do=do)

    def _store_rows(self, tx: WriteTransaction, good: pa.Table, own: Places, ready: Ready, ahead: _Ahead) -> None:
        refs = tx.intern(ready.refs)
        for name, table in build.stub_contacts(refs).items():
            if table.num_rows:
                tx.upsert(tables.metadata.tables[name], table)
        numbers = refs.column("source_record_id").to_numpy()[ready.where]
        parents = good.filter(pc.equal(good.column("op"), "upsert")).select(["source_record_id"])
        source_rows.mark_live(tx, parents.column("source_record_id"))
        for name, rows in ready.rows.items():
            entity, table = self.store.vocabulary.entity(name), tables.metadata.tables[name]
            new, file = ahead.rows.get(name) or (with_ids(entity, rows, own, numbers), None)
            if self._is_timed(name):
                current = source_rows.current_rows(tx, name, parents.column("source_record_id"))
                new = build.with_term_times(entity, new, current)
            counts = tx.replace_set(table, parents, new, file)
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
        nothing = made_ready(parts.NOTHING, {}, self._entities(), self._origin, self.mapping.version)
        retired = 0
        for name, rows in nothing.rows.items():
            empty = with_ids(self.store.vocabulary.entity(name), rows, _NOBODY, _NOBODY)
            retired += tx.replace_set(tables.metadata.tables[name], owners, empty).retired
        return retired

    def _entities(self) -> list[Entity]:
        return [self.store.vocabulary.entity(name) for name in self._emitted()]

    def _store_quarantine(self, tx: WriteTransaction, good: pa.Table, bad: pa.Table) -> None:
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

    def _count(self, mapped: MappedBatch) -> None:
        self.counts.update(read=mapped.read, mapped=mapped.mapped, quarantined=mapped.quarantine.num_rows)
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
