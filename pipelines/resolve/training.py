"""Learn the weights of a match model from the data alone: u by random sampling, m by EM on blocks."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.resolve import sampling, sql
from pipelines.resolve.comparisons import MISSING
from pipelines.resolve.guards import REFUSED
from pipelines.resolve.model import Weighted
from pipelines.resolve.splink_settings import make_linker, quiet
from pipelines.resolve.weights import START_PRIOR, built_in, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    from splink import Linker

    from pipelines.resolve.comparisons import Comparison, Level
    from pipelines.resolve.guards import Guard

U_RECORDS = 1_000
U_PAIRS = U_RECORDS * (U_RECORDS - 1) // 2
EM_PAIRS = 500_000
EM_ROWS = 5_000
_SEEN = "guard_"
EM_SESSIONS = 4
EM_LEAST_PAIRS = 50
EM_PAIRS_PER_ROW = 20
EM_LEAST_SESSIONS = 2
PURE = 0.2
PURITY_PAIRS = 50_000
TRAINED_ROWS = 60_000
PRIOR_STRENGTH = 30.0
EM_WORTH = 10_000.0
_EVERY_PAIR = 1e12


def learn(
    con: duckdb.DuckDBPyConnection, comparisons: tuple[Comparison, ...], rows: int, guard: Guard | None = None
) -> tuple[Weighted, ...]:
    """Return the comparisons with probabilities learned from ``scored_records``; equal data give equal bits.

    What is looked at does not grow with the records: u comes from all pairs of a sample, m from whole blocks. Needs ``sampled``.
    Pairs that the guard refuses are known to be no matches: EM does not see them, or it would learn what a family shares.
    """
    con.execute("SET threads = 1")
    try:
        with quiet():
            started = _with_u(con, comparisons)
            share = max(1, rows // TRAINED_ROWS)
            linker, blocks = _with_m(con, started, share, guard)
            learned = _entries(linker)
    finally:
        con.execute("SET threads = 2")
    sampled = min(U_PAIRS, rows * (rows - 1) / 2)
    return tuple(
        _rounded(c, entry, sum(block.seen.get(c.name, 0.0) for block in blocks) / share, sampled)
        for c, entry in zip(comparisons, learned, strict=True)
    )


def _with_u(con: duckdb.DuckDBPyConnection, comparisons: tuple[Comparison, ...]) -> tuple[Weighted, ...]:
    """Count how often the values of strangers agree; Splink draws nothing by itself, or one record more would redraw all."""
    con.execute(
        f"CREATE OR REPLACE TABLE trained AS SELECT * FROM scored_records WHERE {sampling.first(U_RECORDS)} ORDER BY rid"
    )
    _, linker = make_linker(con, "trained", built_in(comparisons), START_PRIOR)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=_EVERY_PAIR, seed=None, min_count_per_level=None, num_chunks=1
    )
    return tuple(
        Weighted(c.name, tuple(_start(level, entry) for level, entry in zip(c.levels, entries, strict=True)))
        for c, entries in zip(comparisons, _entries(linker), strict=True)
    )


def _start(level: Level, entry: Mapping[str, object]) -> tuple[Level, float, float]:
    return level, level.m, _number(entry.get("u_probability"), level.u)


def _with_m(
    con: duckdb.DuckDBPyConnection, started: tuple[Weighted, ...], share: int, guard: Guard | None
) -> tuple[Linker, list[Block]]:
    """Run EM on the blocks of the most telling columns, so that each comparison is learned where it is not the block.

    Returns what was learned, and the blocks that it was learned from.
    """
    blocks = training_columns(con, [item.name for item in started])
    columns = [sql.quote(block.column) for block in blocks]
    inside = [f"coalesce(hash({column}) % {share} = 0, false)" for column in columns]
    flags = "".join(f", {test} AS in_block_{n}" for n, test in enumerate(inside))
    flags += "".join(f', {sql.quote(column)} AS "{_SEEN}{column}"' for column in sorted(guard.columns if guard else ()))
    con.execute(
        f"""CREATE OR REPLACE TABLE trained AS SELECT *{flags} FROM scored_records
        WHERE {" OR ".join(["false", *inside])} ORDER BY rid"""
    )
    _, linker = make_linker(con, "trained", started, START_PRIOR)
    rows = con.execute("SELECT count(*) FROM trained").fetchone() or (0,)
    rules = [
        f"l.{column} = r.{column} AND l.in_block_{n} AND r.in_block_{n}{_not_refused(guard)}"
        for n, column in enumerate(columns)
    ]
    kept = [em_session(linker, rule, _share(int(rows[0]))) for rule in rules]
    return linker, [block for block, done in zip(blocks, kept, strict=True) if done]


def _not_refused(guard: Guard | None) -> str:
    """Return the condition on ``l`` and ``r`` that the guard does not refuse the pair.

    It reads copies of the columns: Splink learns nothing about a column that its blocking rule names.
    """
    if guard is None:
        return ""
    names = "|".join(re.escape(column) for column in sorted(guard.columns, key=len, reverse=True))
    named = re.sub(rf"\b({names})_([lr])\b", rf'\2."{_SEEN}\1"', guard.sql)
    return f" AND coalesce({named}, 0) > {REFUSED}"


def _entries(linker: Linker) -> list[list[Mapping[str, object]]]:
    return [item["comparison_levels"] for item in linker.misc.save_model_to_json()["comparisons"]]


def em_session(linker: Linker, block: Any, share: float) -> bool:
    """Run one session; where no match in the block ever shows some level, learn nothing from it and return False.

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
        return False
    return True


