"""A compiled stream: documents in, canonical rows out; each record mapped or quarantined, none in Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk import paths
from connectors.sdk.mapping import assemble, tree
from connectors.sdk.mapping.coverage import Reader
from connectors.sdk.mapping.duckdb_rows import Statements, StreamSql
from connectors.sdk.mapping.duckdb_types import quote
from connectors.sdk.mapping.expressions import MappingError
from connectors.sdk.mapping.extras import WrongKind, leftover_sql, retyped
from connectors.sdk.mapping.normalisers import NORMALISERS, guarded, on_distinct
from connectors.sdk.mapping.rows import INSTANT
from connectors.sdk.mapping.screen import NUL_SUSPECTS, SCREEN, with_exact_numbers
from connectors.sdk.mapping.shape import DocumentShape, discover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from canonical_model import Vocabulary
    from connectors.sdk.mapping.compile import Mapping_
    from connectors.sdk.mapping.duckdb_sql import Call
    from connectors.sdk.mapping.hooks import HookFunction

CHUNK: Final = 8192
SMALL: Final = 128
"""Batches of fewer rows than this, on average, cost more to read one by one than to put together (measured: equal at 128)."""
_REMEMBERED: Final = 1000
_BAD_DATA: Final = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException)
BATCH: Final = pa.schema(
    [("source_key", pa.string()), ("payload", pa.string()), ("parent", pa.string()), ("record_time", INSTANT),
     ("op", pa.string()), ("ordinal", pa.int64())]
)  # fmt: skip
"""The columns that ``CompiledStream.run`` takes."""


@dataclass(frozen=True)
class MappedBatch:
    """What became of a batch: read = mapped + quarantined; a deleted record counts as mapped and has no rows.

    ``rows``: entity → its canonical rows. ``deleted``: source keys whose record is gone. ``unmapped`` and ``ignored``:
    leaf path → how often. ``unused``: ignore rules that covered nothing.
    """

    read: int
    mapped: int
    rows: Mapping[str, pa.Table]
    quarantine: pa.Table
    deleted: tuple[str, ...] = ()
    warnings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unmapped: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CompiledStream:
    """One stream's mapping as SQL. The same batch gives the same rows, in whatever order or cut it comes."""

    tree: tree.StreamTree
    statements: StreamSql
    vocabulary: Vocabulary
    hooks: Mapping[str, HookFunction]
    likely: set[paths.Path] = field(default_factory=set)
    """Where earlier batches had objects: they are looked into at once; only the number of passes depends on it."""

    @cached_property
    def sql(self) -> str:
        """The SQL text, to read."""
        return str(self.statements)

    def run(self, batch: pa.Table, *, timezone: str | None = None, default_region: str | None = None) -> MappedBatch:
        """Map one batch (columns of BATCH). A record that breaks the engine itself is quarantined alone."""
        connection = open_engine(timezone, default_region)
        try:
            parts = list(self._safely(connection, batch.select(BATCH.names).cast(BATCH)))
        finally:
            connection.close()
        return parts[0] if len(parts) == 1 else assemble.combined(parts, self.vocabulary)

    def _safely(self, connection: Any, batch: pa.Table) -> Iterator[MappedBatch]:
        try:
            yield _Run(self, connection, batch).run()
        except _BAD_DATA as error:
            if batch.num_rows == 0:
                raise
            if batch.num_rows > 1:
                middle = batch.num_rows // 2
                yield from self._safely(connection, batch.slice(0, middle))
                yield from self._safely(connection, batch.slice(middle))
            else:
                reason = f"cannot be mapped: {str(error).splitlines()[0]}"
                bad = assemble.quarantined(batch, {0: (reason, "")})
                yield MappedBatch(1, 0, {}, bad)


def compile_stream(mapping: Mapping_, stream: str, vocabulary: Vocabulary) -> CompiledStream:
    """Compile one stream and prove, on no rows, that DuckDB takes every statement of it."""
    made = mapping.stream(stream)
    try:
        compiled = CompiledStream(made, Statements(made).build(), vocabulary, mapping.hooks)
        compiled.run(pa.table({name: [] for name in BATCH.names}, schema=BATCH), timezone="UTC")
    except (duckdb.Error, ValueError) as error:
        what = str(error).splitlines()[0]
        raise MappingError(
            f"stream '{stream}' does not compile",
            where=str(mapping.file),
            why=what,
            do="look at its patterns and formats",
        ) from error
    return compiled


