"""One small scorer, in SQL and in Python, gives what Splink gives for the same model."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.resolve import blocking, deterministic, load_policy, weights
from pipelines.resolve.comparisons import build_comparisons
from pipelines.resolve.compiled import Compiled, compile_model
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered, profile_features
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.match_view import match_table
from pipelines.resolve.model import MatchModel
from pipelines.resolve.scoring import prepare, score_pairs
from pipelines.resolve.splink_settings import make_linker, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

pytestmark = pytest.mark.slow  # thousands of pairs are scored in two ways

PAIRS = 100_000
PEOPLE = 500
GIVEN = ("maria", "jose", "anna", "peter", "élodie", "bob", "robert", "li")
FAMILY = ("garcia", "smith", "smyth", "o'neil", "nguyen", "müller", "berg")


def _person(rng: random.Random) -> dict[str, Any]:
    given, family = rng.choice(GIVEN), rng.choice(FAMILY)
    return {
        "given_name": given, "family_name": family, "middle_name": rng.choice(["ann", "a", None]),
        "birth_date": f"19{rng.randint(60, 79)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "emails": [f"{given}.{family}{rng.choice(['', rng.randint(1, 99)])}@mail{rng.randint(1, 3)}.example"],
        "phones": [f"+44 20 7946 {rng.randint(0, 9999):04d}"], "socials": [f"https://x.example/{given}{rng.randint(1, 50)}"],
        "street": f"{rng.randint(1, 99)} {rng.choice(['Main Street', 'Mill Lane', 'Storgatan'])}",
        "postcode": f"{rng.randint(10000, 10200)}", "city": rng.choice(["Leeds", "Lund", "Lunds", "Bath"]),
        "organization_name": rng.choice(["Blue Harbour", "Harbor Blue", "Acme", None]),
        "job_title": rng.choice(["buyer", "teacher", "nurse", None]),
        "identifiers": [f"national_id=AB{rng.randint(100000, 100400)}"],
    }  # fmt: skip


def _again(rng: random.Random, person: dict[str, Any]) -> dict[str, Any]:
    """The same person in another source: some values gone, one mistyped or turned."""
    row = {name: value for name, value in person.items() if rng.random() > 0.2}
    for name in rng.sample(sorted(row), min(2, len(row))):
        value = row[name]
        if isinstance(value, str) and len(value) > 2:
            place = rng.randrange(len(value) - 1)
            row[name] = value[:place] + value[place + 1] + value[place] + value[place + 2 :]
        elif isinstance(value, list):
            row[name] = [*value, *(_person(rng)[name])]
    return row


def _records(rng: random.Random) -> pa.Table:
    people = [_person(rng) for _ in range(PEOPLE)]
    rows = [row for person in people for row in (person, _again(rng, person), _again(rng, person))]
    names = _person(rng)
    lists = {name for name, value in names.items() if isinstance(value, list)}
    columns: dict[str, Any] = {name: [row.get(name, [] if name in lists else None) for row in rows] for name in names}
    columns["source_record_id"] = list(range(len(rows)))
    columns["source_ref"] = [f"s{n % 3}/contact/{n:05d}" for n in range(len(rows))]
    return match_table("person", columns)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with ``norm`` and 100,000 pairs: people with themselves, and strangers."""
    rng, found = random.Random(4), connect()
    records = _records(rng)
    found.register("match", numbered(records))
    features = build_norm(found, "person", load_policy())
    deterministic.build_values(found, features, load_policy())
    finish_norm(found, features, load_policy())
    rows = records.num_rows
    same = {(3 * n + i, 3 * n + j) for n in range(PEOPLE) for i, j in ((0, 1), (0, 2), (1, 2))}
    while len(same) < PAIRS:
        left, right = sorted((rng.randrange(rows), rng.randrange(rows)))
        if left < right:
            same.add((left, right))
    ends = np.array(sorted(same), np.int32)
    found.register("pairs_arrow", pa.table({"l": ends[:, 0], "r": ends[:, 1]}))
    found.execute("CREATE TABLE pair AS SELECT * FROM pairs_arrow")
    yield found
    found.close()


