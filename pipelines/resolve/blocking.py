"""Candidate pairs: blocking keys derived from the features, each block and the whole kept within a pair budget."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from pipelines.resolve import sql

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.features import Feature, Profile

PAIRS_PER_ROW = 6
MIN_BUDGET = 3_000_000
LARGEST_BLOCK = 60
EVERY_PAIR = ("*",)
SAMPLED_ROWS = 150_000
MIN_FILLED = 0.02
FEW_VALUES = 10
_ALONE = {"email", "phone", "social", "code", "website", "org", "street", "full"}


@dataclass(frozen=True)
class Atom:
    """A part of a blocking key: one value of one feature, exact or coarsened."""

    name: str
    feature: str
    expr: str
    strong: bool = False


def build_atoms(features: tuple[Feature, ...], profiles: dict[str, Profile]) -> tuple[Atom, ...]:
    """Return the parts that blocking keys are made of, for features filled often enough."""
    atoms: list[Atom] = []
    for feature in features:
        profile = profiles[feature.column]
        if profile.filled >= MIN_FILLED and profile.distinct > FEW_VALUES:
            atoms += _atoms(feature)
    names = {feature.column for feature in features}
    if {"given", "family"} <= names:
        both = sql.sorted_words("given || ' ' || family")
        atoms.append(Atom("name", "name", both, strong=True))
    return tuple(atoms)


def _atoms(feature: Feature) -> list[Atom]:
    c = feature.column
    strong = feature.kind in _ALONE
    exprs = {
        "given": [("", c), ("_3", f"left({c}, 3)")],
        "family": [("", c), ("_sound", sql.phonetic(c))],
        "date": [("", c), ("_year", f"left({c}, 4)"), ("_day", f"nullif(substr({c}, 5), '0101')")],
        "email": [("", f"{c}[1]"), ("_user", f"split_part({c}[1], '@', 1)"), ("_start", f"left({c}[1], 5)")],
        "phone": [("", f"right({c}[1], 7)")],
        "social": [("", f"{c}[1]")],
        "website": [("", f"{c}[1]")],
        "street": [("", c), ("_number", f"nullif(regexp_extract({c}, '[0-9]+'), '')")],
        "postcode": [("", c)],
        "org": [("", c), ("_start", f"left({c}, 6)")],
        "words": [("_long", _longest_word(c)), ("_last", f"regexp_extract({c}, '([^ ]+)$', 1)")],
        "code": [("", c), ("_head", f"left({c}, 5)"), ("_tail", f"right({c}, 5)")],
    }.get(feature.kind, [("", c)])
    return [Atom(c + suffix, c, expr, strong and not suffix) for suffix, expr in exprs]


def _longest_word(column: str) -> str:
    words = f"list_transform(string_split({column}, ' '), lambda w: lpad(length(w)::VARCHAR, 2, '0') || w)"
    return f"list_reverse_sort({words})[1]"


def choose_keys(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the blocking keys (tuples of atom names), cheapest first, whose pairs stay within the budget."""
    rows = int((con.execute("SELECT count(*) FROM norm WHERE NOT is_stub").fetchone() or (0,))[0])
    budget = max(MIN_BUDGET, PAIRS_PER_ROW * rows)
    _make_atoms(con, atoms)
    share = max(1, rows // SAMPLED_ROWS)
    whole = {key for key in _alone(atoms) if _pairs(con, key, share)[1] == 0}
    pairs_of = {key: _pairs(con, key, share)[0] for key in _candidates(atoms) if not _finer(key, whole)}
    con.execute("DROP TABLE IF EXISTS atom")
    chosen: list[tuple[str, ...]] = []
    total = 0
    for key, pairs in sorted(pairs_of.items(), key=lambda item: (item[1], item[0])):
        if pairs and total + pairs <= budget:
            chosen.append(key)
            total += pairs
    return tuple(chosen)


def _finer(key: tuple[str, ...], whole: set[tuple[str, ...]]) -> bool:
    """Return whether every pair of this key is found by a key of one part that loses no block."""
    return len(key) > 1 and any((name,) in whole for name in key)


def _make_atoms(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...]) -> None:
    select = []
    for atom in atoms:
        value = f"nullif({atom.expr}, '')"
        select += [
            f"hash({value}) AS {sql.quote(atom.name)}",
            f"{value} IS NOT NULL AS {sql.quote('has_' + atom.name)}",
        ]
    con.execute(
        f"CREATE OR REPLACE TABLE atom AS SELECT {', '.join(['rid', 'employee', *select])} FROM norm WHERE NOT is_stub"
    )


