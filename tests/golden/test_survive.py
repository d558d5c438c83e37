"""Survivorship as a pure function of candidates and policy."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.golden.policy import Policy, load_policy
from pipelines.golden.survivorship import golden_schema, survive
from tests.golden.tables import contacts, day, members

PERSON = load_policy("person")


def policy(tmp_path: Path, text: str, entity: str = "person") -> Policy:
    """The default policy, changed by a user's file."""
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\n{text}", encoding="utf-8")
    return load_policy(entity, file)


def one(*arguments: Any) -> dict[str, Any]:
    """The only golden row, its provenance parsed."""
    (row,) = survive(*arguments).to_pylist()
    return row | {"provenance": json.loads(row["provenance"])}


def test_an_address_is_taken_whole_from_one_source_never_mixed() -> None:
    points = contacts(
        {
            "id": 1,
            "kind": "address",
            "street": "200 Cedar Springs",
            "city": "Dallas",
            "postcode": "75201",
            "country": "US",
        },
        {
            "id": 2,
            "kind": "address",
            "street": "950 Main St",
            "street_2": "Suite 950",
            "city": "Austin",
            "at": "2026-05-01",
        },
    )
    row = one(members({"id": 1}, {"id": 2}), PERSON, points)
    assert (row["street"], row["street_2"], row["city"], row["postcode"]) == (
        "200 Cedar Springs",
        None,
        "Dallas",
        "75201",
    )
    assert {row["provenance"][name][0] for name in ("street", "city", "postcode", "country")} == {1}
    assert "street_2" not in row["provenance"]


def test_names_are_taken_whole_and_a_full_name_is_composed_where_the_source_gives_parts_only() -> None:
    row = one(
        members(
            {"id": 1, "given_name": "Ada", "family_name": "Lovelace"},
            {"id": 2, "full_name": "Ada King", "at": "2026-05-01"},
        ),
        PERSON,
    )
    assert (row["full_name"], row["given_name"], row["family_name"]) == ("Ada Lovelace", "Ada", "Lovelace")


def test_an_older_value_of_a_more_trusted_source_wins(tmp_path: Path) -> None:
    rows = members(
        {"id": 1, "job_title": "Analyst", "connection": "crm"},
        {"id": 2, "job_title": "Countess", "connection": "desk", "at": "2026-05-01"},
    )
    assert one(rows, PERSON)["job_title"] == "Countess"
    row = one(rows, policy(tmp_path, "trust: {crm: 80}"))
    assert row["job_title"] == "Analyst"
    assert row["provenance"]["job_title"] == [1, "trust", "2026-01-01T00:00:00Z"]


def test_trust_may_differ_by_attribute_and_a_connection_goes_before_its_connector(tmp_path: Path) -> None:
    rows = members(
        {"id": 1, "job_title": "a", "language": "en", "connection": "shop_eu", "connector": "shop"},
        {"id": 2, "job_title": "b", "language": "de", "connection": "shop_us", "connector": "shop", "at": "2026-05-01"},
    )
    own = policy(
        tmp_path,
        "trust: {shop: 60, shop_eu: 40}\nentities: {person: {attributes: {language: {rules: [trust], trust: {shop_eu: 90}}}}}",
    )
    row = one(rows, own)
    assert (row["job_title"], row["language"]) == ("b", "en")


def test_recency_is_that_of_the_value_not_of_the_record() -> None:
    old = json.dumps({"job_title": "2025-01-01T00:00:00.000000Z"})
    row = one(
        members(
            {"id": 1, "job_title": "Analyst", "status": "new", "at": "2026-06-01", "term_times": old},
            {"id": 2, "job_title": "Countess", "status": "old", "at": "2026-05-01"},
        ),
        PERSON,
    )
    assert (row["job_title"], row["status"]) == ("Countess", "new")
    assert row["provenance"]["job_title"] == [2, "recent", "2026-05-01T00:00:00Z"]


def test_a_value_without_a_time_is_never_newer() -> None:
    row = one(
        members({"id": 1, "status": "timeless", "at": None}, {"id": 2, "status": "dated", "at": "1990-01-01"}), PERSON
    )
    assert row["status"] == "dated"
    assert one(members({"id": 1, "status": "timeless", "at": None}), PERSON)["provenance"]["status"] == [
        1,
        "only",
        None,
    ]


def test_a_fuller_date_wins_then_the_more_frequent_then_the_later() -> None:
    fuller = members({"id": 1, "birth_date": "1815-12-10"}, {"id": 2, "birth_date": "1815", "at": "2026-05-01"})
    assert one(fuller, PERSON)["provenance"]["birth_date"][:2] == [1, "complete"]
    frequent = members(
        {"id": 1, "birth_date": "1815-12-10"},
        {"id": 2, "birth_date": "1815-12-10"},
        {"id": 3, "birth_date": "1816-12-10", "at": "2026-05-01"},
    )
    row = one(frequent, PERSON)
    assert row["birth_date"] == "1815-12-10"
    assert row["provenance"]["birth_date"][1] == "frequent"


def test_the_customer_s_first_day_is_the_earliest_of_all_sources() -> None:
    row = one(members({"id": 1, "created_at": day("2020-01-01")}, {"id": 2, "created_at": day("2019-01-01")}), PERSON)
    assert row["created_at"] == day("2019-01-01")
    assert row["provenance"]["created_at"][:2] == [2, "earliest"]


def test_multi_valued_terms_are_united_sorted_and_distinct() -> None:
    row = one(members({"id": 1, "tags": ["b", "a"]}, {"id": 2, "tags": ["c", "a"]}, {"id": 3}), PERSON)
    assert row["tags"] == ["a", "b", "c"]
    assert row["provenance"]["tags"][1] == "union"


