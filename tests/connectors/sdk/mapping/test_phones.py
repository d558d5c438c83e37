"""The short way for plain international numbers gives what the library gives, for every calling code."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from connectors.sdk.mapping import phones

CODES = (*map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE), "210", "999", "8", "19", "80")


def by_the_library(text: str, home: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, home)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def spelled(digits: str, chance: random.Random) -> str:
    """Put the usual punctuation between some digits."""
    marks = [" ", "-", ".", " (", ") ", "(", ")"]
    return "+" + "".join(digit + (chance.choice(marks) if chance.random() < 0.15 else "") for digit in digits)


def made_up(count: int) -> list[tuple[str, str | None]]:
    chance = random.Random(7)
    found: list[tuple[str, str | None]] = []
    for _ in range(count):
        digits = chance.choice(CODES) + "".join(chance.choice("0123456789") for _ in range(chance.randint(2, 15)))
        text = chance.choice([f"+{digits}", spelled(digits, chance), f"00{digits}", digits])
        found.append((text, chance.choice([None, "DE", "US", "CA"])))
    return found


def test_random_numbers_of_every_calling_code_read_as_the_library_reads_them():
    wrong = [(text, home) for text, home in made_up(6_000) if phones.e164(text, home) != by_the_library(text, home)]

    assert wrong == []


def test_each_countrys_own_example_in_each_form_reads_as_the_library_reads_it():
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number(region)
        for form in (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
            text = phonenumbers.format_number(example, form)
            assert phones.e164(text, None) == by_the_library(text, None)


def test_a_plain_number_never_meets_the_librarys_parser(monkeypatch: pytest.MonkeyPatch):
    phones.e164.cache_clear()
    monkeypatch.setattr(phones, "_parsed", None)

    assert phones.e164("+49 (30) 901820", None) == "+4930901820"
    assert phones.e164("030 901820", None) is None


def test_a_national_prefix_inside_an_international_number_is_left_to_the_library():
    assert phones.e164("+44 (0)20 7946 0018", None) == "+442079460018"
