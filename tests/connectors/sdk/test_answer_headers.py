"""Headers that are read once say what httpx's own say."""

from __future__ import annotations

import httpx
import pytest

from connectors.sdk.transport import AnswerHeaders

ANSWERS = (
    [],
    [(b"Content-Length", b"12"), (b"date", b"Mon, 30 Nov 2026 10:00:00 GMT")],
    [(b"Link", b'<https://a.example>; rel="next"'), (b"link", b'<https://b.example>; rel="last"')],
    [(b"X-Name", "Müller".encode()), (b"X-Name", b"plain")],
    [(b"X-Name", "Müller".encode("latin-1"))],
    [(b"Retry-After", b""), (b"x-empty", b"")],
)


@pytest.mark.parametrize("raw", ANSWERS)
@pytest.mark.parametrize(
    "name", ["content-length", "Content-Length", "DATE", "link", "x-name", "retry-after", "absent"]
)
def test_headers_read_once_say_what_they_say_when_read_each_time(raw: list[tuple[bytes, bytes]], name: str) -> None:
    plain, read = httpx.Headers(raw), AnswerHeaders(httpx.Headers(raw))

    assert (read.get(name), read.get(name, "-"), name in read) == (plain.get(name), plain.get(name, "-"), name in plain)
    assert (dict(read), read.raw, read.multi_items()) == (dict(plain), plain.raw, plain.multi_items())


def test_a_header_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        AnswerHeaders(httpx.Headers())["date"]
