"""One stream's tree → the SQL statements that turn documents into typed rows with their problems and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.sdk.mapping import duckdb_paths as jp
from connectors.sdk.mapping import duckdb_sql as dx
from connectors.sdk.mapping import tree
from connectors.sdk.mapping.duckdb_types import Typed, convert, quote
from connectors.sdk.mapping.normalisers import ERROR, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.sdk import paths

CONTAINERS = "('OBJECT', 'ARRAY')"


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

    base: str
    sheets: tuple[tuple[str, str], ...]
    emits: tuple[EmitSql, ...]

    def __str__(self) -> str:
        parts = [f"-- base\n{self.base}"]
        parts += [f"-- {name}\n{sql}" for name, sql in self.sheets]
        for part in self.emits:
            called = "".join(
                f"-- {call.column} = {call.function}({', '.join(call.arguments)})\n" for call in part.calls
            )
            parts.append(f"-- {part.emit.entity}\n{called}{part.sql}")
        return ";\n".join(parts) + ";\n"


@dataclass
class _Sheet:
    """The columns read from one kind of document: the record, its parent, or the elements of one list."""

    document: str
    prefix: str
    vector: str
    columns: dict[tuple[paths.Path, tree.Shape, bool], str] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)

    def column(self, read: tree.Read, *, guarded: bool) -> dx.Sql:
        is_list = read.shape is tree.Shape.LIST
        key = (read.path, read.shape, guarded)
        if key not in self.columns:
            self.columns[key] = f"{self.prefix}{len(self.columns)}"
            self.definitions.append(f"{self._definition(read, guarded)} AS {self.columns[key]}")
        return dx.Sql(self.columns[key], is_list)

    def _definition(self, read: tree.Read, guarded: bool) -> str:
        if read.shape is tree.Shape.LIST:
            found = jp.texts(self.document, read.path)
            return f"CASE WHEN len({found}) > 0 THEN {found} END"
        if read.shape is tree.Shape.JSON:
            raw = f"{jp.elements(self.document, read.path)}[1]" if not jp.is_plain(read.path) else self._raw(read)
            return f"nullif(CAST({raw} AS VARCHAR), 'null')"
        text = self._plain(read) if jp.is_plain(read.path) else jp.text(self.document, read.path)
        if not guarded:
            return text
        kinds = jp.types(self.document, read.path)
        return f"CASE WHEN coalesce({kinds}[1] IN {CONTAINERS}, false) THEN NULL ELSE {text} END"

    def _raw(self, read: tree.Read) -> str:
        return f"json_extract({self.document}, {jp.pointer(read.path)})"

    def _plain(self, read: tree.Read) -> str:
        pointer = jp.pointer(read.path)
        if pointer not in self.pointers:
            self.pointers.append(pointer)
        return f"nullif({self.vector}[{self.pointers.index(pointer) + 1}], '')"

    def vectors(self) -> str:
        """Return the SQL of the one multi-path extraction that the plain columns are taken from."""
        if not self.pointers:
            return f"[]::VARCHAR[] AS {self.vector}"
        return f"json_extract_string({self.document}, [{', '.join(self.pointers)}]) AS {self.vector}"

    def listed(self) -> str:
        return "".join(f", {definition}" for definition in self.definitions)


class Statements:
    """Builds the statements of one stream."""

    def __init__(self, stream: tree.StreamTree) -> None:
        self.stream = stream
        self.record, self.parent = _Sheet("payload", "r", "v"), _Sheet("parent", "p", "u")
        self.lists: dict[paths.Path, _Sheet] = {}
        self.containers = _containers(stream)

    def build(self) -> StreamSql:
        """Return all statements; the emits come first because they say which columns the sheets need."""
        emits = tuple(self._emit(emit) for emit in self.stream.emits)
        base = (
            f"SELECT rid, source_key{self.record.listed()}{self.parent.listed()}\n"
            f"FROM (SELECT *, {self.record.vectors()}, "
            f"{self.parent.vectors()} FROM documents)"
        )
        sheets = tuple(
            (f"elements_{index}", _elements(path, sheet)) for index, (path, sheet) in enumerate(self.lists.items())
        )
        return StreamSql(base, sheets, emits)

    def _sheet(self, each: paths.Path | None) -> tuple[str, _Sheet]:
        if each is None:
            return "base", self.record
        if each not in self.lists:
            self.lists[each] = _Sheet("element", f"e{len(self.lists)}_", "v")
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


def _elements(path: paths.Path, sheet: _Sheet) -> str:
    return (
        f"SELECT rid, source_key, position{sheet.listed()}\nFROM (SELECT *, {sheet.vectors()}\n"
        f"FROM (SELECT rid, source_key, unnest(found) AS element, generate_subscripts(found, 1) AS position\n"
        f"FROM (SELECT rid, source_key, {jp.elements('payload', path)} AS found FROM documents)) "
        "WHERE element IS NOT NULL)"
    )


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
