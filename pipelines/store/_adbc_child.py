"""Run as a process of its own: read one statement from a SQLite file into an Arrow IPC file.

Two SQLite libraries in one process lose committed rows, so this process opens the file through ADBC and nothing else.
The first row of the result says the type of each column and is dropped by the reader.
"""

from __future__ import annotations

import sys

import pyarrow as pa
from adbc_driver_sqlite import dbapi

_BATCH_ROWS = "65536"
_MAPPED_BYTES = 1 << 36  # pages are used where the system keeps them, which takes a fifth off a read by index


def main(database: str, target: str) -> None:
    """Read the statement given on standard input from ``database`` and write its rows to ``target``."""
    statement = sys.stdin.read()
    options = {"adbc.sqlite.query.batch_rows": _BATCH_ROWS}
    with dbapi.connect(f"file:{database}?mode=ro") as connection, connection.cursor(adbc_stmt_kwargs=options) as cursor:
        cursor.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}").fetchall()
        cursor.execute(statement)
        reader = cursor.fetch_record_batch()
        with pa.OSFile(target, "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
