"""The functions of record templates; each takes whole columns, so that a million records cost seconds.

Times are epoch milliseconds, amounts are minor units. A null stays null unless the function says otherwise.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Literal

import numpy as np

from .world.dirt import handle

Column = Sequence[Any]
Function = Callable[..., Column]
_ALPHABETS = {
    "base36": "0123456789abcdefghijklmnopqrstuvwxyz",
    "crockford": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    "hex": "0123456789abcdef",
    "letters": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
}


def _each(change: Callable[..., Any]) -> Function:
    """Make a column function from one on a single value; nulls pass through."""

    def function(values: Column, *arguments: Any) -> Column:
        return [None if v is None else change(v, *arguments) for v in values]

    return function


def _instants(unit: Literal["D", "s", "ms", "us"], tail: str) -> Function:
    def function(values: Column) -> Column:
        known = np.array([0 if v is None else v for v in values], dtype=np.int64).astype("datetime64[ms]")
        texts = np.datetime_as_string(known, unit=unit).tolist()
        return [None if v is None else text + tail for v, text in zip(values, texts, strict=True)]

    return function


def _money(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02d}"


def _token(value: object, length: int, alphabet: str, salt: str = "") -> str:
    """Return a text that looks random and depends only on ``value`` and ``salt``."""
    digest = hashlib.blake2b(f"{salt}/{value}".encode(), digest_size=32).digest()
    letters = _ALPHABETS[alphabet]
    return "".join(letters[digest[i] % len(letters)] for i in range(length))


def _uuid(value: object, salt: str = "") -> str:
    text = hashlib.blake2b(f"{salt}/{value}".encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _either(values: Column, other: Column) -> Column:
    """Return ``other`` where the value is null."""
    return [o if v is None else v for v, o in zip(values, other, strict=True)]


def _map(values: Column, *pairs: str) -> Column:
    """Return the value's entry in ``a=b`` pairs; ``else=b`` is for all others, who else become null."""
    entries: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
    rest = entries.pop("else", None)
    return [entries.get(v if isinstance(v, str) else _word(v), rest) for v in values]


def _word(value: object) -> str:
    """Return a value as JSON would write it, text without quotes."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with(change: Callable[[Any, Any], Any]) -> Function:
    """Make a column function of two values; the second is one for all rows, or another column."""

    def function(values: Column, other: Any) -> Column:
        others = other if isinstance(other, list) else repeat(other, len(values))
        return [None if a is None or b is None else change(a, b) for a, b in zip(values, others, strict=True)]

    return function


def _is(values: Column, *wanted: object) -> Column:
    """Return whether the value is one of ``wanted``, compared as JSON writes them."""
    words = set(map(_word, wanted))
    return [_word(v) in words for v in values]


def _known(values: Column) -> Column:
    return [v is not None for v in values]


FUNCTIONS: dict[str, Function] = {
    "iso": _instants("s", "Z"),
    "iso_ms": _instants("ms", "Z"),
    "iso_us": _instants("us", "Z"),
    "iso_offset": _instants("s", "+00:00"),
    "iso_us_offset": _instants("us", "+00:00"),
    "day": _instants("D", ""),
    "seconds": _each(lambda v: v // 1000),
    "text": _each(_word),
    "plus": _with(operator.add),
    "minus": _with(operator.sub),
    "times": _with(operator.mul),
    "over": _each(lambda v, n: v // n),
    "modulo": _each(lambda v, n: v % n),
    "money": _each(_money),
    "amount": _each(lambda v: v / 100),
    "lower": _each(lambda v: v.lower()),
    "upper": _each(lambda v: v.upper()),
    "slug": _each(handle),
    "digits": _each(lambda v: "".join(c for c in v if c.isdigit())),
    "part": _each(lambda v, n: v[int(n) :] if n >= 0 else v[: -int(n)]),
    "replace": _each(lambda v, old, new="": v.replace(old, new)),
    "turned": _each(lambda v, old, new: new.join(reversed(v.split(old)))),
    "token": _each(_token),
    "uuid": _each(_uuid),
    "first": _each(lambda v: v[0] if v else None),
    "join": _each(lambda v, separator=", ": separator.join(v)),
    "filled": _each(lambda v: v or None),
    "is": _is,
    "not": lambda values: [not v for v in values],
    "below": lambda values, limit: [v is not None and v < limit for v in values],
    "known": _known,
    "map": _map,
    "or": _either,
}
