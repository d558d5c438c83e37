"""No silent coercion: a value comes out exactly, or its record is quarantined with reason and path."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sdk.mapping.rows import decimal_text
from tests.connectors.sdk.mapping.vendor import Mapper, Outcome, mapper

TYPES = """
streams:
  things:
    emit:
      - entity: organization
        terms: {name: name, employee_count: n, annual_revenue: money, currency: currency, created_at: at, tags: "tags[*]"}
      - entity: contact_point
        key: {const: x}
        terms: {kind: {const: address}, verified: flag, country: country, use: use}
      - entity: person
        key: {const: p}
        terms: {birth_date: day, full_name: text}
      - entity: preference
        key: {const: q}
        terms: {kind: {const: quiet_hours}, time_from: clock, max_messages: most, per_days: days}
      - entity: interaction
        key: {const: i}
        terms: {occurred_at: {path: when, format: epoch_ms}, type: {const: web}, value: {path: cents, scale: 100}}
    ignore: [{path: id, reason: key of the record}]
"""
BASE = '"name": "x", "when": 0'
FEW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    return mapper(tmp_path_factory.mktemp("types"), TYPES)


def document(member: str, raw: str) -> str:
    rest = BASE if member != "when" else '"name": "x"'
    return f'{{{rest}, "{member}": {raw}}}'


FITS = [
    ("n", "9007199254740993", "organization", "employee_count", 9007199254740993),
    ("n", '"120"', "organization", "employee_count", 120),
    ("n", "12.0", "organization", "employee_count", 12),
    ("n", "-3", "organization", "employee_count", -3),
    ("money", "0.1", "organization", "annual_revenue", "0.1"),
    ("money", '"1e3"', "organization", "annual_revenue", "1000"),
    ("money", "12345678901234567890.123456", "organization", "annual_revenue", "12345678901234567890.123456"),
    ("money", '"1.2300000000"', "organization", "annual_revenue", "1.23"),
    ("cents", "123456789012345678901", "interaction", "value", "1234567890123456789.01"),
    ("cents", '"-5"', "interaction", "value", "-0.05"),
    ("currency", '"eur"', "organization", "currency", "EUR"),
    ("country", '"gb"', "contact_point", "country", "GB"),
    ("flag", "true", "contact_point", "verified", True),
    ("flag", '"false"', "contact_point", "verified", False),
    ("use", '"work"', "contact_point", "use", "work"),
    ("day", '"1815-12"', "person", "birth_date", "1815-12"),
    ("day", '"2024-02-29"', "person", "birth_date", "2024-02-29"),
    ("text", '"null"', "person", "full_name", "null"),
    ("text", '"Zoe\\u0308"', "person", "full_name", "Zo\u00eb"),
    ("text", "17", "person", "full_name", "17"),
    ("text", "true", "person", "full_name", "true"),
    ("at", '"2024-01-31T09:30:00+02:00"', "organization", "created_at", "2024-01-31T07:30:00.000000Z"),
    ("at", '"2024-01-31t09:30z"', "organization", "created_at", "2024-01-31T09:30:00.000000Z"),
    ("at", '"2024-01-31 09:30:00.5 +0530"', "organization", "created_at", "2024-01-31T04:00:00.500000Z"),
    ("clock", '"20:00"', "preference", "time_from", "20:00"),
    ("clock", '"9:05"', "preference", "time_from", "09:05"),
    ("clock", '"00:00:00"', "preference", "time_from", "00:00"),
    ("most", "0", "preference", "max_messages", 0),
    ("days", '"3660"', "preference", "per_days", 3660),
    ("tags", '["b", "a", "b", ""]', "organization", "tags", ["a", "b"]),
    ("when", "1706693400123", "interaction", "occurred_at", "2024-01-31T09:30:00.123000Z"),
]
FAILS = [
    ("n", "1.9", "not an integer"),
    ("n", '"x"', "not an integer"),
    ("n", '"1_000"', "not an integer"),
    ("n", '" 5 "', "not an integer"),
    ("n", "99999999999999999999", "not an integer"),
    ("n", "1e400", "not an integer"),
    ("n", "true", "not an integer"),
    ("money", "0.0000001", "does not fit into 32 digits and 6 decimals"),
    ("money", "0.10000000000000000555", "does not fit into 32 digits and 6 decimals"),
    ("money", "1e400", "does not fit into 32 digits and 6 decimals"),
    ("money", '"12,50"', "not a number"),
    ("cents", '"twelve"', "not a number"),
    ("currency", '"XXQ"', "not an ISO 4217 currency code"),
    ("country", '"Narnia"', "not an ISO 3166 alpha-2 country code"),
    ("flag", '"maybe"', "not true or false"),
    ("flag", "1", "not true or false"),
    ("use", '"office"', "not one of work, home, mobile, billing, shipping, other"),
    ("day", '"2023-02-29"', "not a date (YYYY, YYYY-MM or YYYY-MM-DD)"),
    ("day", '"2023-02-01T00:00:00Z"', "not a date (YYYY, YYYY-MM or YYYY-MM-DD)"),
    ("at", '"2024-02-30T09:30:00Z"', "not an ISO 8601 instant"),
    ("at", '"yesterday"', "not an ISO 8601 instant"),
    ("at", "1706693400", "not an ISO 8601 instant"),
    ("at", '"2024-01-31T09:30:00"', "no time zone: set timezone: on the connection"),
    ("clock", '"25:00"', "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("clock", '"24:00"', "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("clock", '"20:60"', "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("clock", '"20:00:30"', "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("clock", '"8 pm"', "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("clock", "20", "not a time of the clock (HH:MM, from 00:00 to 23:59)"),
    ("most", "-1", "less than 0"),
    ("most", "0.5", "not an integer"),
    ("most", '"few"', "not an integer"),
    ("days", "0", "less than 1"),
    ("days", "3661", "more than 3660"),
    ("days", "99999999999999999999", "not an integer"),
    ("when", '"2024-01-31"', "not epoch_ms"),
    ("text", '{"a": 1}', "expected one value, found an object"),
    ("text", '["a"]', "expected one value, found a list"),
    ("tags", '"a"', "expected a list, found one value"),
]


@pytest.fixture(scope="module")
def fitting(types: Mapper) -> Outcome:
    return types(*(document(member, raw) for member, raw, *_ in FITS))


@pytest.fixture(scope="module")
def failing(types: Mapper) -> Outcome:
    return types(*(document(member, raw) for member, raw, _ in FAILS))


@pytest.mark.parametrize(("index", "case"), list(enumerate(FITS)), ids=[f"{member}={raw}" for member, raw, *_ in FITS])
def test_a_value_that_fits_comes_out_exactly(fitting, index, case):
    _, _, entity, term, value = case

    assert {row["source_key"]: row for row in fitting.rows(entity)}[str(index)][term] == value


@pytest.mark.parametrize(("index", "case"), list(enumerate(FAILS)), ids=[f"{member}={raw}" for member, raw, _ in FAILS])
def test_a_value_that_does_not_fit_quarantines_its_record_with_reason_and_path(failing, index, case):
    member, _, reason = case

    assert failing.quarantine[str(index)] == (reason, member)


def test_null_and_empty_text_are_null_for_every_type(types):
    members = ("n", "money", "currency", "country", "flag", "use", "day", "at", "text", "cents", "clock", "most")
    outcome = types(*(document(member, raw) for member in members for raw in ("null", '""')), document("tags", "null"))

    assert outcome.quarantine == {}


def test_an_instant_without_zone_takes_the_connections_zone_with_its_summer_time(types):
    outcome = types(document("at", '"2024-07-01T12:00:00"'), timezone="Europe/London")

    assert outcome.only("organization")["created_at"] == "2024-07-01T11:00:00.000000Z"


@FEW
@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=60))
def test_every_integer_survives_or_is_a_problem(types, numbers):
    outcome = types(*(f'{{{BASE}, "n": {number}}}' for number in numbers))

    got = {int(row["source_key"]): row["employee_count"] for row in outcome.rows("organization")}
    fits = {index: number for index, number in enumerate(numbers) if -(2**63) <= number < 2**63}
    assert got == fits
    assert {int(key) for key in outcome.quarantine} == set(range(len(numbers))) - set(fits)


@FEW
@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**34), max_value=10**34),
        min_size=1,
        max_size=60,
    )
)
def test_every_decimal_survives_or_is_a_problem(types, numbers):
    outcome = types(*(f'{{{BASE}, "money": {json.dumps(str(number))}}}' for number in numbers))

    got = {int(row["source_key"]): row["annual_revenue"] for row in outcome.rows("organization")}
    assert all(Decimal(text) == numbers[index] for index, text in got.items())
    assert set(got) | {int(key) for key in outcome.quarantine} == set(range(len(numbers)))
    assert all(index in got for index, number in enumerate(numbers) if _is_plain_cents(number))


def _is_plain_cents(number: Decimal) -> bool:
    return abs(number) < 10**20 and number == number.quantize(Decimal("0.01"))


@FEW
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_every_json_number_survives_or_is_a_problem(types, numbers):
    outcome = types(*(f'{{{BASE}, "money": {json.dumps(number)}}}' for number in numbers))

    got = {int(row["source_key"]): row["annual_revenue"] for row in outcome.rows("organization")}
    assert all(Decimal(text) == Decimal(json.dumps(numbers[index])) for index, text in got.items())
    assert len(got) + len(outcome.quarantine) == len(numbers)


@FEW
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=60))
def test_every_text_survives_in_nfc_or_is_null(types, texts):
    import unicodedata

    outcome = types(*(f'{{{BASE}, "text": {json.dumps(text, ensure_ascii=False)}}}' for text in texts))

    got = [row.get("full_name") for row in sorted(outcome.rows("person"), key=lambda row: int(row["source_key"]))]
    assert got == [unicodedata.normalize("NFC", text) or None for text in texts]


@pytest.mark.parametrize(
    ("value", "text"), [("1.500000", "1.5"), ("100.000000", "100"), ("-0.000000", "0"), ("0.000001", "0.000001")]
)
def test_decimals_are_written_plainly(value, text):
    assert decimal_text(Decimal(value)) == text
