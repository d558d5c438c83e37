"""Every paging style gives each record exactly once, over real loopback HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.connectors.sdk.testing.simulator.toy import Client, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def toy() -> Iterator[tuple[Client, list[str]]]:
    with served() as (client, simulator):
        yield client, list(simulator.app.holdings["toy"].records("people"))


def _by_word(path: str, param: str) -> Callable[[Client], Iterator[Any]]:
    def pages(client: Client) -> Iterator[Any]:
        following = None
        while True:
            more = "" if following is None else f"&{param}={following}"
            body = client.ask(f"/toy{path}?limit=7{more}")[1]
            yield body
            following = body.get("next")
            if following is None:
                return

    return pages


def _by_url(client: Client) -> Iterator[Any]:
    url: str | None = "/toy/opaque?limit=7"
    while url:
        body = client.ask(url)[1]
        yield body
        url = body.get("next_url")


def _by_header(client: Client) -> Iterator[Any]:
    url: str | None = "/toy/opaque?limit=7"
    while url:
        _, body, headers = client.ask(url)
        yield body
        link = headers.get("Link")
        url = link.split(">")[0][1:] if link else None


def _by_search(client: Client) -> Iterator[Any]:
    after: int | None = 0
    while after is not None:
        body = client.ask("/toy/search", body={"limit": 7, "after": after})[1]
        yield body
        after = body.get("next") if after < 35 else None


STYLES: dict[str, Callable[[Client], Iterator[Any]]] = {
    "cursor in the body": _by_word("/key", "after"),
    "page number": _by_word("/number", "page"),
    "offset": _by_word("/offset", "offset"),
    "next url": _by_url,
    "link header": _by_header,
}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_gives_every_record_once(style: str, toy: tuple[Client, list[str]]) -> None:
    client, keys = toy

    got = [record["id"] for body in STYLES[style](client) for record in body["people"]]

    assert sorted(got) == sorted(keys)
    assert len(keys) > 40


def test_an_export_by_time_gives_every_record_and_says_when_it_ends(toy: tuple[Client, list[str]]) -> None:
    client, keys = toy
    url, got, ends = "/toy/export?start=0&limit=7", set(), []

    while not ends or not ends[-1]:
        body = client.ask(url)[1]
        got |= {record["id"] for record in body["people"]}
        ends.append(body["end"])
        url = body["next_url"]

    assert got == set(keys)
    assert len(ends) > 5


def test_a_search_stops_at_its_cap(toy: tuple[Client, list[str]]) -> None:
    client, _ = toy

    got = [record["id"] for body in _by_search(client) for record in body.get("people", [])]
    status, body, _ = client.ask("/toy/search", body={"limit": 7, "after": 35})

    assert len(got) == 35
    assert (status, body["why"]) == (400, "a search gives at most 40 results")


def test_a_sticky_token_remembers_the_filter_and_refuses_another(toy: tuple[Client, list[str]]) -> None:
    client, _ = toy
    body = client.ask("/toy/opaque?limit=3&team=red")[1]

    following = client.ask(body["next_url"])[1]
    status, refused, _ = client.ask(body["next_url"] + "&team=blue")

    assert {record["team"] for record in following["people"]} == {"red"}
    assert (status, refused["why"]) == (400, "team cannot be combined with cursor")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/number?page=two", "page must be a number"),
        ("/key?after=none", "unknown after none"),
        ("/opaque?cursor=%25", "invalid cursor"),
    ],
)
def test_a_wrong_position_is_refused(path: str, why: str, toy: tuple[Client, list[str]]) -> None:
    status, body, _ = toy[0].ask(f"/toy{path}")

    assert (status, body["why"]) == (400, why)


def test_a_page_is_never_larger_than_the_vendor_allows(toy: tuple[Client, list[str]]) -> None:
    client, _ = toy

    assert len(client.ask("/toy/number?limit=1000")[1]["people"]) == 50
    assert len(client.ask("/toy/number")[1]["people"]) == 10
