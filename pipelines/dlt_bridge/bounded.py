"""How much a requests session reads: an answer has a largest size, counted unpacked, and a longest time, however it comes.

A timeout of requests bounds the silence between two bytes only: an answer that trickles is read for ever, and a small
packed one unpacks into all memory there is. The limits are those of the fetch engine (``connectors.sdk.http``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import requests
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from connectors.sdk.errors import StopStream
from connectors.sdk.http import MAX_RESPONSE_BYTES, MAX_SECONDS
from pipelines.dlt_bridge.pinned import PinnedAdapter

if TYPE_CHECKING:
    from connectors.sdk.guard import Guard

_PIECE: Final = 64 * 1024
_MEGABYTE: Final = 1024 * 1024


class BoundedAdapter(PinnedAdapter):
    """Reads every answer whole before it is returned, redirects too.

    Raises StopStream for one that is larger than ``max_bytes``; ReadTimeout for one that is not complete after
    ``max_seconds``; ChunkedEncodingError, ContentDecodingError and ReadTimeout as requests does.
    """

    def __init__(
        self, guard: Guard, *, max_bytes: int = MAX_RESPONSE_BYTES, max_seconds: float = MAX_SECONDS, **options: Any
    ) -> None:
        self._max_bytes, self._max_seconds = max_bytes, max_seconds
        super().__init__(guard, **options)

    def send(self, request: requests.PreparedRequest, *given: Any, **options: Any) -> requests.Response:
        """Send a request and read its answer within the limits."""
        until = time.monotonic() + self._max_seconds
        response = super().send(request, *given, **options)
        try:
            content = self._read(response, until)
        except BaseException:
            response.close()
            raise
        response._content = content  # noqa: SLF001  requests has no other way to say that it was read
        response._content_consumed = True  # noqa: SLF001
        response.raw.release_conn()
        return response

    def _read(self, response: requests.Response, until: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := _piece(response):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise StopStream(
                    f"the answer is larger than {self._max_bytes // _MEGABYTE} MB",
                    where=str(response.url).split("?", 1)[0], do="ask for fewer records a page",
                )  # fmt: skip
            if time.monotonic() > until:
                what = f"the answer was not complete after {self._max_seconds:.0f} s"
                raise requests.exceptions.ReadTimeout(what, request=response.request)
        return b"".join(parts)


def _piece(response: requests.Response) -> bytes:
    """Return what has come, unpacked; nothing at the end."""
    try:
        part: bytes = response.raw.read1(_PIECE, decode_content=True)
    except ReadTimeoutError as why:
        raise requests.exceptions.ReadTimeout(why, request=response.request) from why
    except DecodeError as why:
        raise requests.exceptions.ContentDecodingError(why, request=response.request) from why
    except HTTPError as why:
        raise requests.exceptions.ChunkedEncodingError(why, request=response.request) from why
    return part
