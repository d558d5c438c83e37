"""What a household or a common name has in common makes no person, however high the score."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from pipelines.resolve.features import Feature
from pipelines.resolve.guards import DOUBTFUL, REFUSED, weight_cap

FEATURES = tuple(
    Feature(column, kind, column)
    for column, kind in (
        ("given", "given"), ("family", "family"), ("birth_date", "date"), ("street", "street"), ("emails", "email"), ("phones", "phone"),
    )
)  # fmt: skip
SCORE = 40.0
FAMILY = {
    "family": "jansson",
    "street": "storgatan 5",
    "emails": ["jansson.family@mail.example"],
    "phones": ["46702636707"],
}


def _weight(a: dict[str, Any], b: dict[str, Any]) -> float:
    empty = {
        "given": None,
        "family": None,
        "birth_date": None,
        "street": None,
        "emails": None,
        "phones": None,
        "own_emails": None,
        "own_phones": None,
    }
    con = duckdb.connect()
    for name, row in (("a", a), ("b", b)):
        full = {**empty, **row}
        kinds = ", ".join(
            f"${key}::{'VARCHAR[]' if key.endswith(('emails', 'phones')) else 'VARCHAR'} AS {key}" for key in full
        )
        con.execute(f"CREATE TABLE {name} AS SELECT {kinds}", full)
    found = con.execute(f"SELECT least({SCORE}, coalesce({weight_cap(FEATURES, ())}, {SCORE})) FROM a, b").fetchone()
    assert found
    return float(found[0])


def test_two_members_of_a_household_are_not_one_person():
    assert _weight({**FAMILY, "given": "stina"}, {**FAMILY, "given": "hakan"}) == REFUSED


@pytest.mark.parametrize(
    "personal",
    [{"birth_date": "19800501"}, {"own_emails": ["s@mail.example"]}, {"own_phones": ["46701234567"]}],
    ids=["birth date", "own e-mail", "own phone"],
)
def test_a_nickname_is_linked_when_something_personal_agrees(personal: dict[str, Any]):
    assert _weight({**FAMILY, **personal, "given": "bill"}, {**FAMILY, **personal, "given": "william"}) == SCORE


def test_an_address_that_carries_one_of_the_names_is_personal():
    mail = {"emails": ["robert.smith@mail.example"], "family": "smith"}
    assert _weight({**mail, "given": "bob"}, {**mail, "given": "robert"}) == SCORE


def test_a_record_without_a_given_name_is_not_linked_by_what_the_household_shares():
    assert _weight({**FAMILY}, {**FAMILY, "given": "stina"}) == DOUBTFUL


def test_a_common_name_alone_links_nobody():
    name = {"given": "nancy", "family": "miller"}
    assert _weight(name, name) == DOUBTFUL


def test_an_equal_name_at_an_equal_address_is_linked():
    name = {"given": "nancy", "family": "miller", "street": "5 main st"}
    assert _weight(name, name) == SCORE


def test_another_family_name_needs_something_personal():
    one, other = (
        {"given": "maria", "family": "berg", "street": "storgatan 5"},
        {"given": "maria", "family": "lindqvist", "street": "storgatan 5"},
    )
    assert _weight(one, other) == DOUBTFUL


def test_swapped_names_are_alike():
    assert (
        _weight(
            {"given": "james", "family": "pemberton", "street": "x 1"},
            {"given": "pemberton", "family": "james", "street": "x 1"},
        )
        == SCORE
    )


def test_organisations_are_scored_as_they_are():
    assert weight_cap((Feature("org", "org", "org"),), ()) == "NULL::DOUBLE"
