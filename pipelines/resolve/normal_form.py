"""One record in the form that is compared, made by the expressions that all records go through, without a statement.

The expressions are the model's and those of ``features``, ``finish`` and ``blocking``: SQL, evaluated here for one row. So a
record costs microseconds where a statement costs its planning.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.resolve import blocking, finish, sql
from pipelines.resolve.cannot_link import CannotLinks
from pipelines.resolve.deterministic import KINDS
from pipelines.resolve.evaluate import compiled
from pipelines.resolve.features import cleaned_exprs, known_exprs, norm_exprs, normal, not_blocked
from pipelines.resolve.functions import hash_of
from pipelines.resolve.guards import OWN
from pipelines.resolve.index import line_schema, written_held
from pipelines.resolve.match_view import ROLE_EMPLOYEE
from pipelines.resolve.short_forms import FORMS, full_names
from pipelines.store.match_blocks import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy

    Said = tuple[str, str, bool]
    """Kind, normal form and whether it is verified of a value that a record holds."""

_UNASSIGNED = "Cn"


class NormalForm:
    """The normal form of records under one model; it is made once, in milliseconds, and keeps nothing of a record."""

    def __init__(self, model: MatchModel, policy: Policy) -> None:
        self.threshold, self.cannot_links = model.threshold, CannotLinks.of(model, policy)
        self.names = line_schema(model.features).names
        self._limit = policy.shared_value_names
        self._listed = [(f.kind, f.column) for f in model.features if f.kind in KINDS]
        self._reducible = [(f.kind, f.column) for f in model.features if f.kind in finish.WITHOUT_SHARED]
        self._columns = {f.column for f in model.features}
        con = duckdb.connect()
        try:
            self._cleaned = self._named(con, cleaned_exprs())
            self._norm = self._named(con, norm_exprs(model.features))
            self._known = self._named(con, known_exprs(model.features))
            self._parts = self._named(con, finish.part_exprs(model.features))
            self._normal = self._named(con, {kind: normal(kind, "x") for kind in KINDS})
            self._blocked = compiled(con, [f"y IS NOT NULL{not_blocked('identifier', policy)}"])[0]
            parts, several, self._keys = blocking.key_parts(model.atoms, model.keys)
            self._atom_of, self._values_of = self._named(con, parts), dict(self._named(con, several))
            self._sound = compiled(con, [sql.phonetic("family")])[0]
        finally:
            con.close()

    def column_of(self, kind: str) -> str:
        """Return the column of a kind of value that is left out where too many share it; others have none."""
        return dict(self._reducible).get(kind, "")

    @staticmethod
    def _named(con: duckdb.DuckDBPyConnection, exprs: Mapping[str, str]) -> list[tuple[str, Any]]:
        return list(zip(exprs, compiled(con, exprs.values()), strict=True))

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Tell whether all letters of a record are known here as to DuckDB, whose tables of Unicode are newer."""
        texts = [text for value in record.values() for text in (value if isinstance(value, list) else [value])]
        return all(
            text.isascii() or all(unicodedata.category(letter) != _UNASSIGNED for letter in text)
            for text in texts
            if isinstance(text, str)
        )

    def said(self, record: Mapping[str, Any]) -> tuple[dict[str, Any], list[Said]]:
        """Return what a record of the match table says by itself: its columns of ``norm``, and what it holds."""
        given = dict(record)
        given.update({name: make(given) for name, make in self._cleaned})
        row = {"is_stub": bool(given.get("is_stub")), "employee": given.get("role_class") == ROLE_EMPLOYEE}
        row |= {name: make(given) for name, make in self._norm}
        row |= {name: make(row) for name, make in self._known}
        return self._with_own(row), self._held(given, row)

    def _with_own(self, row: dict[str, Any]) -> dict[str, Any]:
        return {OWN[column]: row[column] for _, column in self._reducible if column in OWN} | row

    def _held(self, given: Mapping[str, Any], row: Mapping[str, Any]) -> list[Said]:
        normal_of = dict(self._normal)
        values = [(kind, value) for kind, column in self._listed for value in row[column] or ()]
        numbers = {normal_of["identifier"]({"x": each}) for each in given.get("identifiers") or ()} - {None}
        values += [("identifier", each) for each in sorted(numbers) if self._blocked({"y": each})]
        sure = set()
        for told in given.get("verified") or ():
            sure.add(("identifier", normal_of["identifier"]({"x": told})))
            kind, _, value = told.partition("=")
            if kind in normal_of and kind != "identifier":
                sure.add((kind, normal_of[kind]({"x": value})))
        return sorted((kind, value, (kind, value) in sure) for kind, value in values)

    def reduced(
        self, row: Mapping[str, Any], held: Iterable[Said], counts: Mapping[tuple[str, str], tuple[int, int]]
    ) -> dict[str, Any]:
        """Leave out of the comparison what too many names share, and of the own values what several given names share.

        ``counts`` has names and initials of values that are shared.
        """
        result = self._with_own({name: row[name] for name in self.names if name not in OWN.values()})
        for kind, column in self._reducible:
            mine = {value: counts.get((kind, value), (0, 1)) for of, value, _ in held if of == kind}
            result[column] = sorted(mine) or None
            if column in OWN:
                result[OWN[column]] = result[column]
            if any(names > self._limit or initials > 1 for names, initials in mine.values()):
                result[column] = [each for each in sorted(mine) if mine[each][0] <= self._limit] or None
                if column in OWN:
                    result[OWN[column]] = [each for each in sorted(mine) if mine[each][1] <= 1] or None
        return result

    def whole(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row with the columns that are made of others."""
        result = dict(row)
        if "family" in self._columns:
            result["family_sound"] = self._sound(row)
        if "given" in self._columns:
            forms = full_names().get(row["given"] or "")
            result[FORMS] = list(forms) if forms else None
        result.update({name: make(result) for name, make in self._parts})
        return result

    def keys(self, row: Mapping[str, Any]) -> list[int]:
        """Return the blocking keys of a whole row; a stub has none."""
        if row["is_stub"]:
            return []
        atoms = {name: make(row) for name, make in self._atom_of}
        hashes = {name: hash_of(value) for name, value in atoms.items() if value is not None}
        return [
            blocking.key_hash(number, row["employee"], parts)
            for number, key in self._keys
            if all(name in hashes for name in key)
            for parts in ([hashes[name] for name in key], *self._others(key, row, atoms))
        ]

    def _others(self, key: tuple[str, ...], row: Mapping[str, Any], atoms: Mapping[str, Any]) -> list[list[int]]:
        """Return the hashes of a list's second value and those after it, where the key is one list's values alone."""
        values = self._values_of[key[0]](row) if len(key) == 1 and key[0] in self._values_of else None
        return [[hash_of(value)] for value in values or () if value and value != atoms[key[0]]]

    def line(self, record: int, ref: str, row: Mapping[str, Any], held: Iterable[Said]) -> Line:
        """Return the line of a record in the match index."""
        return Line(record, ref, [row[name] for name in self.names], written_held(held))

    def row(self, line: Line) -> dict[str, Any]:
        """Return the whole row of a line of the match index."""
        return self.whole(dict(zip(self.names, line.features, strict=True)))


def value_hash(kind: str, value: str) -> int:
    """Return the hash under which the index has a value; ``index.VALUE_HASH`` is the SQL of it."""
    return hash_of("value", kind, value)
