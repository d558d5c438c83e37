"""Announcements in headers are read in the forms the RFCs and vendors use, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from connectors.sdk.engine import read_stream
from connectors.sdk.notices import Notices, due
from tests.connectors.sdk.vendor import Hub, Vendor, manifest, page


def look(headers: dict[str, str], endpoint: str = "/v1/people", names: tuple[str, ...] = ()) -> Notices:
    found = Notices(names)
    found.look(httpx.Headers(headers), endpoint, lambda text: text.replace("s3cret", "***"))
    return found


@pytest.mark.parametrize(
    ("header", "value", "said", "when"),
    [
        (
            "Sunset",
            "Sat, 31 Dec 2026 23:59:59 GMT",
            "Sat, 31 Dec 2026 23:59:59 GMT",
            datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
        ),
        ("Deprecation", "@1688169599", "@1688169599", datetime(2023, 6, 30, 23, 59, 59, tzinfo=UTC)),
        ("Deprecation", "true", "true", None),
        (
            "Deprecation",
            "Sun, 11 Nov 2018 23:59:59 GMT",
            "Sun, 11 Nov 2018 23:59:59 GMT",
            datetime(2018, 11, 11, 23, 59, 59, tzinfo=UTC),
        ),
        ("Warning", '299 - "v2 ends on 2027-03-01"', "v2 ends on 2027-03-01", datetime(2027, 3, 1, tzinfo=UTC)),
        ("X-API-Version-Warning", "use 2026-10", "use 2026-10", None),
    ],
)
def test_each_standard_header_is_read(header: str, value: str, said: str, when: datetime | None):
    (notice,) = look({header: value}).found.values()

    assert (notice.header, notice.value, notice.due_at) == (header.lower(), said, when)


@pytest.mark.parametrize(
    "headers", [{"Warning": '110 - "stale"'}, {"Deprecation": "false"}, {"Sunset": ""}, {"X-Other": "Sunset"}]
)
def test_what_announces_nothing_is_left_alone(headers: dict[str, str]):
    assert look(headers).found == {}


def test_the_names_of_a_manifest_are_read_too():
    name = "X-Shopify-API-Deprecated-Reason"

    assert look({name: "old"}).found == {}
    assert [one.value for one in look({name: "old"}, names=(name,)).found.values()] == ["old"]


def test_a_notice_holds_its_link_no_secret_and_no_id_of_the_endpoint():
    headers = {
        "Sunset": "soon s3cret",
        "Link": '<https://v.example/next>; rel="next", <https://v.example/why>; rel="sunset"',
    }

    (notice,) = look(headers, "/v1/people/4711/notes/8d7f1c2e-1111-4222-8333-abcdefabcdef").found.values()

    assert (notice.value, notice.link) == ("soon ***", "https://v.example/why")
    assert notice.endpoint == "/v1/people/{}/notes/{}"


def test_a_date_that_is_none_is_no_date():
    assert [due(text) for text in ("@x", "@99999999999999999", "2026-99-99", "tomorrow")] == [None] * 4


def test_a_read_collects_what_its_answers_announce(tmp_path: Path):
    hub = Hub(manifest(tmp_path, {}, notices=["X-Vendor-Ends"]))
    answers = Vendor([page([1], {"Sunset": "Sat, 31 Dec 2026 23:59:59 GMT", "X-Vendor-Ends": "soon"})])
    found = Notices(hub.manifest.notices)

    async def read() -> None:
        pages = read_stream(
            hub.manifest.stream("things"), hub.connection, checkpoints=hub.checkpoints, tokens=hub.tokens,
            client_factory=answers.client, now=hub.clock.now, sleep=hub.clock.sleep, notices=found,
        )  # fmt: skip
        async for _ in pages:
            pass

    asyncio.run(read())

    assert {one.header for one in found.found.values()} == {"sunset", "x-vendor-ends"}
