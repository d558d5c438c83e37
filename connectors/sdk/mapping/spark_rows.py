"""The emits of a stream for Spark: the statements of the DuckDB emitter, translated; one tree, two engines.

A statement reads one table of texts, the emit's source; Python functions are called by name inside of it. Two things are not
Spark's: reading documents (``spark_run``), and the hash that is a row's key, which the driver adds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from connectors.sdk.mapping import tree
from connectors.sdk.spark import to_spark
from connectors.sdk.spark.translate import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.mapping.duckdb_rows import EmitSql
    from connectors.sdk.mapping.duckdb_sql import Call

PLACE: Final = "place"
"""Column that numbers the rows of a source: what comes back from Spark has no order."""
_SOURCE: Final = "unisono_stand_in_source"
_VARIABLES: Final = {name: f"unisono_stand_in_{name}" for name in ("timezone", "default_region")}
"""What stands in a translated query for what differs between batches."""


@dataclass(frozen=True)
class SparkEmit:
    """One emit on Spark: its query over the table ``source``, and SQL of the row key for the driver, if it is a hash."""

    query: exp.Expression
    functions: tuple[str, ...]
    keyed: str | None

    def sql(self, source: str, variables: Mapping[str, str | None]) -> str:
        """Return the query over a table of this name."""
        made = self._translated.replace(_SOURCE, source)
        for name, stand_in in _VARIABLES.items():
            value = variables.get(name)
            said = exp.Null() if value is None else exp.Literal.string(value)
            made = made.replace(f"'{stand_in}'", said.sql(dialect="spark"))
        return made

    @cached_property
    def _translated(self) -> str:
        """The query with stand-ins, so that a batch costs no translation."""
        query = self.query.copy()
        for table in list(query.find_all(exp.Table)):
            if table.name == "called":
                table.replace(exp.to_table(_SOURCE))
        return to_spark(query, variables=_VARIABLES, functions=self.functions)


def spark_emit(emit: EmitSql, connector: str) -> SparkEmit:
    """Return an emit's statement in the form that Spark runs."""
    statement = parse(emit.sql)[0]
    keyed = None
    if isinstance(emit.emit.key, tree.HashKey):
        statement, keyed = _without_hash(statement)
    names = {call.column: function_name(call, connector) for call in emit.calls}
    source = _source(emit, names)
    for table in list(statement.find_all(exp.Subquery, exp.Table)):
        if _is_source(table, emit):
            table.replace(source.copy())
    for select in statement.find_all(exp.Select):
        if select.expressions and select.expressions[0].alias_or_name == "rid":
            select.append("expressions", exp.column(PLACE))
    return SparkEmit(statement, tuple(names.values()), keyed)


def function_name(call: Call, connector: str) -> str:
    """Return the name by which Spark knows a Python function; a hook's failures name the path it was called for."""
    if call.hook:
        path = hashlib.md5(call.path.encode(), usedforsecurity=False).hexdigest()[:8]
        return f"unisono_hook_{connector}_{call.function}_{path}".replace("-", "_").lower()
    return f"unisono_normal_{call.function}{'_each' if call.is_list else ''}"


def _is_source(table: exp.Expression, emit: EmitSql) -> bool:
    if isinstance(table, exp.Table):
        return table.name == "called"
    return not emit.calls and table.this == parse(emit.source)[0]


def _source(emit: EmitSql, names: Mapping[str, str]) -> exp.Expression:
    """Return the source with a column for each call's answers; a call may read those before it."""
    made: exp.Expression = exp.to_table("called")
    for call in emit.calls:
        arguments = [parse(f"SELECT {argument}")[0].expressions[0] for argument in call.arguments]
        answers = exp.alias_(exp.Anonymous(this=names[call.column], expressions=arguments), call.column)
        made = exp.select(exp.Star(), answers).from_(made).subquery(f"with_{call.column}")
    return made


def _without_hash(statement: Any) -> tuple[exp.Expression, str]:
    """Take the hash of the row's terms out of a statement; return it as SQL of its own over the statement's rows."""
    outer, inner = statement, statement.args["from_"].this.this
    for shown in inner.expressions:
        if shown.alias == "row_key":
            hashed = shown.this.copy()
            shown.set("this", exp.cast(exp.Null(), "text"))
    rest = outer.copy()
    rest.args["from_"].this.replace(exp.to_table("made"))
    with_key = f"(SELECT * REPLACE ({hashed.sql(dialect='duckdb')} AS row_key) FROM rows ORDER BY {PLACE}) AS made"
    return inner, rest.sql(dialect="duckdb").replace("FROM made", f"FROM {with_key}") + f" ORDER BY {PLACE}"
