"""Record templates: YAML in the shape of the vendor's JSON, with words in braces, rendered a column at a time.

    id: "{number | plus(5100000) | text}"          a word alone keeps its type; in a longer text it is written into it
    "company?": "{org.name}"                       the member is left out where the value is null
    {$when: "{closed | known}", $then: …, $else: …}    without $else: null, or no element in a list
    {$each: order_lines, $do: …}                   a list of the record's rows in a child stream

``render`` gives JSON text, one for each row. Nothing is evaluated record by record in Python where a column will do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

import yaml

from .functions import FUNCTIONS
from .world.rows import Column, Rows

_WORD = re.compile(r"\{([^{}]+)\}")
_CALL = re.compile(r"^([a-z_0-9]+)(?:\((.*)\))?$")
Piece = str | Callable[[Rows], Iterable[str]]


class TemplateError(ValueError):
    """A template cannot be understood; the message names the part and what is allowed."""


@dataclass(frozen=True)
class Expression:
    """``{path | function(arguments) | …}``; an argument ``$path`` is another column."""

    path: str
    calls: tuple[tuple[str, tuple[Any, ...]], ...]

    def values(self, rows: Rows) -> Column:
        """Return the value for each row."""
        values = rows.column(self.path)
        for name, arguments in self.calls:
            values = FUNCTIONS[name](values, *(_argument(a, rows) for a in arguments))
        return values


@dataclass(frozen=True)
class Text:
    """A text with words in it; null where one of its words is null."""

    parts: tuple[str | Expression, ...]

    def values(self, rows: Rows) -> Column:
        """Return the text for each row."""
        columns = [repeat(p, rows.count) if isinstance(p, str) else p.values(rows) for p in self.parts]
        return [None if None in row else "".join(map(str, row)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Constant:
    """The same value for each row."""

    value: Any

    def values(self, rows: Rows) -> Column:
        """Return the value as often as there are rows."""
        return [self.value] * rows.count


Value = Expression | Text | Constant


def parse_value(text: Any) -> Value:
    """Compile one scalar of a template."""
    if not isinstance(text, str) or "{" not in text:
        return Constant(text)
    words = _WORD.split(text)
    parts = tuple(_expression(w) if i % 2 else w for i, w in enumerate(words) if w)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0]
    return Text(parts)


def encode(value: Any) -> str:
    """Return the JSON text of a column's value."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Template:
    """A compiled record template."""

    def __init__(self, tree: Any) -> None:
        self._pieces = _merge(_node(tree))

    def render(self, rows: Rows) -> list[str]:
        """Return the JSON text of each row's record."""
        return _join(self._pieces, rows)


def _join(pieces: Sequence[Piece], rows: Rows) -> list[str]:
    columns = [repeat(p, rows.count) if isinstance(p, str) else p(rows) for p in pieces]
    return list(map("".join, zip(*columns, strict=True))) if columns else [""] * rows.count


def _merge(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _node(tree: Any) -> list[Piece]:
    if isinstance(tree, dict):
        if "$when" in tree:
            return [_when(tree, "null")]
        return [_each(tree)] if "$each" in tree else _object(tree)
    if isinstance(tree, list):
        return _list(tree)
    value = parse_value(tree)
    if isinstance(value, Constant):
        return [encode(value.value)]
    return [lambda rows: map(encode, value.values(rows))]


def _object(tree: dict[str, Any]) -> list[Piece]:
    """Write required members first, so that each optional one can bring its own comma."""
    required = [(k, v) for k, v in tree.items() if not k.endswith("?")]
    optional = [(k[:-1], v) for k, v in tree.items() if k.endswith("?")]
    pieces: list[Piece] = []
    for key, value in required:
        pieces += [f"{',' if pieces else ''}{encode(key)}:", *_node(value)]
    members = [_optional(f",{encode(key)}:", value) for key, value in optional]
    if required or not optional:
        return ["{", *pieces, *members, "}"]
    return ["{", lambda rows: (text[1:] for text in _join(members, rows)), "}"]


def _optional(head: str, tree: Any) -> Piece:
    pieces = _merge(_node(tree))
    return lambda rows: ("" if text == "null" else head + text for text in _join(pieces, rows))


def _list(tree: list[Any]) -> list[Piece]:
    def element(item: Any) -> list[Piece]:
        if isinstance(item, dict) and "$when" in item and "$else" not in item:
            return [_when(item, "", ",")]
        return [",", *_node(item)]

    pieces = _merge(piece for item in tree for piece in element(item))
    return ["[", lambda rows: (text[1:] for text in _join(pieces, rows)), "]"] if pieces else ["[]"]


def _when(tree: dict[str, Any], otherwise: str, head: str = "") -> Piece:
    if extra := sorted(set(tree) - {"$when", "$then", "$else"}):
        message = f"unknown {', '.join(extra)} beside $when; allowed: $then, $else"
        raise TemplateError(message)
    condition = parse_value(tree["$when"])
    then = _merge(_node(tree["$then"]))
    other = _merge(_node(tree["$else"])) if "$else" in tree else [otherwise]

    def piece(rows: Rows) -> Iterable[str]:
        chosen = zip(condition.values(rows), _join(then, rows), _join(other, rows), strict=True)
        return (head + yes if flag else no for flag, yes, no in chosen)

    return piece


def _each(tree: dict[str, Any]) -> Piece:
    if extra := sorted(set(tree) - {"$each", "$do"}):
        message = f"unknown {', '.join(extra)} beside $each; allowed: $do"
        raise TemplateError(message)
    pieces = _merge(_node(tree["$do"]))

    def piece(rows: Rows) -> Iterable[str]:
        if rows.children is None:
            message = f"$each: {tree['$each']} stands in rows without children"
            raise TemplateError(message)
        children, parents = rows.children(tree["$each"])
        texts: list[list[str]] = [[] for _ in range(rows.count)]
        for at, text in zip(parents, _join(pieces, children), strict=True):
            texts[at].append(text)
        return (f"[{','.join(found)}]" for found in texts)

    return piece


def _expression(word: str) -> Expression:
    path, *calls = (part.strip() for part in word.split("|"))
    return Expression(path, tuple(_call(call, word) for call in calls))


def _call(text: str, word: str) -> tuple[str, tuple[Any, ...]]:
    match = _CALL.match(text)
    if match is None or match[1] not in FUNCTIONS:
        message = f"unknown function {text!r} in {{{word}}}; known: {', '.join(sorted(FUNCTIONS))}"
        raise TemplateError(message)
    return match[1], tuple(yaml.safe_load(f"[{match[2]}]")) if match[2] else ()


def _argument(argument: Any, rows: Rows) -> Any:
    return rows.column(argument[1:]) if isinstance(argument, str) and argument.startswith("$") else argument