def _alone(atoms: tuple[Atom, ...]) -> list[tuple[str, ...]]:
    return [(atom.name,) for atom in atoms if atom.strong]


def _candidates(atoms: tuple[Atom, ...]) -> list[tuple[str, ...]]:
    paired = [
        (a.name, b.name)
        for a, b in combinations(atoms, 2)
        if a.feature != b.feature and not (a.strong and b.strong) and "name" not in (a.name, b.name)
    ]
    return _alone(atoms) + paired


def _key_hash(key: tuple[str, ...]) -> str:
    return f"hash({', '.join(sql.quote(name) for name in key)})"


def _present(key: tuple[str, ...]) -> str:
    return " AND ".join(sql.quote("has_" + name) for name in key)


def _pairs(con: duckdb.DuckDBPyConnection, key: tuple[str, ...], share: int) -> tuple[int, int]:
    """Pairs that a key finds, and pairs in blocks too large to be used; from every ``share``-th block."""
    row = con.execute(
        f"""WITH b AS (
            SELECT count(*) AS n FROM atom WHERE {_present(key)} AND {_key_hash(key)} % {share} = 0
            GROUP BY employee, {_key_hash(key)} HAVING count(*) > 1)
        SELECT coalesce(sum(n * (n - 1) / 2) FILTER (n <= {LARGEST_BLOCK}), 0),
        coalesce(sum(n) FILTER (n > {LARGEST_BLOCK}), 0) FROM b"""
    ).fetchone()
    return (int(row[0]) * share, int(row[1]) * share) if row else (0, 0)


def every_pair(con: duckdb.DuckDBPyConnection) -> None:
    """Create ``pair`` from all pairs of records of one role: for data too few to need blocking."""
    con.execute(
        """CREATE OR REPLACE TABLE pair AS SELECT a.rid AS l, b.rid AS r
        FROM norm a JOIN norm b ON a.employee = b.employee WHERE a.rid < b.rid AND NOT a.is_stub AND NOT b.is_stub"""
    )


def build_pairs(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...], keys: tuple[tuple[str, ...], ...]) -> None:
    """Create ``pair`` (l < r): distinct candidate pairs of records of one role, found by any of the keys."""
    if EVERY_PAIR in keys:
        every_pair(con)
        return
    used = {name for key in keys for name in key}
    _make_atoms(con, tuple(atom for atom in atoms if atom.name in used))
    con.execute("CREATE OR REPLACE TABLE block (key UBIGINT, rid INTEGER)")
    for number, key in enumerate(keys):
        con.execute(
            f"""INSERT INTO block
            WITH keyed AS MATERIALIZED (
                SELECT hash({number}, employee, {_key_hash(key)}) AS k, rid FROM atom WHERE {_present(key)}),
            usable AS (SELECT k FROM keyed GROUP BY k HAVING count(*) BETWEEN 2 AND {LARGEST_BLOCK})
            SELECT k, rid FROM keyed SEMI JOIN usable USING (k)"""
        )
    con.execute("DROP TABLE IF EXISTS atom")
    con.execute(
        """CREATE OR REPLACE TABLE pair AS SELECT DISTINCT a.rid AS l, b.rid AS r
        FROM block a JOIN block b ON a.key = b.key AND a.rid < b.rid"""
    )
    con.execute("DROP TABLE block")
