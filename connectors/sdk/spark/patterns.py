"""Regular expressions of the definitions (RE2, as DuckDB has them) as Java has them, meaning the same."""

from __future__ import annotations

import re
from typing import Final

_SPACES: Final = r"\t\n\f\r "
_EDGE: Final = r"(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))"
_COUNT: Final = re.compile(r"\{\d+(,\d*)?\}")
_FLAGS: Final = re.compile(r"\(\?([a-z]+)([:)])")


def java_pattern(pattern: str) -> str:
    r"""Return the pattern for Java.

    Lines end in a newline only, ``$`` is the end of the text, ``\s`` knows no vertical tab, ``\b`` sees ASCII words, and
    nothing is nested inside a class.

    >>> java_pattern("a$")
    '(?d)a\\z'
    """
    made, at = ["(?d)"], 0
    while at < len(pattern):
        piece, at = _class(pattern, at) if pattern[at] == "[" else _piece(pattern, at)
        made.append(piece)
    return "".join(made)


def java_replacement(replacement: str) -> str:
    r"""Return a replacement for Java: groups are ``$1``, everything else stands for itself."""
    pieces = re.split(r"\\(\d)", replacement)
    kept = [re.sub(r"([\\$])", r"\\\1", piece) if n % 2 == 0 else f"${piece}" for n, piece in enumerate(pieces)]
    return "".join(kept)


def _piece(pattern: str, at: int) -> tuple[str, int]:
    """Return one piece outside of classes, and where the next one begins."""
    char = pattern[at]
    if char == "\\":
        escaped = pattern[at + 1 : at + 2]
        known = {"s": f"[{_SPACES}]", "S": f"[^{_SPACES}]", "b": _EDGE, "z": r"\z"}
        return known.get(escaped, "\\" + escaped), at + 2
    if char == "$":
        return r"\z", at + 1
    if char == "{" and not _COUNT.match(pattern, at):
        return r"\{", at + 1
    flags = _FLAGS.match(pattern, at)
    if flags:
        return f"(?{flags[1].replace('i', 'iu')}{flags[2]}", flags.end()
    if pattern.startswith("(?P<", at):
        return "(?<", at + 4
    return char, at + 1


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Return one character class, and where the next piece begins."""
    made, start = "[", at + 1
    if pattern.startswith("^", start):
        made, start = "[^", start + 1
    at = start
    while at < len(pattern) and (pattern[at] != "]" or at == start):
        if pattern[at] == "\\":
            escaped = pattern[at + 1 : at + 2]
            if escaped == "S":
                raise ValueError(rf"\S inside a class of '{pattern}'")
            made += _SPACES if escaped == "s" else "\\" + escaped
            at += 2
        elif pattern.startswith("[:", at):
            raise ValueError(f"a named class in '{pattern}'")
        else:
            made += "\\" + pattern[at] if pattern[at] in "[]&" else pattern[at]
            at += 1
    return made + "]", at + 1
