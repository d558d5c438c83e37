"""Which records are looked at where not all can be: those whose reference has the lowest hash.

Samples of like data are alike: one record in a hundred more exchanges one in a hundred of a sample, and what is learned from it
hardly moves. Of every so-and-so-manyth record in some order the first new record would make another sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MOST = 3_000


def sample(con: duckdb.DuckDBPyConnection) -> None:
    """Create ``sampled`` (rid, place): up to ``MOST`` records of ``norm`` that take part, from 0; the first are a sample too.

    Needs ``match``, which has their references.
    """
    con.execute(
        f"""CREATE OR REPLACE TABLE sampled AS SELECT rid, row_number() OVER (ORDER BY h, rid) - 1 AS place FROM (
            SELECT n.rid, md5(m.source_ref) AS h FROM norm n JOIN match m ON m.rid = n.rid WHERE NOT n.is_stub
            ORDER BY h, n.rid LIMIT {MOST})"""
    )


def first(records: int) -> str:
    """Return the condition on ``rid`` that a record is one of the first so many of the sample."""
    return f"rid IN (SELECT rid FROM sampled WHERE place < {records})"
