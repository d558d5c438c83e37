"""DuckDB's functions that normal forms are made of, in plain Python; a property test holds each to DuckDB.

``None`` is NULL. Only what expressions of ``norm`` and blocking keys use is here.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MASK = (1 << 64) - 1
_FACTOR = 0xD6E8FEB86659FD93
_SEED, _BY_SIZE = 0xE17A1465, 0xC6A4A7935BD1E995
_WORD = 8
_OF_NULL = 13787848793156543929
_SPACES = "".join(chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == "Zs")
_DOTTED = "\u0130"


def hashed(value: Any) -> int:
    """Return DuckDB's hash of a text, a number or NULL."""
    if value is None:
        return _OF_NULL
    return _mixed(_of_bytes(value.encode()) if isinstance(value, str) else int(value))


def hash_of(*values: Any) -> int:
    """Return DuckDB's hash of several values."""
    first, *others = (hashed(value) for value in values)
    for other in others:
        first = (((first ^ (first >> 32)) * _FACTOR) & _MASK) ^ other
    return first


def _mixed(x: int) -> int:
    for _ in range(2):
        x = ((x ^ (x >> 32)) * _FACTOR) & _MASK
    return x ^ (x >> 32)


def _of_bytes(text: bytes) -> int:
    """Hash a text word by word; what is missing in the last one is zero."""
    size = len(text)
    result = _SEED ^ ((size * _BY_SIZE) & _MASK)
    for at in range(0, size, _WORD):
        result = ((result ^ int.from_bytes(text[at : at + _WORD], "little")) * _FACTOR) & _MASK
    return result


@cache
def pattern(text: str, options: str = "") -> re.Pattern[str]:
    """Return RE2's pattern as Python's: classes are of ASCII, the end is the end, letters and digits are Unicode's."""
    unicode = "\\p{L}\\p{N}" in text
    plain = text.replace("[^\\p{L}\\p{N}]", "[\\W_]").replace("$", "\\Z")
    if "\\p" in plain or set(options) - {"g"}:
        message = f"no Python form of the pattern {text!r} with options {options!r}"
        raise NotImplementedError(message)
    return re.compile(plain, 0 if unicode else re.ASCII)


def lower(text: str) -> str:
    """Lower case, letter by letter: no letter depends on its neighbours or becomes two."""
    if text.isascii():
        return text.lower()
    return "".join("i" if letter == _DOTTED else letter.lower() for letter in text)


def strip_accents(text: str) -> str:
    """Take the marks off letters."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in apart if unicodedata.category(c)[0] != "M"))


def _replace(text: str, wanted: str, by: str, options: str = "") -> str:
    return pattern(wanted, options).sub(by, text, count=0 if "g" in options else 1)


def _extract(text: str, wanted: str, group: int = 0) -> str:
    found = pattern(wanted).search(text)
    return (found.group(group) or "") if found else ""


def _split_part(text: str, by: str, number: int) -> str:
    parts = text.split(by)
    return parts[number - 1] if number <= len(parts) else ""


def _translate(text: str, these: str, to: str) -> str:
    table = {ord(letter): to[at] if at < len(to) else None for at, letter in reversed(list(enumerate(these)))}
    return text.translate(table)


def _lpad(text: str, size: int, by: str) -> str:
    return text[:size] if len(text) >= size else text.rjust(size, by)


def _sort(values: list[str]) -> list[str]:
    return sorted(value for value in values if value is not None)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "lower": lower,
    "strip_accents": strip_accents,
    "trim": lambda text: text.strip(_SPACES),
    "regexp_replace": _replace,
    "regexp_extract": _extract,
    "regexp_matches": lambda text, wanted: pattern(wanted).search(text) is not None,
    "split_part": _split_part,
    "string_split": lambda text, by: text.split(by),
    "substr": lambda text, start, size=None: text[start - 1 :] if size is None else text[start - 1 : start - 1 + size],
    "left": lambda text, size: text[:size],
    "right": lambda text, size: text[-size:],
    "length": len,
    "len": len,
    "strpos": lambda text, part: text.find(part) + 1,
    "contains": lambda text, part: part in text,
    "translate": _translate,
    "replace": lambda text, part, by: text.replace(part, by),
    "strlen": lambda text: len(text.encode()),
    "lpad": _lpad,
    "array_to_string": lambda values, by: by.join(value for value in values if value is not None),
    "list_sort": _sort,
    "list_reverse_sort": lambda values: _sort(values)[::-1],
    "list_distinct": lambda values: list(dict.fromkeys(value for value in values if value is not None)),
    "+": lambda one, other: one + other,
    "||": lambda one, other: one + other,
}
"""Functions that are NULL where one of their arguments is."""
