"""Result caps: windows are halved, followed up or read by key, until everything came or the gap is named."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.sdk.manifest import ManifestError
from connectors.sdk.progress import Progress
from connectors.sdk.protocols import Completeness, ReadKind
from connectors.sdk.seams import Seam

from .vendor import Capped, Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from pathlib import Path

PAGING = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}
START = "2026-04-01T00:00:00Z"
KEYSET = {
    "path": "id",
    "start": "-1",
    "param": "key",
    "request": {"params": {"until": "{cursor.end}", "size": "{page_size}"}},
}


def at(number: int, second: float) -> dict[str, Any]:
    moment = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=second)
    return {"id": number, "updated": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _hub(tmp_path: Path, **spec: Any) -> Hub:
    """A hub that has read everything once, up to START."""
    incremental = {"cursor_path": "updated", "start_param": "since", **spec}
    stream = {"paginator": PAGING, "page_size": 2, "params": {"size": "{page_size}"}, "incremental": incremental}
    hub = Hub(manifest(tmp_path, stream))
    hub.read(Vendor([page([at(0, 0)])]))
    return hub


def _keys(hub: Hub) -> set[int]:
    return {int(key or -1) for key in hub.keys}


MODES = {
    "ascending": {"sorted": "asc"},
    "ascending, an end asked for": {"sorted": "asc", "end_param": "until"},
    "any order, halved": {"sorted": "none", "end_param": "until"},
    "descending, halved": {"sorted": "desc", "end_param": "until"},
    "exclusive bound": {"sorted": "asc", "bound": "exclusive"},
    "with a lag": {"sorted": "asc", "lag": "1h"},
    "halved with a lag": {"sorted": "none", "end_param": "until", "lag": "1h"},
    "in spans of a minute": {"sorted": "none", "end_param": "until", "window": "1h"},
}


@pytest.mark.parametrize("total", [False, True], ids=["no total", "total"])
@pytest.mark.parametrize("spec", MODES.values(), ids=MODES)
def test_everything_behind_the_cap_comes(tmp_path: Path, spec: dict[str, Any], total: bool) -> None:
    """Many times as many records as one query shows, in bursts with ties that just fit under the cap."""
    rng = random.Random(f"windows {spec} {total}")
    bursts = rng.sample(range(0, 3 * 3600, 3), 40)
    seconds = [second for second in bursts for _ in range(rng.choice((1, 1, 2, 4)))]
    records = [at(number, second) for number, second in enumerate(seconds, start=1)]
    paginator = {**PAGING, "total_path": "total"} if total else PAGING
    hub = _hub(tmp_path, cap=6, **{**spec, "request": {"paginator": paginator}})
    order = "id" if spec["sorted"] == "none" else "updated"
    vendor = Capped(records, cap=6, order=order, total=total, limit=2_000)

    hub.read(vendor)

    assert _keys(hub) >= {record["id"] for record in records}
    assert hub.pages[-1].completeness is Completeness.COMPLETE
    assert hub.pages[-1].cursor == max(record["updated"] for record in records).replace("Z", ".000000Z")


def test_a_total_beyond_the_cap_halves_the_window_before_the_cap_is_hit(tmp_path: Path) -> None:
    spec = {"sorted": "none", "end_param": "until", "request": {"paginator": {**PAGING, "total_path": "total"}}}
    hub = _hub(tmp_path, cap=1_000, **spec)
    vendor = Vendor([page([at(1, 1), at(2, 2)], next="2", total=1_001), page([at(3, 3)], total=1), page([], total=0)])
    hub.read(vendor)
    assert vendor.params("after") == [None, None, None]
    first, second, third = zip(vendor.params("since"), vendor.params("until"), strict=True)
    assert (first[0], first[1]) == (second[0], third[1])
    assert second[1] == third[0], "the windows meet: nothing lies between them"


def test_a_vendor_that_shows_no_next_page_at_its_cap_has_not_said_that_it_is_the_end(tmp_path: Path) -> None:
    hub = _hub(tmp_path, cap=4, sorted="asc")
    hub.read(Capped([at(number, number) for number in range(1, 5)], cap=4))
    assert _keys(hub) == {1, 2, 3, 4}
    assert "queries" in (hub.pages[-1].proof or "")


def test_ties_beyond_the_cap_are_read_by_key(tmp_path: Path) -> None:
    """Two and a half caps at one moment, as a bulk import leaves them (airbyte#43317: an endless loop)."""
    hub = _hub(tmp_path, cap=10, sorted="asc", keyset=KEYSET)
    records = [*(at(number, 60) for number in range(1, 26)), at(90, 30), at(91, 61), at(92, 600)]
    vendor = Capped(records, cap=10)
    hub.read(vendor)
    assert _keys(hub) == {record["id"] for record in records}
    assert hub.pages[-1].completeness is Completeness.COMPLETE
    assert [key for key in dict.fromkeys(vendor.params("key")) if key] == ["-1", "10", "20"]
    assert hub.pages[-1].cursor == "2026-04-01T00:10:00.000000Z"


def test_ties_beyond_the_cap_are_read_by_key_where_windows_are_halved(tmp_path: Path) -> None:
    hub = _hub(tmp_path, cap=10, sorted="none", end_param="until", keyset=KEYSET)
    records = [*(at(number, 60) for number in range(1, 26)), at(90, 30), at(91, 61), at(92, 600)]
    hub.read(Capped(records, cap=10, order="id"))
    assert _keys(hub) == {record["id"] for record in records}
    assert hub.pages[-1].completeness is Completeness.COMPLETE


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_read_by_key_goes_on_where_it_was_stopped(tmp_path: Path, stop: int) -> None:
    hub = _hub(tmp_path, cap=6, sorted="asc", keyset=KEYSET)
    records = [*(at(number, 60) for number in range(1, 16)), at(91, 61)]
    hub.read(Capped(records, cap=6), stop_after=stop)
    before = _keys(hub)
    hub.read(Capped(records, cap=6))
    assert before | _keys(hub) == {record["id"] for record in records}
    assert hub.pages[-1].completeness is Completeness.COMPLETE


@pytest.mark.parametrize(
    "spec", [{"sorted": "asc"}, {"sorted": "none", "end_param": "until"}], ids=["ascending", "halved"]
)
def test_ties_that_cannot_be_read_whole_are_named_and_what_lies_around_them_is_read(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    hub = _hub(tmp_path, cap=6, **spec)
    records = [*(at(number, 60) for number in range(1, 16)), at(90, 30), at(91, 90)]
    hub.read(Capped(records, cap=6, order="updated" if spec["sorted"] == "asc" else "id", limit=500))
    assert {90, 91} <= _keys(hub)
    assert hub.pages[-1].completeness is Completeness.PARTIAL
    assert "2026-04-01T00:01:00.000000Z" in (hub.pages[-1].reason or "")
    assert "incremental.keyset" in (hub.pages[-1].reason or "")
    assert hub.checkpoints.states[""].cursor == "2026-04-01T00:00:00.000000Z", "the next read asks for all of it again"


def test_a_vendor_that_ignores_the_key_ends_partial_and_not_in_a_loop(tmp_path: Path) -> None:
    hub = _hub(tmp_path, cap=4, sorted="asc", keyset=KEYSET)

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("after", 0))
        return page([at(start + 1, 60), at(start + 2, 60)], next=str(start + 2))

    hub.read(Vendor(answer))
    assert hub.pages[-1].completeness is Completeness.PARTIAL


def test_a_first_read_may_be_made_of_windows_too(tmp_path: Path) -> None:
    """A vendor with nothing but a capped search."""
    spec = {"cursor_path": "updated", "start_param": "since", "end_param": "until", "cap": 6, "start": "2026-01-01"}
    stream = {"paginator": PAGING, "page_size": 2, "params": {"size": "{page_size}"}, "incremental": spec}
    hub = Hub(manifest(tmp_path, stream))
    records = [at(number, number * 977) for number in range(1, 50)]
    vendor = Capped(records, cap=6, order="id")
    hub.read(vendor)
    assert _keys(hub) == {record["id"] for record in records}
    assert (hub.pages[-1].kind, hub.pages[-1].completeness) == (ReadKind.BACKFILL, Completeness.COMPLETE)
    assert vendor.params("since")[0] == "2026-01-01T00:00:00Z"
    hub.read(Capped(records, cap=6, order="id"))
    assert hub.pages[-1].kind is ReadKind.INCREMENTAL


# --- elapsed ticks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "now", "end"),
    [
        ({}, "12:00:30.7", "2026-05-01T12:00:30Z"),
        ({"lag": "2m"}, "12:00:30.7", "2026-05-01T11:58:30Z"),
        ({"resolution": "1ms", "format": "iso8601_ms"}, "12:00:30.7509", "2026-05-01T12:00:30.750Z"),
        ({"resolution": "1d", "format": "date"}, "12:00:30.7", "2026-05-01"),
        ({"resolution": "1h", "lag": "1h"}, "12:59:59", "2026-05-01T11:00:00Z"),
    ],
)
def test_a_window_ends_at_the_last_complete_tick_less_the_lag(
    tmp_path: Path, spec: dict[str, str], now: str, end: str
) -> None:
    hub = _hub(tmp_path, end_param="until", **spec)
    hub.clock.at = datetime.fromisoformat(f"2026-05-01T{now}+00:00")
    vendor = Vendor([page([])])
    hub.read(vendor)
    assert vendor.params("until") == [end]


