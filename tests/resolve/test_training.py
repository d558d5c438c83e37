"""What a model is learned from: pure blocks of bounded size, and no pairs that are known to be no matches."""

from __future__ import annotations

import duckdb
import pytest

from pipelines.resolve import training
from pipelines.resolve.agreement import check
from pipelines.resolve.comparisons import Comparison, Level
from pipelines.resolve.features import Feature
from pipelines.resolve.guards import guard_of
from pipelines.resolve.implied import implied

COLUMNS = ["mail", "org", "town", "street", "job"]


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """300 people of two records each, who share a mailbox; ten share an employer and nothing else."""
    con = duckdb.connect()
    con.execute(
        """CREATE TABLE scored_records AS SELECT n AS rid, 'm' || n // 2 AS mail, 'o' || n // 20 AS org,
        's' || n // 2 AS street, 't' || (n // 2) % 50 AS town, 'j' || (n // 2) % 3 AS job FROM range(600) r(n)"""
    )
    return con


def test_blocks_of_colleagues_are_not_learned_from(con: duckdb.DuckDBPyConnection) -> None:
    chosen = training.training_columns(con, COLUMNS)

    assert {block.column for block in chosen} == {"mail", "street"}


def test_without_a_pure_block_the_purest_are_taken(con: duckdb.DuckDBPyConnection) -> None:
    assert training.training_columns(con, ["org", "town", "job"]) != []
    assert len(training.training_columns(con, ["org", "town", "job"])) <= training.EM_LEAST_SESSIONS


def test_of_a_block_is_told_how_many_agreeing_pairs_have_a_value_in_each_column(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("UPDATE scored_records SET town = NULL WHERE rid < 200")
    found = {block.column: block for block in training.training_columns(con, COLUMNS)}

    assert found["mail"].pairs == 300
    assert found["mail"].seen == {"org": 300, "town": 200, "street": 300, "job": 300}


def test_pairs_that_agree_in_little_else_show_nothing_of_matches_and_a_source_is_no_agreement(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = 30 * 190
    found = training._block(con, "org", ["mail", "town"], pairs)
    con.execute("ALTER TABLE scored_records ADD COLUMN source VARCHAR DEFAULT 'crm'")
    monkeypatch.setattr(training, "PURITY_PAIRS", 100)

    assert found.seen == {"mail": 300, "town": 300}
    assert found.purity == pytest.approx(300 / pairs)
    assert training._block(con, "org", ["source"], pairs).purity == 0
    assert 150 < training._block(con, "mail", ["town"], 300).seen["town"] < 450  # a part stands for the whole


def test_what_blocks_show_counts_for_the_part_that_em_looks_at_and_only_where_a_session_was_kept(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "make_linker", lambda *_: (None, None))
    monkeypatch.setattr(training, "em_session", lambda _linker, rule, _share: "mail" not in rule)

    def learned(rows: int) -> float:
        block = training.Block("x", 1, 1.0, {"town": 6_000.0})
        with monkeypatch.context() as patch:
            patch.setattr(training, "_with_u", lambda *_: ())
            patch.setattr(training, "_with_m", lambda *_: (None, [block]))
            patch.setattr(training, "_entries", lambda _: [ENTRIES])
            return training.learn(con, (TOWN,), rows)[0].levels[2][1]

    _, blocks = training._with_m(
        con, training.built_in((Comparison("mail", ()), Comparison("street", ()), Comparison("org", ()))), 1, None
    )

    assert [block.column for block in blocks] == ["street"]
    assert learned(10 * training.TRAINED_ROWS) > 5 * learned(training.TRAINED_ROWS)


TOWN = Comparison(
    "town",
    (
        Level("missing", None, 0, 0), Level("equal", check("equal", "town"), 0.7, 0.1),
        Level("near", check("similar", "town", 0.9), 0.2, 0.01), Level("else", None, 0.1, 0.89),
    ),
)  # fmt: skip
ENTRIES: list[dict[str, float]] = [{}, {"m_probability": 0.9}, {"m_probability": 0.2}, {"m_probability": 0.1 + 1e-9}]


def test_a_level_that_no_match_shows_is_rare_the_more_matches_were_seen() -> None:
    def near(matches: float, entries: list[dict[str, float]]) -> float:
        found = training._rounded(TOWN, entries, matches, 1000)
        assert sum(m for _, m, _ in found.levels) == pytest.approx(1)
        return found.levels[2][1]

    assert 0.01 < near(300, ENTRIES) < 0.02
    assert near(30_000, ENTRIES) < 0.001
    assert near(30, ENTRIES) == pytest.approx(0.2)  # of so few nothing is learned
    assert near(30_000, [{}, {"m_probability": 0.7}, {"m_probability": 0.2}, {"m_probability": 0.1}]) == pytest.approx(
        0.2
    )
    seen = [{}, {"m_probability": 0.72}, {"m_probability": 0.18}, {"m_probability": 0.11}]
    assert near(30_000, seen) == pytest.approx(0.18, abs=0.002)


def test_what_too_few_matches_show_is_not_said_to_be_learned() -> None:
    comparison = Comparison(
        "town",
        (Level("missing", None, 0, 0), Level("equal", check("equal", "town"), 0.8, 0.1), Level("else", None, 0.2, 0.9)),
    )
    entries = [{}, {"m_probability": 1.0}, {"m_probability": 0.33}]

    few, many = (training._rounded(comparison, entries, matches, 1000) for matches in (4, 4_000))

    assert (few.origin, many.origin) == ("built-in", "learned")
    assert [m for _, m, _ in few.levels[1:]] == pytest.approx([0.8, 0.2])


def test_em_does_not_see_pairs_that_the_guard_refuses() -> None:
    features = tuple(Feature(name, kind, name) for name, kind in (("given", "given"), ("birth_date", "date")))
    guard = guard_of(features, ())
    assert guard is not None
    con = duckdb.connect()
    con.execute(
        """CREATE TABLE r AS SELECT *, given AS guard_given, []::VARCHAR[] AS guard_given_forms, birth_date AS guard_birth_date FROM (VALUES
        (1, 'maria', '19700101'), (2, 'peter', '19800202'), (3, 'pete', NULL), (4, 'olga', '19700101')) v(n, given, birth_date)"""
    )

    seen = con.execute(
        f"SELECT l.n, r.n FROM r l JOIN r r ON l.n < r.n{training._not_refused(guard)} ORDER BY ALL"
    ).fetchall()

    assert seen == [(1, 4), (2, 3)]  # the birth date is personal; a short form is no other name
    assert training._not_refused(None) == ""


@pytest.mark.parametrize(("countries", "expected"), [(1, {"country"}), (7, set())], ids=["implied", "independent"])
def test_a_part_of_an_address_that_another_implies_is_not_compared(countries: int, expected: set[str]) -> None:
    con = duckdb.connect()
    con.execute(
        f"CREATE TABLE norm AS SELECT 'c' || n % 10 AS city, 'l' || (n // 10) % {countries} AS country FROM range(700) r(n)"
    )

    assert implied(con, tuple(Feature(name, "place", name) for name in ("city", "country"))) == expected
