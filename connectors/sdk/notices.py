"""What vendors announce in the headers of their answers: endpoints that will end, versions that are old.

Read are Sunset (RFC 8594), Deprecation (RFC 9745, and the dates and ``true`` of its drafts), Warning 299 (RFC 7234), the Link
relations that explain them, a few common names of the same meaning, and the names a manifest lists in ``notices:``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx

STANDARD: Final = (
    "sunset", "deprecation", "warning", "x-api-version-warning", "x-api-deprecated", "x-api-deprecation",
    "x-deprecated", "x-deprecation-notice", "x-sunset",
)  # fmt: skip
_LINK: Final = re.compile(r'<([^>]*)>\s*;[^,]*?rel\s*=\s*"?([\w\s-]+)"?', re.IGNORECASE)
_RELATIONS: Final = ("sunset", "deprecation", "successor-version", "latest-version")
_WARNING: Final = re.compile(r'^\s*299\s+\S+\s+"((?:[^"\\]|\\.)*)"')
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+(?:Z|[+-]\d{2}:?\d{2})?)?")
_LONGEST: Final = 500
_MOST: Final = 200
_IDENTITY: Final = re.compile(r"^(?:\d+|[0-9a-fA-F-]{16,}|[\w-]{24,}|.*@.*)$")


@dataclass(frozen=True)
class Notice:
    """One announcement about one endpoint; ``due_at`` is the date it names, None when it names none."""

    endpoint: str
    header: str
    value: str
    link: str | None
    due_at: datetime | None


@dataclass
class Notices:
    """Collects the announcements of one load, each endpoint and header once, the newest value."""

    names: Iterable[str] = ()
    found: dict[tuple[str, str], Notice] = field(default_factory=dict)
    _wanted: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._wanted = frozenset(name.lower().encode() for name in (*STANDARD, *self.names))

    def look(self, headers: httpx.Headers, endpoint: str, redact: Callable[[str], str]) -> None:
        """Note what an answer's headers announce; nearly every answer announces nothing."""
        if not any(name.lower() in self._wanted for name, _ in headers.raw):
            return
        place = _general(endpoint)
        for raw_name, raw_value in headers.raw:
            name = raw_name.lower()
            value = _readable(name.decode("latin-1"), raw_value.decode("latin-1"))
            key = (place, name.decode("latin-1"))
            if name not in self._wanted or value is None or (key not in self.found and len(self.found) >= _MOST):
                continue
            self.found[key] = Notice(*key, redact(value)[:_LONGEST], _explained(headers, redact), due(value))


def due(value: str) -> datetime | None:
    """Return the date in a value: ``@1688169599``, an HTTP date, or an ISO date; None for any other text."""
    text = value.strip()
    if text.startswith("@") and text[1:].lstrip("-").isdigit():
        return _moment(lambda: datetime.fromtimestamp(int(text[1:]), UTC))
    made = _moment(lambda: parsedate_to_datetime(text))
    if made is not None:
        return made
    found = _DAY.search(text)
    return _moment(lambda: datetime.fromisoformat(found[0])) if found else None


def _moment(make: Callable[[], datetime]) -> datetime | None:
    try:
        made = make()
        return made.replace(tzinfo=UTC) if made.tzinfo is None else made.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _readable(name: str, value: str) -> str | None:
    """Return what a header says, None when that is no announcement (a Warning of another code, a plain false)."""
    text = "".join(char for char in value if char.isprintable()).strip()
    if name == "warning":
        found = _WARNING.match(text)
        return found[1] if found else None
    return None if text.lower() in ("", "false", "0", "none", "no") else text


def _explained(headers: httpx.Headers, redact: Callable[[str], str]) -> str | None:
    for target, relation in _LINK.findall(headers.get("link", "")):
        if any(word in _RELATIONS for word in relation.lower().split()):
            return redact(target)[:_LONGEST]
    return None


def _general(endpoint: str) -> str:
    """Return an endpoint without the ids in it: ``/v1/people/17/notes`` → ``/v1/people/{}/notes``."""
    return "/".join("{}" if _IDENTITY.match(part) else part for part in endpoint.split("/"))
