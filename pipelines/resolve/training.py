"""Learn the weights of a match model from the data alone: u by random sampling, m by EM on blocks."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pipelines.resolve import sql
from pipelines.resolve.model import Weighted
from pipelines.resolve.scoring import UNLISTED, make_linker, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    from splink import Linker

    from pipelines.resolve.comparisons import Comparison, Level

SEED = 20_240_601
SAMPLED_PAIRS = 500_000
EM_PAIRS = 500_000
EM_ROWS = 5_000
DIGITS = 6
TF_LISTED = 2_000
TF_HOLDERS = 5
START_PRIOR = 0.0001
HIGHEST_BUILT_IN_PRIOR = 0.01
EM_SESSIONS = 4
EM_LEAST_PAIRS = 50
PRIOR_STRENGTH = 30.0


def built_in(comparisons: tuple[Comparison, ...]) -> tuple[Weighted, ...]:
    """Return the comparisons under their built-in weights, for data too few to learn from."""
    return tuple(Weighted(c.name, tuple((x, x.m, x.u) for x in c.levels), "built-in") for c in comparisons)


def learn(con: duckdb.DuckDBPyConnection, comparisons: tuple[Comparison, ...], rows: int) -> tuple[Weighted, ...]:
    """Return the comparisons with probabilities learned from ``scored_records``; equal data give equal bits."""
    con.execute("SET threads = 1")
    try:
        with quiet():
            _, linker = make_linker(con, "scored_records", built_in(comparisons), START_PRIOR)
            linker.training.estimate_u_using_random_sampling(
                max_pairs=SAMPLED_PAIRS, seed=SEED, min_count_per_level=None, num_chunks=1
            )
            sampled = min(SAMPLED_PAIRS, rows * (rows - 1) / 2)
            for block in _training_blocks(con, comparisons):
                em_session(linker, block, _share(rows))
    finally:
        con.execute("SET threads = 2")
    learned = linker.misc.save_model_to_json()["comparisons"]
    return tuple(
        _rounded(c, entry["comparison_levels"], sampled) for c, entry in zip(comparisons, learned, strict=True)
    )


def em_session(linker: Linker, block: Any, share: float) -> None:
    """Run one session; where no match in the block ever shows some level, learn nothing from it.

    Splink refuses the probability 0 that EM then arrives at, and leaves its settings without the blocking comparison:
    they are put back as they were. The other blocks and the built-in weights remain.
    """
    before = deepcopy(linker._settings_obj)  # noqa: SLF001  Splink has no way to undo a session
    try:
        linker.training.estimate_parameters_using_expectation_maximisation(
            block, estimate_without_term_frequencies=True, max_pairs=EM_PAIRS, record_sample_proportion=share
        )
    except ValueError as why:
        if "_probability value" not in str(why):
            raise
        linker._settings_obj = before  # noqa: SLF001


def _share(rows: int) -> float:
    """Return the share of records that EM looks at: all of a small set, a tenth of a large one."""
    return min(1.0, max(0.1, EM_ROWS / max(1, rows)))


def _training_blocks(con: duckdb.DuckDBPyConnection, comparisons: tuple[Comparison, ...]) -> list[str]:
    """Blocking conditions on the most telling columns, so that each comparison is learned where it is not the block."""
    counted = []
    for comparison in comparisons:
        column = sql.quote(comparison.name)
        row = con.execute(
            f"""SELECT coalesce(sum(n * (n - 1) / 2), 0), coalesce(max(n), 0) FROM
            (SELECT count(*) AS n FROM scored_records WHERE {column} IS NOT NULL GROUP BY {column})"""
        ).fetchone()
        counted.append((int(row[0]) if row else 0, comparison.name))
    usable = [name for pairs, name in sorted(counted) if pairs >= EM_LEAST_PAIRS]
    return [f"l.{sql.quote(name)} = r.{sql.quote(name)}" for name in usable[:EM_SESSIONS]]


def _rounded(comparison: Comparison, entries: list[Mapping[str, object]], sampled: float) -> Weighted:
    """Blend what was learned with the built-in weights as a weak prior, and round."""
    levels = []
    for level, entry in zip(comparison.levels, entries, strict=True):
        if level.label == "missing":
            levels.append((level, 0.0, 0.0))
            continue
        m = _number(entry.get("m_probability"), level.m)
        u = _blend(_number(entry.get("u_probability"), level.u), level.u, sampled)
        levels.append((level, m, u))
    total = sum(m for _, m, _ in levels) or 1.0
    return Weighted(comparison.name, tuple((x, _round(m / total), _round(u)) for x, m, u in levels))


def _blend(learned: float, prior: float, seen: float) -> float:
    return (learned * seen + prior * PRIOR_STRENGTH) / (seen + PRIOR_STRENGTH)


def _number(value: object, other: float) -> float:
    return float(value) if isinstance(value, int | float) else other


def _round(value: float) -> float:
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
        f"SELECT left(md5(v), 16), n FROM tf WHERE n >= {TF_HOLDERS} ORDER BY n DESC, v LIMIT {TF_LISTED}"
    ).fetchall()
    unlisted = (rare or 1) / (values or 1) / (total or 1)
    return {UNLISTED: _round(unlisted), **{key: _round(n / total) for key, n in listed}}