def test_the_cursor_never_enters_a_tick_that_is_not_over(tmp_path: Path) -> None:
    """A second record may still get the same stamp."""
    hub = _hub(tmp_path)
    hub.clock.at = datetime(2026, 5, 1, 12, 0, 30, 700_000, tzinfo=UTC)
    hub.read(Vendor([page([{"id": 1, "updated": "2026-05-01T12:00:30.6Z"}])]))
    assert hub.pages[-1].cursor == "2026-05-01T12:00:30.000000Z"


def test_ten_minutes_of_clock_skew_lose_nothing(tmp_path: Path) -> None:
    """The vendor's clock is behind ours: what it stamps after this read still lies behind its cursor."""
    hub = _hub(tmp_path, end_param="until")
    date = {"date": "Fri, 01 May 2026 11:50:00 GMT"}
    hub.read(Vendor([page([at(1, 5), {"id": 2, "updated": "2026-05-01T11:55:00Z"}], date, next="p"), page([], date)]))
    assert hub.pages[-1].cursor == "2026-05-01T11:50:00.000000Z"


# --- the manifest's words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"cap": 10}, "cap needs sorted: asc, or an upper bound"),
        ({"window": "1d"}, "window needs an upper bound"),
        ({"keyset": {"path": "id", "param": "key"}}, "never asks for {cursor.end}"),
        ({"end_param": "until", "keyset": {"path": "id"}}, "never asks for {cursor.key}"),
        ({"start": "yesterday"}, "'yesterday' does not fit"),
    ],
)
def test_what_could_never_work_is_refused(tmp_path: Path, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        manifest(tmp_path, {"incremental": {"cursor_path": "updated", "start_param": "since", **spec}})


def test_a_position_survives_its_json_form() -> None:
    moment = datetime(2026, 4, 1, tzinfo=UTC)
    progress = Progress(
        ReadKind.INCREMENTAL, moment, since=moment, anchored=True, high=moment, seen=7, at={"cursor": "x"},
        until=moment, later=(moment, moment), key="12", size=99, gaps=("a",), doubts=("b",), queries=4, again=3,
        proof="p", seam=Seam("overlap", ("x",), {"offset": 4}, 5, lost=1),
    )  # fmt: skip
    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json({"kind": "SNAPSHOT", "began": "2026-04-01T00:00:00Z"}).queries == 1


# --- pages that the vendor counts -------------------------------------------------------------------------------------


class _Moving(Capped):
    """A search by offset in which the first record changes, and so moves to the end, before the second page."""

    def _search(self, request: httpx.Request) -> Any:
        if len(self.asked) == 2:
            self._records[0] = {**self._records[0], "updated": "2026-04-03T00:00:00Z"}
        return super()._search(request)


@pytest.mark.parametrize(("anchor", "passed_over"), [({}, {3}), ({"anchor": "page"}, set())])
def test_a_record_that_moves_under_a_counted_page_costs_no_other(
    tmp_path: Path, anchor: dict[str, str], passed_over: set[int]
) -> None:
    hub = _hub(tmp_path, sorted="asc", **anchor)
    hub.read(_Moving([at(number, number * 60) for number in range(1, 7)], cap=1_000))
    assert {1, 2, 3, 4, 5, 6} - _keys(hub) == passed_over


def test_ties_that_fill_pages_are_paged_through_all_the_same(tmp_path: Path) -> None:
    hub = _hub(tmp_path, sorted="asc", anchor="page")
    records = [*(at(number, 60) for number in range(1, 8)), at(8, 61), at(9, 62)]
    hub.read(Capped(records, cap=1_000))
    assert _keys(hub) == {record["id"] for record in records}
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_going_on_at_the_very_cursor_that_was_asked_from_is_no_circle(tmp_path: Path) -> None:
    """The first query asks from the cursor less the lag; its last record may have the cursor's own time."""
    hub = _hub(tmp_path, sorted="asc", anchor="page", lag="2m")
    hub.read(Capped([at(number, 0) for number in range(1, 8)], cap=1_000))
    assert _keys(hub) == set(range(1, 8))
