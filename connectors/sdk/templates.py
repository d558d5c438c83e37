"""Template words in manifest strings: ``{config.x}``, ``{cursor.start}``, ``{parent.x}``, ``{page_size}`` ….

A parameter or body member that uses a word without a value is left out; in a path or URL that is an error.
``{{`` and ``}}`` are literal braces; braces around anything that is not a bare word stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.sdk import paths

_WORD: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)((?:\.[\w\-\"\[\]]+)*)\}")

Scope = Mapping[str, Any]


class Undefined(Exception):
    """A template word has no value here."""


def words(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (root, rest) of each template word anywhere in a YAML value."""
    if isinstance(value, str):
        yield from ((found[1], found[2].lstrip(".")) for found in _WORD.finditer(value) if found[1])
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from words(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from words(inner)


def render(text: str, scope: Scope) -> Any:
    """Fill one string; a string that is a single word keeps the value's own JSON type.

    Raise Undefined when a word has no value in ``scope``.
    """
    only = _WORD.fullmatch(text)
    if only and only[1]:
        return _value(only, scope)
    return _WORD.sub(lambda found: _written(found, scope), text)


def render_text(text: str, scope: Scope) -> str:
    """Fill one string as text."""
    return as_text(render(text, scope))


def as_text(value: Any) -> str:
    """Return a scalar as it stands in a URL: ``true``, ``12``, ``abc``."""
    return paths.text_of(value) or ""


def render_tree(value: Any, scope: Scope) -> Any:
    """Fill a JSON body; members and elements whose words have no value are left out, lists in lists are spread."""
    if isinstance(value, str):
        return render(value, scope)
    if isinstance(value, Mapping):
        filled = ((key, _try(inner, scope)) for key, inner in value.items())
        return {key: inner for key, inner in filled if inner is not _LEFT_OUT}
    if isinstance(value, list | tuple):
        return [inner for one in value for inner in _spread(_try(one, scope), alone=isinstance(one, str))]
    return value


_LEFT_OUT: Final = object()


def _spread(filled: Any, *, alone: bool) -> list[Any]:
    """Put the elements of a word that stands for a list into the list around it."""
    if filled is _LEFT_OUT:
        return []
    return filled if alone and isinstance(filled, list) else [filled]


def _try(value: Any, scope: Scope) -> Any:
    try:
        return render_tree(value, scope)
    except Undefined:
        return _LEFT_OUT


def _written(found: re.Match[str], scope: Scope) -> str:
    return as_text(_value(found, scope)) if found[1] else found[0][0]


def _value(found: re.Match[str], scope: Scope) -> Any:
    root, rest = found[1], found[2].lstrip(".")
    holder = scope.get(root)
    value = holder if not rest else paths.find(paths.parse(rest), holder)
    if value is None:
        raise Undefined(found[0])
    return value
