"""The named transforms: their names, how their arguments are written, and which of them run as Python functions."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Final

NAMES: Final = MappingProxyType(
    {
        "trim": "trim",
        "lower": "lower",
        "upper": "upper",
        "title": "title",
        "strip_html": "strip_html",
        "email": "email",
        "phone": "phone or {phone: {region: GB}} or {phone: {region: path}}",
        "domain": "domain",
        "url": "url",
        "digits": "digits",
        "language": "language",
        "country": "country",
        "currency": "currency",
        "null_if": "{null_if: x} or {null_if: [x, y]}",
        "replace": "{replace: {from: x, to: y}}",
        "regex": "{regex: {pattern: x, group: 1}}",
    }
)
PYTHON: Final = frozenset({"title", "strip_html", "phone", "language", "country", "currency"})
"""Transforms that an emitter runs as Python functions on distinct values."""

PARTIAL: Final = frozenset({"email", "phone", "domain", "url", "digits", "language", "country", "currency", "regex"})
"""Transforms that give nothing for a value they do not understand; that is counted as a warning."""


def arguments(name: str, argument: Any) -> tuple[str, ...]:
    """Return a transform's arguments as texts; raise ValueError saying what is wrong with them."""
    if name == "null_if":
        items = argument if isinstance(argument, list) else [argument]
        if any(item is None or isinstance(item, dict | list) for item in items):
            raise ValueError("needs the text, or texts, that mean nothing")
        return tuple(_text(item) for item in items)
    if name == "replace":
        return _keys(argument, ("from", "to"))
    if name == "regex":
        found = _keys({"group": 0, **argument} if isinstance(argument, dict) else argument, ("pattern", "group"))
        return _checked_pattern(*found)
    if argument is not None:
        raise ValueError("takes no argument")
    return ()


def _checked_pattern(pattern: str, group: str) -> tuple[str, str]:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    if not group.isdigit() or int(group) > groups:
        raise ValueError(f"no group {group} in it; it has {groups}")
    return pattern, group


def _keys(argument: Any, names: tuple[str, str]) -> tuple[str, str]:
    if not isinstance(argument, dict) or set(argument) != set(names):
        raise ValueError(f"needs {names[0]} and {names[1]}")
    return _text(argument[names[0]]), _text(argument[names[1]])


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
