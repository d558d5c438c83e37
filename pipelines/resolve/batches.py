"""Arrow tables on their way into DuckDB, cut so that every thread gets some of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 60_000


def in_batches(records: pa.Table, rows: int = BATCH_ROWS) -> pa.Table:
    """Return the same rows in batches of at most so many: DuckDB gives a batch to one thread."""
    return pa.Table.from_batches(records.combine_chunks().to_batches(max_chunksize=rows), records.schema)


def bring(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Create a table of rows that are to be joined by a hash.

    A join hands what it looks for on to an Arrow table, as Python numbers, and Arrow refuses those from 2 ** 63 on.
    """
    con.register("brought", in_batches(rows))
    con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM brought")
    con.unregister("brought")
