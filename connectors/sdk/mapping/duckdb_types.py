"""Text → typed value in DuckDB SQL: what does not survive exactly becomes NULL, which the caller reports as a problem.

Each grammar is spelled out because DuckDB's own casts are generous: they round 1.9 to 2, read ``1_000`` and 24 spaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import pycountry

if TYPE_CHECKING:
    from connectors.sdk.mapping import tree

_FRACTION: Final = r"(:\d{2}([.,]\d{1,9})?)?"
_LOCAL: Final = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}" + _FRACTION
_ZONED: Final = _LOCAL + r" ?([Zz]|[+-]\d{2}(:?\d{2})?)"
_USUAL: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z"
_PLAIN_NUMBER: Final = r"[+-]?(\d{1,31}(\.\d{0,6}0*)?|\.\d{1,6}0*)"
_EXPONENT: Final = r"[+-]?\d{1,31}(\.\d*)?[eE][+-]?\d{1,3}"
_RFC2822: Final = ("%a, %d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M:%S %z")
DECIMAL: Final = "DECIMAL(38,6)"


def quote(text: str) -> str:
    """Return ``text`` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Typed:
    """A conversion: SQL that is NULL where the text does not fit, and SQL for the reason (NULL = it always fits)."""

    value: str
    reason: str | None


def convert(term: tree.Convert, text: str) -> Typed:
    """Return the conversion of the SQL expression ``text`` (not null) to the term's type."""
    if term.multi:
        return Typed(_distinct(text), None)
    if term.type in ("date", "instant"):
        return _TIMES[term.type](term, text)
    return _SCALARS[term.type](term, text)


def _distinct(text: str) -> str:
    clean = f"list_filter({text}, lambda e: e IS NOT NULL AND e <> '')"
    made = f"list_sort(list_distinct(list_transform({clean}, lambda e: nfc_normalize(e))))"
    return f"CASE WHEN len({clean}) > 0 THEN {made} END"


def _text(_term: tree.Convert, text: str) -> Typed:
    return Typed(f"nfc_normalize({text})", None)


def _code(term: tree.Convert, text: str) -> Typed:
    if not term.values:
        return _text(term, text)
    listed = ", ".join(quote(value) for value in term.values)
    return Typed(f"CASE WHEN {text} IN ({listed}) THEN {text} END", quote(f"not one of {', '.join(term.values)}"))


def _boolean(_term: tree.Convert, text: str) -> Typed:
    return Typed(f"CASE {text} WHEN 'true' THEN true WHEN 'false' THEN false END", quote("not true or false"))


def _integer(term: tree.Convert, text: str) -> Typed:
    fits = f"regexp_full_match({text}, '[+-]?\\d{{1,19}}(\\.0*)?')"
    value = f"CASE WHEN {fits} THEN try_cast(split_part({text}, '.', 1) AS BIGINT) END"
    if term.minimum is None and term.maximum is None:
        return Typed(value, quote("not an integer"))
    below = f"{value} < {term.minimum}" if term.minimum is not None else "false"
    above = f"{value} > {term.maximum}" if term.maximum is not None else "false"
    words = (f"less than {term.minimum}", f"more than {term.maximum}")
    reason = f"CASE WHEN {below} THEN {quote(words[0])} WHEN {above} THEN {quote(words[1])} ELSE 'not an integer' END"
    return Typed(f"CASE WHEN {below} OR {above} THEN NULL ELSE {value} END", reason)


def _decimal(_term: tree.Convert, text: str) -> Typed:
    parts = f"regexp_extract(lower({text}), '^[+-]?\\d+\\.?(\\d*?)0*e([+-]?\\d+)$', ['f', 'e'])"
    scale = f"length({parts}.f) - CAST({parts}.e AS INTEGER)"
    value = (
        f"CASE WHEN regexp_full_match({text}, '{_PLAIN_NUMBER}') THEN try_cast({text} AS {DECIMAL}) "
        f"WHEN regexp_full_match({text}, '{_EXPONENT}') THEN "
        f"CASE WHEN {scale} <= 6 THEN try_cast({text} AS {DECIMAL}) END END"
    )
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    why = "does not fit into 32 digits and 6 decimals"
    return Typed(value, f"CASE WHEN regexp_full_match({text}, '{number}') THEN '{why}' ELSE 'not a number' END")


def _listed(codes: tuple[str, ...], text: str, what: str) -> Typed:
    known = ", ".join(quote(code) for code in codes)
    return Typed(f"CASE WHEN upper({text}) IN ({known}) THEN upper({text}) END", quote(f"not {what}"))


def _currency(_term: tree.Convert, text: str) -> Typed:
    return _listed(currency_codes(), text, "an ISO 4217 currency code")


def _country(_term: tree.Convert, text: str) -> Typed:
    return _listed(country_codes(), text, "an ISO 3166 alpha-2 country code")


def _json(_term: tree.Convert, text: str) -> Typed:
    return Typed(f"CAST({text} AS VARCHAR)", None)


def _time(_term: tree.Convert, text: str) -> Typed:
    fits = f"regexp_full_match({text}, '([01]?\\d|2[0-3]):[0-5]\\d(:00)?')"
    value = f"CASE WHEN {fits} THEN lpad(regexp_extract({text}, '^\\d+:\\d+'), 5, '0') END"
    return Typed(value, quote("not a time of the clock (HH:MM, from 00:00 to 23:59)"))


