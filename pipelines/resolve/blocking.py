"""Candidate pairs: blocking keys derived from the features, each block and the whole kept within a pair budget."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.resolve import sampling, sql
from pipelines.resolve.functions import hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from pipelines.resolve.features import Feature, Profile

    Key = tuple[str, ...]
    Floats = NDArray[np.float64]

NAME = "name"
PAIRS_PER_ROW = 4
MIN_BUDGET = 2_000_000
LEAST_GAIN = 0.0002
LARGEST_BLOCK = 60
EVERY_PAIR = ("*",)
SAMPLED_ROWS = sampling.MOST
MIN_FILLED = 0.02
FEW_VALUES = 10
_ALONE = {"email", "phone", "social", "code", "website", "org", "street", "full"}


@dataclass(frozen=True)
class Atom:
    """A part of a blocking key: one value of one feature, exact or coarsened.

    ``several``: the expression of all its values, where the feature is a list: alone, the part is a key by each of them.
    """

    name: str
    feature: str
    expr: str
    strong: bool = False
    several: str = ""


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
        atoms.append(Atom(NAME, NAME, both, strong=True))
    return tuple(atoms)


def _atoms(feature: Feature) -> list[Atom]:
    c = feature.column
    strong = feature.kind in _ALONE
    exprs = {
        "given": [("", c), ("_3", f"left({c}, 3)")],
        "family": [("", c), ("_sound", f"{c}_sound")],
        "date": [("", c), ("_year", f"left({c}, 4)"), ("_day", f"nullif(substr({c}, 5), '0101')")],
        "email": [("", f"{c}[1]"), ("_user", f"{c}_user"), ("_start", f"left({c}[1], 5)")],
        "phone": [("", f"right({c}[1], 7)")],
        "social": [("", f"{c}[1]")],
        "website": [("", f"{c}[1]")],
        "street": [("", c), ("_number", f"{c}_number")],
        "postcode": [("", c)],
        "org": [("", c), ("_start", f"left({c}, 6)")],
        "words": [("_long", _longest_word(c)), ("_last", f"regexp_extract({c}, '([^ ]+)$', 1)")],
        "source": [],
        "code": [("", c), ("_head", f"left({c}, 5)"), ("_tail", f"right({c}, 5)")],
    }.get(feature.kind, [("", c)])
    several = {"phone": f"list_transform({c}, lambda x: right(x, 7))"} | dict.fromkeys(
        ("email", "social", "website"), c
    )
    each = f"list_distinct({several[feature.kind]})" if feature.kind in several else ""
    return [Atom(c + suffix, c, expr, strong and not suffix, "" if suffix else each) for suffix, expr in exprs]


def _longest_word(column: str) -> str:
    words = f"list_transform(string_split({column}, ' '), lambda w: lpad(length(w)::VARCHAR, 2, '0') || w)"
    return f"list_reverse_sort({words})[1]"


def sample_pairs(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...], rows: int) -> tuple[list[Key], float]:
    """Create ``found`` (k, l, r): what each possible key finds for the records that are ``sampled``.

    Return the possible keys and for how many records one of these stands.
    """
    _make_atoms(con, atoms)
    keys = _telling(con, atoms, _candidates(atoms))
    con.execute("CREATE OR REPLACE TABLE found (k INTEGER, l INTEGER, r INTEGER)")
    for number, key in enumerate(keys):
        con.execute(
            f"""INSERT INTO found
            WITH keyed AS MATERIALIZED (SELECT hash(employee, {_key_hash(key)}) AS h, rid FROM atom WHERE {_present(key)}),
            mine AS (SELECT h, rid FROM keyed WHERE {sampling.first(SAMPLED_ROWS)}),
            block AS MATERIALIZED (SELECT h, rid FROM keyed SEMI JOIN mine USING (h)),
            usable AS (SELECT h FROM block GROUP BY h HAVING count(*) BETWEEN 2 AND {LARGEST_BLOCK})
            SELECT {number}, m.rid, b.rid FROM mine m SEMI JOIN usable USING (h) JOIN block b ON b.h = m.h AND m.rid < b.rid"""
        )
    con.execute("DROP TABLE atom")
    return keys, max(1.0, rows / SAMPLED_ROWS)


def _telling(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...], keys: list[Key]) -> list[Key]:
    """Leave out keys of so few values that even an average block would be too large to be used."""
    counted = [f"approx_count_distinct({sql.quote(a.name)}), avg({sql.quote('has_' + a.name)}::INT)" for a in atoms]
    row = con.execute(f"SELECT count(*), {', '.join(counted)} FROM atom").fetchone() if atoms else None
    if row is None:
        return keys
    values = {atom.name: max(1, row[2 * n + 1]) for n, atom in enumerate(atoms)}
    filled = {atom.name: row[2 * n + 2] or 0.0 for n, atom in enumerate(atoms)}
    return [
        key
        for key in keys
        if row[0] * prod(filled[name] for name in key) <= LARGEST_BLOCK * prod(values[name] for name in key)
    ]


def choose_keys(
    keys: Sequence[Key], found: NDArray[np.integer[Any]], pair: NDArray[np.integer[Any]], chance: Floats, most: float
) -> tuple[Key, ...]:
    """Return the keys that find the most matches for the pairs they ask to be scored, best first.

    ``found`` and ``pair`` say which key finds which pair, ``chance`` how probably each pair is a match; together the
    keys find at most ``most`` different pairs, and every further one still adds something.
    """
    chosen: list[int] = []
    open_, left = np.ones(len(chance), np.bool_), most
    wanted = chance.sum() * LEAST_GAIN
    while True:
        fresh = open_[pair]
        gain = np.bincount(found, chance[pair] * fresh, len(keys))
        cost = np.bincount(found, fresh, len(keys))
        worth = np.where((gain > wanted) & (cost <= left), gain / np.maximum(cost, 1), 0.0)
        best = int(np.argmax(worth)) if len(keys) else 0
        if not len(keys) or worth[best] <= 0:
            return tuple(keys[number] for number in chosen)
        chosen.append(best)
        left -= cost[best]
        open_[pair[found == best]] = False


def budget(rows: int) -> int:
    """Return how many pairs of so many records are scored at most."""
    return max(MIN_BUDGET, PAIRS_PER_ROW * rows)


def _make_atoms(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...]) -> None:
    con.execute(f"CREATE OR REPLACE TABLE atom AS {_atoms_sql(atoms)}")


def _atoms_sql(atoms: tuple[Atom, ...], source: str = "norm") -> str:
    select = []
    for atom in atoms:
        value = _value(atom)
        select += [
            f"hash({value}) AS {sql.quote(atom.name)}",
            f"{value} IS NOT NULL AS {sql.quote('has_' + atom.name)}",
        ]
    return f"SELECT {', '.join(['rid', 'employee', *select])} FROM {source} WHERE NOT is_stub"


def _alone(atoms: tuple[Atom, ...]) -> list[tuple[str, ...]]:
    return [(atom.name,) for atom in atoms if atom.strong]


def _partly(a: Atom, b: Atom) -> bool:
    """Tell whether one part is the whole name and the other a piece of it."""
    return NAME in (a.name, b.name) and bool({a.feature, b.feature} & {"given", "family"})


def _candidates(atoms: tuple[Atom, ...]) -> list[tuple[str, ...]]:
    paired = [
        (a.name, b.name)
        for a, b in combinations(atoms, 2)
        if a.feature != b.feature and not (a.strong and b.strong and NAME not in (a.name, b.name)) and not _partly(a, b)
    ]
    return _alone(atoms) + paired


def _key_hash(key: tuple[str, ...]) -> str:
    return f"hash({', '.join(sql.quote(name) for name in key)})"


def _present(key: tuple[str, ...]) -> str:
    return " AND ".join(sql.quote("has_" + name) for name in key)


def every_pair(con: duckdb.DuckDBPyConnection) -> None:
    """Create ``pair`` from all pairs of records of one role: for data too few to need blocking."""
    con.execute(
        """CREATE OR REPLACE TABLE pair AS SELECT a.rid AS l, b.rid AS r
        FROM norm a JOIN norm b ON a.employee = b.employee WHERE a.rid < b.rid AND NOT a.is_stub AND NOT b.is_stub"""
    )


def build_keyed(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...], keys: tuple[tuple[str, ...], ...]) -> None:
    """Create ``keyed`` (key, rid): the blocks that each record is in by its own values, however large they are."""
    _make_atoms(con, _used(atoms, keys))
    con.execute("CREATE OR REPLACE TABLE keyed (key UBIGINT, rid INTEGER)")
    for number, key in enumerate(keys):
        con.execute(f"INSERT INTO keyed {_keyed_sql(number, key)}")
        for more in _of_others(atoms, number, key, "norm"):
            con.execute(f"INSERT INTO keyed {more}")
    con.execute("DROP TABLE IF EXISTS atom")


def keyed_sql(atoms: tuple[Atom, ...], keys: tuple[tuple[str, ...], ...], source: str) -> str:
    """Select ``keyed`` from a table like ``norm`` in one statement, for few records."""
    each = [_keyed_sql(number, key) for number, key in enumerate(keys)]
    each += [more for number, key in enumerate(keys) for more in _of_others(atoms, number, key, source)]
    found = " UNION ALL ".join(each)
    return f"WITH atom AS MATERIALIZED ({_atoms_sql(_used(atoms, keys), source)}) {found}"


def _keyed_sql(number: int, key: Key) -> str:
    return f"SELECT hash({number}, employee, {_key_hash(key)}) AS key, rid FROM atom WHERE {_present(key)}"


def _of_others(atoms: tuple[Atom, ...], number: int, key: Key, source: str) -> list[str]:
    """Select the keys of records by their second value and those after it, where the key is one list's values alone."""
    return [
        f"""SELECT hash({number}, employee, hash(hash(v))) AS key, rid FROM (
            SELECT rid, employee, unnest({atom.several}) AS v, {_value(atom)} AS first FROM {source}
            WHERE NOT is_stub AND len({atom.feature}) > 1) WHERE v <> first AND v <> ''"""
        for atom in atoms
        if key == (atom.name,) and atom.several
    ]


