"""Pins as a pure function: what a person fixed wins over every rule, and a group stays whole."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from pipelines.golden.pins import problem, with_pins
from pipelines.golden.policy import load_policy
from pipelines.golden.reading import Candidates
from pipelines.golden.survivorship import ROLE_SCHEMA, survive
from pipelines.store.pins import Pin
from tests.golden.tables import contacts, day, members

PERSON = load_policy("person")
ROWS = (
    {"id": 1, "status": "new", "given_name": "Ada", "family_name": "Lovelace"},
    {"id": 2, "status": "open", "at": "2026-05-01"},
    {"id": 3, "entity_id": 2, "status": "open"},
)
HOMES = (
    {"id": 1, "kind": "address", "street": "1 Row", "city": "Bath", "postcode": "BA1", "country": "GB"},
    {"id": 2, "kind": "address", "street": "2 Via", "street_2": "Int. 4", "city": "Roma", "at": "2026-05-01"},
)


def pin(term: str, value: Any, record: int = 2, **facts: Any) -> Pin:
    decided: datetime = day("2026-06-01")
    given = {
        "decision_id": 1,
        "entity_id": 1,
        "reason": "phoned her",
        "expires_at": None,
        "known_from": 9,
        "actor": "s",
    }
    return Pin(**{**given, "record": record, "term": term, "value": value, "decided_at": decided, **facts})


def pinned(*pins: Pin) -> tuple[dict[str, Any], dict[str, Any]]:
    """The golden row of entity 1, and its provenance."""
    people, homes = members(*map(dict, ROWS)), contacts(*map(dict, HOMES))
    rows = survive(people, PERSON, homes)
    after = with_pins(rows, PERSON, Candidates(people, homes, ROLE_SCHEMA.empty_table()), pins)
    assert after.schema == rows.schema
    assert after.to_pylist()[1] == rows.to_pylist()[1], "the other entity is as it was"
    row = after.to_pylist()[0]
    return row, json.loads(row["provenance"])


def test_a_pin_wins_over_every_rule_and_says_so() -> None:
    row, origin = pinned(pin("status", "married"))
    assert row["status"] == "married"
    assert origin["status"] == [2, "manual", "2026-06-01T00:00:00Z"]
    assert origin["given_name"][1] == "only", "other cells are as the rules choose"


def test_of_two_pins_the_newest_decision_wins() -> None:
    older, newer = pin("status", "a", known_from=3), pin("status", "b", known_from=9, decision_id=2)
    assert pinned(newer, older)[0]["status"] == "b"


def test_a_pin_gives_a_value_that_no_source_has() -> None:
    row, origin = pinned(pin("job_title", "Countess"), pin("tags", ["vip", "a"], decision_id=2))
    assert (row["job_title"], row["tags"]) == ("Countess", ["a", "vip"])
    assert origin["job_title"][1] == origin["tags"][1] == "manual"


def test_a_corrected_part_of_an_address_takes_the_whole_address_of_that_record() -> None:
    row, origin = pinned(pin("street", "22 Via", record=2))
    assert [row[name] for name in ("street", "street_2", "city", "postcode", "country")] == [
        "22 Via", "Int. 4", "Roma", None, None,
    ]  # fmt: skip
    assert {origin[name][0] for name in ("street", "street_2", "city")} == {2}
    assert "postcode" not in origin


def test_a_corrected_address_of_a_record_without_one_corrects_the_best_one() -> None:
    row, origin = pinned(pin("street", "1a Row", record=3))
    assert (row["street"], row["city"], row["street_2"]) == ("1a Row", "Bath", None)
    assert (origin["street"][0], origin["city"][0]) == (3, 1)


def test_a_pinned_group_is_taken_as_it_is_and_mixed_with_nothing() -> None:
    row, origin = pinned(pin("address", {"street": "3 Rue", "city": "Paris"}))
    assert [row[name] for name in ("street", "street_2", "city", "postcode", "country")] == [
        "3 Rue", None, "Paris", None, None,
    ]  # fmt: skip
    assert {origin[name][1] for name in ("street", "city")} == {"manual"}
    assert not {"postcode", "country", "street_2"} & origin.keys()


def test_a_part_corrected_after_the_whole_group_was_pinned_corrects_the_pinned_group() -> None:
    whole = pin("address", {"street": "3 Rue", "city": "Paris"}, known_from=3)
    row, _ = pinned(pin("street", "3b Rue", decision_id=2), whole)
    assert (row["street"], row["city"], row["postcode"]) == ("3b Rue", "Paris", None)
    row, _ = pinned(whole._replace(known_from=9), pin("street", "4 Rue", decision_id=2, known_from=3))
    assert row["street"] == "3 Rue", "the whole was pinned after its part"


def test_a_corrected_part_of_a_name_is_in_the_whole_name_too() -> None:
    row, _ = pinned(pin("family_name", "King", record=1))
    assert (row["full_name"], row["given_name"], row["family_name"]) == ("Ada King", "Ada", "King")


@pytest.mark.parametrize(
    ("term", "value", "why"),
    [
        ("statsu", "x", "no attribute 'statsu'"),
        ("status", None, "gives no value"),
        ("status", 3, "no value of 'status'"),
        ("tags", "vip", "no value of 'tags'"),
        ("created_at", "yesterday", "no value of 'created_at'"),
        ("created_at", "2026-01-01T00:00:00", "no value of 'created_at'"),
        ("address", {"planet": "Mars"}, "no attribute 'planet' in that group"),
        ("address", "Mars", "no attribute 'address'"),
        ("status", {"status": "x"}, "no value of 'status'"),
    ],
)
def test_a_pin_that_cannot_be_applied_says_why_and_changes_nothing(term: str, value: Any, why: str) -> None:
    wrong = pin(term, value)
    assert why in str(problem(PERSON, wrong))
    assert pinned(wrong) == pinned()


def test_values_of_every_kind_are_taken_exactly() -> None:
    organization = load_policy("organization")
    rows = survive(members({"id": 1, "name": "A"}, entity="organization"), organization)
    found = Candidates(members({"id": 1, "name": "A"}, entity="organization"), contacts(), ROLE_SCHEMA.empty_table())
    pins = [pin("annual_revenue", "12.5", record=1), pin("employee_count", 7, record=1, decision_id=2)]
    row = with_pins(rows, organization, found, pins).to_pylist()[0]
    assert (str(row["annual_revenue"]), row["employee_count"]) == ("12.500000", 7)


def test_the_order_of_rows_does_not_matter_to_pins() -> None:
    people, homes = members(*map(dict, ROWS)), contacts(*map(dict, HOMES))
    pins = [pin("street", "9 Way", record=3), pin("status", "x", decision_id=2)]
    results = []
    for order in ([0, 1, 2], [2, 1, 0]):
        mixed = (
            people.take(pa.array(order)),
            homes.take(pa.array(order[:1] if order[0] == 1 else [i for i in order if i < 2])),
        )
        found = Candidates(*mixed, ROLE_SCHEMA.empty_table())
        results.append(with_pins(survive(mixed[0], PERSON, mixed[1]), PERSON, found, pins))
    assert results[0].equals(results[1])
