"""Score candidate pairs under a compiled model, in DuckDB. Fresh and loaded models take the same path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.resolve import sql
from pipelines.resolve.compiled import HASH_DIGITS, UNLISTED
from pipelines.resolve.guards import DOUBTFUL

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.compiled import Compiled

_ROW_GROUPS = 250_000
"""So many records are two parts for DuckDB, one for each core."""


def prepare(con: duckdb.DuckDBPyConnection, compiled: Compiled) -> None:
    """Create ``frequent``: for every record that takes part the (log2) frequencies of its values, as the model says.

    A value that the model does not list has the frequency of the rare ones, however often it is seen now.
    """
    joins, selected = [], ["n.rid"]
    for column, table in compiled.frequencies.items():
        _register_frequencies(con, column, {key: value for key, value in table.items() if key != UNLISTED})
        joins.append(f"LEFT JOIN frequent_{column} f_{column} ON f_{column}.v = n.{sql.quote(column)}")
        selected.append(f"coalesce(f_{column}.tf, {table[UNLISTED]!r}) AS {column}_tf")
    con.execute(
        f"CREATE OR REPLACE TABLE frequent AS SELECT {', '.join(selected)} FROM norm n {' '.join(joins)} WHERE NOT n.is_stub"
    )
    for column in compiled.frequencies:
        con.execute(f"DROP TABLE frequent_{column}")


def _register_frequencies(con: duckdb.DuckDBPyConnection, column: str, listed: dict[str, float]) -> None:
    con.register("listed", pa.table({"h": list(listed), "tf": pa.array(listed.values(), pa.float64())}))
    con.execute(
        f"""CREATE OR REPLACE TABLE frequent_{column} AS SELECT v, tf
        FROM (SELECT DISTINCT {sql.quote(column)} AS v FROM norm) JOIN listed ON h = left(md5(v), {HASH_DIGITS})"""
    )
    con.unregister("listed")


def score_pairs(con: duckdb.DuckDBPyConnection, compiled: Compiled, pairs: str, out: str, floor: float | None) -> None:
    """Create ``out`` (l, r, weight, score, cap): match weights of the rows of ``pairs`` from the weight ``floor`` on.

    ``weight`` is the score, held down to ``cap`` where the guard says so; of pairs that nothing links anyway the guard
    is not asked. Needs ``prepare``; pairs with a record that takes no part (a stub) are left out.
    """
    con.execute(f"CREATE OR REPLACE TABLE {out} (l INTEGER, r INTEGER, weight DOUBLE, score DOUBLE, cap DOUBLE)")
    if not compiled.comparisons:
        return
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE sorted_pair AS SELECT l, r, a.several OR b.several AS several FROM {pairs}
        JOIN norm a ON a.rid = l JOIN norm b ON b.rid = r WHERE NOT a.is_stub AND NOT b.is_stub"""
    )
    con.execute(f"SET disabled_optimizers = '{_unwanted(con)}'")
    try:
        for form, several in ((compiled.singly(), "NOT several"), (compiled, "several")):
            con.execute(
                f"INSERT INTO {out} {_scores_sql(form, f'(SELECT l, r FROM sorted_pair WHERE {several})', floor)}"
            )
    finally:
        con.execute("SET disabled_optimizers = ''")
    con.execute("DROP TABLE sorted_pair")


def _unwanted(con: duckdb.DuckDBPyConnection) -> str:
    """Return the optimisers that would do harm: pushed down, the filter computes scores twice.

    Few records would be looked through, by one core, for the pairs that they are in, instead of pairs for their records.
    """
    found = con.execute("SELECT count(*) FROM norm").fetchone()
    few = found is not None and found[0] < _ROW_GROUPS
    return "filter_pushdown,build_side_probe_side" if few else "filter_pushdown"


def _scores_sql(form: Compiled, pairs: str, floor: float | None) -> str:
    least = f"{floor!r}" if floor is not None else "'-infinity'"
    return f"""SELECT l, r, least(score, coalesce(cap, score)), score, cap FROM (
        SELECT l, r, score, CASE WHEN score > {DOUBTFUL} THEN {form.cap_sql} END AS cap FROM (
            SELECT *, {form.sql} AS score FROM {_sided(pairs, form)}
        ) WHERE score >= {least}::DOUBLE)"""


def _sided(pairs: str, compiled: Compiled) -> str:
    """Return the rows of ``pairs`` with the columns of both records."""
    picked = [f"{side}.{sql.quote(c)} AS {sql.quote(f'{c}_{place}')}"
              for side, place in (("a", "l"), ("b", "r")) for c in compiled.columns]  # fmt: skip
    picked += [f"f.{column}_tf AS {column}_tf_l" for column in compiled.frequencies]
    return (
        f"(SELECT {', '.join(['p.l', 'p.r', *picked])} FROM {pairs} p JOIN norm a ON a.rid = p.l "
        "JOIN norm b ON b.rid = p.r JOIN frequent f ON f.rid = p.l)"
    )
