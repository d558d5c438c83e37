"""A response body, read only as deep as needed: the records' own bytes are cut out, never parsed and written again.

msgspec does the scanning. What it refuses as a whole because of one record (NaN, a lone surrogate, extreme depth) is
cut by a token scanner instead, so that one bad record never costs its page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from connectors.sdk.envelopes import Envelopes, Members, Raw
from connectors.sdk.paths import Every, Path, Step, Where, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ANY: Final = msgspec.json.Decoder()
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_SPACE: Final = b" \t\r\n"
_Held = Raw | list[Raw]  # what is at a path: its bytes, or, of a list that was cut already, its elements
_REFUSED: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Malformed(ValueError):
    """The bytes are not one whole JSON value."""


class _Missing:
    """Type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()


class Body:
    """One JSON document; ``get`` and ``cut`` walk it without parsing what lies beside the path."""

    def __init__(self, content: Raw, envelopes: Envelopes | None = None) -> None:
        """Keep ``content``; it is scanned on first use, at once if it is as the answers of ``envelopes`` were before."""
        self._content, self._envelopes = content, envelopes
        self._members: Members | None = None

    def check(self) -> Body:
        """Raise Malformed unless the content is one whole JSON object or list."""
        lead = _lead(self._content)
        if lead == b"{":
            self._top()
        elif lead == b"[":
            _elements(self._content)
        else:
            raise Malformed("not a JSON object or list")
        return self

    def get(self, path: Path) -> Any:
        """Return the parsed value at ``path``, MISSING when there is none."""
        found = next(self._walk(path), None)
        return MISSING if found is None else _parsed(found)

    def raw(self, path: Path) -> bytes | None:
        """Return the bytes of the object at ``path``, None when there is none."""
        found = next(self._walk(path), None)
        return None if found is None or isinstance(found, list) or _lead(found) != b"{" else bytes(found)

    def cut(self, path: Path) -> list[Raw] | _Missing | None:
        """Return each element's own bytes of the list at ``path``.

        ``None`` for a null, MISSING when nothing is there; Malformed when it is something else. With ``[*]`` in the
        path the lists found are joined.
        """
        found = list(self._walk(path))
        if not found:
            return [] if any(isinstance(step, Every | Where) for step in path) else MISSING
        lists = [one for one in found if _lead(one) == b"["]
        if not lists and all(_lead(one) == b"n" for one in found):
            return None
        if len(lists) != len(found):
            raise Malformed("not a list of records")
        return [element for one in lists for element in _elements(one)]

    def _top(self) -> Members:
        if self._members is None:
            self._members = self._met()
        return self._members

    def _met(self) -> Members:
        """Return the members as the envelopes know them, or let those learn from this answer."""
        if self._envelopes is None:
            return {**_object(self._content)}
        known = self._envelopes.read(self._content)
        if known is None:
            known = {**_object(self._content)}
            self._envelopes.learn({name: _lead(value) == b"[" for name, value in known.items()})
        return known

    def _walk(self, path: Path) -> Iterator[_Held]:
        if path and isinstance(path[0], str):
            if _lead(self._content) == b"{" and path[0] in self._top():
                yield from _walk(self._top()[path[0]], path[1:])
        else:
            yield from _walk(self._content, path)


def _walk(raw: _Held, path: Path) -> Iterator[_Held]:
    if not path:
        yield raw
        return
    for inner in _take(raw, path[0]):
        yield from _walk(inner, path[1:])


def _take(raw: _Held, step: Step) -> Sequence[_Held]:
    lead = _lead(raw)
    if isinstance(step, str):
        members = _object(raw) if lead == b"{" and not isinstance(raw, list) else {}
        return [members[step]] if step in members else []
    if lead != b"[":
        return []
    elements = _elements(raw)
    if isinstance(step, int):
        return [elements[step]] if -len(elements) <= step < len(elements) else []
    if isinstance(step, Where):
        return [one for one in elements if text_of(Body(one).get((step.key,))) == step.literal]
    return elements


def _lead(raw: _Held) -> bytes:
    """Return the first byte that is not white space."""
    if isinstance(raw, list):
        return b"["
    return bytes(memoryview(raw)[:32]).lstrip(_SPACE)[:1] or bytes(raw).lstrip(_SPACE)[:1]


def _object(raw: Raw) -> dict[str, Raw]:
    try:
        return dict(_OBJECT.decode(raw))
    except _REFUSED:
        return {_name(key): value for key, value in _pairs(bytes(raw))}


def _elements(raw: _Held) -> list[Raw]:
    if isinstance(raw, list):
        return raw
    try:
        return list(_LIST.decode(raw))
    except _REFUSED:
        return [element for _, element in _pairs(bytes(raw))]


def _parsed(raw: _Held) -> Any:
    if isinstance(raw, list):
        return list(map(_parsed, raw))
    try:
        return _ANY.decode(raw)
    except _REFUSED:
        return MISSING


def _name(key: bytes) -> str:
    try:
        return str(_ANY.decode(key))
    except _REFUSED:
        return key.decode("utf-8", "replace")


def _pairs(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of an object, (b"", value) of a list, by counting brackets only."""
    depth, start, key, closed = 0, 0, b"", False
    for found in _TOKEN.finditer(data):
        token = found[0]
        if closed:
            raise Malformed("text after the end")
        if token in b"{[":
            depth += 1
            start = found.end() if depth == 1 else start
        elif token in b"}]":
            depth -= 1
        if depth == 1 and token == b":":
            key, start = data[start : found.start()].strip(_SPACE), found.end()
        elif (depth == 1 and token == b",") or depth == 0:
            value = data[start : found.start()].strip(_SPACE)
            if value or token == b",":
                yield key, value
            start, closed = found.end(), depth == 0
    if not closed or data[start:].strip(_SPACE):
        raise Malformed("it ends in the middle")
