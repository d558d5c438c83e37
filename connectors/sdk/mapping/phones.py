"""Phone numbers in E.164. Numbers written plainly in international form, most of what vendors send, take a short way.

The library parses any spelling of any country, at 50 µs a number. A plain number needs two of its facts only: which
lengths its calling code allows, and whether a national prefix stands where none belongs; then the answer is the same.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final, NamedTuple

_PLAIN: Final = re.compile(r"\+[1-9](?:[ .()-]{0,2}[0-9]){5,17}")
_PUNCTUATION: Final = str.maketrans("", "", "+ .()-")
_PLUS: Final = "+\uff0b"
_CODE_DIGITS: Final = (1, 2, 3)
_REMEMBERED: Final = 50_000


class _Code(NamedTuple):
    """What a calling code allows: lengths of a number after it, and what the library would take for a national prefix."""

    lengths: frozenset[int]
    prefix: re.Pattern[str] | None


@lru_cache(maxsize=_REMEMBERED)
def e164(text: str, home: str | None) -> str | None:
    """Return the number in E.164, read as a national number of ``home``; None when it cannot be a number."""
    if _PLAIN.fullmatch(text):
        digits = text.translate(_PUNCTUATION)
        code = _code_of(digits)
        if code is None:
            return None
        rules, rest = _rules(code), digits[len(code) :]
        if rules is not None and (rules.prefix is None or not rules.prefix.match(rest)):
            return f"+{digits}" if len(rest) in rules.lengths else None
    if home is None and not any(sign in text for sign in _PLUS):
        return None  # a national number of no country
    return _parsed(text, home)


def _code_of(digits: str) -> str | None:
    import phonenumbers  # noqa: PLC0415  loading its metadata costs what most runs never need

    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return next((digits[:size] for size in _CODE_DIGITS if int(digits[:size]) in known), None)


@cache
def _rules(code: str) -> _Code | None:
    """Return what the library knows of a calling code, None where its numbers have no lengths."""
    from phonenumbers import PhoneMetadata, region_code_for_country_code  # noqa: PLC0415  as above

    region = region_code_for_country_code(int(code))
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    general = metadata.general_desc if metadata else None
    if metadata is None or general is None or not general.possible_length or -1 in general.possible_length:
        return None
    prefix = metadata.national_prefix_for_parsing
    lengths = frozenset({*general.possible_length, *general.possible_length_local_only})
    return _Code(lengths, re.compile(prefix) if prefix else None)


def _parsed(text: str, home: str | None) -> str | None:
    import phonenumbers  # noqa: PLC0415  as above

    try:
        number = phonenumbers.parse(text, home)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
