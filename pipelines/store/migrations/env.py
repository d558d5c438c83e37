"""Run by Alembic: migrate over the connection that ``pipelines.store.migrate`` hands in."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

from pipelines.store.partitions import is_partition


def _include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Partitions are made by the writer; the other history's tables are not ours."""
    if kind != "table" or name is None:
        return True
    return name in context.config.attributes["metadata"].tables and not is_partition(name)


def _render_item(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Write our types by name, so that a migration reads like the tables."""
    if kind != "type" or not isinstance(item, TypeDecorator):
        return False
    autogen.imports.add("from pipelines.store import types")
    return f"types.{type(item).__name__}()"


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
    compare_type=True,
    include_name=_include_name,
    render_item=_render_item,
)
with context.begin_transaction():
    context.run_migrations()
