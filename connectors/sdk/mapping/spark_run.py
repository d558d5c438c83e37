"""A compiled stream on Spark: workers read the documents, Spark computes the emits, the driver puts the rows together.

Documents are read by the same SQL and the same reader as without Spark, part by part, where the parts are: Spark's own JSON
functions cannot tell a text from an object, write 12345678.5 as 1.23456785E7, and give NULL for a retyped member without a
word. What leaves the reader is text, as the vendor wrote it; what becomes of it is said in Spark SQL.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk import paths
from connectors.sdk.mapping import assemble
from connectors.sdk.mapping.coverage import Reader
from connectors.sdk.mapping.expressions import MappingError
from connectors.sdk.mapping.extras import leftover_sql, retyped
from connectors.sdk.mapping.hooks import load_hooks
from connectors.sdk.mapping.normalisers import NORMALISERS, guarded, one_answer
from connectors.sdk.mapping.run import _BAD_DATA, BATCH, CompiledStream, MappedBatch, _Run, open_engine
from connectors.sdk.mapping.spark_rows import PLACE, SparkEmit, function_name, spark_emit
from connectors.sdk.spark import NotOnSpark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from connectors.sdk.mapping.compile import Mapping_
    from connectors.sdk.mapping.duckdb_rows import EmitSql
    from connectors.sdk.mapping.duckdb_sql import Call

_READS: Final = count()
"""Numbers what is read: several streams are mapped at a time."""
_REST: Final = pa.schema([("rid", pa.int64()), ("extras", pa.string())])


class Engine(Protocol):
    """What a Spark session gives (``pipelines.spark``)."""

    @property
    def functions(self) -> set[str]:
        """The Python functions that queries may call."""

    def function(self, name: str, function: Callable[..., Any], kind: str = "string") -> None:
        """Let queries call a Python function."""

    def work(
        self,
        table: pa.Table,
        part: Callable[[pa.Table, int], tuple[Mapping[str, pa.Table], Any]],
        shape: Mapping[str, Sequence[str]],
        name: str,
    ) -> list[Any]:
        """Let workers run ``part`` over the parts of a table."""

    def fetch_all(self, queries: Sequence[str]) -> list[pa.Table]:
        """Return the rows of several queries, computed in one go."""

    def take(self, name: str) -> pa.Table:
        """Return a table that is kept."""

    def drop(self, name: str) -> None:
        """Forget a table."""


@dataclass
class Told:
    """What reading a part told besides its tables."""

    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    used: set[str] = field(default_factory=set)

    def add(self, other: Told) -> None:
        """Take in what another part told."""
        self.bad |= other.bad
        self.used |= other.used
        for mine, theirs in (
            (self.warnings, other.warnings), (self.unmapped, other.unmapped), (self.ignored, other.ignored),
        ):  # fmt: skip
            mine.update(theirs)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class SparkStream:
    """One stream's mapping on Spark: the same batch gives the same as ``CompiledStream``."""

    compiled: CompiledStream
    mapping: Mapping_
    engine: Engine

    @cached_property
    def emits(self) -> tuple[SparkEmit, ...]:
        """The emits for Spark, their Python functions known to the session; a form that Spark lacks is refused here."""
        made = tuple(self._emit(emit) for emit in self.compiled.statements.emits)
        for call in (call for emit in self.compiled.statements.emits for call in emit.calls):
            name = function_name(call, self.mapping.connector)
            if call.hook or name not in self.engine.functions:
                self.engine.function(
                    name, _python(call, self._hooks_file), "array<string>" if call.is_list else "string"
                )
        return made

    def _emit(self, emit: EmitSql) -> SparkEmit:
        try:
            made = spark_emit(emit, self.mapping.connector)
            made.sql("read", {})
        except NotOnSpark as why:
            raise MappingError(
                f"the emit of '{emit.emit.entity}' has no exact form on Spark",
                where=str(self.mapping.file),
                why=str(why),
                do="say it in another way, or set engine: duckdb",
            ) from why
        return made

    @property
    def _hooks_file(self) -> Path:
        return self.mapping.file.with_name("hooks.py")

    def run(self, batch: pa.Table, *, timezone: str | None = None, default_region: str | None = None) -> MappedBatch:
        """Map one batch (columns of BATCH)."""
        batch = batch.select(BATCH.names).cast(BATCH)
        is_delete = pc.equal(batch.column("op"), "delete")
        deleted = tuple(batch.filter(is_delete).column("source_key").to_pylist())
        live = batch.filter(pc.invert(pc.fill_null(is_delete, False)))
        variables = {"timezone": timezone, "default_region": default_region}
        told, emitted, leftovers, kept = self._computed(live, variables)
        connection = open_engine(timezone, default_region)
        try:
            run = _Run(self.compiled, connection, batch, told.bad, told.warnings, kept)
            tables = [self._finished(connection, index, table) for index, table in enumerate(emitted)]
            for index, table in enumerate(tables):
                run.note(index, table)
            rest = leftovers if leftovers.num_rows else None
            extras = assemble.extras_column(connection, live.num_rows, rest, run.kept)
            rows = assemble.Assembly(self.compiled, live, connection).rows(tables, extras, run.bad, run.warnings)
            run.count_warnings(tables)
        finally:
            connection.close()
        rules = {rule.text for rule in self.compiled.tree.ignores}
        return MappedBatch(
            read=batch.num_rows,
            mapped=batch.num_rows - len(run.bad),
            rows=MappingProxyType(rows),
            quarantine=assemble.quarantined(live, run.bad),
            deleted=deleted,
            warnings=MappingProxyType(dict(sorted(run.warnings.items()))),
            unmapped=MappingProxyType({path: count for path, count in told.unmapped.items() if count}),
            ignored=MappingProxyType(dict(told.ignored)),
            unused=tuple(sorted(rules - told.used)),
        )

    def _computed(
        self, live: pa.Table, variables: Mapping[str, str | None]
    ) -> tuple[Told, list[pa.Table], pa.Table, list[pa.Table]]:
        """Let the workers read and Spark compute; return what was told, the emits, the leftovers and the kept values."""
        emits = self.emits
        shape = {f"source{index}": _columns(emit) for index, emit in enumerate(self.compiled.statements.emits)}
        shape |= {"leftovers": _REST.names, "kept": assemble.KEPT.names}
        told, name = Told(), f"read{next(_READS)}"
        # One part: what is left over and what is ignored is judged by the shape of the whole batch.
        for part in self.engine.work(live, partial(read_part, replace(self.compiled, hooks={})), shape, name):
            told.add(part)
        emitted = self.engine.fetch_all([emit.sql(f"{name}_source{n}", variables) for n, emit in enumerate(emits)])
        leftovers, kept = self.engine.take(f"{name}_leftovers"), self.engine.take(f"{name}_kept")
        for each in shape:
            self.engine.drop(f"{name}_{each}")
        return told, emitted, leftovers, [kept] if kept.num_rows else []

    def _finished(self, connection: Any, index: int, table: pa.Table) -> pa.Table:
        """Put an emit's rows in order; add the key that is a hash of the row's terms."""
        table = table.sort_by([(PLACE, "ascending")])
        keyed = self.emits[index].keyed
        if keyed is None:
            return table
        connection.register("rows", table)
        made: pa.Table = connection.execute(keyed).to_arrow_table()
        return made


