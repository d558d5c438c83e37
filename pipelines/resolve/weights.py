"""Weights without learning: built-in ones, and the term frequencies of the records at hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipelines.resolve import sql
from pipelines.resolve.compiled import HASH_DIGITS, UNLISTED
from pipelines.resolve.model import Weighted

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.comparisons import Comparison, Level

DIGITS = 6
TF_LISTED = 2_000
TF_HOLDERS = 5
START_PRIOR = 0.0001
HIGHEST_BUILT_IN_PRIOR = 0.01


def built_in(comparisons: tuple[Comparison, ...]) -> tuple[Weighted, ...]:
    """Return the comparisons under their built-in weights, for data too few to learn from."""
    return tuple(Weighted(c.name, tuple((x, x.m, x.u) for x in c.levels), "built-in") for c in comparisons)


def rounded(value: float) -> float:
    """Round to significant digits, away from 0 and 1, so that the last bits of a sum decide nothing."""
    kept = min(max(value, 1e-7), 1 - 1e-7)
    return round(kept, DIGITS - 1 - math.floor(math.log10(kept)))


def frequencies(con: duckdb.DuckDBPyConnection, comparisons: tuple[Comparison, ...]) -> dict[str, dict[str, float]]:
    """Return per column the frequency of its common values (by hash) and of all others."""
    return {column: _column_frequencies(con, column) for column in _tf_columns(comparisons)}


def _tf_columns(comparisons: tuple[Comparison, ...]) -> list[str]:
    levels: list[Level] = [level for comparison in comparisons for level in comparison.levels]
    return sorted({level.tf for level in levels if level.tf})


def _column_frequencies(con: duckdb.DuckDBPyConnection, column: str) -> dict[str, float]:
    quoted = sql.quote(column)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE tf AS
        SELECT {quoted} AS v, count(*) AS n FROM scored_records WHERE {quoted} IS NOT NULL GROUP BY 1"""
    )
    total, rare, values = con.execute(
        f"SELECT sum(n), sum(n) FILTER (n < {TF_HOLDERS}), count(*) FILTER (n < {TF_HOLDERS}) FROM tf"
    ).fetchone() or (1, 0, 0)
    listed = con.execute(
        f"SELECT left(md5(v), {HASH_DIGITS}), n FROM tf WHERE n >= {TF_HOLDERS} ORDER BY n DESC, v LIMIT {TF_LISTED}"
    ).fetchall()
    unlisted = (rare or 1) / (values or 1) / (total or 1)
    return {UNLISTED: rounded(unlisted), **{key: rounded(n / total) for key, n in listed}}
