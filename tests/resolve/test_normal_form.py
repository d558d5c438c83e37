"""The expressions that make a normal form mean for one record in Python what they mean for many in DuckDB."""

from __future__ import annotations

import json
import random
import unicodedata
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.resolve import blocking, deterministic, finish, index
from pipelines.resolve.duck import connect
from pipelines.resolve.evaluate import compiled
from pipelines.resolve.features import Feature, build_norm, numbered, profile_features
from pipelines.resolve.functions import hash_of, lower, pattern, strip_accents
from pipelines.resolve.match_view import match_table, scalar_terms
from pipelines.resolve.model import MatchModel
from pipelines.resolve.normal_form import NormalForm, value_hash
from pipelines.resolve.rules import load_policy

pytestmark = pytest.mark.slow  # many records are normalised in two ways

_LETTERS = (
    *"aabbeeiilmnorstz  '-.@0123456789_%",
    "é",
    "Ł",
    "İ",
    "ß",
    "Σ",
    "ŝ",
    "\u0301",
    "ᄀ",
    "ᅡ",
    "\u00a0",
    "\t",
    "漢",
    "!",
)
_WORDS = (
    "Dr",
    "Anna",
    "anna",
    "Bob",
    "Lee",
    "van",
    "JR",
    "iii",
    "O'Neil",
    "info",
    "GmbH",
    "Acme",
    "The",
    "Łukasz",
    "Renée",
    "Guest",
    "Test",
    "Unknown",
    "N/A",
    "none",
)


def text(rng: random.Random) -> str:
    """A name, or nearly."""
    if rng.random() < 0.3:
        return "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(18)))
    return " ".join(rng.choice(_WORDS) for _ in range(rng.randrange(1, 5)))


def mail(rng: random.Random) -> str:
    """An e-mail address, or nearly."""
    return f"{text(rng).replace(' ', rng.choice(('', '.', ' ')))}{rng.choice(('@', '@', '@', ''))}{rng.choice('xyz')}.example"


def many(rng: random.Random, make: Any) -> list[str]:
    """Nothing, one or a few values."""
    return sorted({make(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))})


def digits(rng: random.Random) -> str:
    """A phone number, or nearly."""
    return rng.choice(("+", "00", "")) + "".join(rng.choice("0123456789 -") for _ in range(rng.randrange(3, 14)))


def number(rng: random.Random) -> str:
    """An identifier of some system."""
    return f"{rng.choice(('tax_id', 'crm.id', 'duns'))}={rng.choice((text(rng), '-5', '1111', 'AB 12', '0'))}"


def table(entity: str, count: int, seed: int) -> pa.Table:
    """A match table with everything that sources get wrong."""
    rng = random.Random(seed)
    dates = ("1970-01-31", "31.1.1970", "1970", "3/4/85", "unknown", "1900-01-01", None)
    columns: dict[str, Any] = {
        name: [rng.choice((text(rng), None)) for _ in range(count)] for name in scalar_terms(entity)
    }
    columns |= {
        name: [rng.choice((text(rng), None)) for _ in range(count)] for name in ("street", "city", "postcode", "region")
    }
    columns |= {"emails": [many(rng, mail) for _ in range(count)], "phones": [many(rng, digits) for _ in range(count)]}
    columns |= {"websites": [many(rng, lambda r: f"https://www.{r.choice('abc')}.example/x") for _ in range(count)]}
    columns |= {"socials": [many(rng, lambda r: f"https://x.example/{text(r)}/") for _ in range(count)]}
    columns["identifiers"] = [many(rng, number) for _ in range(count)]
    columns["verified"] = [
        [*(f"email={each}" for each in emails[:1]), *numbers[:1]]
        for emails, numbers in zip(columns["emails"], columns["identifiers"], strict=True)
    ]
    if "birth_date" in columns:
        columns["birth_date"] = [rng.choice(dates) for _ in range(count)]
    columns["source_record_id"], columns["source_ref"] = (
        list(range(count)),
        [f"crm/contact/{n:04d}" for n in range(count)],
    )
    columns["is_stub"] = [rng.random() < 0.1 for _ in range(count)]
    columns["role_class"] = [rng.choice(("customer", "employee")) for _ in range(count)]
    return match_table(entity, columns)


