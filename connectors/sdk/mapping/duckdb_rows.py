"""One stream's tree → the SQL statements that turn documents into typed rows with their problems and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from connectors.sdk import paths
from connectors.sdk.mapping import duckdb_paths as jp
from connectors.sdk.mapping import duckdb_sql as dx
from connectors.sdk.mapping import tree
from connectors.sdk.mapping.duckdb_sheets import Sheet, SheetSql, elements
from connectors.sdk.mapping.duckdb_types import Typed, convert, quote
from connectors.sdk.mapping.normalisers import ERROR, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class EmitSql:
    """The statement of one emit: columns rid, row_key, ``t<i>`` per term, problems, ``w<j>`` reasons, ``kept<j>`` raws.

    With ``calls`` it reads the table ``called``: that of ``source`` with a column per call appended.
    """

    emit: tree.Emit
    sql: str
    source: str
    calls: tuple[dx.Call, ...]
    warnings: tuple[str, ...]
    kept: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class StreamSql:
    """The statements of one stream, in the order they run."""

    base: SheetSql
    sheets: tuple[SheetSql, ...]
    emits: tuple[EmitSql, ...]

    def __str__(self) -> str:
        parts = [f"-- {sheet.name}\n{sheet.sql()}" for sheet in (self.base, *self.sheets)]
        for part in self.emits:
            called = "".join(
                f"-- {call.column} = {call.function}({', '.join(call.arguments)})\n" for call in part.calls
            )
            parts.append(f"-- {part.emit.entity}\n{called}{part.sql}")
        return ";\n".join(parts) + ";\n"


class Statements:
    """Builds the statements of one stream."""

    def __init__(self, stream: tree.StreamTree) -> None:
        self.stream = stream
        self.record, self.parent = Sheet("payload", "r", "v"), Sheet("parent", "p", "u", None)
        self.lists: dict[paths.Path, Sheet] = {}
        self.containers = _containers(stream)

    def build(self) -> StreamSql:
        """Return all statements; the emits come first because they say which columns the sheets need."""
        emits = tuple(self._emit(emit) for emit in self.stream.emits)
        vectors = f"{self.record.vectors()}, {self.parent.vectors()}"
        base = self.record.made("base", "SELECT rid, source_key", f"\nFROM (SELECT *, {vectors} FROM documents)")
        base = replace(base, columns=(*base.columns, *self.parent.columns.values()))
        sheets = tuple(elements(index, path, sheet) for index, (path, sheet) in enumerate(self.lists.items()))
        return StreamSql(base, sheets, emits)

    def _sheet(self, each: paths.Path | None) -> tuple[str, Sheet]:
        if each is None:
            return "base", self.record
        if each not in self.lists:
            self.lists[each] = Sheet("element", f"e{len(self.lists)}_", "v", each)
        return f"elements_{list(self.lists).index(each)}", self.lists[each]

    def _emit(self, emit: tree.Emit) -> EmitSql:
        name, own = self._sheet(emit.each)
        used: set[tree.Root] = set()
        columns: dict[str, None] = {}

        def column(read: tree.Read) -> dx.Sql:
            used.add(read.root)
            sheet = {tree.Root.RECORD: self.record, tree.Root.PARENT: self.parent}.get(read.root, own)
            where = jp.generalised(tree.full_path(read, emit.each))
            guarded = read.shape is tree.Shape.SCALAR and (read.lenient or where in self.containers)
            found = sheet.column(read, guarded=guarded and read.root is not tree.Root.PARENT)
            columns[found.text] = None
            return found

        statement = _EmitStatement(emit, column)
        statement.collect()
        joined = emit.each is not None and used - {tree.Root.ELEMENT}
        source = f"{name} JOIN (SELECT * EXCLUDE (source_key) FROM base) USING (rid)" if joined else name
        return statement.finish(f"SELECT {', '.join(['rid', 'source_key', *columns])} FROM {source}")


def _containers(stream: tree.StreamTree) -> set[paths.Path]:
    """Return the nodes that some read passes through: a scalar read of one must not see an object as text."""
    found: set[paths.Path] = set()
    for emit in stream.emits:
        for read in tree.reads(emit):
            if read.root is not tree.Root.PARENT:
                path = jp.generalised(tree.full_path(read, emit.each))
                found.update(path[:end] for end in range(len(path)))
                found.update({path} if read.shape is tree.Shape.JSON else ())
        if emit.each is not None:
            found.update(jp.generalised(emit.each)[:end] for end in range(len(emit.each) + 1))
    return found - {
        jp.generalised(emit.each) for emit in stream.emits if emit.each is not None and _reads_element(emit)
    }


def _reads_element(emit: tree.Emit) -> bool:
    return any(read.root is tree.Root.ELEMENT and not read.path for read in tree.reads(emit))


@dataclass
class _EmitStatement:
    """Three layers: raw texts, typed values, problems; so that no expression is evaluated twice."""

    emit: tree.Emit
    column: Callable[[tree.Read], dx.Sql]
    raw: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    keeps: list[tuple[str, str]] = field(default_factory=list)

    calls: list[dx.Call] = field(default_factory=list)
    condition: str = "true"

    def collect(self) -> None:
        """Emit every expression; afterwards it is known which columns are read."""
        emitter = dx.Emitter(self.column, self.emit.each, calls=self.calls)
        if self.emit.when is not None:
            self.condition = emitter.condition(self.emit.when)
        self._key(emitter)
        for index, term in enumerate(self.emit.terms):
            self._term(index, term)
        for index, (sql, _) in enumerate(self.notes):
            self.typed.append(f"{sql} AS w{index}")
        for index, (sql, _) in enumerate(self.keeps):
            self.typed.append(f"{sql} AS kept{index}")

    def finish(self, source: str) -> EmitSql:
        """Return the statement over ``source``."""
        return EmitSql(
            self.emit,
            self._statement("called" if self.calls else f"({source})"),
            source,
            tuple(self.calls),
            tuple(path for _, path in self.notes),
            tuple((index, path) for index, (_, path) in enumerate(self.keeps)),
        )

    def _statement(self, source: str) -> str:
        terms = "".join(f", t{index}" for index in range(len(self.emit.terms)))
        notes = "".join(f", w{index}" for index in range(len(self.notes)))
        keeps = "".join(f", kept{index}" for index in range(len(self.keeps)))
        raw = f"SELECT rid, source_key, {', '.join(self.raw)} FROM {source} WHERE {self.condition}"
        raws = [f"x{index}" for index in range(len(self.emit.terms))]
        typed = f"SELECT rid, {', '.join(['k', *self.typed, *raws])}\nFROM ({raw})"
        found = (
            f"list_filter([{', '.join(self.problems)}], lambda p: p IS NOT NULL)" if self.problems else "[]::VARCHAR[]"
        )
        any_of = " OR ".join(f"({problem}) IS NOT NULL" for problem in self.problems) or "false"
        problems = f"CASE WHEN {any_of} THEN {found} END AS problems"
        rows = f"SELECT rid, {self._row_key()} AS row_key{terms}, {problems}{notes}{keeps}"
        made = f"{rows}\nFROM ({typed})"
        if not isinstance(self.emit.key, tree.HashKey):
            return made
        ordinal = "row_number() OVER (PARTITION BY rid, row_key)"
        key = f"row_key || CASE WHEN {ordinal} > 1 THEN '-' || {ordinal} ELSE '' END"
        return f"SELECT * REPLACE ({key} AS row_key) FROM ({made})"

    def _key(self, emitter: dx.Emitter) -> None:
        if isinstance(self.emit.key, tree.HashKey):
            self.raw.append("NULL::VARCHAR AS k")
            return
        value = emitter.expression(self.emit.key)
        if isinstance(self.emit.key, tree.Const):
            self.raw.append(f"{quote(self.emit.key.value)} AS k")
            return
        self.raw.append(f"{value.text} AS k")
        path = emitter.path_of(self.emit.key, "key")
        missing = dx.failure(f"row key of {self.emit.entity} is missing", path)
        failed = f"WHEN starts_with(k, '{ERROR}') THEN k " if value.fallible else ""
        self.problems.append(f"CASE {failed}WHEN k IS NULL THEN {missing} END")

    def _row_key(self) -> str:
        if not isinstance(self.emit.key, tree.HashKey):
            return "nfc_normalize(k)"
        own = [index for index, term in enumerate(self.emit.terms) if not _is_self(term)]
        packed = ", ".join(f"t{index}" for index in own) or "NULL"
        return (
            f"substr(md5(CAST(to_json([{', '.join(f'to_json(t{index})' for index in own)}]) AS VARCHAR)), 1, 16)"
            if own
            else packed
        )

    def _term(self, index: int, term: tree.Convert) -> None:
        targets = dx.targets_of(term)
        emitter = dx.Emitter(self.column, self.emit.each, targets, self.calls)
        value = emitter.expression(term.of)
        if term.multi and not value.is_list:
            value = dx.Sql(f"CASE WHEN {value.text} IS NOT NULL THEN [{value.text}] END", True, value.fallible)
        x, t, path = f"x{index}", f"t{index}", emitter.path_of(term, term.term)
        self.raw.append(f"{value.text} AS {x}")
        made = Typed(dx.reference(targets, x), None) if targets else convert(term, x)
        failed = _failed(x, value)
        self.typed.append(f"{f'CASE WHEN {failed} IS NULL THEN {made.value} END' if failed else made.value} AS {t}")
        self._problem(term, (x, t, path), made, failed)
        self._notes_of(index, term, emitter, (x, path))
        if term.lenient and (made.reason or failed):
            self._lenient(index, term, (x, path), made, failed)

    def _problem(self, term: tree.Convert, names: tuple[str, str, str], made: Typed, failed: str | None) -> None:
        x, t, path = names
        whens = [f"WHEN {failed} IS NOT NULL THEN {failed}"] if failed and not term.lenient else []
        if made.reason is not None and not term.lenient:
            whens.append(
                f"WHEN {x} IS NOT NULL AND {t} IS NULL THEN '{ERROR}' || {made.reason} || {quote(SEPARATOR + path)}"
            )
        if term.required:
            whens.append(
                f"WHEN {t} IS NULL THEN {dx.failure(f'{self.emit.entity} needs {term.term}, which is missing', path)}"
            )
        if whens:
            self.problems.append(f"CASE {' '.join(whens)} END")

    def _lenient(self, index: int, term: tree.Convert, names: tuple[str, str], made: Typed, failed: str | None) -> None:
        x, path = names
        reason = made.reason or "''"
        if failed:
            told = f"split_part(substr({failed}, 2), '{SEPARATOR}', 1)"
            reason = f"CASE WHEN {failed} IS NOT NULL THEN {told} ELSE {reason} END"
        bad = f"{x} IS NOT NULL AND ({made.value}) IS NULL" + (f" OR {failed} IS NOT NULL" if failed else "")
        self.notes.append((f"CASE WHEN {bad} THEN {reason} END", path))
        first = next(iter(tree.reads(term)), None)
        if first is not None:
            self.raw.append(f"{self.column(first).text} AS l{index}")
            self.keeps.append((f"CASE WHEN {bad} THEN CAST(to_json(l{index}) AS VARCHAR) END", path))

    def _notes_of(self, index: int, term: tree.Convert, emitter: dx.Emitter, names: tuple[str, str]) -> None:
        x, path = names
        for number, node in enumerate(tree.walk(term)):
            if isinstance(node, tree.Lookup) and node.otherwise != "error":
                name = f"q{index}_{number}"
                self.raw.append(f"{dx.unknown_in(emitter, node)} AS {name}")
                what = {"keep": "kept", "null": "left out"}.get(node.otherwise, f"taken as '{node.constant}'")
                note = quote(f"value not in lookup '{node.name}': {what}")
                self.notes.append((f"CASE WHEN {name} THEN {note} END", emitter.path_of(node, term.term)))
        partial = dx.partial_reads(term)
        if partial is not None:
            read, transform = partial
            self.raw.append(f"{self.column(read).text} AS g{index}")
            nothing = f"g{index} IS NOT NULL AND {x} IS NULL"
            self.notes.append((f"CASE WHEN {nothing} THEN {quote(f'{transform} gives nothing')} END", path))
            if term.lenient:
                self.keeps.append((f"CASE WHEN {nothing} THEN CAST(to_json(g{index}) AS VARCHAR) END", path))


def _failed(x: str, value: dx.Sql) -> str | None:
    """Return SQL for the failure that a raw text holds (NULL when it holds none); None when it cannot hold one."""
    if not value.fallible:
        return None
    if value.is_list:
        return f"list_filter({x}, lambda f: starts_with(f, '{ERROR}'))[1]"
    return f"CASE WHEN starts_with({x}, '{ERROR}') THEN {x} END"


def _is_self(term: tree.Convert) -> bool:
    return isinstance(term.of, tree.Reference) and isinstance(term.of.of, tree.SourceKey)
