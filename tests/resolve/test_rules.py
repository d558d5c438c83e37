"""Deterministic identity: what links for certain, what never links."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve import load_policy
from tests.resolve.people import groups, resolve, table, together

ADA = {"given_name": "Ada", "family_name": "Lovelace"}
BOB = {"given_name": "Bob", "family_name": "Babbage"}
NAMES = [
    ("Ann", "Archer"),
    ("Ben", "Burke"),
    ("Cleo", "Dunn"),
    ("Dirk", "Ewing"),
    ("Eva", "Foss"),
    ("Finn", "Gray"),
    ("Gus", "Hale"),
]


def test_verified_email_links_records_that_differ_otherwise() -> None:
    mail = {"emails": "ada@engines.example", "verified": "email=ada@engines.example"}

    assert together({**ADA, **mail}, {"given_name": "Ada", **mail}) == {frozenset({"r0", "r1"})}


def test_verified_email_does_not_link_contradicting_names() -> None:
    mail = {"emails": "office@engines-family.example", "verified": "email=office@engines-family.example"}

    assert together({**ADA, **mail}, {**BOB, **mail}) == set()


@pytest.mark.parametrize(("one", "other"), [("Bas", "Maarten"), ("Jana", "Tobias")])
def test_a_verified_mailbox_of_a_family_makes_nobody_one_for_the_family_name(one: str, other: str) -> None:
    mail = {"emails": "bakker.family@x.example", "verified": "email=bakker.family@x.example", "family_name": "Bakker"}

    assert together({"given_name": one, **mail}, {"given_name": other, **mail}) == set()


def test_external_identifier_links_across_sources() -> None:
    found = together(
        {**ADA, "identifiers": "shopify.customer=77"}, {"given_name": "A.", "identifiers": "shopify.customer=77"}
    )

    assert found == {frozenset({"r0", "r1"})}


def test_kiosk_phone_of_many_names_links_nobody() -> None:
    rows = [{"given_name": given, "family_name": family, "phones": "+442079460000"} for given, family in NAMES]

    assert together(*rows) == set()


@pytest.mark.parametrize(
    "email", ["info@engines.example", "noreply@engines.example", "test1@engines.example", "x@noemail.com"]
)
def test_placeholder_mailbox_links_nobody(email: str) -> None:
    verified = {"emails": email, "verified": f"email={email}"}

    assert together({"given_name": "Ada", **verified}, {"family_name": "Lovelace", **verified}) == set()


@pytest.mark.parametrize("value", ["0000000", "unknown", "N/A", "-1"])
def test_placeholder_identifier_links_nobody(value: str) -> None:
    shared = {"identifiers": f"external_id={value}"}

    assert together({**ADA, **shared}, {**BOB, **shared}) == set()


def test_two_national_ids_are_never_one_person() -> None:
    mail = {"emails": "ada@engines.example", "verified": "email=ada@engines.example", "birth_date": "1815-12-10"}
    rows = (
        {**ADA, **mail, "identifiers": "national_id=AB123456C"},
        {**ADA, **mail, "identifiers": "national_id=ZX987654D"},
    )

    resolution = resolve(table(*rows))

    assert len(groups(resolution)) == 2
    negative = [row for row in resolution.evidence.to_pylist() if row["judgement"] == "negative"]
    assert [(row["left_id"], row["right_id"], row["rule"]) for row in negative] == [(0, 1, "unique_identifier")]


def test_a_mistyped_national_id_does_not_separate() -> None:
    mail = {"emails": "ada@engines.example", "verified": "email=ada@engines.example"}

    found = together(
        {**ADA, **mail, "identifiers": "national_id=AB123456C"}, {**ADA, **mail, "identifiers": "national_id=AB123465C"}
    )

    assert found == {frozenset({"r0", "r1"})}


def test_unique_identifiers_separate_even_through_a_third_record() -> None:
    first = {**ADA, "identifiers": ["national_id=AB123456C", "crm.id=1"]}
    bridge = {**ADA, "identifiers": ["crm.id=1", "shop.id=2"]}
    second = {**ADA, "identifiers": ["national_id=ZX987654D", "shop.id=2"]}

    found = groups(resolve(table(first, bridge, second)))

    assert not any({"r0", "r2"} <= group for group in found)


def test_employee_joins_a_customer_by_identifier_only() -> None:
    same = {**ADA, "birth_date": "1815-12-10", "phones": "+442079460001", "city": "London"}
    employee = {**same, "role_class": "employee"}

    assert together(same, employee) == set()
    assert together({**same, "identifiers": "sso=1"}, {**employee, "identifiers": "sso=1"}) == {frozenset({"r0", "r1"})}


def test_stub_joins_the_only_holder_of_its_value() -> None:
    stub = {"is_stub": True, "emails": "ada@engines.example"}

    assert together({**ADA, "emails": "ada@engines.example"}, stub) == {frozenset({"r0", "r1"})}


def test_stub_joins_nobody_when_two_people_hold_its_value() -> None:
    mail = {"emails": "lab@engines.example"}

    assert together({**ADA, **mail}, {**BOB, **mail}, {"is_stub": True, **mail}) == set()


def test_stub_joins_the_one_whole_name_behind_its_value_whatever_halves_of_it_are_there() -> None:
    mail = {"emails": "lab@engines.example"}
    half = {"given_name": "Ada"}, {"family_name": "Lovelace"}

    resolution = resolve(table({**ADA, **mail}, {**half[0], **mail}, {**half[1], **mail}, {"is_stub": True, **mail}))
    links = [row for row in resolution.evidence.to_pylist() if row["kind"] == "deterministic"]

    assert any({"r0", "r3"} <= group for group in groups(resolution))
    assert [(row["left_id"], row["right_id"]) for row in links] == [(0, 3)], "halves are nobody's for sure"


@pytest.mark.parametrize(
    "other", [{"given_name": "Bob"}, {"family_name": "Marley"}, {"given_name": "Ada", "family_name": "Byron"}]
)
def test_stub_joins_nobody_when_another_name_may_be_behind_its_value(other: dict[str, str]) -> None:
    mail = {"emails": "lab@engines.example"}

    assert not any("r2" in group for group in together({**ADA, **mail}, {**other, **mail}, {"is_stub": True, **mail}))


def test_invalid_policy_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nrules: [{name: x, kind: fax, priority: 1, limit: 1, names: any}]\n")

    with pytest.raises(FixConfig, match="rules"):
        load_policy(path)