@pytest.mark.parametrize("entity", ["person", "organization"])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_record_has_the_line_and_the_keys_that_a_full_run_gives_it(entity: str, seed: int) -> None:
    policy, records = load_policy(), table(entity, 300, seed)
    con = connect()
    con.register("match", numbered(records))
    made = build_norm(con, entity, policy)
    deterministic.build_values(con, made, policy)
    counted = con.execute("SELECT kind, value, names, initials FROM identifier_stats").fetchall()
    finish.finish_norm(con, made, policy)
    atoms = blocking.build_atoms(made, profile_features(con, made))
    keys = tuple((atom.name,) for atom in atoms) + tuple((a.name, b.name) for a, b in pairwise(atoms))
    lines = con.execute(f"SELECT rid, features, held FROM ({index.rows_sql(made)}) ORDER BY rid").fetchall()
    keyed = con.execute(
        f"SELECT rid, list(key) FROM ({blocking.keyed_sql(atoms, keys, 'norm')}) GROUP BY rid"
    ).fetchall()
    whole = con.execute("SELECT * FROM norm ORDER BY rid").to_arrow_table().to_pylist()

    form = NormalForm(_model(entity, made, atoms, keys), policy)
    counts = {(kind, value): (names, initials) for kind, value, names, initials in counted}
    found_keys = dict(keyed)
    for row, (rid, features_text, held_text), all_columns in zip(records.to_pylist(), lines, whole, strict=True):
        said, held = form.said(row)
        base = form.reduced(said, held, counts)
        line = form.line(rid, row["source_ref"], base, held)
        assert line.features == _parsed(features_text)
        assert line.held == _parsed(held_text)
        derived = form.row(line)
        assert {name: derived[name] for name in derived} == {name: all_columns[name] for name in derived}
        assert sorted(form.keys(derived)) == sorted(found_keys.get(rid, []))


def _parsed(text_of_json: str) -> Any:
    return json.loads(text_of_json)


def _model(entity: str, made: tuple[Feature, ...], atoms: Any, keys: Any) -> MatchModel:
    return MatchModel(entity, "built-in", 0.1, 0.0, (), made, {}, atoms, keys, 300, 1)


def test_every_letter_is_treated_as_by_duckdb_but_those_that_python_does_not_know_yet() -> None:
    letters = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
    con = duckdb.connect()
    con.register("letters", pa.table({"n": range(len(letters)), "c": letters}))
    rows = con.execute(
        """SELECT c, lower(c), strip_accents(c), regexp_matches(c, '[^\\p{L}\\p{N}]+'), hash('value', c, c || c) FROM letters"""
    ).fetchall()

    differ = [
        row[0]
        for row in rows
        if (lower(row[0]), strip_accents(row[0]), pattern("[^\\p{L}\\p{N}]+").search(row[0]) is not None) != row[1:4]
        or hash_of("value", row[0], row[0] * 2) != row[4]
    ]

    assert len(rows) > 140_000
    assert differ == []


def test_a_value_has_one_hash_whoever_computes_it() -> None:
    rng, con = random.Random(4), duckdb.connect()
    values = [(rng.choice(deterministic.KINDS), text(rng)) for _ in range(300)]
    con.register("v", pa.table({"kind": [k for k, _ in values], "value": [v for _, v in values]}))
    made = con.execute(f"SELECT kind, value, {index.VALUE_HASH} FROM v").fetchall()

    assert [value_hash(kind, value) for kind, value, _ in made] == [each for *_, each in made]


def test_an_expression_without_a_python_form_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(NotImplementedError, match="soundex"):
        compiled(duckdb.connect(), ["soundex(given)"])
    with pytest.raises(NotImplementedError, match="pattern"):
        pattern("\\p{Greek}")
