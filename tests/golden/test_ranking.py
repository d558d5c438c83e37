"""The Python form of survivorship beside the SQL form: two ways to one winner."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.golden.policy import Policy, load_policy
from pipelines.golden.ranking import instant_text, ranked, rule_of
from pipelines.golden.survivorship import survive
from tests.golden.tables import contacts, day, members

pytestmark = pytest.mark.slow  # many generated groups

EVERY_RULE = """
trust:
  default: 45
  crm: {max: 90, min: 10, half_life_days: 20}
  desk: {max: 80, min: 30, decay_days: 60}
entities:
  person:
    groups:
      name: {terms: [full_name, given_name, family_name], rules: [longest, complete, recent],
             compose: {full_name: [given_name, family_name]}}
      address: {terms: [street, street_2, city, region, postcode, country], rules: [complete, verified, trust, rank]}
    attributes:
      status: {rules: [trust]}
      gender: {rules: [frequent, longest, recent]}
      job_title: {rules: [longest]}
      birth_date: {rules: [complete, frequent, trust]}
      language: {rules: [trust, recent]}
      primary_phone: {rules: [frequent, rank]}
"""


def policy(tmp_path: Path, text: str = EVERY_RULE) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\n{text}", encoding="utf-8")
    return load_policy("person", file)


def world(seed: int, entities: int = 40) -> tuple[pa.Table, pa.Table]:
    """Random candidates of some entities, with many ties, gaps, stubs and times of single terms."""
    chance = random.Random(seed)
    maybe = lambda *values: chance.choice([None, *values])  # noqa: E731
    people, points = [], []
    for number in range(4 * entities):
        source = chance.choice(["crm", "desk", "shop"])
        own = {"entity_id": chance.randrange(entities), "connection": source, "at": maybe("2026-01-01", "2026-02-01")}
        times = maybe("{}", '{"status": "2025-12-24T00:00:00.5Z", "given_name": "2026-03-01T00:00:00Z", "gender": "?"}')
        person = {
            "status": maybe("a", "bb"), "gender": maybe("f", "m"), "job_title": maybe("Ä", "Countess"),
            "birth_date": maybe("1815", "1815-12"), "language": maybe("en", "de"), "tags": maybe(["y", "x"], ["x"]),
            "given_name": maybe("Ada"), "family_name": maybe("King", "Byron"), "full_name": maybe("A. King"),
            "created_at": maybe(day("2020-01-01"), day("2019-01-01")),
        }  # fmt: skip
        stub = chance.random() < 0.1
        told = {"is_stub": True} if stub else person
        people.append({"id": number, **own, "term_times": times, **told})
        for key in range(chance.randrange(3)):
            point = {"kind": chance.choice(["email", "phone"]), "value": chance.choice(["1", "2", "33"])}
            home = {"kind": "address", "city": maybe("Bath", "Rome"), "country": maybe("GB"), "street": maybe("1 Row")}
            points.append(
                {"id": number, **own, "row_key": str(key), "rank": maybe(1, 2), "verified": maybe(True, False),
                 "deliverable": maybe(True, False), "term_times": maybe('{"value": "2025-06-01T00:00:00Z"}'),
                 **chance.choice([point, home])}
            )  # fmt: skip
    return members(*people), contacts(*points)


def told(policy: Policy, people: list[dict[str, Any]], points: list[dict[str, Any]]) -> dict[str, Any]:
    """What the Python form says of one entity: value, record, rule and time of every filled cell."""
    found = {}
    for choice in policy.choices:
        best = ranked(choice, people, points)
        if not best:
            continue
        rule, since = rule_of(choice, best), instant_text(best[0].since)
        values = list(best[0].values)
        if choice.union:
            values = [tuple(sorted({value for each in best for value in each.values[0]}))]
        cells = {c: v for c, v in zip(choice.columns, values, strict=True) if v is not None}
        found |= {column: (value, best[0].record, rule, since) for column, value in cells.items()}
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", ["", EVERY_RULE])
def test_both_forms_of_the_rules_choose_the_same_with_the_same_reason(tmp_path: Path, seed: int, text: str) -> None:
    people, points = world(seed)
    chosen = policy(tmp_path, text)
    checked = 0
    for row in survive(people, chosen, points).to_pylist():
        mine = [[r for r in table.to_pylist() if r["entity_id"] == row["entity_id"]] for table in (people, points)]
        expected = {
            name: (tuple(row[name]) if isinstance(row[name], list) else row[name], record, rule, since)
            for name, (record, rule, since) in json.loads(row["provenance"]).items()
        }
        assert told(chosen, *mine) == expected
        checked += len(expected)
    assert checked > 300


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_give_equal_rows_and_equal_provenance(tmp_path: Path, seed: int) -> None:
    people, points = world(seed)
    twice = people.to_pylist()
    for row in twice[::5]:  # a source may give several rows for one record: they differ in nothing but key and value
        twice.append(row | {"row_key": "second", "status": "other", "gender": "x"})
    people, chosen = pa.Table.from_pylist(twice, people.schema), policy(tmp_path)
    expected = survive(people, chosen, points)
    chance = random.Random(seed)
    for _ in range(3):
        mixed = [table.take(chance.sample(range(table.num_rows), table.num_rows)) for table in (people, points)]
        assert survive(mixed[0], chosen, mixed[1]).equals(expected)


@pytest.mark.parametrize("text", ["", EVERY_RULE])
def test_every_golden_value_is_held_by_the_record_that_provenance_names(tmp_path: Path, text: str) -> None:
    people, points = world(11)
    chosen = policy(tmp_path, text)
    held = {(row["source_record_id"], name, str(value)) for row in people.to_pylist() for name, value in row.items()}
    for row in points.to_pylist():
        contact = {
            f"primary_{row['kind']}": row["value"],
            **{name: row[name] for name in ("street", "city", "country")},
        }
        held |= {(row["source_record_id"], name, str(value)) for name, value in contact.items()}
    checked = 0
    for row in survive(people, chosen, points).to_pylist():
        cells = json.loads(row["provenance"])
        assert set(cells) == {name for name in chosen.types if row[name] is not None}
        for name, (record, _rule, _since) in cells.items():
            if name not in ("tags", "full_name"):
                assert (record, name, str(row[name])) in held
                checked += 1
        for group in (each for each in chosen.choices if each.is_group):
            assert len({tuple(cells[name]) for name in group.columns if name in cells}) <= 1, "a group has one origin"
    assert checked > 150