def _date(term: tree.Convert, text: str) -> Typed:
    if term.format is None:
        full = f"{text} || substr('0000-01-01', length({text}) + 1)"
        fits = f"regexp_full_match({text}, '\\d{{4}}(-\\d{{2}}(-\\d{{2}})?)?')"
        value = f"CASE WHEN {fits} AND try_cast({full} AS DATE) >= DATE '0001-01-01' THEN {text} END"
        return Typed(value, quote("not a date (YYYY, YYYY-MM or YYYY-MM-DD)"))
    if term.format == "iso8601":
        fits = f"regexp_full_match({text}, '{_LOCAL}( ?([Zz]|[+-]\\d{{2}}(:?\\d{{2}})?))?')"
        value = f"CASE WHEN {fits} THEN strftime(try_cast(substr({text}, 1, 10) AS DATE), '%Y-%m-%d') END"
        return Typed(value, quote("not an ISO 8601 date and time"))
    if term.format in ("epoch_s", "epoch_ms"):
        return Typed(f"strftime({_epoch(term.format, text)}, '%Y-%m-%d')", quote(f"not {term.format}"))
    parsed = f"try_strptime({text}, {quote(term.format)})"
    return Typed(f"strftime(CAST({parsed} AS DATE), '%Y-%m-%d')", quote(f"does not fit the format {term.format}"))


def _instant(term: tree.Convert, text: str) -> Typed:
    kind = term.format or "iso8601"
    if kind in ("epoch_s", "epoch_ms"):
        return Typed(f"{_epoch(kind, text)} AT TIME ZONE 'UTC'", quote(f"not {kind}"))
    if kind == "iso8601":
        return _iso8601(term, text)
    if kind == "rfc2822":
        patterns = ", ".join(quote(pattern) for pattern in _RFC2822)
        source = f"regexp_replace({text}, '(GMT|UT|UTC|Z)$', '+0000')"
        return Typed(f"CAST(try_strptime({source}, [{patterns}]) AS TIMESTAMPTZ)", quote("not an RFC 2822 date"))
    parsed, reason = f"try_strptime({text}, {quote(kind)})", f"does not fit the format {kind}"
    if "%z" in kind or "%Z" in kind:
        return Typed(f"CAST({parsed} AS TIMESTAMPTZ)", quote(reason))
    return _zoneless(term, f"CAST({parsed} AS TIMESTAMP)", f"{parsed} IS NOT NULL", reason)


def _iso8601(term: tree.Convert, text: str) -> Typed:
    seconds = f"regexp_replace(replace({text}, ',', '.'), '([Tt ]\\d{{2}}:\\d{{2}})( ?[Zz+-]|$)', '\\1:00\\2')"
    tidy = f"upper(regexp_replace({seconds}, ' ([Zz+-])', '\\1'))"
    zoned = f"WHEN regexp_full_match({text}, '{_ZONED}') THEN try_cast({tidy} AS TIMESTAMPTZ)"
    local = _zoneless(
        term, f"try_cast({tidy} AS TIMESTAMP)", f"regexp_full_match({text}, '{_LOCAL}')", "not an ISO 8601 instant"
    )
    plain = f"WHEN regexp_full_match({text}, '{_LOCAL}') THEN {local.value}"
    usual = f"WHEN regexp_full_match({text}, '{_USUAL}') THEN try_cast({text} AS TIMESTAMPTZ)"
    return Typed(f"CASE {usual} {zoned} {plain} END", local.reason)


def _zoneless(term: tree.Convert, parsed: str, is_local: str, reason: str) -> Typed:
    zone = quote(term.zone) if term.zone else "CAST(getvariable('timezone') AS VARCHAR)"
    unzoned = "'no time zone: set timezone: on the connection'"
    missing = f"CASE WHEN {is_local} AND {zone} IS NULL THEN {unzoned} ELSE {quote(reason)} END"
    return Typed(f"timezone({zone}, {parsed})", quote(reason) if term.zone else missing)


def _epoch(kind: str, text: str) -> str:
    """Return a TIMESTAMP of whole or fractional seconds or milliseconds, to the microsecond, without floats."""
    digits, decimals, factor = (11, 6, 1_000_000) if kind == "epoch_s" else (14, 3, 1_000)
    fits = f"regexp_full_match({text}, '-?\\d{{1,{digits}}}(\\.\\d{{1,{decimals}}}0*)?')"
    return f"CASE WHEN {fits} THEN make_timestamp(CAST(CAST({text} AS DECIMAL(24,6)) * {factor} AS BIGINT)) END"


_TIMES: Final = {"date": _date, "instant": _instant}
_SCALARS: Final = {
    "text": _text,
    "code": _code,
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "money": _decimal,
    "currency": _currency,
    "country": _country,
    "time": _time,
    "json": _json,
}


@cache
def currency_codes() -> tuple[str, ...]:
    """Return the ISO 4217 codes."""
    return tuple(sorted(item.alpha_3 for item in pycountry.currencies))


@cache
def country_codes() -> tuple[str, ...]:
    """Return the ISO 3166-1 alpha-2 codes."""
    return tuple(sorted(item.alpha_2 for item in pycountry.countries))
