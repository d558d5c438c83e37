"""A request written straight is, byte for byte, the one httpx would send."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.http import with_query
from connectors.sdk.straight import Writer
from connectors.sdk.transport import HEADERS, origin_of, request_head

_WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_PATH = st.text(st.sampled_from("abc/-_.~%20:@!$&'()*+,;= äß"), max_size=12)
_HOST = st.sampled_from(["api.example.com", "127.0.0.1:8080", "[::1]:81", "API.Example.com:443", "münchen.example"])


@given(st.sampled_from(["http", "https"]), _HOST, _PATH, st.lists(st.tuples(_WORD, _WORD), max_size=4))
def test_the_bytes_are_those_of_httpx(scheme: str, host: str, path: str, params: list[tuple[str, str]]) -> None:
    url, headers = f"{scheme}://{host}/{path}", httpx.Headers({**HEADERS, "authorization": "Bearer x"})
    theirs = httpx.Request("GET", with_query(url, params), headers=headers)

    ours = Writer().get(url, params, headers)

    assert ours is not None
    assert ours.head == request_head(theirs)
    assert ours.url == str(theirs.url)
    assert ours.address.origin == origin_of(theirs.url)


def test_only_the_query_differs_from_page_to_page() -> None:
    writer, headers = Writer(), httpx.Headers(HEADERS)
    first, second = (writer.get("http://a.example/x", [("after", str(n))], headers) for n in (1, 2))

    assert first is not None
    assert second is not None
    assert second.address is first.address
    assert (first.url, second.url) == ("http://a.example/x?after=1", "http://a.example/x?after=2")


def test_other_headers_are_not_taken_for_those_before() -> None:
    writer = Writer()
    heads = [writer.get("http://a.example/x", [], httpx.Headers({"authorization": str(n)})) for n in range(200)]

    assert all(one is not None and b"authorization: %d\r\n" % n in one.head for n, one in enumerate(heads))


@pytest.mark.parametrize("url", ["http://a.example/x?page=2", "http://a.example/x#part"])
def test_an_address_with_more_than_a_path_is_left_to_httpx(url: str) -> None:
    assert Writer().get(url, [("a", "b")], httpx.Headers()) is None


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\0b", "a\nb"])
def test_no_header_begins_another_line(value: str) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        Writer().get("http://a.example/x", [], httpx.Headers({"x-own": value}))
