"""One request and one response, as the engine passes them round."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .shape import Answer


class BadRequestError(Exception):
    """The request asks for something that the vendor refuses; the text says what."""


@dataclass(frozen=True)
class Request:
    """A parsed HTTP request; ``path`` has no mount and no closing slash, ``base`` is scheme, host and mount."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    content: bytes = b""
    base: str = ""

    @cached_property
    def body(self) -> dict[str, Any]:
        """Return the JSON object that was sent; nothing sent counts as an empty one."""
        try:
            body = json.loads(self.content or b"{}")
        except ValueError as error:
            message = f"body is not JSON: {error}"
            raise BadRequestError(message) from error
        return body if isinstance(body, dict) else {}

    @cached_property
    def form(self) -> dict[str, str]:
        """Return the fields of a form body."""
        return {key: values[-1] for key, values in parse_qs(self.content.decode()).items()}

    def param(self, name: str) -> str | None:
        """Return the last value of a query parameter; null if it was not sent."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True)
class Wire:
    """How an answer's bytes go out: ``cut`` of the body's bytes, a pause of ``stall_s`` before byte ``stall_at``.

    A cut answer ends by ``ending``: ``end`` (the connection stays, the head already says that no more comes),
    ``close`` or ``reset``.
    """

    cut: int | None = None
    ending: Literal["end", "close", "reset"] = "close"
    stall_at: int = 0
    stall_s: float = 0.0


@dataclass(frozen=True)
class Response:
    """An HTTP answer; ``stream`` and ``records`` are for the log, ``delay_s`` waits before it is written."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: str | None = None
    records: int = 0
    delay_s: float = 0.0
    fault: str | None = None
    wire: Wire | None = None


def answer_with(answer: Answer, **words: str) -> Response:
    """Return a written answer with ``{word}`` in its texts replaced."""
    text = json.dumps(answer.body, ensure_ascii=False)
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", json.dumps(value, ensure_ascii=False)[1:-1])
    return Response(answer.status, text.encode(), answer.headers)