def open_engine(timezone: str | None, default_region: str | None) -> Any:
    """Return a DuckDB connection with the two settings a mapping may use.

    It has one thread: of a batch of some thousand records more of them make half as much work again and gain nothing
    beside the thread that writes.
    """
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    for name, value in (("timezone", timezone), ("default_region", default_region)):
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    return connection


@dataclass
class _Run:
    """One pass over one batch."""

    compiled: CompiledStream
    connection: Any
    batch: pa.Table
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: list[pa.Table] = field(default_factory=list)

    def run(self) -> MappedBatch:
        live, deleted = self._without_deleted()
        reader = Reader(self.compiled.tree)
        shape = self._look(live, reader)
        coverage = reader.cover(shape)
        self._check_kinds(retyped([*reader.expectations(), *reader.of_members(shape.types)], shape))
        self._materialise(shape)
        emitted = [self._emit(index) for index in range(len(self.compiled.statements.emits))]
        left = (*coverage.unmapped, *coverage.kept)
        leftovers = self._query(leftover_sql(left, shape)) if left else None
        extras = assemble.extras_column(self.connection, live.num_rows, leftovers, self.kept)
        rows = assemble.Assembly(self.compiled, live, self.connection).rows(emitted, extras, self.bad, self.warnings)
        self.count_warnings(emitted)
        quarantine = assemble.quarantined(live, self.bad)
        rules = {rule.text for rule in self.compiled.tree.ignores}
        return MappedBatch(
            read=self.batch.num_rows,
            mapped=self.batch.num_rows - len(self.bad),
            rows=MappingProxyType(rows),
            quarantine=quarantine,
            deleted=deleted,
            warnings=MappingProxyType(dict(sorted(self.warnings.items()))),
            unmapped=MappingProxyType(assemble.leftover_counts(self.connection, coverage.unmapped, paths.write)),
            ignored=MappingProxyType(dict(coverage.ignored)),
            unused=tuple(sorted(rules - coverage.used)),
        )

    def _without_deleted(self) -> tuple[pa.Table, tuple[str, ...]]:
        """Return the records that are there, and the keys of those that are gone; documents are not copied in vain."""
        is_delete = pc.equal(self.batch.column("op"), "delete")
        if not pc.any(is_delete).as_py():
            return self.batch, ()
        deleted = self.batch.filter(is_delete).column("source_key").to_pylist()
        return self.batch.filter(pc.invert(pc.fill_null(is_delete, False))), tuple(deleted)

    def _look(self, live: pa.Table, reader: Reader) -> DocumentShape:
        """Register the documents and return their shape; records that are no JSON objects are quarantined.

        Nearly every batch is clean, so it is looked at first and screened only when that shows a reason to.
        """
        numbered = live.select(["source_key", "payload", "parent"]).append_column(
            "rid", pa.array(range(live.num_rows), pa.int64())
        )
        self._register("input", numbered)
        self._register("documents", numbered)
        shape = self._clean_shape(live.num_rows, reader)
        if shape is None:
            self.bad.update({rid: (reason, "") for rid, reason in self.connection.execute(SCREEN).fetchall()})
            numbered = numbered.filter(
                pc.invert(pc.is_in(numbered.column("rid"), pa.array(list(self.bad), pa.int64())))
            )
            self._register("documents", numbered)
            shape = self._discover(reader)
        if any("DOUBLE" in types for types in shape.types.values()):
            exact = with_exact_numbers(numbered)
            if exact is not numbered:
                self._register("documents", exact)
        return shape

    def _clean_shape(self, count: int, reader: Reader) -> DocumentShape | None:
        """Return the shape of a batch of readable JSON objects, None when it holds anything else."""
        if self.connection.execute(NUL_SUSPECTS).fetchone()[0]:
            return None
        try:
            self.connection.execute(
                "SELECT count(*) FROM input WHERE parent IS NOT NULL AND NOT json_valid(parent) HAVING count(*) = 0"
            )
            if self.connection.fetchone() is None:
                return None
            shape = self._discover(reader)
        except _BAD_DATA:
            return None
        return shape if shape.roots == Counter({"OBJECT": count} if count else {}) else None

    def _discover(self, reader: Reader) -> DocumentShape:
        likely = self.compiled.likely
        shape = discover(self.connection, "documents", "payload", reader.objects(), likely=likely)
        if len(likely) < _REMEMBERED:
            likely |= shape.objects()
        return shape

    def _register(self, name: str, table: pa.Table) -> None:
        """Register a table in batches of a size that DuckDB reads well; it is copied only where its own are too small."""
        batches = table.to_batches(max_chunksize=CHUNK)
        if table.num_rows < SMALL * len(batches):
            batches = table.combine_chunks().to_batches(max_chunksize=CHUNK)
        self.connection.register(name, pa.Table.from_batches(batches, table.schema))

    def _query(self, sql: str) -> pa.Table:
        made: pa.Table = self.connection.execute(sql).to_arrow_table()
        return made

    def _check_kinds(self, checks: list[WrongKind]) -> None:
        for check in checks:
            if check.lenient:
                columns = f"rid, {quote(check.path)} AS path, {check.raw} AS raw"
                found = self._query(f"SELECT {columns} FROM documents WHERE {check.condition}")
                self.kept.append(found.cast(assemble.KEPT))
                self.warnings[check.path, check.reason] += found.num_rows
                continue
            for (rid,) in self.connection.execute(f"SELECT rid FROM documents WHERE {check.condition}").fetchall():
                self.bad.setdefault(rid, (check.reason, check.path))

    def _materialise(self, shape: DocumentShape) -> None:
        """Read the documents; what none of this batch holds is not looked for."""
        for sheet in (self.compiled.statements.base, *self.compiled.statements.sheets):
            self._register(sheet.name, self._query(sheet.sql(shape)))

    def _emit(self, index: int) -> pa.Table:
        """Run one emit and note its problems."""
        statement = self.compiled.statements.emits[index]
        if statement.calls:
            self._call(statement.source, statement.calls)
        table = self._query(statement.sql)
        self.note(index, table)
        return table

    def note(self, index: int, table: pa.Table) -> None:
        """Note the problems of one emit's rows, and the raw values that are to be kept."""
        problems = table.column("problems")
        if problems.null_count < len(problems):
            assemble.note_problems(table, self.bad)
        for number, path in self.compiled.statements.emits[index].kept:
            raw = table.column(f"kept{number}")
            if raw.null_count < len(raw):
                some = pa.table(
                    {"rid": table.column("rid"), "path": pa.array([path] * len(raw), pa.string()), "raw": raw}
                )
                self.kept.append(some.filter(pc.is_valid(raw)).cast(assemble.KEPT))

    def _call(self, source: str, calls: tuple[Call, ...]) -> None:
        """Register ``called``: the source with the answers of each Python function appended, in its own row order."""
        table = self._query(source)
        self._register("called", table)
        for call in calls:
            listed = ", ".join(f"{argument} AS a{number}" for number, argument in enumerate(call.arguments)) or "rid"
            table = table.append_column(call.column, self._answers(call, self._query(f"SELECT {listed} FROM called")))
            self._register("called", table)

    def _answers(self, call: Call, arguments: pa.Table) -> pa.Array:
        if call.hook:
            function = guarded(call.function, self.compiled.hooks[call.function], call.path)
            columns = arguments.columns if call.arguments else []
            made = on_distinct(function, columns, nulls=True) if columns else [function()] * arguments.num_rows
            return pa.array(made, pa.string())
        function = NORMALISERS[call.function]
        if not call.is_list:
            return pa.array(on_distinct(function, arguments.columns, nulls=False), pa.string())
        lists = arguments.column(0).combine_chunks()
        rows = pc.list_parent_indices(lists)
        flat = [pa.chunked_array([pc.list_flatten(lists)]), *(column.take(rows) for column in arguments.columns[1:])]
        answers = pa.array(on_distinct(function, flat, nulls=False), pa.string())
        offsets = np.concatenate(
            [[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False))]
        )
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), answers, mask=pc.is_null(lists))

    def count_warnings(self, emitted: list[pa.Table]) -> None:
        """Count the warnings of records that were mapped."""
        bad = pa.array(list(self.bad), pa.int64())
        for statement, table in zip(self.compiled.statements.emits, emitted, strict=True):
            for index, path in enumerate(statement.warnings):
                reasons = table.column(f"w{index}")
                if reasons.null_count == len(reasons):
                    continue
                good = reasons.filter(pc.invert(pc.is_in(table.column("rid"), bad)))
                for entry in good.drop_null().value_counts().to_pylist():
                    self.warnings[path, entry["values"]] += entry["counts"]
