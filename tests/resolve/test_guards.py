"""What a household or a common name has in common makes no person, however high the score."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from pipelines.resolve.features import Feature
from pipelines.resolve.guards import DOUBTFUL, REFUSED, guard_of
from pipelines.resolve.short_forms import FORMS, full_names
from pipelines.resolve.waterfall import guard_reason

FEATURES = tuple(
    Feature(column, kind, column)
    for column, kind in (
        ("given", "given"), ("family", "family"), ("birth_date", "date"), ("street", "street"), ("emails", "email"), ("phones", "phone"),
    )
)  # fmt: skip
PEOPLE = (*FEATURES, Feature("middle", "middle", "middle"), Feature("gender", "attribute", "gender"))
"""What sources of people tell beside what a shop knows."""
TOWN = (*PEOPLE, Feature("city", "place", "city"), Feature("postcode", "postcode", "postcode"))
SCORE = 40.0
FAMILY = {
    "family": "jansson",
    "street": "storgatan 5",
    "emails": ["jansson.family@mail.example"],
    "phones": ["46702636707"],
}


LISTS = ("emails", "phones", "own_emails", "own_phones", "emails_named", FORMS)


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """A row of ``norm`` with the parts that the guard reads."""
    columns = (*(feature.column for feature in TOWN), *LISTS, "emails_first", "emails_user")
    empty = dict.fromkeys(columns)
    forms = full_names().get(values.get("given", ""))
    row = {**empty, FORMS: list(forms) if forms else None, "emails_digits": None, **values}
    if row["emails"]:
        first = row["emails"][0]
        user, given = first.split("@")[0], row["given"]
        row |= {"emails_first": first, "emails_user": user, "emails_digits": "".join(c for c in user if c.isdigit())}
        row["emails_named"] = [e for e in row["emails"] if given and given in e.split("@")[0]]
    return row


def _weight(
    a: dict[str, Any],
    b: dict[str, Any],
    features: tuple[Feature, ...] = FEATURES,
    telling: tuple[str, ...] = ("given", "family", "middle"),
) -> float:
    """The weight that the guard leaves to a pair: by the SQL form, which the Python form must equal."""
    guard, left, right = guard_of(features, telling), _row(a), _row(b)
    assert guard is not None
    columns = [(f"{name}_{side}", name, row[name]) for side, row in (("l", left), ("r", right)) for name in row]
    typed = [f"${key}::{'VARCHAR[]' if name in LISTS else 'VARCHAR'} AS {key}" for key, name, _ in columns]
    found = (
        duckdb.connect()
        .execute(
            f"SELECT least({SCORE}, coalesce({guard.sql}, {SCORE})) FROM (SELECT {', '.join(typed)})",
            {key: value for key, _, value in columns},
        )
        .fetchone()
    )
    cap = guard.cap(left, right)
    assert found == (SCORE if cap is None else min(cap, SCORE),)
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


def test_a_short_form_is_the_name_and_another_name_is_not():
    home = {"family": "moore", "street": "storgatan 5"}

    assert _weight({**home, "given": "ted"}, {**home, "given": "edward"}) == SCORE
    assert _weight({**home, "given": "ted"}, {**home, "given": "robert"}) == REFUSED


def test_an_address_that_carries_one_of_the_names_is_personal():
    mail = {"emails": ["robert.smith@mail.example"], "family": "smith"}
    assert _weight({**mail, "given": "bob"}, {**mail, "given": "robert"}) == SCORE


def test_a_record_without_a_given_name_is_not_linked_by_what_the_household_shares():
    assert _weight({**FAMILY}, {**FAMILY, "given": "stina"}) == DOUBTFUL


def test_a_record_without_a_given_name_needs_more_than_a_family_name():
    michael = {"given": "michael", "family": "lorenz"}
    assert _weight({"family": "lorenz"}, michael) == DOUBTFUL
    one, other = ({"emails": [f"michael{sign}lorenz@mail.example"]} for sign in "._")
    assert _weight({"family": "lorenz", **one}, {**michael, **other}) == SCORE


def test_a_family_name_where_another_has_a_given_name_is_not_the_same_name_turned_round():
    home = {"street": "storgatan 5"}
    sarah, patrick = {"given": "roberts", "family": "sarah", **home}, {"given": "patrick", "family": "roberts", **home}
    assert _weight(sarah, patrick) == REFUSED
    assert _weight(patrick, sarah) == REFUSED
    assert _weight(sarah, {**patrick, "given": "sara"}) == SCORE
    assert _weight({**sarah, "family": None}, {**patrick, "family": "roberts", "given": "sarah"}) == SCORE


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
    assert guard_of((Feature("org", "org", "org"),), ()) is None


def test_addresses_made_of_one_name_are_two_mailboxes_where_their_digits_differ():
    name = {"given": "david", "family": "campbell"}
    one, other = ({**name, "emails": [f"david.campbell{n}@mail.example"]} for n in (5422, 17403))
    assert _weight(one, other) == DOUBTFUL


def test_an_address_that_is_a_typing_error_away_is_personal():
    one, other = (
        {"given": given, "emails": [f"kim5422@{host}.example"]} for given, host in (("kim", "mail"), ("joe", "mial"))
    )
    assert _weight(one, other) == SCORE


def test_an_office_s_mailbox_is_no_typing_error_of_another_office_s():
    one, other = (
        {"given": given, "family": "berg", "emails": [f"buchhaltung@firm{n}.example"]}
        for given, n in (("ilona", 505), ("jasper", 425))
    )
    assert _weight(one, other) == REFUSED


def test_twins_and_strangers_born_on_one_day_are_not_one_person_for_their_family_name():
    one, other = ({"given": given, "family": "berg", "birth_date": "19840302"} for given in ("oskar", "amina"))
    assert _weight(one, other) == DOUBTFUL
    assert _weight(one, {**other, "birth_date": "19840303"}) == DOUBTFUL
    assert _weight({**one, "street": "storgatan 5"}, {**other, "street": "storgatan 5"}) == SCORE
    assert _weight(one, {**other, "given": None}) == SCORE
    assert _weight(one, {**other, "given": "oskr"}) == SCORE


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ({}, {"given": "amina"}, "given names clearly differ, and nothing beyond the birth date agrees"),
        ({}, {"given": "oskarr"}, "something personal agrees: equal birth_date"),
        ({}, {"given": None}, "something personal agrees: equal birth_date"),
        ({"street": "5 x"}, {"street": "5 x", "given": "amina"}, "more than the birth date agrees: similar street 0.9"),
        (
            {"street": "5 x"},
            {"street": "5 x", "given": "amina", "birth_date": "19840303"},
            "given names clearly differ, and in one household birth dates that look alike are those of two",
        ),
    ],
)
def test_the_guard_says_what_a_birth_date_is_worth(one: dict[str, Any], other: dict[str, Any], why: str) -> None:
    oskar = {"given": "oskar", "family": "berg", "birth_date": "19840302"}
    guard = guard_of(FEATURES, ())
    assert guard is not None
    assert guard_reason(guard, _row({**oskar, **one}), _row({**oskar, **other})) == why


def test_brothers_and_sisters_born_on_days_that_look_alike_are_not_linked():
    home = {**FAMILY, "birth_date": "19970204"}
    assert _weight({**home, "given": "yusuf"}, {**home, "given": "renata", "birth_date": "19970203"}) == DOUBTFUL
    assert _weight({**home, "given": "renata"}, {**home, "given": "renatta", "birth_date": "19970203"}) == SCORE


def test_names_of_the_same_letters_are_two_people_in_one_home_or_of_another_birth_year():
    one, other = (
        {**FAMILY, "given": given, "birth_date": born} for given, born in (("elif", "19401104"), ("leif", "19790315"))
    )
    assert _weight(one, other) == REFUSED
    assert _weight({"given": "elif", **FAMILY}, {"given": "leif", **FAMILY}) == REFUSED
    assert _weight(one, {**other, "birth_date": "19401104"}) == SCORE
    assert _weight({**one, "given": "viktoria"}, {**other, "given": "viktorja"}) == SCORE


def test_a_given_name_that_looks_like_the_family_name_is_not_a_name_that_changed_places():
    assert (
        _weight({**FAMILY, "family": "hago", "given": "hugo"}, {**FAMILY, "family": "hago", "given": "karima"})
        == REFUSED
    )
    assert (
        _weight({**FAMILY, "family": None, "given": "hago"}, {**FAMILY, "family": "hago", "given": "karima"}) == SCORE
    )


def test_a_birth_year_makes_nobody_of_a_common_name_one_person():
    one = {"given": "ines", "family": "jerne", "birth_date": "19491206"}
    assert _weight(one, {**one, "birth_date": "19490317"}) == DOUBTFUL
    assert _weight(one, {**one, "birth_date": "19490612"}) == SCORE


ANNA = {"given": "anna", "family": "ray", "middle": "m", "gender": "female", "street": "4301 broadway"}
WILLIAM = {"given": "william", "family": "ray", "middle": "h", "gender": "male", "street": "4301 broadway"}


@pytest.mark.parametrize("other", [{"middle": None}, {"gender": None}, {}], ids=["gender", "middle name", "both"])
def test_another_given_name_and_another_middle_name_or_gender_are_two_people_whatever_they_share(
    other: dict[str, Any],
) -> None:
    shared = {"own_emails": ["ray@mail.example"], "emails": ["ray@mail.example"]}
    born = {"birth_date": "19840302"}

    assert _weight({**ANNA, **shared}, {**WILLIAM, **shared, **other}, PEOPLE) == REFUSED
    assert _weight({**ANNA, **born}, {**WILLIAM, **born, **other}, PEOPLE) == REFUSED
    assert _weight({**ANNA, **born}, {**WILLIAM, **other, "birth_date": "19840303"}, PEOPLE) == REFUSED
    assert _weight({**ANNA, **shared, **born}, {**WILLIAM, **shared, **born, **other}, PEOPLE) == SCORE


def test_another_given_name_alone_is_what_it_was() -> None:
    alike = {"middle": "m", "gender": "f", "birth_date": "19840302"}

    assert _weight({**ANNA, **alike}, {**WILLIAM, **alike}, PEOPLE) == SCORE
    assert (
        _weight({**ANNA, "gender": "unknown"}, {**WILLIAM, "middle": "mary", "own_phones": ["461"]}, PEOPLE) == REFUSED
    )
    both = {"own_phones": ["461"], "middle": "m"}
    assert _weight({**ANNA, **both, "gender": "unknown"}, {**WILLIAM, **both}, PEOPLE) == SCORE


def test_an_unnamed_record_of_another_gender_is_not_who_was_born_on_that_day() -> None:
    born = {"birth_date": "19840302"}

    assert _weight({**ANNA, **born}, {**ANNA, **born, "given": None, "gender": "male"}, PEOPLE) == REFUSED
    assert _weight({**ANNA, **born}, {**ANNA, **born, "given": None, "middle": "k"}, PEOPLE) == REFUSED
    assert _weight({**ANNA, **born}, {**ANNA, **born, "given": None}, PEOPLE) == SCORE


def test_one_name_with_another_middle_name_and_another_birth_year_are_namesakes() -> None:
    born = {**ANNA, "birth_date": "19840302"}

    assert _weight(born, {**born, "birth_date": "19610513", "middle": "k"}, PEOPLE) == REFUSED
    assert _weight(born, {**born, "birth_date": "19610513"}, PEOPLE) == SCORE
    assert _weight(born, {**born, "birth_date": "19840513", "middle": "k"}, PEOPLE) == SCORE
    assert _weight(born, {**born, "birth_date": None, "middle": "k"}, PEOPLE) == SCORE


def test_the_first_letter_of_a_middle_name_is_more_than_the_name() -> None:
    one, other = ({**ANNA, "middle": middle, "street": None} for middle in ("m", "mary"))

    assert _weight(one, other, PEOPLE) == SCORE
    assert _weight(one, {**other, "middle": "kay"}, PEOPLE) == DOUBTFUL
    assert _weight(one, {**other, "middle": None}, PEOPLE) == DOUBTFUL
    assert _weight(one, other, PEOPLE, telling=("given", "family")) == DOUBTFUL


@pytest.mark.parametrize("place", ["city", "postcode"])
def test_a_place_that_everybody_has_is_no_more_than_the_name(place: str) -> None:
    one = {"given": "nancy", "family": "miller", place: "anytown"}

    assert _weight(one, one, TOWN) == DOUBTFUL
    assert _weight(one, one, TOWN, telling=("given", place)) == SCORE
    assert _weight(one, one, TOWN, telling=()) == SCORE


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ({}, {**WILLIAM}, "given names clearly differ, and so do middle names or genders"),
        (
            {"birth_date": "19840302"},
            {**WILLIAM, "birth_date": "19840302"},
            "birth dates agree, and given names do not, nor middle names or genders",
        ),
        (
            {"birth_date": "19840302"},
            {"birth_date": "19610513", "middle": "k"},
            "of one name, and neither birth years nor middle names agree",
        ),
        ({}, {"given": "ania"}, "given names differ a little, and birth years do too or a home is shared"),
    ],
)
def test_the_guard_says_what_middle_names_and_genders_are_worth(
    one: dict[str, Any], other: dict[str, Any], why: str
) -> None:
    guard = guard_of(PEOPLE, ())
    assert guard is not None
    assert guard_reason(guard, _row({**ANNA, **one}), _row({**ANNA, **other})) == why
