"""Candidate pairs: keys that find most for what they cost, within a budget; blocks of bounded size."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from pipelines.resolve import blocking
from pipelines.resolve.blocking import Atom

KEYS = [("a",), ("b",), ("c",)]


def choose(finds: list[list[int]], chance: list[float], most: float = 100) -> tuple[tuple[str, ...], ...]:
    found = np.array([key for key, pairs in enumerate(finds) for _ in pairs], np.int64)
    pair = np.array([number for pairs in finds for number in pairs], np.int64)
    return blocking.choose_keys(KEYS, found, pair, np.array(chance), most)


def test_key_that_finds_most_matches_for_its_pairs_comes_first() -> None:
    assert choose([[0, 1, 2, 3], [0, 1], [4]], [0.9, 0.9, 0.1, 0.1, 0.5]) == (("b",), ("c",), ("a",))


def test_key_that_finds_nothing_new_is_left_out() -> None:
    assert choose([[0, 1], [0], [1]], [0.9, 0.9]) == (("a",),)


def test_key_beyond_the_budget_is_left_out_and_a_smaller_one_still_taken() -> None:
    assert choose([[0], [1, 2, 3], [4]], [0.9, 0.9, 0.9, 0.9, 0.2], most=2) == (("a",), ("c",))


def test_pairs_that_are_no_matches_are_worth_nothing() -> None:
    assert choose([[0], [1], []], [0.9, 0.0]) == (("a",),)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    size = blocking.LARGEST_BLOCK
    con.execute(
        f"""CREATE TABLE norm AS SELECT n::INTEGER AS rid, false AS is_stub, n % 2 = 1 AS employee,
        CASE WHEN n < {4 * size} THEN 'many' ELSE 'few' || n // 4 END AS x, 'y' || n % 7 AS y FROM range({4 * size + 40}) r(n)"""
    )
    return con


def test_blocks_beyond_the_limit_and_pairs_across_roles_are_left_out(con: duckdb.DuckDBPyConnection) -> None:
    atoms = (Atom("x", "x", "x", strong=True), Atom("y", "y", "y"))

    blocking.build_pairs(con, atoms, (("x",),))

    pairs = con.execute("SELECT l, r FROM pair").fetchall()
    first = 4 * blocking.LARGEST_BLOCK
    assert sorted(pairs) == [(n, n + 2) for n in range(first, first + 40) if n % 4 in (0, 1)]


def test_a_sample_finds_what_all_records_find_for_the_sampled(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "SAMPLED_ROWS", 70)
    con.execute(
        "CREATE TABLE sampled AS SELECT rid, row_number() OVER (ORDER BY md5(rid::VARCHAR)) - 1 AS place FROM norm"
    )
    atoms = (Atom("x", "x", "x", strong=True), Atom("y", "y", "y"))
    rows = con.execute("SELECT count(*) FROM norm").fetchone()
    assert rows

    keys, share = blocking.sample_pairs(con, atoms, rows[0])
    found = con.execute("SELECT l, r FROM found WHERE k = ? ORDER BY ALL", [keys.index(("x",))]).fetchall()
    blocking.build_pairs(con, atoms, (("x",),))

    assert share == rows[0] / 70
    assert found
    among = "SELECT l, r FROM pair WHERE l IN (SELECT rid FROM sampled WHERE place < 70) ORDER BY ALL"
    assert found == con.execute(among).fetchall()


def test_key_whose_average_block_is_too_large_is_not_tried(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE many AS SELECT * REPLACE (rid + 1000 * i AS rid) FROM norm, range(8) r(i)")
    con.execute("DROP TABLE norm; ALTER TABLE many RENAME TO norm")
    rows = con.execute("SELECT count(*) FROM norm").fetchone()
    assert rows

    con.execute("CREATE TABLE sampled AS SELECT rid, rid AS place FROM norm")

    keys, _ = blocking.sample_pairs(con, (Atom("x", "x", "x", strong=True), Atom("y", "y", "y", strong=True)), rows[0])

    assert ("y",) not in keys


def test_a_list_finds_by_each_of_its_values_and_by_none_twice() -> None:
    con = duckdb.connect()
    con.execute(
        """CREATE TABLE norm AS SELECT *, false AS employee FROM (VALUES
        (0, false, ['4411111111', '4422222222']), (1, false, ['3322222222', '4433333333']), (2, false, ['4433333333']),
        (3, true, ['4433333333', '4499999999']), (4, false, ['1111111111']), (5, false, NULL),
        (6, false, ['0044444444', '1144444444'])) v(rid, is_stub, phones)"""
    )
    atoms = (
        Atom(
            "phones",
            "phones",
            "right(phones[1], 7)",
            True,
            "list_distinct(list_transform(phones, lambda x: right(x, 7)))",
        ),
    )

    blocking.build_keyed(con, atoms, (("phones",),))
    by_one_statement = con.execute(
        f"SELECT key, rid FROM ({blocking.keyed_sql(atoms, (('phones',),), 'norm')})"
    ).fetchall()
    keyed = con.execute("SELECT key, rid FROM keyed").fetchall()
    blocking.build_pairs(con, atoms, (("phones",),))

    assert sorted(keyed) == sorted(by_one_statement)
    assert len(keyed) == len(set(keyed)) == 7
    assert sorted(con.execute("SELECT l, r FROM pair").fetchall()) == [(0, 1), (0, 4), (1, 2)]