def _columns(emit: EmitSql) -> list[str]:
    """Return the columns of an emit's source: those it selects, and the place."""
    listed = emit.source.removeprefix("SELECT ").partition(" FROM ")[0]
    return [*listed.split(", "), PLACE]


def _python(call: Call, hooks: Path) -> Callable[..., Any]:
    """Return the function that a query calls, one answer for each row; a worker loads hooks from their own file."""
    if call.hook:
        return partial(_hooked, hooks, call.function, call.path)
    if call.is_list:
        return partial(_each, NORMALISERS[call.function])
    return partial(one_answer, NORMALISERS[call.function], nulls=False)


def _hooked(file: Path, name: str, path: str, *arguments: str | None) -> str | None:
    return one_answer(_hook(file, name, path), *arguments, nulls=True)


@cache
def _hook(file: Path, name: str, path: str) -> Callable[..., str | None]:
    return guarded(name, load_hooks(file)[name], path)


def _each(function: Callable[..., str | None], values: list[str | None] | None, *others: str | None) -> Any:
    return None if values is None else [one_answer(function, value, *others, nulls=False) for value in values]


def read_part(compiled: CompiledStream, part: pa.Table, first: int) -> tuple[Mapping[str, pa.Table], Told]:
    """Read the documents of a part: the sources of the emits, leftovers, kept values; and what else is to be told."""
    connection = open_engine("UTC", None)
    try:
        found = list(_read_safely(compiled, connection, part, first))
    finally:
        connection.close()
    told = Told()
    for _, each in found:
        told.add(each)
    return {name: pa.concat_tables([tables[name] for tables, _ in found]) for name in found[0][0]}, told


