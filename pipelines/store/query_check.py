"""Whether a text is one SELECT on readable relations, decided on its parsed tree."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

_PEEKING = ("pg_", "lo_", "dblink", "query_to_", "table_to_", "schema_to_", "database_to_", "cursor_to_", "set_config")
_CATALOGUE = ("pg_", "sqlite_")


def problem_of(sql: str, *, dialect: str, readable: set[str], relations: set[str]) -> str | None:
    """Return why the text may not be run; ``None`` if it is one SELECT on ``readable`` and on its own WITH parts.

    A WITH part may not have the name of a relation, which could be read under its cover.
    """
    try:
        parsed = sqlglot.parse(sql, read="postgres" if dialect == "postgresql" else "sqlite")
    except sqlglot.errors.SqlglotError as error:
        return str(error).splitlines()[0]
    statements = [each for each in parsed if each is not None]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query) or statements[0].find(exp.Into, exp.Lock):
        return "only one SELECT at a time can be run"
    return _wrong_name(statements[0], readable, relations)


def _wrong_name(statement: exp.Query, readable: set[str], relations: set[str]) -> str | None:
    local = {part.alias_or_name for part in statement.find_all(exp.CTE)}
    hiding = {name for name in local if name.lower() in relations or name.lower().startswith(_CATALOGUE)}
    if hiding:
        return f"WITH may not redefine {', '.join(sorted(hiding))}"
    tables = statement.find_all(exp.Table)
    foreign = {table.sql() for table in tables if table.db or table.name not in readable | local}
    if foreign:
        return f"cannot be read: {', '.join(sorted(foreign))}"
    calls = {call.name for call in statement.find_all(exp.Anonymous) if call.name.lower().startswith(_PEEKING)}
    return f"cannot be called: {', '.join(sorted(calls))}" if calls else None