def _share(rows: int) -> float:
    """Return the share of records that EM looks at: all of a small set, a tenth of a large one."""
    return min(1.0, max(0.1, EM_ROWS / max(1, rows)))


class Block(NamedTuple):
    """A column on whose blocks EM may run: pairs of the blocks, and the share of which more other columns agree than differ.

    ``seen``: by column, how many of those that agree so have a value on both sides: about so many matches show EM what
    matches have in that column.
    """

    column: str
    pairs: int
    purity: float
    seen: Mapping[str, float]


def training_columns(con: duckdb.DuckDBPyConnection, names: list[str]) -> list[Block]:
    """Return the columns on whose blocks EM is run: those whose pairs agree most often in other columns too.

    On a block of colleagues or of a family EM learns what colleagues have in common. So a block must be pure, as far as
    can be seen without a model: of most of its pairs more other columns agree than differ.
    """
    rows = int((con.execute("SELECT count(*) FROM scored_records").fetchone() or (0,))[0])
    found = []
    for name in names:
        pairs = _pairs_of(con, name)
        if EM_LEAST_PAIRS <= pairs <= EM_PAIRS_PER_ROW * rows:
            found.append(_block(con, name, [other for other in names if other != name], pairs))
    ranked = sorted(found, key=lambda block: (-block.purity, block.pairs, block.column))
    pure = [block for block in ranked if block.purity >= PURE]
    return pure[:EM_SESSIONS] if len(pure) >= EM_LEAST_SESSIONS else ranked[:EM_LEAST_SESSIONS]


def _pairs_of(con: duckdb.DuckDBPyConnection, name: str) -> int:
    column = sql.quote(name)
    row = con.execute(
        f"""SELECT coalesce(sum(n * (n - 1) / 2), 0)
        FROM (SELECT count(*) AS n FROM scored_records WHERE {column} IS NOT NULL GROUP BY {column})"""
    ).fetchone()
    return int(row[0]) if row else 0


def _block(con: duckdb.DuckDBPyConnection, name: str, others: list[str], pairs: int) -> Block:
    """Look at the pairs of a column's blocks, every so-manieth of them where they are many."""
    column, share = sql.quote(name), pairs // PURITY_PAIRS + 1
    both = {other: f"a.{sql.quote(other)} IS NOT NULL AND b.{sql.quote(other)} IS NOT NULL" for other in others}
    signs = [f"coalesce(CASE WHEN a.{sql.quote(c)} = b.{sql.quote(c)} THEN 1 ELSE -1 END * ({there})::INT, 0)"
             for c, there in both.items() if c != "source"]  # fmt: skip
    seen = "".join(f", count(*) FILTER (agree AND there_{n})" for n in range(len(others)))
    there = "".join(f", {test} AS there_{n}" for n, test in enumerate(both.values()))
    row = con.execute(
        f"""WITH part AS (SELECT * FROM scored_records WHERE hash({column}) % {share} = 0)
        SELECT coalesce(avg(agree::INT), 0){seen} FROM (
            SELECT ({" + ".join(signs) or "0"}) > 0 AS agree{there}
            FROM part a JOIN part b ON a.{column} = b.{column} AND a.rid < b.rid)"""
    ).fetchone() or (0.0, *(0 for _ in others))
    return Block(
        name, pairs, float(row[0]), {other: share * float(n) for other, n in zip(others, row[1:], strict=True)}
    )


def _rounded(comparison: Comparison, entries: list[Mapping[str, object]], matches: float, sampled: float) -> Weighted:
    """Blend what was learned with the built-in weights as a weak prior, and round.

    Splink leaves a level that none of its pairs shows as it was. Where the others of the comparison were learned, that is
    a finding too: of so many ``matches`` none shows it.
    """
    found = [
        (level, _number(entry.get("m_probability"), level.m), _number(entry.get("u_probability"), level.u))
        for level, entry in zip(comparison.levels, entries, strict=True)
        if level.label != MISSING
    ]
    is_learned = matches >= EM_LEAST_PAIRS and any(m != level.m for level, m, _ in found)
    levels = [(level, 0.0, 0.0) for level in comparison.levels if level.label == MISSING]
    for level, m, u in found:
        if not is_learned:
            m_now = level.m
        elif m == level.m:
            m_now = _blend(0.0, level.m, min(matches, EM_WORTH))
        else:
            m_now = _blend(m, level.m, EM_WORTH)
        levels.append((level, m_now, _blend(u, level.u, sampled)))
    total = sum(m for _, m, _ in levels) or 1.0
    origin = "learned" if is_learned else "built-in"
    return Weighted(comparison.name, tuple((x, rounded(m / total), rounded(u)) for x, m, u in levels), origin)


def _blend(learned: float, prior: float, seen: float) -> float:
    return (learned * seen + prior * PRIOR_STRENGTH) / (seen + PRIOR_STRENGTH)


def _number(value: object, other: float) -> float:
    return float(value) if isinstance(value, int | float) else other
