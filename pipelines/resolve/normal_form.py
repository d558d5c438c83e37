"""One record in the form that is compared, by the SQL that all records go through, on a connection that stays warm.

Each step is prepared once, so that a record costs executions and no planning.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.resolve import sql
from pipelines.resolve.blocking import keyed_sql
from pipelines.resolve.candidates import Value
from pipelines.resolve.deterministic import held_sql
from pipelines.resolve.features import norm_sql
from pipelines.resolve.finish import WITHOUT_SHARED, finished_sql, short_form_table
from pipelines.resolve.index import VALUE_HASH, shape_of
from pipelines.resolve.match_view import LIST_COLUMNS, ROLE_CUSTOMER, match_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.resolve.features import Feature
    from pipelines.resolve.index import Hashes
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy

_SOURCE = "lookup/record/1"
_WORD = re.compile(r"\w+")


class NormalForm:
    """The normal form of one record at a time, under one model."""

    def __init__(self, model: MatchModel, policy: Policy) -> None:
        from pipelines.resolve.engine import unreliable_systems  # noqa: PLC0415  engine imports what this is made of

        self.threshold, self.unreliable = model.threshold, unreliable_systems(model)
        self._features, self._policy = model.features, policy
        self._shapes: dict[tuple[str, ...], int] = {}
        self._lists = {f.kind: f.column for f in model.features if f.kind in WITHOUT_SHARED}
        attributes = {f.column: [None] for f in model.features if f.kind == "attribute"}
        self._empty = match_table(model.entity, {"source_record_id": [0], "source_ref": [_SOURCE], **attributes})
        self._con = duckdb.connect()
        # What is planned once must not rest on what the tables happened to hold then.
        self._con.execute("SET threads = 1; SET disabled_optimizers = 'statistics_propagation'")
        self._make_tables(model)
        self.names = shape_of(self._con, "last").names
        self._prepare(model)

    def close(self) -> None:
        """Close the connection."""
        self._con.close()

    def _make_tables(self, model: MatchModel) -> None:
        """Make the tables of one record, empty, and views from each to the next."""
        con = self._con
        con.register("one", self._empty.append_column("rid", pa.array([0], pa.int32())))
        con.execute("CREATE TABLE match AS SELECT * FROM one LIMIT 0")
        con.unregister("one")
        columns = [field.name for field in self._empty.schema]
        self._columns = [*columns, "rid"]
        con.execute(f"CREATE TABLE first AS {norm_sql(model.features, columns, set(columns))}")
        con.execute("CREATE VIEW norm AS FROM first")
        if any(feature.column == "family" for feature in model.features):
            con.execute(f"CREATE VIEW sound AS SELECT family, {sql.phonetic('family')} AS family_sound FROM first")
        con.register("forms", short_form_table())
        con.execute("CREATE TABLE short_form AS FROM forms")
        con.unregister("forms")
        for column in self._lists.values():
            con.execute(f"CREATE TABLE reduced_{column} (rid INTEGER, kept VARCHAR[], own VARCHAR[])")
        con.execute(f"CREATE TABLE last AS {finished_sql(model.features)}")

    def _prepare(self, model: MatchModel) -> None:
        con = self._con
        shown = ", ".join(sql.quote(name) for name in self.names)
        con.execute(f"PREPARE finish AS INSERT INTO last {finished_sql(model.features)}")
        con.execute(f"PREPARE keys AS SELECT key FROM ({keyed_sql(model.atoms, model.keys, 'last')})")
        con.execute(f"PREPARE shown AS SELECT json_array({shown})::VARCHAR FROM last")

    def take(self, record: Mapping[str, Any]) -> list[Value]:
        """Take a record; return what it holds."""
        con, given = self._con, dict(record)
        plain = {name: self._given(name, given.get(name)) for name in self._columns}
        shape = self._shape(tuple(name for name, value in plain.items() if value in (None, [])))
        values = ", ".join(_literal(value) for value in plain.values())
        emptied = ("match", "first", "last", *(f"reduced_{column}" for column in self._lists.values()))
        con.execute("; ".join([*(f"TRUNCATE {table}" for table in emptied), f"INSERT INTO match VALUES ({values})"]))
        con.execute(f"EXECUTE take_{shape}")
        found = con.execute(f"EXECUTE held_{shape}").fetchall()
        return [Value(kind, value, sure, hashed, self._lists.get(kind, "")) for kind, value, sure, hashed in found]

    def _shape(self, lacking: tuple[str, ...]) -> int:
        """Return the number of the statements for records that lack these columns: what is not there costs nothing."""
        known = self._shapes.get(lacking)
        if known is not None:
            return known
        number = self._shapes[lacking] = len(self._shapes)
        absent = [
            f"{'[]::VARCHAR[]' if name in LIST_COLUMNS else 'NULL::VARCHAR'} AS {sql.quote(name)}" for name in lacking
        ]
        source = f"(SELECT * REPLACE ({', '.join(absent)}) FROM match)" if absent else "match"
        columns = self._columns[:-1]
        given = set(columns) - set(lacking)
        features = tuple(f if _reads(f, given) else replace(f, expr="NULL") for f in self._features)
        norm = norm_sql(features, columns, given, source)
        held = held_sql(tuple(f for f in features if f.expr != "NULL"), self._policy, source, lacking)
        self._con.execute(f"PREPARE take_{number} AS INSERT INTO first {norm}")
        self._con.execute(
            f"PREPARE held_{number} AS SELECT kind, value, verified, {VALUE_HASH} FROM ({held}) ORDER BY kind, value"
        )
        return number

    def _given(self, name: str, value: Any) -> Any:
        fixed = {"rid": 0, "source_record_id": 0, "is_stub": False, "source_ref": _SOURCE}
        if name in fixed:
            return fixed[name]
        if name == "role_class":
            return value or ROLE_CUSTOMER
        return list(value or ()) if name in LIST_COLUMNS else value

    def first(self) -> dict[str, Any]:
        """Return what the record says by itself, with all the parts that are made of it."""
        self._con.execute("EXECUTE finish")
        return self._shown()

    def reduce(self, values: list[Value], limit: int) -> None:
        """Leave out of the comparison what too many names share, and of the own values what several given names share."""
        reduced = []
        for kind, column in self._lists.items():
            mine = [value for value in values if value.kind == kind]
            if any(value.names > limit or value.initials > 1 for value in mine):
                kept = [value.value for value in mine if value.names <= limit]
                own = [value.value for value in mine if value.initials <= 1]
                reduced.append(
                    f"INSERT INTO reduced_{column} VALUES (0, {_literal(kept or None)}, {_literal(own or None)})"
                )
        if reduced:
            self._con.execute("; ".join([*reduced, "TRUNCATE last", "EXECUTE finish"]))

    def last(self) -> tuple[dict[str, Any], Hashes]:
        """Return the record's row of ``norm`` and its blocking keys."""
        keys = [row[0] for row in self._con.execute("EXECUTE keys").fetchall()]
        return self._shown(), np.array(keys, np.uint64)

    def _shown(self) -> dict[str, Any]:
        found = self._con.execute("EXECUTE shown").fetchone()
        return dict(zip(self.names, json.loads(found[0]) if found else (), strict=True))


def _reads(feature: Feature, columns: set[str]) -> bool:
    """Tell whether a feature is made of any of these columns; what is made of none is NULL without being computed."""
    return bool(columns & set(_WORD.findall(feature.expr)))


def _literal(value: Any) -> str:
    """Return a value as SQL: bound parameters cost a search for libraries that convert them, each time."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(sql.literal(str(each)) for each in value)}]::VARCHAR[]"
    return sql.literal(str(value))
