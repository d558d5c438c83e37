"""What a connection asks of Spark: read without Spark, from the queries that reach it."""

from __future__ import annotations

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.spark.connection import SparkConnection


class Recorded:
    """Stands for a session: keeps what it is asked, in order."""

    functions: frozenset[str] = frozenset()

    def __init__(self):
        self.asked = []
        self.tables = set()

    def keep(self, name, query):
        self.asked.append(query)
        self.tables.add(name)

    def fill(self, name, columns, queries):
        self.asked += queries
        self.tables.add(name)

    def columns(self, name):
        raise AssertionError("no statement here asks for columns")

    def drop(self, name):
        self.tables.remove(name)


def test_a_common_expression_that_is_materialised_and_read_twice_is_computed_once():
    spark = Recorded()
    connection = SparkConnection(spark)

    connection.execute("CREATE TABLE made (a INTEGER)")
    connection.execute(
        """INSERT INTO made WITH small AS (SELECT a FROM t WHERE a < 5), once AS MATERIALIZED (SELECT a, sum(b) AS s FROM small JOIN u USING (a) GROUP BY a)
        SELECT once.a FROM once JOIN once o ON o.s = once.a"""
    )
    connection.execute("CREATE TABLE out AS SELECT a FROM made")

    first, second, last = spark.asked
    assert first.startswith("WITH small AS (SELECT a FROM t WHERE a < 5) SELECT a, SUM(b)")
    assert "AS once JOIN once_" in second
    assert last == "SELECT a FROM made"


def test_what_was_kept_for_a_statement_goes_with_it_and_the_rest_when_the_connection_is_closed():
    spark = Recorded()
    connection = SparkConnection(spark)
    connection.execute("CREATE TABLE made (a INTEGER)")
    connection.execute("INSERT INTO made WITH v AS MATERIALIZED (SELECT a FROM t) SELECT v.a FROM v JOIN v w USING (a)")
    kept = set(spark.tables)

    connection.execute("CREATE TABLE out AS SELECT a FROM made")
    after = set(spark.tables)
    connection.close()

    assert len(kept) == 1
    assert after == {"made", "out"}
    assert spark.tables == set()


def test_a_common_expression_that_is_read_once_stays_in_its_statement():
    spark = Recorded()
    connection = SparkConnection(spark)

    connection.execute("CREATE TABLE made (a INTEGER)")
    connection.execute("INSERT INTO made WITH v AS MATERIALIZED (SELECT a FROM t) SELECT a FROM v")
    connection.execute("CREATE TABLE out AS SELECT a FROM made")

    assert spark.asked == ["WITH v AS (SELECT a FROM t) SELECT a FROM v", "SELECT a FROM made"]


def test_settings_of_duckdbs_planner_are_passed_over_and_a_statement_of_unknown_kind_is_not():
    connection = SparkConnection(Recorded())

    connection.execute("SET disabled_optimizers = 'filter_pushdown'")
    with pytest.raises(FixConfig, match="Pragma"):
        connection.execute("PRAGMA enable_profiling")