def key_parts(
    atoms: tuple[Atom, ...], keys: tuple[Key, ...]
) -> tuple[dict[str, str], dict[str, str], list[tuple[int, Key]]]:
    """Return for one record the expression of each part, of all values of parts that are lists, and the keys by number."""
    used = _used(atoms, keys)
    several = {atom.name: atom.several for atom in used if atom.several and (atom.name,) in keys}
    return {atom.name: _value(atom) for atom in used}, several, list(enumerate(keys))


def key_hash(number: int, employee: bool, parts: Sequence[int]) -> int:
    """Return the key of one record from the hashes of its parts, as ``_keyed_sql`` makes it."""
    return hash_of(number, employee, hash_of(*parts))


def _value(atom: Atom) -> str:
    return f"nullif({atom.expr}, '')"


def _used(atoms: tuple[Atom, ...], keys: tuple[Key, ...]) -> tuple[Atom, ...]:
    used = {name for key in keys for name in key}
    return tuple(atom for atom in atoms if atom.name in used)


def build_pairs(con: duckdb.DuckDBPyConnection, atoms: tuple[Atom, ...], keys: tuple[tuple[str, ...], ...]) -> None:
    """Create ``pair`` (l < r): distinct candidate pairs of records of one role, found by any of the keys."""
    if EVERY_PAIR in keys:
        every_pair(con)
        return
    build_keyed(con, atoms, keys)
    con.execute(
        f"""CREATE OR REPLACE TABLE block AS SELECT key, rid FROM keyed
        SEMI JOIN (SELECT key FROM keyed GROUP BY key HAVING count(*) BETWEEN 2 AND {LARGEST_BLOCK}) USING (key)"""
    )
    con.execute(
        """CREATE OR REPLACE TABLE pair AS SELECT (ends >> 32)::INTEGER AS l, (ends & 4294967295)::INTEGER AS r FROM (
            SELECT DISTINCT (a.rid::BIGINT << 32) | b.rid AS ends
            FROM block a JOIN block b ON a.key = b.key AND a.rid < b.rid)"""
    )
    con.execute("DROP TABLE block")
