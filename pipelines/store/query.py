"""Read-only SQL on the ``v1_*`` views, for people and applications: nothing else can be read or written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError

from connectors.sdk.errors import FixConfig
from pipelines.store import views

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


@dataclass(frozen=True)
class QueryResult:
    """Column names and rows of a query."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def run_query(engine: Engine, sql: str) -> QueryResult:
    """Run one SELECT on ``v1_*`` views; anything else raises FixConfig, which names the views."""
    dialect = engine.dialect.name
    _check(sql, engine)
    try:
        return _run_sqlite(engine, sql) if dialect == "sqlite" else _run_postgresql(engine, sql)
    except (sqlite3.Error, DBAPIError) as error:
        raise _refusal(str(getattr(error, "orig", None) or error).strip(), dialect) from error


def _check(sql: str, engine: Engine) -> None:
    from pipelines.store.query_check import problem_of  # noqa: PLC0415  the SQL parser: only queries need it

    inspector = inspect(engine)
    relations = {*inspector.get_table_names(), *inspector.get_view_names()}
    dialect = engine.dialect.name
    problem = problem_of(sql, dialect=dialect, readable=set(views.names(dialect)), relations=relations)
    if problem is not None:
        raise _refusal(problem, dialect)


def _run_sqlite(engine: Engine, sql: str) -> QueryResult:
    path = quote(str(Path(engine.url.database or "").resolve()))
    known = set(views.definitions("sqlite"))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:

        def allow(action: int, table: str | None, column: str | None, _database: str | None, view: str | None) -> int:
            counted = (
                column == ""
            )  # count(*) of a view that SQLite has flattened: rows of its table, none of its values
            readable = action == sqlite3.SQLITE_READ and (table in known or view in known or counted)
            return sqlite3.SQLITE_OK if readable or action in _ALLOWED else sqlite3.SQLITE_DENY

        connection.set_authorizer(allow)
        cursor = connection.execute(sql)
        return QueryResult(tuple(column[0] for column in cursor.description), cursor.fetchall())


def _run_postgresql(engine: Engine, sql: str) -> QueryResult:
    with engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        # Compiling a view of many subqueries takes seconds, running it none.
        connection.exec_driver_sql("SET LOCAL jit = off")
        result = connection.exec_driver_sql(sql.replace("%", "%%"))
        return QueryResult(tuple(result.keys()), [tuple(row) for row in result])


def _refusal(why: str, dialect: str) -> FixConfig:
    names = ", ".join(views.names(dialect))
    return FixConfig("this query cannot be run", where="query", why=why, do=f"write one SELECT on these views: {names}")
