"""Unpacking of packed answers, never far beyond what is still allowed."""

from __future__ import annotations

import zlib
from typing import Any, Final

from connectors.sdk.errors import StopStream

_ZLIB_METHOD: Final = 8


class Unpacker:
    """Unpacks gzip or deflate, part by part."""

    def __init__(self, encoding: str) -> None:
        """Take the format as the vendor names it."""
        self._encoding = encoding
        self._inner: Any = None

    @property
    def whole(self) -> bool:
        """True when the last stream came to its end, or none began."""
        return self._inner is None or bool(self._inner.eof)

    def __call__(self, part: bytes, allowed: int) -> bytes:
        """Return unpacked bytes; one more than ``allowed`` is enough to know that it is too much."""
        out: list[bytes] = []
        data = part
        while data:
            if self._inner is None or self._inner.eof:
                self._inner = zlib.decompressobj(self._window(data))
            out.append(self._inner.decompress(data, allowed + 1))
            allowed -= len(out[-1])
            if allowed < 0:
                break
            data = self._inner.unused_data
        return b"".join(out)

    def _window(self, data: bytes) -> int:
        """Return zlib's word for the format; some servers call a raw stream deflate."""
        if self._encoding == "gzip":
            return 16 + zlib.MAX_WBITS
        return zlib.MAX_WBITS if data[0] & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS


def unpacker(encoding: str, where: str) -> Unpacker | None:
    """Return what unpacks an answer, None where nothing is packed; raise StopStream for a format nobody asked for."""
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return None
    if word in ("gzip", "x-gzip", "deflate"):
        return Unpacker(word.removeprefix("x-"))
    raise StopStream(f"the answer is packed as {word}", where=where, why="gzip and deflate were asked for")
