"""A Spark session behind the few methods of a DuckDB connection that the steps of resolve use.

So each step has one definition: what it executes is translated, statement by statement, and runs where the data are.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from connectors.sdk.errors import FixConfig
from connectors.sdk.spark import NotOnSpark
from connectors.sdk.spark.translate import parse, to_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from pipelines.spark.session import Spark

_OFTEN: Final = 2
_NUMBERS: Final = count()
"""Numbers the tables of common expressions: a session is shared."""


class SparkConnection:
    """Executes statements on Spark; the result of the last one can be fetched."""

    def __init__(self, spark: Spark) -> None:
        self._spark = spark
        self._query: str | None = None
        self._described: list[tuple[Any, ...]] | None = None
        self._made: dict[str, None] = {}
        self._filling: dict[str, tuple[dict[str, str], list[str]]] = {}
        self._once: list[str] = []

    def register(self, name: str, table: pa.Table) -> None:
        """Give an Arrow table a name."""
        self._spark.put(name, table)
        self._made[name] = None

    def unregister(self, name: str) -> None:
        """Forget a registered table, if there is one."""
        self._drop(name)

    def execute(self, statements: str) -> SparkConnection:
        """Execute statements of the definitions' SQL."""
        self._query = self._described = None
        for statement in parse(statements):
            if isinstance(statement, exp.Set):  # speaks to DuckDB's own planner
                continue
            if not isinstance(statement, exp.Insert):
                self._fill(_tables(statement))
                self._forget_once()
            _STATEMENTS.get(type(statement), SparkConnection._select)(self, statement)
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last query."""
        if self._described is not None:
            return self._described
        assert self._query is not None
        return self._spark.rows(self._query)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the first row of the last query."""
        return next(iter(self.fetchall()), None)

    def to_arrow_table(self) -> pa.Table:
        """Return the rows of the last query as an Arrow table."""
        assert self._query is not None
        return self._spark.fetch(self._query)

    def table(self, name: str) -> pa.Table:
        """Return a whole table."""
        self._fill({name})
        return self._spark.take(name)

    def close(self) -> None:
        """Drop the tables that were made here; the session stays."""
        self._filling.clear()
        for name in list(self._made):
            self._drop(name)

    def _drop(self, name: str) -> None:
        if name in self._made:
            self._spark.drop(name)
            del self._made[name]

    def _spark_sql(self, query: exp.Expression) -> str:
        try:
            return to_spark(query, columns=self._spark.columns, functions=self._spark.functions)
        except NotOnSpark as why:
            what = "a step of resolve has no exact form on Spark"
            raise FixConfig(
                what, why=str(why), do="change the pattern in the file that identity: names, or set engine: duckdb"
            ) from why

    def _select(self, statement: exp.Expression) -> None:
        self._query = self._spark_sql(statement)

    def _describe(self, statement: exp.Expression) -> None:
        self._described = [(column,) for column in self._spark.columns(statement.this.name)]

    def _create(self, statement: exp.Expression) -> None:
        target = statement.this
        name = target.this.name if isinstance(target, exp.Schema) else target.name
        if isinstance(target, exp.Schema):
            self._filling[name] = ({each.name: _kind(each.args["kind"]) for each in target.expressions}, [])
        else:
            self._spark.keep(name, self._spark_sql(statement.expression))
            self._made[name] = None

    def _insert(self, statement: exp.Expression) -> None:
        """Take rows for a table that was created empty; they are computed together, before anything else is."""
        self._compute(_tables(statement.expression))
        self._filling[statement.this.name][1].append(self._spark_sql(self._with_once(statement.expression)))

    def _with_once(self, query: exp.Expression) -> exp.Expression:
        """Make tables of the common expressions that are materialised and read more than once.

        Spark puts a common expression in wherever it is named, and so computes it, and all that it reads, again and again.
        """
        query = query.copy()
        common = list(query.args["with_"].expressions) if query.args.get("with_") else []
        for at, each in enumerate(common):
            readers = [table for table in query.find_all(exp.Table) if table.name == each.alias]
            if not each.args.get("materialized") or len(readers) < _OFTEN:
                continue
            name = f"once_{next(_NUMBERS)}_{each.alias}"
            asked: Any = each.this.copy()
            for earlier in common[:at]:
                asked.with_(earlier.alias, as_=earlier.this.copy(), copy=False)
            self._spark.keep(name, self._spark_sql(asked))
            self._made[name] = None
            self._once.append(name)
            for table in readers:
                table.replace(exp.alias_(exp.to_table(name), table.alias_or_name, table=True))
        return query

    def _forget_once(self) -> None:
        """Drop those tables when nothing reads them any more."""
        while self._once and not any(queries for _, queries in self._filling.values()):
            self._drop(self._once.pop())

    def _fill(self, wanted: set[str]) -> None:
        """Compute the tables that have been given rows, and those that are wanted without."""
        self._compute(wanted | {name for name, (_, queries) in self._filling.items() if queries})

    def _compute(self, wanted: set[str]) -> None:
        for name in [each for each in self._filling if each in wanted]:
            self._spark.fill(name, *self._filling.pop(name))
            self._made[name] = None

    def _drop_table(self, statement: exp.Expression) -> None:
        for table in statement.find_all(exp.Table):
            self._drop(table.name)

    def _rename(self, statement: exp.Expression) -> None:
        (action,) = statement.args["actions"]
        self._spark.rename(statement.this.name, action.this.name)
        del self._made[statement.this.name]
        self._made[action.this.name] = None


def _tables(statement: exp.Expression) -> set[str]:
    return {table.name for table in statement.find_all(exp.Table)}


def _kind(kind: Any) -> str:
    """Return Spark's name of a column's type: it has no unsigned numbers."""
    known = exp.DataType.build("bigint") if kind.this is exp.DataType.Type.UBIGINT else kind
    return str(known.sql(dialect="spark"))


_STATEMENTS: Final[Mapping[type[exp.Expression], Callable[[SparkConnection, exp.Expression], None]]] = {
    exp.Create: SparkConnection._create,  # noqa: SLF001  the table of this class's own statements
    exp.Insert: SparkConnection._insert,  # noqa: SLF001
    exp.Drop: SparkConnection._drop_table,  # noqa: SLF001
    exp.Alter: SparkConnection._rename,  # noqa: SLF001
    exp.Describe: SparkConnection._describe,  # noqa: SLF001
}
