"""What vendors say of their limits in headers, as data: which header holds what is left, of how much, until when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_EPOCH_SECONDS: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e12
_NAMED: Final = re.compile(r"^(?P<header>[^\[\]]+)(?:\[(?P<part>[^\[\]]+)\])?$")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class HeaderRule:
    """Where one bucket's numbers are. A source is a header, or ``header[part]`` of ``limit=240; remaining=239``.

    ``used_of`` names a header that says ``32/40``. ``reset`` may be seconds, an epoch in seconds or milliseconds, or a
    date: the size of the number tells. ``limit`` replaces the manifest's own number: it is the plan's real one.
    """

    bucket: str | None = None
    remaining: str | None = None
    limit: str | None = None
    reset: str | None = None
    reset_unit: str = "auto"
    used_of: str | None = None


# Read when a manifest names none: the IETF draft's headers, and the family most vendors write in its stead.
FAMILIES: Final = (
    HeaderRule(remaining="ratelimit-remaining", reset="ratelimit-reset"),
    HeaderRule(remaining="ratelimit[remaining]", reset="ratelimit[reset]"),
    HeaderRule(remaining="ratelimit[r]", reset="ratelimit[t]"),
    HeaderRule(remaining="x-ratelimit-remaining", reset="x-ratelimit-reset"),
    HeaderRule(remaining="x-rate-limit-remaining", reset="x-rate-limit-reset"),
)


@dataclass(frozen=True)
class Seen:
    """One bucket as the vendor saw it at ``at``."""

    bucket: str | None
    at: float
    remaining: int | None = None
    limit: int | None = None
    resets_at: float | None = None


def read_headers(rules: Sequence[HeaderRule], headers: Mapping[str, str], at: float) -> Iterator[Seen]:
    """Yield what an answer's headers say; a rule whose header is absent or unreadable says nothing."""
    for rule in rules:
        if rule.used_of is not None:
            yield from _used_of(rule, headers, at)
            continue
        remaining = _number(headers, rule.remaining)
        if remaining is None or remaining < 0:
            continue
        limit = _number(headers, rule.limit)
        yield Seen(
            rule.bucket, at, int(remaining), int(limit) if limit and limit > 0 else None, _reset(rule, headers, at)
        )


def _used_of(rule: HeaderRule, headers: Mapping[str, str], at: float) -> Iterator[Seen]:
    text = headers.get(rule.used_of or "")
    found = _NUMBER.findall(text) if text else []
    if len(found) == 2:  # noqa: PLR2004  used / limit
        used, limit = (int(float(one)) for one in found)
        yield Seen(rule.bucket, at, max(0, limit - used), limit or None)


def _reset(rule: HeaderRule, headers: Mapping[str, str], at: float) -> float | None:
    text = _text(headers, rule.reset)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        try:
            return parsedate_to_datetime(text).timestamp()
        except ValueError:
            return None
    value = float(text)
    if rule.reset_unit == "milliseconds":
        return at + value / 1000
    if rule.reset_unit == "seconds" or (rule.reset_unit == "auto" and value < _EPOCH_SECONDS):
        return at + value
    return value / 1000 if value >= _EPOCH_MILLISECONDS else value


def _number(headers: Mapping[str, str], source: str | None) -> float | None:
    text = _text(headers, source)
    found = _NUMBER.match(text) if text else None
    return float(found[0]) if found else None


def _text(headers: Mapping[str, str], source: str | None) -> str | None:
    named = None if source is None else _named(source)
    if named is None:
        return None
    header, part = named
    text = headers.get(header)
    if text is None or part is None:
        return text.strip() if text is not None else None
    found = re.search(rf"(?:^|[;,\s]){re.escape(part)}\s*=\s*\"?([^;,\"\s]+)", text)
    return found[1] if found else None


@cache
def _named(source: str) -> tuple[str, str | None] | None:
    """Return the header, and the part of it, that a rule names."""
    found = _NAMED.match(source)
    return (found["header"], found["part"]) if found else None
