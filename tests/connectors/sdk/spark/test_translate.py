"""Definitions in Spark SQL: everything that is used has a form there, and what has none is refused by name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from canonical_model import load_vocabulary
from connectors.sdk.catalog import find_connectors
from connectors.sdk.mapping import compile_stream
from connectors.sdk.mapping.expressions import MappingError
from connectors.sdk.mapping.spark_rows import spark_emit
from connectors.sdk.mapping.spark_run import SparkStream
from connectors.sdk.spark import NotOnSpark, to_spark
from connectors.sdk.spark.patterns import java_pattern, java_replacement
from tests.connectors.sdk.mapping.vendor import folder

pytestmark = pytest.mark.slow  # all streams of all connectors are translated

CONNECTORS = find_connectors()


@pytest.mark.parametrize(
    ("pattern", "java"),
    [
        ("a$", r"(?d)a\z"),
        (r"\s[\s,]", r"(?d)[\t\n\f\r ][\t\n\f\r ,]"),
        ("[[&]", r"(?d)[\[\&]"),
        ("[]a]", r"(?d)[\]a]"),
        ("(?i)x{2,3}{", r"(?d)(?iu)x{2,3}\{"),
        (r"(?P<name>\d+)\$", r"(?d)(?<name>\d+)\$"),
        (r"\bx", r"(?d)(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))x"),
    ],
)
def test_a_pattern_means_the_same_in_java(pattern, java):
    assert java_pattern(pattern) == java


@pytest.mark.parametrize("pattern", [r"[\S]", "[[:alpha:]]"])
def test_a_pattern_without_a_form_in_java_is_refused(pattern):
    with pytest.raises(ValueError, match="class"):
        java_pattern(pattern)


def test_a_replacement_names_groups_with_a_dollar_and_keeps_other_dollars():
    assert java_replacement(r"\1:00$\2") == r"$1:00\$$2"


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_emit_of_every_connector_has_a_form_on_spark(name):
    mapping = CONNECTORS[name].mapping
    for stream in mapping.streams:
        for emit in compile_stream(mapping, stream, load_vocabulary()).statements.emits:
            query = spark_emit(emit, mapping.connector).sql("read", {"timezone": "UTC", "default_region": "GB"})

            assert "`read`" in query or " read" in query
            assert "called" not in query


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT map_keys(a) FROM t", "MapKeys"),
        ("SELECT no_such_thing(a) FROM t", "no_such_thing"),
        ("SELECT a FROM t TABLESAMPLE 5%", "SYSTEM"),
        ("SELECT regexp_matches(a, b) FROM t", "written out"),
        ("SELECT strftime(a, '%H') FROM t", "%H"),
        ("SELECT list(a ORDER BY b) FROM t", "another order"),
        ("SELECT * EXCLUDE (a) FROM t", "columns"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_name(sql, what):
    with pytest.raises(NotOnSpark, match=what):
        to_spark(sql)


@pytest.mark.parametrize(
    ("sql", "spark"),
    [
        ("SELECT len(a), length(b) FROM t", "SELECT size(a), length(b) FROM t"),
        ("SELECT a[1] FROM t", "SELECT get(a, 0) FROM t"),
        ("SELECT concat(a, b) FROM t", "SELECT concat_ws('', a, b) FROM t"),
        ("SELECT string_split(a, '.') FROM t", r"SELECT split(a, '\\.', -1) FROM t"),
        ("SELECT nullif(list_filter(a, lambda x: x <> ''), []) FROM t", None),
        ("SELECT * REPLACE (upper(b) AS b) FROM t", "SELECT `t`.`a`, unisono_upper(b) AS `b` FROM t"),
    ],
)
def test_where_spark_means_something_else_another_function_is_taken(sql, spark):
    made = to_spark(sql, columns=lambda _table: ["a", "b"])

    assert spark is None or made.lower() == spark.lower()
    assert "array()" not in made.lower() or "cast(array()" in made.lower()


def test_a_character_that_spark_has_no_escape_for_never_becomes_a_letter():
    assert to_spark("SELECT trim(a, chr(11)) FROM t") == "SELECT TRIM(CHR(11) FROM a) FROM t"
    with pytest.raises(NotOnSpark, match="control character"):
        to_spark("SELECT trim(a, '\v') FROM t")


def test_qualify_becomes_a_condition_around_a_query_that_shows_the_same_columns():
    made = to_spark(
        "WITH v AS (SELECT a, b FROM t) SELECT *, min(a) OVER (PARTITION BY b) AS c FROM v QUALIFY bool_or(a > 1) OVER (PARTITION BY b)"
    )

    assert made.startswith("WITH v AS (SELECT a, b FROM t) SELECT `a`, `b`, `c` FROM (SELECT *")
    assert made.endswith("WHERE qualifies")


def test_a_mapping_that_has_no_exact_form_is_refused_with_its_file(tmp_path):
    mapping = 'streams: {things: {emit: [{entity: person, terms: {full_name: {join: [a, b], with: "\\v"}}}]}}\n'
    made = folder(tmp_path, mapping)
    stream = SparkStream(compile_stream(made.mapping, "things", load_vocabulary()), made.mapping, cast("Any", None))

    with pytest.raises(MappingError, match="control character") as refused:
        _ = stream.emits

    assert "mapping.yaml" in str(refused.value)
    assert "engine: duckdb" in str(refused.value)
