"""Arrow tables on their way into DuckDB, cut so that every thread gets some of the rows."""

from __future__ import annotations

import pyarrow as pa

BATCH_ROWS = 60_000


def in_batches(records: pa.Table, rows: int = BATCH_ROWS) -> pa.Table:
    """Return the same rows in batches of at most so many: DuckDB gives a batch to one thread."""
    return pa.Table.from_batches(records.combine_chunks().to_batches(max_chunksize=rows), records.schema)
