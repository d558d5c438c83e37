"""Transforms that need Python's libraries. Each distinct argument is computed once per run, whatever the row count."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from connectors.sdk.mapping.phones import e164

if TYPE_CHECKING:
    import pyarrow as pa

Normaliser = Callable[..., str | None]

_TAG_BREAK: Final = re.compile(r"(?i)<\s*(?:br|/p|/div|/li|/tr|/h[1-6])\b[^>]*>")
_HIDDEN: Final = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->")
_TAG: Final = re.compile(r"<[^>]+>")
_LANGUAGE: Final = re.compile(r"^([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|\d{3}))?$")
_COUNTRY_ALIASES: Final = {
    "uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "great britain": "GB", "northern ireland": "GB",
    "usa": "US", "u.s.a.": "US", "u.s.": "US", "united states of america": "US", "south korea": "KR", "russia": "RU",
    "czech republic": "CZ", "holland": "NL", "the netherlands": "NL", "deutschland": "DE", "turkey": "TR",
}  # fmt: skip


def phone(text: str, region: str | None, default_region: str | None = None) -> str | None:
    """Return the number in E.164, read as a national number of ``region``; None when it cannot be a number."""
    return e164(text, (country(region) if region else None) or default_region)


def country(text: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a code or English name; None when it is neither."""
    return _countries().get(text.strip().casefold())


@cache
def _countries() -> Mapping[str, str]:
    import pycountry  # noqa: PLC0415  loading its data costs what most runs never need

    known = dict(_COUNTRY_ALIASES)
    for item in pycountry.countries:
        for field in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(item, field, None)
            if name:
                known.setdefault(name.casefold(), item.alpha_2)
    return known


def currency(text: str) -> str | None:
    """Return the ISO 4217 code of a code in any case or an English name; None when it is neither."""
    return _currencies().get(text.strip().casefold())


@cache
def _currencies() -> Mapping[str, str]:
    import pycountry  # noqa: PLC0415  as above

    return {name.casefold(): item.alpha_3 for item in pycountry.currencies for name in (item.name, item.alpha_3)}


def language(text: str) -> str | None:
    """Return a language tag (BCP 47) of a tag in any case, with ``_`` or ``-``, or of an English language name."""
    found = _LANGUAGE.match(text.strip())
    if found:
        tag, script, region = found.groups()
        return "-".join([tag.lower(), *([script.title()] if script else []), *([region.upper()] if region else [])])
    return _languages().get(text.strip().casefold())


@cache
def _languages() -> Mapping[str, str]:
    import pycountry  # noqa: PLC0415  as above

    return {item.name.casefold(): item.alpha_2 for item in pycountry.languages if hasattr(item, "alpha_2")}


def strip_html(text: str) -> str | None:
    """Return the readable text of HTML: breaks kept, tags, scripts and comments gone, entities resolved."""
    plain = _TAG.sub("", _TAG_BREAK.sub("\n", _HIDDEN.sub("", text)))
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in html.unescape(plain).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() or None


def title(text: str) -> str | None:
    """Return the text with each word capitalised."""
    return re.sub(r"[^\W\d_]+('[^\W\d_]+)?", lambda word: word[0][0].upper() + word[0][1:].lower(), text)


NORMALISERS: Final[Mapping[str, Normaliser]] = MappingProxyType(
    {
        "phone": phone,
        "country": country,
        "currency": currency,
        "language": language,
        "strip_html": strip_html,
        "title": title,
    }
)
ERROR: Final = "\uffff"
"""First character of a text that is a failure: ERROR + reason + SEPARATOR + path."""

SEPARATOR: Final = "\ufffe"


def failure(reason: str, path: str) -> str:
    """Return the text that stands for a failed value."""
    return f"{ERROR}{reason}{SEPARATOR}{path}"


def on_distinct(function: Normaliser, columns: list[pa.ChunkedArray], *, nulls: bool) -> list[str | None]:
    """Return ``function`` of each row, computed once per distinct argument tuple.

    Without ``nulls`` a null first argument answers null; a failed argument answers itself.
    """
    if len(columns) == 1:
        coded = columns[0].combine_chunks().dictionary_encode()
        answers = [_answer(function, (value,), nulls=nulls) for value in coded.dictionary.to_pylist()]
        empty = _answer(function, (None,), nulls=nulls) if coded.indices.null_count else None
        return [empty if index is None else answers[index] for index in coded.indices.to_pylist()]
    memo: dict[tuple[str | None, ...], str | None] = {}
    found = []
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        if row not in memo:
            memo[row] = _answer(function, row, nulls=nulls)
        found.append(memo[row])
    return found


def one_answer(function: Normaliser, *row: str | None, nulls: bool) -> str | None:
    """Return ``function`` of one argument tuple, as ``on_distinct`` does of many."""
    return _answer(function, row, nulls=nulls)


def _answer(function: Normaliser, row: tuple[str | None, ...], *, nulls: bool) -> str | None:
    failed = next((value for value in row if value is not None and value.startswith(ERROR)), None)
    if failed is not None:
        return failed
    return None if row and row[0] is None and not nulls else function(*row)


def guarded(name: str, hook: Normaliser, path: str) -> Normaliser:
    """Return a hook whose exceptions and non-text answers become failures of the record, not of the batch."""

    def run(*arguments: str | None) -> str | None:
        try:
            made: object = hook(*arguments)
        except Exception as error:  # noqa: BLE001  a hook may raise anything; only this record may suffer
            return failure(f"hook {name} failed: {type(error).__name__}", path)
        if made is None or isinstance(made, str):
            return made
        return failure(f"hook {name} gave {type(made).__name__}, not text", path)

    return run
