"""Every test has two forms, SQL for many pairs and Python for one: they say the same of the same pair."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.resolve.agreement import AnyOf, Check, check
from pipelines.resolve.similarity import damerau_levenshtein, jaro_winkler

WORDS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("x", pa.string()),
        ("y", pa.string()),
        ("date", pa.string()),
        ("words", WORDS),
        ("own", WORDS),
        ("named", WORDS),
        ("gender", pa.string()),
    ]
)
CASES = [
    check("equal", "x"), check("swapped", "x", "y"), check("similar", "x", 0.85), check("changed places", "x", "y", "y", 0.8),
    check("short form", "x", 0.84), check("same start", "x", 2), check("same end", "x", 3), check("edits", "x", 1),
    check("edits", "x", 2), check("date edit", "date"), check("date turned", "date"), check("within ten years", "date"), check("shared", "words"),
    check("shared, one's own", "words", "own"), check("similar and equal", "x", "y", 0.75), check("mistyped, one's own", "x", "y", "named", 2),
    check("most words", "words", 80), check("most words", "words", 50), check("words of the shorter", "words", 50),
    check("contained", "words"), check("known as", "words"), check("moved", "x", "y", 0.88), check("within a year", "date"),
    check("one of the words", "x", "y"), check("another start", "x"), check("another gender", "gender"),
]  # fmt: skip


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcé1 ") for _ in range(rng.randint(0, 7)))


def _near(rng: random.Random, text: str) -> str:
    """The same text with an edit or two."""
    letters = list(text)
    for _ in range(rng.randint(0, 2)):
        place = rng.randint(0, len(letters))
        letters[place : place + rng.randint(0, 1)] = rng.choice("abc")
    if len(letters) > 1 and rng.random() < 0.2:
        place = rng.randrange(len(letters) - 1)
        letters[place : place + 2] = letters[place + 1], letters[place]
    return "".join(letters)


def _row(rng: random.Random, like: dict[str, Any] | None = None) -> dict[str, Any]:
    def text(name: str) -> str | None:
        if rng.random() < 0.1:
            return None
        source = like[rng.choice(["x", "y"])] if like and rng.random() < 0.3 else (like or {}).get(name)
        return _word(rng) if source is None or rng.random() < 0.3 else _near(rng, source)

    def date() -> str | None:
        months = [f"{rng.randint(1, 12):02d}" for _ in range(2)]
        same = like and like["date"] and rng.random() < 0.5
        return (
            None
            if rng.random() < 0.1
            else (like or {})["date"]
            if same
            else f"19{rng.randint(60, 80)}" + "".join(months)
        )

    def words() -> list[str] | None:
        return None if rng.random() < 0.1 else sorted({rng.choice("abcdefg") for _ in range(rng.randint(1, 5))})

    held = words()
    own = [word for word in held or [] if rng.random() < 0.5] if held is not None else None
    x = text("x")
    named = [x] if x and rng.random() < 0.5 else []
    gender = rng.choice(("m", "f", "w", "male", "female", "weiblich", "unknown", "divers", "", None))
    return {"x": x, "y": text("y"), "date": date(), "words": held, "own": own, "named": named, "gender": gender}


@pytest.fixture(scope="module")
def pairs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rng = random.Random(11)
    lefts = [_row(rng) for _ in range(4_000)]
    return [(left, _row(rng, left)) for left in lefts]


@pytest.fixture(scope="module")
def sides(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> pa.Table:
    columns = {}
    for place, rows in zip("lr", zip(*pairs, strict=True), strict=True):
        table = pa.Table.from_pylist(list(rows), SCHEMA)
        columns |= {f"{name}_{place}": table[name] for name in SCHEMA.names}
    return pa.table({"n": list(range(len(pairs))), **columns})


def _in_sql(condition: str, sides: pa.Table) -> list[bool]:
    con = duckdb.connect()
    con.register("sides", sides)
    rows = con.execute(f"SELECT coalesce(({condition}), false) FROM sides ORDER BY n").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.args}")
def test_both_forms_agree_and_tell_pairs_apart(case: Check, pairs: list[Any], sides: pa.Table) -> None:
    expected = _in_sql(case.sql, sides)

    assert [case.holds(left, right) for left, right in pairs] == expected
    assert 0 < sum(expected) < len(expected)


def test_a_gender_that_is_neither_male_nor_female_is_not_another_one() -> None:
    case = check("another gender", "gender")
    said = {(one, other) for one in ("m", "female", "w", "x", "unknown", "") for other in ("male", "f", "divers")
            if case.holds({"gender": one}, {"gender": other})}  # fmt: skip

    assert said == {("m", "f"), ("female", "male"), ("w", "male")}


def test_any_of_agrees_and_is_never_unknown(pairs: list[Any], sides: pa.Table) -> None:
    some = AnyOf((check("equal", "x"), check("shared", "own")))

    assert [some.holds(left, right) for left, right in pairs] == _in_sql(some.sql, sides)
    assert not AnyOf(()).holds({}, {})


def test_an_unknown_test_is_refused_where_it_is_named() -> None:
    with pytest.raises(KeyError, match="alike"):
        check("alike", "x")


def test_similarities_are_those_of_duckdb_to_the_last_bit(pairs: list[Any]) -> None:
    texts = [(left["x"] or "", right["x"] or "") for left, right in pairs]
    con = duckdb.connect()
    con.register(
        "texts", pa.table({"n": list(range(len(texts))), "a": [a for a, _ in texts], "b": [b for _, b in texts]})
    )
    rows = con.execute(
        "SELECT jaro_winkler_similarity(a, b), damerau_levenshtein(a, b) FROM texts ORDER BY n"
    ).fetchall()

    assert [(jaro_winkler(a, b), damerau_levenshtein(a, b)) for a, b in texts] == [
        (pytest.approx(similarity, abs=1e-12), distance) for similarity, distance in rows
    ]
