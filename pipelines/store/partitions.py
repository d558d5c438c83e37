"""Event tables on PostgreSQL are partitioned by year of ``occurred_at``; other years go to a default partition."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Table, inspect

from pipelines.store.tables import metadata

_YEARS = range(1970, 2101)
_NAME = re.compile(r"_(default|y\d{4})$")


def event_tables() -> list[Table]:
    """Return the partitioned tables."""
    return [table for table in metadata.sorted_tables if table.dialect_kwargs.get("postgresql_partition_by")]


def is_partition(name: str) -> bool:
    """Return whether the name is that of a partition of one of the event tables."""
    parents = {table.name for table in event_tables()}
    return _NAME.sub("", name) in parents and _NAME.search(name) is not None


def make_defaults(connection: Connection) -> None:
    """Give each event table its default partition, so that a row of any year has a place."""
    if connection.dialect.name != "postgresql":
        return
    for table in event_tables():
        sql = f'CREATE TABLE IF NOT EXISTS "{table.name}_default" PARTITION OF "{table.name}" DEFAULT'
        connection.exec_driver_sql(sql)


def make_years(connection: Connection, table: Table, moments: pa.ChunkedArray) -> None:
    """Create the yearly partitions that these rows need, before they are written."""
    if connection.dialect.name != "postgresql" or table not in event_tables():
        return
    wanted = {year for year in pc.unique(pc.year(moments)).to_pylist() if year in _YEARS}
    known = set(inspect(connection).get_table_names()) if wanted else set()
    for year in sorted(wanted):
        if f"{table.name}_y{year}" not in known:
            connection.exec_driver_sql(_partition_sql(table.name, year))


def _partition_sql(table: str, year: int) -> str:
    bounds = f"FROM ('{year}-01-01T00:00:00Z') TO ('{year + 1}-01-01T00:00:00Z')"
    return f'CREATE TABLE "{table}_y{year}" PARTITION OF "{table}" FOR VALUES {bounds}'
