"""Reading documents: the columns that a stream's emits need, from the record, its parent, or the elements of a list.

Each column has SQL that is right for any document, and cheaper SQL for what the documents of one batch can hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from connectors.sdk import paths
from connectors.sdk.mapping import duckdb_paths as jp
from connectors.sdk.mapping import duckdb_sql as dx
from connectors.sdk.mapping import tree
from connectors.sdk.mapping.shape import MAX_DEPTH

if TYPE_CHECKING:
    from connectors.sdk.mapping.shape import DocumentShape

_CONTAINERS: Final = "('OBJECT', 'ARRAY')"


@dataclass(frozen=True)
class ColumnSql:
    """A column read from documents: SQL that is right for any document, and cheaper SQL for what a batch can hold.

    ``plain`` is right where the node is never an object or a list, ``nothing`` where it has no value at all.
    """

    name: str
    general: str
    plain: str
    nothing: str
    node: paths.Path | None

    def sql(self, shape: DocumentShape | None) -> str:
        """Return the cheapest SQL that is right for documents of this shape."""
        if shape is None or self.node is None:
            return self.general
        kinds = shape.kinds(self.node)
        if not kinds:
            return self.nothing
        return self.plain if kinds == {"scalar"} else self.general


@dataclass(frozen=True)
class SheetSql:
    """The statement that reads one kind of document; ``node`` is where its documents are, if not the record itself."""

    name: str
    head: str
    columns: tuple[ColumnSql, ...]
    tail: str
    node: paths.Path | None = None

    def sql(self, shape: DocumentShape | None = None) -> str:
        """Return the statement for documents of this shape, or for any."""
        made = f"{self.head}{''.join(f', {column.sql(shape)} AS {column.name}' for column in self.columns)}{self.tail}"
        if shape is None or self.node is None or self.node in shape.types:
            return made
        return f"SELECT * FROM ({made}) WHERE false"


@dataclass
class Sheet:
    """The columns read from one kind of document: the record, its parent, or the elements of one list."""

    document: str
    prefix: str
    vector: str
    place: paths.Path | None = ()
    columns: dict[tuple[paths.Path, tree.Shape, bool], ColumnSql] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)

    def column(self, read: tree.Read, *, guarded: bool) -> dx.Sql:
        """Return a read's column; ``guarded``: an object or a list there must not pass for a text."""
        key = (read.path, read.shape, guarded)
        if key not in self.columns:
            self.columns[key] = self._column(f"{self.prefix}{len(self.columns)}", read, guarded)
        return dx.Sql(self.columns[key].name, read.shape is tree.Shape.LIST)

    def _column(self, name: str, read: tree.Read, guarded: bool) -> ColumnSql:
        text = self._definition(read)
        nothing = "NULL::VARCHAR[]" if read.shape is tree.Shape.LIST else "NULL::VARCHAR"
        node = None if self.place is None else _node((*self.place, *read.path))
        if not guarded:
            return ColumnSql(name, text, text, nothing, node)
        kinds = jp.types(self.document, read.path)
        general = f"CASE WHEN coalesce({kinds}[1] IN {_CONTAINERS}, false) THEN NULL ELSE {text} END"
        return ColumnSql(name, general, text, nothing, node)

    def _definition(self, read: tree.Read) -> str:
        if read.shape is tree.Shape.LIST:
            found = jp.texts(self.document, read.path)
            return f"CASE WHEN len({found}) > 0 THEN {found} END"
        if read.shape is tree.Shape.JSON:
            raw = f"{jp.elements(self.document, read.path)}[1]" if not jp.is_plain(read.path) else self._raw(read)
            return f"nullif(CAST({raw} AS VARCHAR), 'null')"
        return self._plain(read) if jp.is_plain(read.path) else jp.text(self.document, read.path)

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

    def made(self, name: str, head: str, tail: str) -> SheetSql:
        """Return the statement that reads all columns asked for."""
        return SheetSql(name, head, tuple(self.columns.values()), tail, None if not self.place else _node(self.place))


def elements(index: int, path: paths.Path, sheet: Sheet) -> SheetSql:
    """Return the statement that reads the elements of the list at ``path``."""
    tail = (
        f"\nFROM (SELECT *, {sheet.vectors()}\n"
        f"FROM (SELECT rid, source_key, unnest(found) AS element, generate_subscripts(found, 1) AS position\n"
        f"FROM (SELECT rid, source_key, {jp.elements('payload', path)} AS found FROM documents)) "
        "WHERE element IS NOT NULL)"
    )
    return sheet.made(f"elements_{index}", "SELECT rid, source_key, position", tail)


def _node(path: paths.Path) -> paths.Path | None:
    """Return where the shape of documents tells of a path, None where it does not (parts of texts, members, too deep)."""
    known = 0 < len(path) < MAX_DEPTH - 1 and not any(isinstance(step, paths.Pieces | paths.Members) for step in path)
    return jp.generalised(path) if known else None
