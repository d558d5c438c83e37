"""How a block of the match index is written: one line of JSON per record, ``[id, reference, features, held]``, packed.

Records whose numbers differ in the last ``BLOCK_BITS`` bits only share a block. A block is small enough that one record
costs little to read or to change, and large enough that many cost little to write.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BLOCK_BITS = 6
_CODEC = pa.Codec("zstd", compression_level=1)
_LENGTH = struct.Struct("<I")


class Line(NamedTuple):
    """A record as a block holds it; ``features`` and ``held`` are what the matcher made of it."""

    record: int
    ref: str
    features: list[Any]
    held: list[str]


_DECODER = msgspec.json.Decoder(Line)


def block_numbers(ids: Iterable[int]) -> list[int]:
    """Return the blocks of these records, each once, in order."""
    return sorted({record >> BLOCK_BITS for record in ids})


def packed(texts: pa.Array) -> pa.Array:
    """Return the contents of blocks, each given as its lines one after the other; each line ends in a line feed."""
    return pa.array([_pack(text.as_buffer()) for text in texts], pa.binary())


def by_block(ids: Iterable[int]) -> dict[int, list[int]]:
    """Return these records, each once, by the block that each is in."""
    found: dict[int, list[int]] = {}
    for record in dict.fromkeys(ids):
        found.setdefault(record >> BLOCK_BITS, []).append(record)
    return found


def lines_of(block: bytes) -> Iterator[Line]:
    """Yield the lines of a block."""
    for text in unpacked(block).splitlines():
        yield _DECODER.decode(text)


def lines_in(texts: bytes, wanted: Iterable[int]) -> Iterator[Line]:
    """Yield the lines of some records of a block that is unpacked; nothing else is decoded.

    No line feed stands within a line: JSON writes it as an escape.
    """
    for record in wanted:
        start = b"[%d," % record
        at = 0 if texts.startswith(start) else texts.find(b"\n" + start) + 1 or -1
        if at >= 0:
            yield _DECODER.decode(memoryview(texts)[at : texts.index(b"\n", at)])


def merged(numbers: Sequence[Any], held: Mapping[int, bytes], lines: Mapping[int, Line | None]) -> dict[int, bytes]:
    """Return these blocks with lines put in, or taken out (``None``); one that holds nothing any more is left out."""
    mine = {number: dict[int, bytes]() for number in numbers}
    for number, block in held.items():
        mine[number] = {int(text[1 : text.index(b",")]): text for text in unpacked(block).splitlines()}
    for record, line in lines.items():
        texts = mine.get(record >> BLOCK_BITS)
        if texts is not None and line is not None:
            texts[record] = msgspec.json.encode(line)
        elif texts is not None:
            texts.pop(record, None)
    return {
        number: _pack(b"".join(texts[record] + b"\n" for record in sorted(texts)))
        for number, texts in mine.items()
        if texts
    }


def _pack(text: bytes | pa.Buffer) -> bytes:
    packed_text: bytes = _CODEC.compress(text, asbytes=True)
    return _LENGTH.pack(len(text)) + packed_text


def unpacked(block: bytes) -> bytes:
    """Return the lines of a block as they are written, one after the other."""
    (size,) = _LENGTH.unpack_from(block)
    text: bytes = _CODEC.decompress(memoryview(block)[_LENGTH.size :], size, asbytes=True)
    return text
