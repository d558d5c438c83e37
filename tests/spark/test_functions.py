"""Each function means on Spark what it means in DuckDB: every character, many pairs of texts, and times that are odd."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from connectors.sdk.spark import to_spark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.spark.session import Spark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]
CHARACTERS = [chr(code) for code in range(1, 0x30000) if not 0xD800 <= code < 0xE000 and code not in (0xFFFE, 0xFFFF)]


def both(spark: Spark, table: pa.Table, expressions: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Return the rows of both engines."""
    query = f"SELECT {', '.join(f'{each} AS x{n}' for n, each in enumerate(expressions))}, n FROM given"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("given", table)
        expected = con.execute(query).to_arrow_table()
    spark.put("given", table)
    found = spark.fetch(to_spark(query))
    return [one.sort_by("n").to_pylist() for one in (expected, found)]  # type: ignore[return-value]


def differences(rows: tuple[list[Any], list[Any]]) -> list[tuple[Any, Any]]:
    return [pair for pair in zip(*rows, strict=True) if pair[0] != pair[1]]


def numbered(**columns: list[Any]) -> pa.Table:
    return pa.table({**columns, "n": list(range(len(next(iter(columns.values())))))})


def unknown_to_java(spark: Spark) -> set[int]:
    """Return the numbers of the characters that Java's edition of Unicode does not have."""
    return {row[0] for row in spark.rows(r"SELECT n FROM given WHERE c RLIKE '\\p{Cn}'")}


def test_every_character_is_treated_alike(compiled):
    found = differences(
        both(
            compiled,
            numbered(c=CHARACTERS),
            [
                "lower(c)", "upper(c)", "nfc_normalize('a' || c)", "length(c)", "strlen(c)",
                "regexp_matches(c, '^[^\\p{L}\\p{N}]$')", "regexp_replace(c, '\\s+', '', 'g')", "trim(c)",
                "regexp_matches(c, '.')", "string_split(c, '.')",
            ],
        )
    )  # fmt: skip

    # Two libraries, two editions of Unicode: characters younger than Java 17 have no case and no class there.
    younger = unknown_to_java(compiled)
    assert [pair for pair in found if pair[0]["n"] not in younger] == []
    assert len(found) <= 0.005 * len(CHARACTERS)


def test_accents_are_taken_off_alike(compiled):
    found = differences(both(compiled, numbered(c=[f"a{c}" for c in CHARACTERS]), ["strip_accents(c)"]))

    younger = unknown_to_java(compiled)
    assert [pair for pair in found if pair[0]["n"] not in younger] == []
    assert len(found) <= 0.005 * len(CHARACTERS)


def test_similarities_are_the_same_number(compiled):
    rnd = random.Random(5)
    words = ["".join(rnd.choices("abcdeé ñ1жß", k=rnd.randint(0, 18))) for _ in range(3000)]
    others = [_mistyped(rnd, word) for word in words]
    pairs = numbered(a=[*words, *words], b=[*others, *reversed(words)])

    found = both(
        compiled,
        pairs,
        ["jaro_winkler_similarity(a, b)", "levenshtein(a, b)", "damerau_levenshtein(a, b)", "list_has_any([a], [b])"],
    )

    assert differences(found) == []


def _mistyped(rnd: random.Random, word: str) -> str:
    letters = list(word)
    for _ in range(rnd.randint(0, 3)):
        at = rnd.randrange(len(letters) + 1)
        letters[at : at + rnd.randint(0, 2)] = rnd.choice(["", "x", "é", *(["".join(letters[at : at + 2][::-1])] * 3)])
    return "".join(letters)


TIMES = [
    "2024-01-31T09:30:00Z", "2024-01-31T09:30:00+02:00", "2024-01-31 09:30:00.5+0530", "2024-01-31T09:30:00.123456789Z",
    "2024-02-30T09:30:00Z", "2024-01-31T24:00:00Z", "2024-01-31T24:00:01Z", "2024-01-31T23:59:60Z", "2024-01-31T09:30:00+16:00",
    "2024-01-31T09:30:00-18:30", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1582-10-10T00:00:00Z", "no time",
    "2024-01-31T09:30:00+02", "1969-12-31T23:59:59.999999Z", "2024-01-31T25:00:00Z", "2024-13-01T00:00:00Z",
]  # fmt: skip
CLOCKS = [
    "2024-03-31T02:30:00", "2024-10-27T02:30:00", "2024-10-27T01:59:59.999999", "2024-07-01T12:00:00", "1950-01-01T00:00:00",
    "2011-12-30T12:00:00", "1900-01-01T00:00:00",
]  # fmt: skip


def test_times_are_read_alike_to_the_microsecond(compiled):
    given = numbered(t=TIMES)

    assert (
        differences(both(compiled, given, ["try_cast(t AS TIMESTAMPTZ)", "try_cast(substr(t, 1, 10) AS DATE)"])) == []
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "UTC"])
def test_a_wall_clock_is_the_same_instant_also_where_an_hour_comes_twice_or_never(compiled, zone):
    assert differences(both(compiled, numbered(t=CLOCKS), [f"timezone('{zone}', try_cast(t AS TIMESTAMP))"])) == []


def test_times_in_a_vendors_own_format_are_read_by_the_same_reader(compiled):
    given = numbered(t=["31/1/2024 9:30", "31/01/2024 09:30", "2024", "", None])

    rows = both(compiled, given, ["CAST(try_strptime(t, '%d/%m/%Y %H:%M') AS TIMESTAMPTZ)"])

    assert differences(rows) == []
    assert rows[0][0]["x0"] is not None


DECIMALS = [
    "1.5",
    "+5",
    ".5",
    "5.",
    "-0",
    "123456789012345678901234567890123",
    "1e3",
    "1.5E-3",
    "12345678901234567890.123456",
    " 1",
    "",
]


def test_numbers_are_read_alike_or_not_at_all(compiled):
    given = numbered(t=DECIMALS)

    assert differences(both(compiled, given, ["try_cast(nullif(t, ' 1') AS DECIMAL(38,6))"])) == []