@pytest.mark.parametrize(
    ("better", "worse", "rule"),
    [
        ({"verified": True}, {"at": "2026-05-01"}, "verified"),
        ({}, {"deliverable": False, "verified": True}, "deliverable"),
        ({"rank": 1}, {"rank": 2, "at": "2026-05-01"}, "rank"),
        ({"at": "2026-05-01"}, {}, "recent"),
    ],
)
def test_the_primary_email_is_deliverable_verified_first_in_rank_and_recent(
    better: dict[str, Any], worse: dict[str, Any], rule: str
) -> None:
    points = contacts(
        {"id": 1, "kind": "email", "value": "no@example.org", **worse},
        {"id": 2, "kind": "email", "value": "yes@example.org", **better},
        {"id": 1, "kind": "phone", "value": "+442079460000"},
    )
    row = one(members({"id": 1}, {"id": 2}), PERSON, points)
    assert (row["primary_email"], row["primary_phone"]) == ("yes@example.org", "+442079460000")
    assert row["provenance"]["primary_email"][:2] == [2, rule]


def test_ties_end_in_the_text_of_source_ref() -> None:
    rows = members({"id": 9, "status": "nine"}, {"id": 10, "status": "ten"})
    row = one(rows, PERSON)
    assert row["status"] == "ten", "crm/contact/10 sorts before crm/contact/9"
    assert row["provenance"]["status"][:2] == [10, "source_ref"]


def test_one_source_is_only_and_equal_values_are_agreed() -> None:
    row = one(
        members({"id": 1, "status": "on", "language": "en"}, {"id": 2, "language": "en", "at": "2026-05-01"}), PERSON
    )
    assert row["provenance"] == {
        "language": [2, "agreed", "2026-05-01T00:00:00Z"],
        "status": [1, "only", "2026-01-01T00:00:00Z"],
    }


def world(seed: int) -> tuple[pa.Table, pa.Table]:
    """Random candidates of 40 entities, with many ties."""
    chance = random.Random(seed)
    maybe = lambda *values: chance.choice([None, *values])  # noqa: E731
    people, points = [], []
    for number in range(120):
        at = maybe("2026-01-01", "2026-02-01")
        entity = {"entity_id": number % 40, "connection": chance.choice(["crm", "desk"]), "at": at}
        times = maybe('{"status": "2025-01-01T00:00:00.000000Z"}')
        people.append(
            {"id": number, **entity, "status": maybe("a", "b"), "birth_date": maybe("1815", "1815-12"), "tags": maybe(["x"], ["y"]),
             "given_name": maybe("Ada"), "family_name": maybe("King", "Byron"), "term_times": times}
        )  # fmt: skip
        points.append(
            {
                "id": number,
                **entity,
                "kind": "email",
                "value": f"{chance.randrange(3)}@example.org",
                "verified": maybe(True),
            }
        )
        points.append(
            {
                "id": number,
                **entity,
                "kind": "address",
                "city": maybe("Bath", "Rome"),
                "country": maybe("GB"),
                "row_key": "a",
            }
        )
    return members(*people), contacts(*points)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_never_matters(seed: int) -> None:
    people, points = world(seed)
    expected = survive(people, PERSON, points)
    chance = random.Random(seed)
    for _ in range(2):
        mixed = [table.take(chance.sample(range(table.num_rows), table.num_rows)) for table in (people, points)]
        assert survive(mixed[0], PERSON, mixed[1]).equals(expected)


def test_provenance_names_the_record_that_holds_the_value() -> None:
    people, points = world(7)
    held = {(row["source_record_id"], name, str(value)) for row in people.to_pylist() for name, value in row.items()}
    held |= {(row["source_record_id"], "primary_email", row["value"]) for row in points.to_pylist()}
    held |= {(row["source_record_id"], name, row[name]) for row in points.to_pylist() for name in ("city", "country")}
    checked = 0
    for row in survive(people, PERSON, points).to_pylist():
        provenance = json.loads(row["provenance"])
        filled = {name for name in PERSON.types if row[name] is not None}
        assert filled == set(provenance), "every filled cell, and no other, says where it comes from"
        for name, (record, rule, _since) in provenance.items():
            if rule != "union" and name != "full_name":
                assert (record, name, str(row[name])) in held
                checked += 1
    assert checked > 100


def test_stubs_give_no_values_and_are_not_counted() -> None:
    row = one(members({"id": 1, "status": "a"}, {"id": 2, "is_stub": True}), PERSON)
    assert (row["source_count"], row["is_stub"]) == (1, False)
    alone = one(
        members({"id": 2, "is_stub": True}), PERSON, contacts({"id": 2, "kind": "email", "value": "a@example.org"})
    )
    assert (alone["source_count"], alone["is_stub"], alone["primary_email"]) == (0, True, "a@example.org")


def test_roles_are_listed_once_each() -> None:
    played = pa.table({"entity_id": [1, 1, 1], "role": ["employee", "customer", "employee"]})
    assert one(members({"id": 1}), PERSON, None, played)["roles"] == ["customer", "employee"]


def test_no_members_give_no_rows_of_the_right_columns() -> None:
    nothing = survive(members(), PERSON)
    assert nothing.num_rows == 0
    assert nothing.schema == golden_schema("person")


def test_money_and_its_currency_come_from_one_source() -> None:
    rows = members(
        {"id": 1, "annual_revenue": 100, "currency": "EUR"},
        {"id": 2, "currency": "USD", "at": "2026-05-01"},
        entity="organization",
    )
    row = one(rows, load_policy("organization"))
    assert (row["annual_revenue"], row["currency"]) == (100, "EUR")