def _read_safely(
    compiled: CompiledStream, connection: Any, part: pa.Table, first: int
) -> Iterator[tuple[dict[str, pa.Table], Told]]:
    """Read a part; a record that breaks the engine itself is quarantined alone."""
    try:
        yield _Reading(compiled, connection, part).read(first)
    except _BAD_DATA as error:
        if part.num_rows == 0:
            raise
        if part.num_rows > 1:
            middle = part.num_rows // 2
            yield from _read_safely(compiled, connection, part.slice(0, middle), first)
            yield from _read_safely(compiled, connection, part.slice(middle), first + middle)
        else:
            tables, _ = _Reading(compiled, connection, part.slice(0, 0)).read(first)
            yield tables, Told(bad={first: (f"cannot be mapped: {str(error).splitlines()[0]}", "")})


class _Reading(_Run):
    """The reading half of a pass over one part."""

    def read(self, first: int) -> tuple[dict[str, pa.Table], Told]:
        """Return the tables read, their records numbered from ``first``, and what else is to be told."""
        reader = Reader(self.compiled.tree)
        shape = self._look(self.batch, reader)
        coverage = reader.cover(shape)
        self._check_kinds(retyped([*reader.expectations(), *reader.of_members(shape.types)], shape))
        self._materialise(shape)
        tables = {
            f"source{index}": _placed(self._query(emit.source), first)
            for index, emit in enumerate(self.compiled.statements.emits)
        }
        left = (*coverage.unmapped, *coverage.kept)
        leftovers = self._query(leftover_sql(left, shape)).cast(_REST) if left else _REST.empty_table()
        if left:
            self.connection.register("leftovers", leftovers)
        told = Told(
            {rid + first: problem for rid, problem in self.bad.items()},
            self.warnings,
            Counter(assemble.leftover_counts(self.connection, coverage.unmapped, paths.write)),
            Counter(coverage.ignored),
            set(coverage.used),
        )
        kept = pa.concat_tables([assemble.KEPT.empty_table(), *self.kept])
        tables |= {"leftovers": _numbered(leftovers, first), "kept": _numbered(kept, first)}
        return tables, told


def _numbered(table: pa.Table, first: int) -> pa.Table:
    return table.set_column(0, "rid", pc.add(table.column("rid"), pa.scalar(first, pa.int64())))


def _placed(table: pa.Table, first: int) -> pa.Table:
    """Number the records, and the rows so that they can be put in this order again."""
    order = pc.sort_indices(table.column("rid"))
    table = _numbered(table.take(order), first)
    places = pc.add(
        pc.multiply(table.column("rid"), pa.scalar(1 << 20, pa.int64())), pa.array(range(table.num_rows), pa.int64())
    )
    return table.append_column(PLACE, places)
