"""The meaning of a JSON document: how its numbers are read, and the hash that is equal for equal content."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DIGITS: Final = 32
_encode: Final = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
_encode_in_order: Final = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(float_hook=Decimal).decode
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError)


def digest(value: Any) -> str:
    """Return the hash of what ``decode`` returned: members in any order, numbers kept digit for digit."""
    return sha256(_encode(value)).hexdigest()[:_DIGITS]


def digests(values: Iterable[Any]) -> list[str]:
    """Return the ``digest`` of each."""
    return [sha256(content).hexdigest()[:_DIGITS] for content in map(_encode, values)]


def decoder(kind: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    """Return what reads a document into an object as ``decode`` does into a dict; one of another form is UNREADABLE."""
    return msgspec.json.Decoder(kind, float_hook=Decimal).decode


def digests_in_order(objects: Iterable[msgspec.Struct]) -> list[str]:
    """Return the ``digest`` of each document read into an object whose attributes stand in the order of their names."""
    return [sha256(content).hexdigest()[:_DIGITS] for content in map(_encode_in_order, objects)]
