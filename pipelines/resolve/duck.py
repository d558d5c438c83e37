"""The private DuckDB in which records are compared, and how much memory it may take."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from pipelines.resolve import sql

MEMORY_MB: Final = 2_100
"""What a connection may take whatever the size of its input: with it a million records stay below 4 GB in all."""
_MB_PER_ROW: Final = MEMORY_MB / 1_000_000
_SHARE: Final = 0.5
_KEPT: Final = 2
"""One part in so many of the budget is kept for the next statement instead of given back and taken from the system again,
which would clear it each time: a twentieth of a full run's time, for no more memory at its peak."""
_UNITS: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def connect(rows: int = 0) -> duckdb.DuckDBPyConnection:
    """Return a private in-memory DuckDB within the memory budget of so many rows; what is beyond it goes to disk.

    The budget is ``MEMORY_MB``, and of more than a million rows as much more, up to half of what DuckDB finds this machine
    (or its container) has to give: below that, statements over many records would write and read their tables anew each.
    """
    spill = sql.literal(str(Path(tempfile.gettempdir()) / f"unisono-spill-{os.getpid()}"))
    con = duckdb.connect()
    row = con.execute("SELECT current_setting('memory_limit')").fetchone()
    budget = budget_mb(rows, _megabytes(row[0]) if row else 0.0)
    con.execute(
        f"""SET threads = 2; SET memory_limit = '{budget}MB'; SET preserve_insertion_order = false;
        SET temp_directory = {spill}; SET block_allocator_memory = '{budget // _KEPT}MB';
        SET allocator_flush_threshold = '{budget}MB'; SET allocator_bulk_deallocation_flush_threshold = '{budget}MB'"""
    )
    return con


def budget_mb(rows: int, available_mb: float) -> int:
    """Return the megabytes for so many rows on a machine on which DuckDB by itself would take up to ``available_mb``."""
    return max(MEMORY_MB, int(min(rows * _MB_PER_ROW, available_mb * _SHARE)))


def _megabytes(setting: str) -> float:
    """Return a size as DuckDB prints it (``18.8 GiB``) in megabytes."""
    number, unit = setting.split()
    return float(number) * _UNITS[unit] / 1e6 if unit in _UNITS else 0.0
