"""INSERT … ON CONFLICT for single rows, spelled the same for both stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Table


def insert_on_conflict(
    dialect: str, table: Table, values: Mapping[str, Any], *, update: Callable[[Any], Mapping[str, Any]]
) -> Any:
    """Return an insert that changes the row with the same primary key instead; ``update`` gets the refused row."""
    kind = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = kind(table).values(dict(values))
    key = [column.name for column in table.primary_key]
    changes = dict(update(statement.excluded))
    if not changes:
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(index_elements=key, set_=changes)
