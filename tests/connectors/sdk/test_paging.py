"""Each paginator against a made-up vendor: it ends where the vendor says so, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.errors import StopStream
from connectors.sdk.protocols import Completeness

from .vendor import BASE, Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx

CURSOR = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}


def _hub(tmp_path: Path, paginator: Mapping[str, Any], **stream: Any) -> Hub:
    return Hub(manifest(tmp_path, {"paginator": dict(paginator), "page_size": 2, **stream}))


def _link(url: str) -> dict[str, str]:
    return {"link": f'<{BASE}/things?first=1>; rel="first", <{url}>; rel="next"'}


def test_a_cursor_is_followed_to_the_page_without_one(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR, params={"kind": "x"})
    vendor = Vendor([page([1, 2], next="a"), page([3], next="b"), page([4], next=None)])
    hub.read(vendor)
    assert hub.keys == ["1", "2", "3", "4"]
    assert vendor.params("after") == [None, "a", "b"]
    assert vendor.params("kind") == ["x", "x", "x"]
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_an_empty_page_in_the_middle_goes_on(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR)
    hub.read(Vendor([page([1, 2], next="a"), page([], next="b"), page([3])]))
    assert hub.keys == ["1", "2", "3"]


def test_a_short_page_with_a_marker_goes_on(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR)
    hub.read(Vendor([page([1], next="a"), page([2, 3], next="b"), page([4])]))
    assert hub.keys == ["1", "2", "3", "4"]


def test_a_terminal_flag_ends_although_a_cursor_is_there(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {**CURSOR, "has_more_path": "more"})
    hub.read(Vendor([page([1, 2], next="a", more=True), page([3], next="b", more=False)]))
    assert hub.keys == ["1", "2", "3"]


def test_more_without_a_cursor_is_a_contradiction(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {**CURSOR, "has_more_path": "more"})
    with pytest.raises(StopStream, match="more but gives no cursor"):
        hub.read(Vendor([page([1, 2], more=True)]))


def test_a_missing_marker_can_be_made_an_error(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {**CURSOR, "stop_when_missing": False})
    with pytest.raises(StopStream, match="neither a cursor nor an end marker"):
        hub.read(Vendor([page([1, 2])]))


def test_a_cursor_can_go_into_the_body(tmp_path: Path) -> None:
    paginator = {"type": "cursor", "cursor_path": "next", "cursor_body_path": "paging.after"}
    hub = _hub(tmp_path, paginator, method="POST", body={"limit": "{page_size}", "paging": {"order": "up"}})
    vendor = Vendor([page([1, 2], next=7), page([3])])
    hub.read(vendor)
    first, second = vendor.bodies()
    assert first == {"limit": 2, "paging": {"order": "up"}}
    assert second == {"limit": 2, "paging": {"order": "up", "after": 7}}


def test_a_link_header_is_followed_with_its_own_parameters_only(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "header_link"}, params={"status": "any", "limit": "{page_size}"})
    vendor = Vendor([page([1, 2], _link(f"{BASE}/things?page_info=p2&limit=2")), page([3])])
    hub.read(vendor)
    assert [dict(request.url.params) for request in vendor.asked] == [
        {"status": "any", "limit": "2"},
        {"page_info": "p2", "limit": "2"},
    ]
    assert hub.keys == ["1", "2", "3"]


def test_a_next_url_may_be_relative_and_keep_parameters(tmp_path: Path) -> None:
    hub = _hub(
        tmp_path,
        {"type": "next_url", "next_url_path": "links.next", "params_on_next": "keep"},
        params={"a": "1"},
    )
    vendor = Vendor([page([1, 2], links={"next": "/things?p=2"}), page([3], links={"next": None})])
    hub.read(vendor)
    assert str(vendor.asked[1].url) == f"{BASE}/things?p=2&a=1"


def test_an_end_flag_ends_although_a_next_url_is_there(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "next_url", "next_url_path": "after_url", "end_path": "end_of_stream"})
    url = f"{BASE}/things?cursor=1"
    vendor = Vendor(
        [page([1, 2], after_url=url, end_of_stream=False), page([], after_url=url + "2", end_of_stream=True)]
    )
    hub.read(vendor)
    assert len(vendor.asked) == 2
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_page_numbers_end_at_a_page_that_is_not_full(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page"}, params={"per_page": "{page_size}"})
    vendor = Vendor([page([1, 2]), page([3, 4]), page([])])
    hub.read(vendor)
    assert vendor.params("page") == ["1", "2", "3"]
    assert hub.keys == ["1", "2", "3", "4"]


def test_page_numbers_go_by_the_page_count_when_there_is_one(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page", "base_page": 0, "total_pages_path": "pages"})
    vendor = Vendor([page([1], pages=3), page([], pages=3), page([2], pages=3)])
    hub.read(vendor)
    assert vendor.params("page") == ["0", "1", "2"]
    assert hub.keys == ["1", "2"]


def test_page_numbers_that_end_before_the_total_are_doubted(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page", "total_path": "total"})
    hub.read(Vendor([page([1, 2], total=5), page([3], total=5), page([], total=5)]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert hub.pages[-1].reason == "the vendor counts 5 records, 3 came"


def test_offsets_follow_what_was_really_sent(tmp_path: Path) -> None:
    """A vendor that clamps the page size sends less than asked for; stepping by what was asked would skip."""
    hub = _hub(
        tmp_path,
        {"type": "offset", "offset_param": "from", "limit_param": "n", "total_path": "total"},
        page_size=100,
    )
    vendor = Vendor([page([1, 2], total=5), page([3, 4], total=5), page([5], total=5)])
    hub.read(vendor)
    assert vendor.params("from") == [None, "2", "4"]
    assert vendor.params("n") == ["100"] * 3
    assert hub.keys == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("options", "answers", "asked"),
    [
        (
            {"total_header": "X-Total"},
            [page([1, 2], {"X-Total": "3"}), page([3], {"X-Total": "3"})],
            [None, "2"],
        ),
        (
            {"has_more_path": "more"},
            [page([1], more=True), page([], more=True), page([2], more=False)],
            [None, "1", "3"],
        ),
        ({"next_offset_path": "next"}, [page([1, 2], next=20), page([3], next=None)], [None, "20"]),
        ({}, [page([1, 2]), page([3])], [None, "2"]),
    ],
)
def test_offsets_end_by_whatever_the_vendor_gives(
    tmp_path: Path, options: dict[str, str], answers: list[httpx.Response], asked: list[str | None]
) -> None:
    hub = _hub(tmp_path, {"type": "offset", "offset_param": "offset", **options})
    vendor = Vendor(answers)
    hub.read(vendor)
    assert vendor.params("offset") == asked
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_the_last_records_key_leads_on_until_an_empty_page(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "last_record_key", "param": "before", "path": "token"}, key="token")
    vendor = Vendor([page([{"token": "a"}, {"token": "b"}]), page([{"token": "c"}]), page([])])
    hub.read(vendor)
    assert vendor.params("before") == [None, "b", "c"]
    assert hub.keys == ["a", "b", "c"]


def test_the_last_records_key_stops_at_the_flag(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "last_record_key", "param": "after", "path": "id", "has_more_path": "has_more"})
    vendor = Vendor([page([1, 2], has_more=True), page([3, 4], has_more=False)])
    hub.read(vendor)
    assert vendor.params("after") == [None, "2"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (page([1, 2]), "a full page of 2 records"),
        (page([1], _link(f"{BASE}/things?p=2")), "Link header"),
        (page([1], has_more=True), "has_more"),
        (page([1], paging={"next": {"after": "2"}}), "paging.next"),
    ],
)
def test_a_single_page_that_looks_like_the_first_of_many_is_doubted(
    tmp_path: Path, answer: httpx.Response, why: str
) -> None:
    hub = _hub(tmp_path, {"type": "single_page"})
    hub.read(Vendor([answer]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert why in (hub.pages[-1].reason or "")


def test_a_single_page_that_is_not_full_is_complete(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "single_page"})
    hub.read(Vendor([page([1], next=None, has_more=False)]))
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_page_loop_stops_and_names_the_position(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR)
    answers = {None: page([1, 2], next="a"), "a": page([3], next="b"), "b": page([4], next="a")}
    vendor = Vendor(lambda request: answers[request.url.params.get("after")])
    with pytest.raises(StopStream, match=r'circle.*\{"cursor": "a"\}'):
        hub.read(vendor)
    assert len(vendor.asked) < 8


def test_a_page_served_twice_is_no_loop(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR)
    hub.read(Vendor([page([1, 2], next="a"), page([1, 2], next="a"), page([3])]))
    assert hub.keys == ["1", "2", "1", "2", "3"]


def test_first_page_parameters_go_out_once(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR, params={"limit": 2}, first_page_params={"snapshot": "new"})
    vendor = Vendor([page([1, 2], next="a"), page([3])])
    hub.read(vendor)
    assert vendor.params("snapshot") == ["new", None]
    assert vendor.params("limit") == ["2", "2"]


def test_parameters_may_be_lists_repeated_or_left_out(tmp_path: Path) -> None:
    params = {
        "fields": ["a", "b"],
        "tag": {"repeat": ["x", "y"]},
        "since": "{cursor.start}",
        "deep": True,
        "page[size]": "{page_size}",
    }
    hub = _hub(tmp_path, {"type": "single_page"}, params=params)
    vendor = Vendor([page([1])])
    hub.read(vendor)
    assert vendor.asked[0].url.params.multi_items() == [
        ("fields", "a,b"), ("tag", "x"), ("tag", "y"), ("deep", "true"), ("page[size]", "2"),
    ]  # fmt: skip
