"""Hazards of values, seen in the bytes of an answer."""

from __future__ import annotations

import re

import pytest

from connectors.sdk.testing.simulator import Hazard
from tests.connectors.sdk.testing.simulator.raw import Raw, vendor

KEY = "100003"
RAWS = {
    "nan": b'"amount":NaN',
    "huge_number": b'"amount":1e400',
    "big_integer": b'"amount":9007199254740993',
    "lone_surrogate": rb'"amount":"half \ud800 a character"',
    "nul": rb'"amount":"before\u0000after"',
    "deep_json": b'"amount":' + b"[" * 10_000 + b"]" * 10_000,
    "duplicate_keys": b'"amount":"the first","amount":12.5',
}


def _record(content: bytes) -> bytes:
    return content.split(b'{"id":100003')[1].split(b'{"id":100004')[0]


@pytest.mark.parametrize("name", RAWS)
def test_the_very_bytes_of_a_value_hazard(name: str) -> None:
    made = vendor(Hazard(name, key=KEY, field="amount"))
    first, again = (Raw(made).get(limit=10).content for _ in range(2))
    assert RAWS[name] in _record(first)
    assert first.count(RAWS[name]) == 1
    assert first == again
    assert {firing.key for firing in made.plan.fired} == {KEY}
    assert made.oracle.expected("things")[KEY].poison == (None if name == "big_integer" else name)


def test_a_string_of_50_mb() -> None:
    made = vendor(Hazard("huge_string", key=KEY, field="name"))
    content = Raw(made).get(limit=10).content
    assert 50_000_000 < len(content) < 50_010_000
    assert re.search(rb'"name":"x{1000}', content)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("retyped_field", {"name": {"value": "Ada Ånd"}}),
        ("new_field", {"name": "new in 100003"}),
        ("null_field", {"name": None}),
        ("missing_field", {}),
    ],
)
def test_fields_that_change_come_and_go(name: str, change: dict[str, object]) -> None:
    field = "brand_new" if name == "new_field" else "name"
    made = vendor(Hazard(name, key=KEY, field=field))
    records = {record["id"]: record for record in Raw(made).page()["items"]}
    plain = {**records[100_004], "id": 100_003, "updated": records[100_003]["updated"]}
    if name == "new_field":
        assert records[100_003] == {**plain, "brand_new": change["name"]}
    else:
        plain.pop("name")
        assert records[100_003] == {**plain, **change}


def test_a_record_without_a_key() -> None:
    made = vendor(Hazard("null_key", key=KEY))
    assert [record["id"] for record in Raw(made).page()["items"]].count(None) == 1


def test_an_unnamed_place_is_drawn_by_the_seed() -> None:
    def chosen(seed: int) -> set[str | None]:
        made = vendor(Hazard("null_field", count=3), seed=seed)
        list(Raw(made).walk())
        return {firing.key for firing in made.plan.fired}

    assert chosen(1) == chosen(1) != chosen(2)
    assert len(chosen(1)) == 3


def test_the_seed_chooses_a_field_that_no_rule_reads() -> None:
    made = vendor(Hazard("missing_field", count=25), cursor="updated", deletes="flag")
    records = Raw(made).get(limit=100).json()["items"]
    assert all({"id", "updated", "state"} <= set(record) for record in records)
    gone = [{"name", "amount", "city"} - {*record, *record["address"]} for record in records]
    assert [len(one) for one in gone] == [1] * 25
    assert len(set.union(*gone)) == 3