@pytest.fixture(scope="module")
def model(con: duckdb.DuckDBPyConnection) -> MatchModel:
    """A model with weights of its own for every level, and term frequencies."""
    con.execute("CREATE OR REPLACE VIEW scored_records AS SELECT * FROM norm WHERE NOT is_stub")
    features = build_norm(con, "person", load_policy())
    deterministic.build_values(con, features, load_policy())
    finish_norm(con, features, load_policy())
    comparisons = build_comparisons(features, profile_features(con, features), choosy=False)
    rng = random.Random(8)
    weighted = tuple(
        replace(item, levels=tuple((x, rng.uniform(0.001, 0.9), rng.uniform(0.0001, 0.5)) for x, _, _ in item.levels))
        for item in weights.built_in(comparisons)
    )
    return MatchModel(
        entity="person", origin="learned", prior=0.0007, threshold=0.0, comparisons=weighted, features=features,
        frequencies=weights.frequencies(con, comparisons), atoms=(), keys=(blocking.EVERY_PAIR,), rows=3 * PEOPLE,
        policy_version=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ours(con: duckdb.DuckDBPyConnection, model: MatchModel) -> dict[tuple[int, int], tuple[float, float]]:
    """Score and weight of every pair."""
    compiled = compile_model(model)
    prepare(con, compiled)
    score_pairs(con, compiled, "pair", "ours", None)
    return {
        (a, b): (score, weight)
        for a, b, score, weight in con.execute("SELECT l, r, score, weight FROM ours").fetchall()
    }


def _splink_weights(con: duckdb.DuckDBPyConnection, model: MatchModel) -> dict[tuple[int, int], float]:
    with quiet():
        api, linker = make_linker(con, "scored_records", model.comparisons, model.prior)
        for column in model.frequencies:
            con.execute(
                f'CREATE OR REPLACE TABLE tf_{column} AS SELECT n."{column}", pow(2, any_value(f.{column}_tf)) AS "tf_{column}" '
                f'FROM norm n JOIN frequent f USING (rid) WHERE n."{column}" IS NOT NULL GROUP BY ALL'
            )
            linker.table_management.register_term_frequency_lookup(api.register(f"tf_{column}"), column)
        con.execute("CREATE VIEW splink_pairs AS SELECT l AS join_key_l, r AS join_key_r, '0' AS match_key FROM pair")
        linker.table_management.register_blocked_pairs_for_predict(api.register("splink_pairs"))
        found = linker.inference.predict(warning_mode="never").physical_name
    return {(a, b): w for a, b, w in con.execute(f"SELECT rid_l, rid_r, match_weight FROM {found}").fetchall()}


def test_match_weights_are_splinks_to_three_decimals(
    con: duckdb.DuckDBPyConnection, model: MatchModel, ours: dict[tuple[int, int], tuple[float, float]]
) -> None:
    splink = _splink_weights(con, model)

    assert len(splink) == len(ours) == PAIRS
    assert max(abs(splink[pair] - score) for pair, (score, _) in ours.items()) < 0.0005
    assert len({round(score, 3) for score, _ in ours.values()}) > PAIRS // 10


def _rows(con: duckdb.DuckDBPyConnection, compiled: Compiled) -> list[dict[str, Any]]:
    names = ", ".join(f'"{column}"' for column in compiled.columns)
    return con.execute(f"SELECT {names} FROM norm ORDER BY rid").to_arrow_table().to_pylist()


def test_the_python_form_gives_what_the_sql_form_gives(
    con: duckdb.DuckDBPyConnection, model: MatchModel, ours: dict[tuple[int, int], tuple[float, float]]
) -> None:
    compiled = compile_model(model)
    rows = _rows(con, compiled)
    some = [pair for pair in sorted(ours) if pair[0] % 3 == 0][::17]

    for left in sorted({left for left, _ in some}):
        rights = [right for other, right in some if other == left]
        found = compiled.weights(rows[left], [rows[right] for right in rights])
        assert found.tolist() == pytest.approx([ours[left, right][1] for right in rights], abs=1e-9)


def test_the_guard_holds_some_weights_down(ours: dict[tuple[int, int], tuple[float, float]]) -> None:
    held = sum(weight < score for score, weight in ours.values())

    assert 0 < held < PAIRS
    assert all(weight <= score for score, weight in ours.values())


def test_a_floor_leaves_out_lower_weights_and_changes_none(
    con: duckdb.DuckDBPyConnection, model: MatchModel, ours: dict[tuple[int, int], tuple[float, float]]
) -> None:
    score_pairs(con, compile_model(model), "pair", "above", 3.0)
    above = {(a, b): (s, w) for a, b, s, w in con.execute("SELECT l, r, score, weight FROM above").fetchall()}

    assert above == {pair: both for pair, both in ours.items() if both[0] >= 3.0}
    assert 0 < len(above) < PAIRS


def test_a_stored_model_compiles_to_the_same_arrays(model: MatchModel) -> None:
    loaded, fresh = compile_model(MatchModel.from_json(model.to_json())), compile_model(model)

    assert (loaded.prior, loaded.columns, loaded.sql, loaded.guard) == (
        fresh.prior,
        fresh.columns,
        fresh.sql,
        fresh.guard,
    )
    assert [c.weights.tolist() for c in loaded.comparisons] == [c.weights.tolist() for c in fresh.comparisons]


def test_a_comparison_that_does_not_end_in_everything_else_is_refused(model: MatchModel) -> None:
    cut = replace(model.comparisons[0], levels=model.comparisons[0].levels[:-1])

    with pytest.raises(ValueError, match="everything else"):
        compile_model(replace(model, comparisons=(cut,)))
