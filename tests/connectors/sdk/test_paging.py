"""Each paginator against a made-up vendor: it ends where the vendor says so, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.sdk.errors import StopStream
from connectors.sdk.protocols import Completeness

from .vendor import BASE, Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CURSOR = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}


def _hub(tmp_path: Path, paginator: Mapping[str, Any], **stream: Any) -> Hub:
    return Hub(manifest(tmp_path, {"paginator": dict(paginator), "page_size": 2, **stream}))


def _link(url: str) -> dict[str, str]:
    return {"link": f'<{BASE}/things?first=1>; rel="first", <{url}>; rel="next"'}


def _at(param: str, answers: Mapping[str | None, httpx.Response]) -> Any:
    """Return a vendor whose answer depends on where it is asked from."""
    return lambda request: answers[request.url.params.get(param)]


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
    vendor = Vendor(_at("page", {"1": page([1, 2]), "2": page([3, 4]), "3": page([])}))
    hub.read(vendor)
    assert vendor.params("page") == ["1", "2", "1", "3", "2"]
    assert hub.keys == ["1", "2", "3", "4"]


def test_page_numbers_go_by_the_page_count_when_there_is_one(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page", "base_page": 0, "total_pages_path": "pages"})
    vendor = Vendor(_at("page", {"0": page([1], pages=3), "1": page([], pages=3), "2": page([2], pages=3)}))
    hub.read(vendor)
    assert vendor.params("page") == ["0", "1", "2", "0"]  # behind an empty page the one before it is looked at again
    assert hub.keys == ["1", "2"]


def test_page_numbers_that_end_before_the_total_are_doubted(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page", "total_path": "total"})
    hub.read(Vendor(_at("page", {"1": page([1, 2], total=5), "2": page([3], total=5), "3": page([], total=5)})))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert hub.pages[-1].reason == "the vendor counts 5 records, 3 came"


def test_offsets_follow_what_was_really_sent(tmp_path: Path) -> None:
    """A vendor that clamps the page size sends less than asked for; stepping by what was asked would skip."""
    hub = _hub(
        tmp_path,
        {"type": "offset", "offset_param": "from", "limit_param": "n", "total_path": "total"},
        page_size=100,
    )
    shown = {None: [1, 2, 3], "2": [3, 4, 5]}
    vendor = Vendor(_at("from", {at: page(keys, total=5) for at, keys in shown.items()}))
    hub.read(vendor)
    assert vendor.params("from") == [None, "2"]
    assert vendor.params("n") == ["100"] * 2
    assert hub.keys == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("options", "answers", "asked"),
    [
        (
            {"total_header": "X-Total"},
            {None: page([1, 2], {"X-Total": "3"}), "1": page([2, 3], {"X-Total": "3"})},
            [None, "1"],
        ),
        (
            {"has_more_path": "more"},
            {None: page([1], more=True), "1": page([], more=True), "3": page([2], more=False)},
            [None, "1", "3", None],
        ),
        ({"next_offset_path": "next"}, {None: page([1, 2], next=20), "19": page([2, 3], next=None)}, [None, "19"]),
        (
            {},
            {None: page([1, 2]), "1": page([2, 3]), "2": page([3]), "3": page([])},
            [None, "1", "2", "3"],
        ),
        ({"short_page": "ends"}, {None: page([1, 2]), "1": page([2, 3]), "2": page([3])}, [None, "1", "2"]),
    ],
)
def test_offsets_end_by_whatever_the_vendor_gives(
    tmp_path: Path, options: dict[str, str], answers: dict[str | None, httpx.Response], asked: list[str | None]
) -> None:
    hub = _hub(tmp_path, {"type": "offset", "offset_param": "offset", **options})
    vendor = Vendor(_at("offset", answers))
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


# --- what the vendor's own counts prove --------------------------------------------------------------------------------


class _Rows:
    """A list that is asked for by page number or offset, two rows at a time, and that may change between requests."""

    def __init__(self, rows: int, *, dies: tuple[int, ...] = (), loop: bool = False, twice: int | None = None) -> None:
        self.rows, self.dies, self.loop = list(range(rows)), dies, loop
        if twice is not None:
            self.rows[twice * 2 : twice * 2] = self.rows[(twice - 1) * 2 : twice * 2]
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == 2:
            self.rows = [row for row in self.rows if row not in self.dies]
        asked = request.url.params
        start = (int(asked["page"]) - 1) * 2 if "page" in asked else int(asked.get("offset", 0))
        shown = self.rows[:2] if self.loop and start else self.rows[start : start + 2]
        return page(shown, total=len(self.rows), pages=-(-len(self.rows) // 2))


_COUNTED = {
    "pages and total": {"type": "page_number", "page_param": "page", "total_path": "total"},
    "number of pages": {"type": "page_number", "page_param": "page", "total_pages_path": "pages"},
    "bare pages": {"type": "page_number", "page_param": "page"},
    "offset and total": {"type": "offset", "offset_param": "offset", "total_path": "total"},
    "bare offset": {"type": "offset", "offset_param": "offset"},
}


@pytest.mark.parametrize("paginator", _COUNTED.values(), ids=_COUNTED)
def test_counted_pages_that_go_round_are_never_taken_for_the_end(tmp_path: Path, paginator: dict[str, str]) -> None:
    for rows in (3, 4, 9):
        with pytest.raises(StopStream, match="circle"):
            _hub(tmp_path, paginator).read(Vendor(_Rows(rows, loop=True)))


@pytest.mark.parametrize("paginator", _COUNTED.values(), ids=_COUNTED)
def test_a_counted_page_that_comes_twice_costs_nothing(tmp_path: Path, paginator: dict[str, str]) -> None:
    hub = _hub(tmp_path, paginator)
    hub.read(Vendor(_Rows(7, twice=2)))
    assert {int(key or -1) for key in hub.keys} == set(range(7))
    assert hub.pages[-1].completeness is Completeness.COMPLETE


@pytest.mark.parametrize(
    ("rows", "dies"), [(9, (0,)), (9, (0, 1)), (9, (1, 2, 3)), (3, (0,)), (4, (0,)), (4, (0, 1)), (5, (1,))]
)
@pytest.mark.parametrize("kind", ["pages and total", "offset and total"])
def test_rows_that_move_up_into_pages_already_read_are_read_there(
    tmp_path: Path, kind: str, rows: int, dies: tuple[int, ...]
) -> None:
    hub = _hub(tmp_path, _COUNTED[kind])
    hub.read(Vendor(_Rows(rows, dies=dies)))
    assert {int(key or -1) for key in hub.keys} >= set(range(rows)) - set(dies)
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_read_ends_with_the_proof_of_its_end(tmp_path: Path) -> None:
    proofs: dict[str, tuple[dict[str, str], Any]] = {
        "total 3, 3 came": ({"type": "offset", "offset_param": "offset", "total_path": "total"}, _Rows(3)),
        "an empty page": ({"type": "offset", "offset_param": "offset"}, _Rows(3)),
        "the vendor marks the end": ({**CURSOR, "has_more_path": "more"}, lambda _: page([1], more=False)),
        "a page of 1 of 2": (CURSOR, lambda _: page([1])),
    }
    found = {}
    for proof, (paginator, answer) in proofs.items():
        hub = _hub(tmp_path, paginator)
        hub.read(Vendor(answer))
        found[proof] = hub.pages[-1].proof
    assert found == {proof: proof for proof in proofs}


def _shortened(answers: dict[tuple[str | None, str], httpx.Response]) -> Any:
    return lambda request: answers[request.url.params.get("after"), request.url.params["size"]]


def test_a_full_last_page_without_a_word_of_the_end_is_proven_by_asking_for_one_record_less(tmp_path: Path) -> None:
    """An account with exactly a full page of records is not in doubt for ever."""
    hub = _hub(tmp_path, CURSOR, params={"size": "{page_size}"})
    vendor = Vendor(_shortened({(None, "2"): page([1, 2]), (None, "1"): page([1], next="b"), ("b", "2"): page([2])}))
    hub.read(vendor)
    assert hub.pages[-1].completeness is Completeness.COMPLETE
    assert vendor.params("size") == ["2", "1", "2"]


def test_a_link_that_was_left_out_once_is_found_by_asking_again(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR, params={"size": "{page_size}"})
    answers = {
        (None, "2"): page([1, 2]),
        (None, "1"): page([1], next="b"),
        ("b", "2"): page([2, 3], next="c"),
        ("c", "2"): page([4]),
    }
    hub.read(Vendor(_shortened(answers)))
    assert set(hub.keys) == {"1", "2", "3", "4"}
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_vendor_that_never_names_a_next_page_stays_in_doubt(tmp_path: Path) -> None:
    hub = _hub(tmp_path, CURSOR, params={"size": "{page_size}"})
    hub.read(Vendor(_shortened({(None, "2"): page([1, 2]), (None, "1"): page([1])})))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert "neither a next page" in (hub.pages[-1].reason or "")


@pytest.mark.parametrize(
    ("paginator", "body"),
    [({**CURSOR, "has_more_path": "more"}, {}), ({"type": "next_url", "next_url_path": "url", "end_path": "end"}, {})],
)
def test_an_answer_without_its_promised_end_marker_is_doubted(
    tmp_path: Path, paginator: dict[str, str], body: dict[str, Any]
) -> None:
    hub = _hub(tmp_path, paginator)
    hub.read(Vendor([page([1], **body)]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN


@pytest.mark.parametrize("status", [400, 404, 416])
def test_a_refused_page_behind_a_short_one_is_the_end(tmp_path: Path, status: int) -> None:
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page"})
    hub.read(Vendor(_at("page", {"1": page([1, 2]), "2": page([3]), "3": httpx.Response(status, json={})})))
    assert hub.pages[-1].completeness is Completeness.COMPLETE
    with pytest.raises(StopStream):
        _hub(tmp_path, {"type": "page_number", "page_param": "page"}).read(
            Vendor([page([1, 2]), httpx.Response(400, json={})])
        )


def test_a_short_page_in_the_middle_does_not_end_counted_pages(tmp_path: Path) -> None:
    """The vendor filters a page after cutting it (airbyte-python-cdk#1073)."""
    hub = _hub(tmp_path, {"type": "page_number", "page_param": "page"})
    hub.read(Vendor(_at("page", {"1": page([1, 2]), "2": page([3]), "3": page([4, 5]), "4": page([])})))
    assert hub.keys == ["1", "2", "3", "4", "5"]


def test_a_total_is_compared_with_what_came_whatever_the_paging(tmp_path: Path) -> None:
    hub = _hub(tmp_path, {**CURSOR, "total_path": "total"})
    hub.read(Vendor([page([1, 2], next="b", total=5), page([3], total=5)]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert hub.pages[-1].reason == "the vendor counts 5 records, 3 came"
