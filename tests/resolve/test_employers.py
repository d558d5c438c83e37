"""Whom somebody works for, by the company a record names or the domain of an address; providers of mail are nobody's employer."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.resolve import load_policy
from pipelines.resolve.duck import connect
from pipelines.resolve.employers import LEAST_FREQUENT
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.normal_form import NormalForm
from tests.benchmarks.shared_world import CITIES, GIVEN, HEADS, TAILS
from tests.resolve.people import resolve, table, together

if TYPE_CHECKING:
    from pipelines.resolve.features import Feature
    from pipelines.resolve.rules import Policy

ADA = {"given_name": "Ada", "family_name": "King"}


def _employers(
    *rows: dict[str, Any], policy: Policy | None = None, known: tuple[Feature, ...] | None = None
) -> tuple[list[str | None], tuple[Feature, ...]]:
    """The employer of each record, and the features: what is counted is counted over these records."""
    con = connect()
    try:
        con.register("match", numbered(table(*rows)))
        features = build_norm(con, "person", policy or load_policy(), known)
        found = con.execute("SELECT organization_name FROM norm ORDER BY rid").fetchall()
        return [row[0] for row in found], features
    finally:
        con.close()


@pytest.mark.parametrize(
    ("said", "employer"),
    [
        ({"organization_name": "Kestrel Security Ltd."}, "kestrelsecurity"),
        ({"organization_name": "Halcyon Paper S.A."}, "halcyonpaper"),
        ({"organization_name": "Süß & Söhne GmbH"}, "susssohne"),
        ({"organization_name": "The Company"}, "thecompany"),
        ({"emails": "ada@kestrelsecurity.example"}, "kestrelsecurity"),
        ({"emails": "ada@mail.kestrel-security.co.uk"}, "kestrelsecurity"),
        ({"emails": "Ada@Acme.com"}, "acme"),
        ({"emails": "sales@acme.com"}, "acme"),
        ({"emails": ["ada@gmail.com", "z.king@acme.com"]}, "acme"),
        ({"emails": "ada@gmail.com"}, None),
        ({"emails": "ada@localhost"}, None),
        ({"emails": "nonsense"}, None),
        ({"organization_name": "Acme", "emails": "ada@agency.example"}, "acme"),
        ({}, None),
    ],
    ids=str,
)  # fmt: skip
def test_the_company_that_is_named_or_else_the_one_behind_an_address(
    said: dict[str, Any], employer: str | None
) -> None:
    there = {"organization_name": "Second", "emails": "x@other.example"}

    assert _employers({**ADA, **said}, there)[0] == [employer, "second"]


def test_a_domain_that_many_have_is_a_provider_s_and_stays_one_in_the_model_that_counted_it() -> None:
    crowd = [{**ADA, "emails": f"someone{n}@local-isp.example"} for n in range(LEAST_FREQUENT + 1)]
    there = {"organization_name": "Second", "emails": "x@firm.example"}
    alone = {**ADA, "emails": "ada@local-isp.example"}

    counted, features = _employers(*crowd, there)
    later, _ = _employers(alone, there, known=features)
    few, _ = _employers(alone, there)

    assert sorted(counted, key=str) == [*(None for _ in crowd), "second"]
    assert later == [None, "second"]
    assert few == ["localisp", "second"]


def test_of_many_records_more_than_one_in_two_hundred_make_a_provider() -> None:
    others = [{"given_name": f"n{n}"} for n in range(6_000)]
    there = {"organization_name": "Second", "emails": "x@firm.example"}

    def told(holders: int) -> set[str | None]:
        crowd = [{**ADA, "emails": f"someone{n}@local-isp.example"} for n in range(holders)]
        return set(_employers(*crowd, *others, there)[0])

    assert told(LEAST_FREQUENT + 1) == {"localisp", "second", None}
    assert told(40) == {"second", None}


def test_the_policy_names_providers_and_without_them_they_are_companies() -> None:
    rows = {**ADA, "emails": "ada@gmail.com"}, {"organization_name": "Second", "emails": "x@firm.example"}

    assert _employers(*rows, policy=replace(load_policy(), mail_providers=("firm.example",)))[0] == ["gmail", "second"]


@pytest.mark.parametrize("same", [True, False], ids=["one company", "another company"])
def test_one_name_at_one_company_is_one_person_however_the_vendor_asks_for_the_company(same: bool) -> None:
    rng = random.Random(3)
    rows = []
    for number in range(300):
        who = {
            "given_name": rng.choice(GIVEN),
            "family_name": rng.choice(HEADS) + rng.choice(TAILS),
            "city": rng.choice(CITIES),
        }
        desk = number if same else (number + 7) % 300
        rows += [
            {**who, "organization_name": f"Firm {number} Ltd."},
            {**who, "emails": f"desk@firm{desk}.example", "city": None},
        ]

    found = together(*rows)

    assert len(found) > 290 if same else not found
    assert all({int(name[1:]) // 2 for name in group} == {int(min(group)[1:]) // 2} for group in found)


def test_one_record_has_the_employer_that_a_full_run_gives_it() -> None:
    rows = [
        {**ADA, "organization_name": "Kestrel Security Ltd."},
        {**ADA, "emails": ["ada@gmail.com", "ada@kestrel-security.co.uk"]},
        {**ADA, "emails": "ada@gmail.com"},
    ]
    model = resolve(table(*rows)).model
    form = NormalForm(model, load_policy())

    said = [form.said(row)[0]["organization_name"] for row in table(*rows).to_pylist()]

    assert said == _employers(*rows, known=model.features)[0] == ["kestrelsecurity", "kestrelsecurity", None]


def test_what_an_organisation_says_of_another_one_is_no_employer() -> None:
    rows = table({"name": "Acme", "organization_name": "Acme Holding Ltd."}, {"name": "Firm"}, entity="organization")
    con = connect()
    try:
        con.register("match", numbered(rows))
        build_norm(con, "organization", load_policy())
        assert con.execute("SELECT organization_name FROM norm ORDER BY rid").fetchall() == [
            ("acme holding ltd",),
            (None,),
        ]
    finally:
        con.close()
