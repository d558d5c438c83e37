"""Paths into JSON: ``member``, ``[n]``, ``[*]``, ``[?key=='literal']``, dot separated; nothing else.

A member with characters other than letters, digits and ``_`` is quoted: ``properties."hs-x"``. ``$`` is the whole
value. ``[?key=='literal']`` takes the elements whose ``key``, written as text, is the literal (so ``'12'`` finds 12).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connectors.sdk.errors import FixConnector

if TYPE_CHECKING:
    from collections.abc import Callable


class Every(NamedTuple):
    """``[*]``: each element of a list."""

    def __str__(self) -> str:
        """Return the step as it is written."""
        return "[*]"


class Where(NamedTuple):
    """``[?key=='literal']``: the elements whose ``key`` reads as ``literal``."""

    key: str
    literal: str

    def __str__(self) -> str:
        """Return the step as it is written."""
        escaped = self.literal.replace("\\", "\\\\").replace("'", "\\'")
        return f"[?{_member(self.key)}=='{escaped}']"


class Pieces(NamedTuple):
    """The parts of a text, trimmed, empty ones left out; only a mapping's ``each:`` ends in it."""

    separator: str

    def __str__(self) -> str:
        """Return nothing: the path of a part is the path of the text."""
        return ""


class Members(NamedTuple):
    """An object's members whose names begin with ``prefix``, as name and value; only ``each:`` ends in it."""

    prefix: str

    def __str__(self) -> str:
        """Return the step as a name prefix is written."""
        return f".{self.prefix}*"


Step = str | int | Every | Where | Pieces | Members
Path = tuple[Step, ...]

_STEP: Final = re.compile(
    r"""(?P<dot>\.)?(?:
        (?P<name>\w+) | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | \[(?:(?P<index>-?\d+) | (?P<every>\*) | \?(?:(?P<key>\w+)|"(?P<quoted_key>(?:[^"\\]|\\.)*)")
            \s*==\s*'(?P<literal>(?:[^'\\]|\\.)*)')\]
    )""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)")


def parse(text: str) -> Path:
    """Return the steps of ``text``; raise FixConnector naming the character where it stops being a path."""
    rest = text.removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or not _joined(found, first=at == 0, rooted=rest is not text):
            raise FixConnector(
                f"'{text}' is not a path",
                why=f"it stops making sense at character {at + 1 + len(text) - len(rest)}",
                do="write members joined by dots, [n], [*] or [?key=='literal']; quote odd members: a.\"b-c\"",
            )
        steps.append(_step(found))
        at = found.end()
    if not steps and text != "$":
        raise FixConnector("an empty path", do="write '$' for the whole value")
    return tuple(steps)


def _joined(found: re.Match[str], *, first: bool, rooted: bool) -> bool:
    """Members after the first are joined by a dot, brackets are not."""
    bracket = found["index"] is not None or found["every"] is not None or found["literal"] is not None
    return (found["dot"] is None) == (bracket or (first and not rooted))


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return found["name"]
    if found["quoted"] is not None:
        return _ESCAPE.sub(r"\1", found["quoted"])
    if found["index"] is not None:
        return int(found["index"])
    if found["every"] is not None:
        return Every()
    key = found["key"] if found["key"] is not None else _ESCAPE.sub(r"\1", found["quoted_key"])
    return Where(key, _ESCAPE.sub(r"\1", found["literal"]))


def write(path: Path) -> str:
    """Return ``path`` in its written form; ``parse(write(path)) == path``."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += ("." if text else "") + _member(step)
        else:
            text += f"[{step}]" if isinstance(step, int) else str(step)
    return text or "$"


def _member(name: str) -> str:
    if re.fullmatch(r"\w+", name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def find_all(path: Path, value: Any) -> list[Any]:
    """Return every value at ``path``; a missing member gives nothing, a JSON null gives ``None``."""
    values = [value]
    for step in path:
        values = [found for one in values for found in _take(step, one)]
    return values


def find(path: Path, value: Any) -> Any:
    """Return the first value at ``path``, ``None`` when there is none."""
    found = find_all(path, value)
    return found[0] if found else None


def _take(step: Step, value: Any) -> list[Any]:
    if isinstance(step, str):
        return [value[step]] if isinstance(value, dict) and step in value else []
    if isinstance(step, Pieces | Members):
        return _each_of(step, value)
    if not isinstance(value, list):
        return []
    if isinstance(step, int):
        return [value[step]] if -len(value) <= step < len(value) else []
    if isinstance(step, Every):
        return value
    return [one for one in value if isinstance(one, dict) and text_of(one.get(step.key)) == step.literal]


def _each_of(step: Pieces | Members, value: Any) -> list[Any]:
    if isinstance(step, Members):
        named = value.items() if isinstance(value, dict) else ()
        return [{"name": name, "value": inner} for name, inner in named if name.startswith(step.prefix)]
    parts = (text_of(value) or "").split(step.separator)
    return [part.strip() for part in parts if part.strip()]


def getter(path: Path) -> Callable[[Any], Any]:
    """Return a fast ``find`` for one path; it answers ``None`` for what is missing and never raises."""
    if len(path) == 1 and isinstance(path[0], str):
        name = path[0]
        return lambda value: value.get(name) if isinstance(value, dict) else None
    return lambda value: find(path, value)


def remove(path: Path, value: Any) -> None:
    """Delete what is at ``path`` from ``value`` in place; what is not there is no error."""
    if not path:
        return
    last = path[-1]
    for holder in find_all(path[:-1], value):
        if isinstance(last, str) and isinstance(holder, dict):
            holder.pop(last, None)
        elif not isinstance(last, str) and isinstance(holder, list):
            gone = [id(one) for one in _take(last, holder)]
            holder[:] = [one for one in holder if id(one) not in gone]


def text_of(value: Any) -> str | None:
    """Return a JSON scalar as text (``true``, ``12``, ``abc``), ``None`` for null, lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)
