"""What stands where nobody knew is a missing value, and makes nobody one person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve import load_policy
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.rules import Policy
from tests.resolve.people import table, together

_OTHERS = [
    {"given_name": f"{letter}ora", "family_name": f"{letter}erg", "street": f"{n} Elm Road", "postcode": f"2{n:04d}",
     "city": f"{letter}burg", "birth_date": f"19{60 + n}-05-13"}
    for n, letter in enumerate("ABCDEFGHIJKLMNOPQRST")
]  # fmt: skip
"""Twenty people who have nothing in common, so that values tell records apart."""


def _normal(row: dict[str, Any], policy: Policy | None = None, entity: str = "person") -> dict[str, Any]:
    """The columns of ``norm`` of one record."""
    con = connect()
    try:
        con.register("match", numbered(table(row, entity=entity)))
        build_norm(con, entity, policy or load_policy())
        found: dict[str, Any] = con.execute("FROM norm").to_arrow_table().to_pylist()[0]
        return found
    finally:
        con.close()


@pytest.mark.parametrize(
    ("given", "family", "kept"),
    [
        ("Guest", "User", (None, None)),
        ("Test", "TEST", (None, None)),
        ("Unknown", "Unknown", (None, None)),
        ("Guest", None, (None, None)),
        (None, "N/A", (None, None)),
        ("Ada", "Unknown", ("ada", None)),
        ("Unbekannt", "Berg", (None, "berg")),
        ("John", "Guest", ("john", "guest")),
        ("Christopher", "Null", ("christopher", "null")),
        ("Na", "Li", ("na", "li")),
        ("A", "Berg", ("a", "berg")),
    ],
)
def test_words_that_are_nobody_s_name_are_no_name(given: str | None, family: str | None, kept: tuple[str, str]) -> None:
    row = _normal({"given_name": given, "family_name": family, "emails": "a@b.example"})

    assert (row["given"], row["family"]) == kept


@pytest.mark.parametrize("name", ["Guest User", "Not Provided", "n/a", "First Last", "unknown"])
def test_a_whole_name_of_such_words_is_no_name(name: str) -> None:
    row = _normal({"full_name": name, "emails": "a@b.example"})

    assert (row["given"], row["family"], row["middle"]) == (None, None, None)


def test_a_middle_initial_is_one_and_none_is_not() -> None:
    name = {"given_name": "Ada", "family_name": "Berg"}

    assert _normal({**name, "middle_name": "N."})["middle"] == "n"
    assert _normal({**name, "middle_name": "none"})["middle"] is None


def test_addresses_dates_and_attributes_have_their_own() -> None:
    said = {
        "street": "N/A",
        "city": "unknown",
        "postcode": "none",
        "job_title": "Not specified",
        "birth_date": "1900-01-01",
    }

    row = _normal({"given_name": "Ada", "family_name": "Berg", "country": "NA", "region": "Null", **said})

    assert {name: row[name] for name in (*said, "region", "country")} == {
        **dict.fromkeys((*said, "region")), "country": "na",
    }  # fmt: skip
    assert _normal({"given_name": "Ada", "birth_date": "1900-01-02"})["birth_date"] == "19000102"


def test_who_names_no_company_works_where_the_address_says() -> None:
    named = {"given_name": "Ada", "emails": "ada@kestrelsecurity.example"}

    for name in ("none", "N/A", "not provided"):
        assert _normal({**named, "organization_name": name})["organization_name"] == "kestrelsecurity"
    assert _normal({**named, "organization_name": "None Such Ltd."})["organization_name"] == "nonesuch"


@pytest.mark.parametrize("name", ["Unknown", "N/A", "keine Angabe", "Not Provided Ltd."])
def test_an_organisation_called_unknown_has_no_name(name: str) -> None:
    row = _normal({"name": name, "street": "5 Elm Road"}, entity="organization")
    pleasures = _normal({"name": "Unknown Pleasures"}, entity="organization")

    assert (row["org"], row["org_words"]) == (None, None)
    assert (pleasures["org"], pleasures["org_words"]) == ("unknown pleasures", "pleasures unknown")


def test_a_policy_without_placeholders_keeps_all() -> None:
    policy = replace(load_policy(), placeholders={})
    row = _normal({"given_name": "Guest", "family_name": "User", "street": "N/A", "organization_name": "none"}, policy)

    assert [row[name] for name in ("given", "family", "street", "organization_name")] == [
        "guest",
        "user",
        "n a",
        "none",
    ]


def test_guests_of_one_address_are_not_one_person() -> None:
    home = {"street": "5 Elm Road", "postcode": "11109", "city": "Leeds"}
    guest = {"given_name": "Guest", "family_name": "Customer", **home}
    hugo = {"given_name": "Hugo", "family_name": "Abel", **home}

    assert not together(guest, guest, *_OTHERS)
    assert together(hugo, hugo, *_OTHERS)


def test_namesakes_of_a_default_birth_date_are_not_one_person() -> None:
    nancy = {"given_name": "Nancy", "family_name": "Miller"}
    known, default = ({**nancy, "birth_date": born} for born in ("1961-05-13", "1900-01-01"))

    assert together(known, known, *_OTHERS)
    assert not together(default, default, *_OTHERS)


@pytest.mark.parametrize("word", ["N/A", "Unknown", "two  blanks"])
def test_a_placeholder_that_is_in_no_normal_form_is_refused(tmp_path: Path, word: str) -> None:
    text = (Path(load_policy.__code__.co_filename).parent / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(text.replace("name: [anonym,", f"name: ['{word}',"), encoding="utf-8")

    with pytest.raises(FixConfig, match="placeholders"):
        load_policy(tmp_path / "rules.yaml")
