"""What hubspot's mapping cannot say in YAML."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

_SIGNS = {"_slash_": "/", "_hyphen_": "-", "_plus_": "+"}


def iana_time_zone(value: str | None) -> str | None:
    """Return the IANA name of HubSpot's spelling (``america_slash_new_york``); null when there is no such zone."""
    name = (value or "").strip().lower()
    for written, sign in _SIGNS.items():
        name = name.replace(written, sign)
    return _names().get(name)


@cache
def _names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
