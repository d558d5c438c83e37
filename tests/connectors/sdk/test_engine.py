"""The engine: what is asked for, what is given out, and that a run can stop anywhere and go on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.sdk.errors import FixConnector, StopStream
from connectors.sdk.memory import MemoryCheckpoints
from connectors.sdk.protocols import Completeness, ParentRecord, PartitionState, ReadKind
from connectors.sdk.records import canonical_hash

from .vendor import BASE, Capped, Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CURSOR = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}
INCREMENTAL = {"cursor_path": "updated", "start_param": "since"}


def _at(number: int, moment: str) -> dict[str, Any]:
    return {"id": number, "updated": moment}


def _hub(tmp_path: Path, **stream: Any) -> Hub:
    return Hub(manifest(tmp_path, {"paginator": CURSOR, "page_size": 2, **stream}))


def _parent(key: str, **record: Any) -> ParentRecord:
    payload = json.dumps({"id": key, **record}).encode()
    return ParentRecord(key, payload, canonical_hash(payload))


# --- incremental ---------------------------------------------------------------------------------------------------


def test_a_first_read_asks_for_all_and_the_next_for_what_changed(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    hub.read(Vendor([page([_at(1, "2026-04-02T00:00:00Z")], next="a"), page([_at(2, "2026-04-01T00:00:00Z")])]))
    kinds = [hub.pages[-1].kind]
    vendor = Vendor([page([])])
    hub.read(vendor)
    assert vendor.params("since") == ["2026-04-02T00:00:00Z"]
    assert [*kinds, hub.pages[-1].kind] == [ReadKind.BACKFILL, ReadKind.INCREMENTAL]
    assert hub.pages[-1].cursor == "2026-04-02T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ({}, "2026-04-02T00:00:10.500000Z"),
        ({"format": "iso8601_ms", "bound": "exclusive", "resolution": "1ms"}, "2026-04-02T00:00:10.499Z"),
        ({"bound": "exclusive", "resolution": "1s"}, "2026-04-02T00:00:09.500000Z"),
        ({"format": "epoch_s", "bound": "exclusive", "resolution": "1ms"}, "1775088009"),
        ({"format": "epoch_ms"}, "1775088010500"),
        ({"format": "date", "bound": "exclusive", "resolution": "1s"}, "2026-04-01"),
        ({"format": "epoch_s", "lag": "10m"}, "1775087410"),
        ({"format": "%Y/%m/%d %H:%M:%S"}, "2026/04/02 00:00:10"),
    ],
)
def test_the_bound_never_lies_after_the_cursor(tmp_path: Path, spec: dict[str, str], asked: str) -> None:
    hub = _hub(tmp_path, incremental={**INCREMENTAL, **spec})
    hub.read(Vendor([page([_at(1, "2026-04-02T00:00:10.5Z")])]))
    vendor = Vendor([page([])])
    hub.read(vendor)
    assert vendor.params("since") == [asked]


def test_an_integer_cursor_is_asked_strictly_earlier_when_exclusive(tmp_path: Path) -> None:
    spec = {"cursor_path": "id", "start_param": "since_id", "format": "integer", "bound": "exclusive"}
    hub = _hub(tmp_path, incremental=spec)
    hub.read(Vendor([page([4, 9], next="p"), page([7])]))
    vendor = Vendor([page([9])])
    hub.read(vendor)
    assert vendor.params("since_id") == ["8"]
    assert hub.pages[-1].cursor == "9"


def test_the_cursor_never_passes_the_moment_the_read_began(tmp_path: Path) -> None:
    """A record changed while the pages were read must be met again, whatever later one was seen."""
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    date = {"date": "Fri, 01 May 2026 11:00:00 GMT"}
    hub.read(Vendor([page([_at(1, "2026-01-01T00:00:00Z")], date, next="a"), page([_at(2, "2099-01-01T00:00:00Z")])]))
    assert hub.pages[-1].cursor == "2026-05-01T11:00:00.000000Z"


def test_the_cursor_never_moves_back(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    hub.read(Vendor([page([_at(1, "2026-04-02T00:00:00Z")])]))
    hub.read(Vendor([page([_at(1, "2026-03-01T00:00:00Z")])]))
    assert hub.pages[-1].cursor == "2026-04-02T00:00:00.000000Z"
    hub.read(Vendor([page([])]), full=True)
    assert hub.pages[-1].kind is ReadKind.BACKFILL
    assert hub.pages[-1].cursor == "2026-04-02T00:00:00.000000Z"


def test_the_cursor_stays_when_the_read_is_not_proven_complete(tmp_path: Path) -> None:
    hub = _hub(tmp_path, paginator={"type": "single_page"}, incremental=INCREMENTAL)
    hub.read(Vendor([page([_at(1, "2026-04-01T00:00:00Z"), _at(2, "2026-04-02T00:00:00Z")])]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert hub.pages[-1].cursor is None


def test_the_highest_cursor_of_all_pages_counts_not_the_last(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    moments = ["2026-04-03T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z"]
    answers = [page([_at(n, moment)], next=f"p{n}" if n < 3 else None) for n, moment in enumerate(moments)]
    hub.read(Vendor(answers))
    assert hub.pages[-1].cursor == "2026-04-03T00:00:00.000000Z"


def test_a_search_takes_over_once_there_is_a_cursor(tmp_path: Path) -> None:
    request = {
        "method": "POST", "path": "/things/search", "params": {}, "page_size": 50,
        "body": {"limit": "{page_size}", "filters": [{"name": "updated", "value": "{cursor.start}"}], "before": "{cursor.end}"},
        "paginator": {"type": "cursor", "cursor_path": "next", "cursor_body_path": "after"},
    }  # fmt: skip
    hub = _hub(
        tmp_path,
        params={"x": "1"},
        incremental={"cursor_path": "updated", "format": "epoch_ms", "request": request},
    )
    hub.read(Vendor([page([_at(1, "2026-04-02T00:00:00Z")])]))
    vendor = Vendor([page([_at(1, "2026-04-02T00:00:00Z")], next="5"), page([])])
    hub.read(vendor)
    body = {"limit": 50, "filters": [{"name": "updated", "value": 1775088000000}], "before": 1777636800000}
    assert vendor.bodies() == [body, {**body, "after": "5"}]
    assert vendor.asked[0].url == f"{BASE}/things/search"


def test_a_result_cap_is_passed_by_asking_again_from_the_last_cursor(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental={**INCREMENTAL, "sorted": "asc", "cap": 4, "lag": "1h"})
    hub.read(Vendor([page([_at(0, "2026-04-01T00:00:00Z")])]))
    moments = {number: f"2026-04-02T00:00:0{number}Z" for number in range(1, 7)}
    records = {number: _at(number, moment) for number, moment in moments.items()}
    vendor = Vendor([
        page([records[1], records[2]], next="p2"),
        page([records[3], records[4]], next="p3"),
        page([records[4], records[5]], next="p2"),
        page([records[6]]),
    ])  # fmt: skip
    hub.read(vendor)
    assert vendor.params("since") == ["2026-03-31T23:00:00Z"] * 2 + ["2026-04-02T00:00:04Z"] * 2
    assert vendor.params("after") == [None, "p2", None, "p2"]
    assert set(hub.keys) == {"1", "2", "3", "4", "5", "6"}


def test_more_ties_than_the_cap_end_partial_and_are_named(tmp_path: Path) -> None:
    """What lies behind them is read all the same; the cursor stays, so that no later run takes them for read."""
    hub = _hub(tmp_path, incremental={**INCREMENTAL, "sorted": "asc", "cap": 4})
    hub.read(Vendor([page([_at(0, "2026-04-01T00:00:00Z")])]))
    ties = [_at(number, "2026-04-01T00:00:00Z") for number in range(6)]
    vendor = Capped([*ties, _at(9, "2026-04-02T00:00:00Z")], cap=4)
    hub.read(vendor)
    last = hub.pages[-1]
    assert last.completeness is Completeness.PARTIAL
    assert "updated = 2026-04-01T00:00:00.000000Z" in (last.reason or "")
    assert last.cursor == "2026-04-01T00:00:00.000000Z"
    assert "9" in hub.keys


def _endless(request: httpx.Request) -> httpx.Response:
    """Ever more records of one moment, whatever is asked."""
    start = int(request.url.params.get("after", 0))
    return page([_at(start + n, "2026-04-01T00:00:00Z") for n in (1, 2)], next=str(start + 2))


def test_a_vendor_that_ignores_the_bound_ends_partial_and_not_in_a_loop(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental={**INCREMENTAL, "sorted": "asc", "cap": 4})
    hub.read(Vendor([page([_at(0, "2026-04-01T00:00:00Z")])]))
    hub.read(Vendor(_endless))
    assert hub.pages[-1].completeness is Completeness.PARTIAL


def test_hits_are_fetched_again_as_whole_records(tmp_path: Path) -> None:
    hydrate = {"path": "/things/{record.id}", "params": {"all": True}, "data_selector": "thing"}
    hub = _hub(tmp_path, incremental={**INCREMENTAL, "hydrate": hydrate})
    hub.read(Vendor([page([_at(1, "2026-04-01T00:00:00Z")])]))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/things":
            return page([_at(1, "2026-04-02T00:00:00Z"), {"id": "gone/?x"}])
        if request.url.raw_path.startswith(b"/things/gone%2F%3Fx"):
            return httpx.Response(404, json={})
        return httpx.Response(200, json={"thing": {"id": 1, "updated": "2026-04-02T00:00:00Z", "whole": True}})

    hub.read(Vendor(answer))
    assert hub.records[0].payload == b'{"id":1,"updated":"2026-04-02T00:00:00Z","whole":true}'
    assert (hub.pages[0].wire, hub.pages[0].filtered) == (2, 1)


# --- partitions and parents ----------------------------------------------------------------------------------------


def test_static_partitions_are_read_side_by_side_each_with_its_own_state(tmp_path: Path) -> None:
    partitions = {"name": "channel", "values": ["email", "sms"]}
    hub = _hub(tmp_path, partitions=partitions, params={"channel": "{partition.channel}"})
    vendor = Vendor(lambda request: page([1, 2], next="a") if "after" not in request.url.params else page([3]))
    hub.read(vendor)
    assert {state.partition for state in hub.checkpoints.states.values()} == {"channel=email", "channel=sms"}
    assert sorted(map(str, vendor.params("channel"))) == ["email", "email", "sms", "sms"]
    assert len(hub.keys) == 6


def _children(tmp_path: Path, *parents: ParentRecord, **stream: Any) -> Hub:
    binding = {"stream": "parents", "bind": {"parent_id": "id"}, "changed_only": True}
    hub = _hub(tmp_path, path="/parents/{parent.parent_id}/things", parent={**binding, **stream})
    hub.checkpoints = MemoryCheckpoints({"parents": parents})
    return hub


def _paths(vendor: Vendor) -> list[str]:
    return sorted(request.url.raw_path.decode() for request in vendor.asked)


def test_children_carry_their_parent_and_page_on_their_own(tmp_path: Path) -> None:
    """Some parents have several pages, some none: neither may end the other's (dlt#3772)."""
    parents = [_parent("a"), _parent("b/c"), _parent("d")]
    hub = _children(tmp_path, *parents)
    answers = {
        "/parents/a/things": page([1, 2], next="p"), "/parents/a/things?after=p": page([3]),
        "/parents/b%2Fc/things": page([]), "/parents/d/things": page([4], next="q"), "/parents/d/things?after=q": page([5]),
    }  # fmt: skip
    hub.read(Vendor(lambda request: answers[request.url.raw_path.decode()]))
    assert sorted((record.key, record.parent) for record in hub.records) == [
        ("1", parents[0].payload), ("2", parents[0].payload), ("3", parents[0].payload),
        ("4", parents[2].payload), ("5", parents[2].payload),
    ]  # fmt: skip


def test_only_children_of_changed_parents_are_read_again(tmp_path: Path) -> None:
    hub = _children(tmp_path, _parent("a"), _parent("b"))
    hub.read(Vendor(lambda _: page([1])))
    hub.checkpoints = _with_parents(hub.checkpoints, _parent("a", name="new"), _parent("b"), _parent("c"))
    vendor = Vendor(lambda _: page([1]))
    hub.read(vendor)
    assert _paths(vendor) == ["/parents/a/things", "/parents/c/things"]
    everything = Vendor(lambda _: page([1]))
    hub.read(everything, full=True)
    assert len(everything.asked) == 3


def test_children_whose_read_broke_off_are_read_again(tmp_path: Path) -> None:
    hub = _children(tmp_path, _parent("a"))
    hub.read(Vendor([page([1, 2], next="p"), page([3])]), stop_after=1)
    vendor = Vendor([page([3])])
    hub.read(vendor)
    assert vendor.params("after") == ["p"]
    assert hub.keys == ["3"]


def test_children_not_read_completely_are_read_again(tmp_path: Path) -> None:
    parent = _parent("a")
    hub = _children(tmp_path, parent)
    hub.checkpoints.states["parents=a"] = PartitionState("parents=a", parent_hash=parent.hash, complete=False)
    hub.read(Vendor([page([1])]))
    assert hub.keys == ["1"]


def test_a_parent_without_the_bound_value_has_no_children(tmp_path: Path) -> None:
    hub = _children(tmp_path, _parent("a"), bind={"parent_id": "missing"})
    assert hub.read(Vendor([])) == []


def test_a_gone_parent_is_complete_when_another_answers(tmp_path: Path) -> None:
    hub = _children(tmp_path, _parent("a"), _parent("b"))
    gone = httpx.Response(404, json={"error": "no such parent"})
    hub.read(Vendor(lambda request: gone if "/a/" in request.url.path else page([1])))
    assert {page.partition: page.completeness for page in hub.pages} == {
        "parents=a": Completeness.COMPLETE, "parents=b": Completeness.COMPLETE,
    }  # fmt: skip
    hub.read(Vendor(lambda _: gone), full=True)
    assert {page.completeness for page in hub.pages} == {Completeness.NO_ACCESS}


def test_one_failing_partition_ends_the_read_with_its_error(tmp_path: Path) -> None:
    hub = _children(tmp_path, *[_parent(str(number)) for number in range(20)])
    with pytest.raises(StopStream, match="status 400"):
        hub.read(Vendor(lambda request: httpx.Response(400, json={}) if "/3/" in request.url.path else page([1])))


def test_partitions_are_read_side_by_side_up_to_the_declared_concurrency(tmp_path: Path) -> None:
    """A refactor that loses this costs a fan-out of parents most of its speed, silently (airbyte#68631)."""
    running, peak = 0, 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return page([1])

    binding = {"stream": "parents", "bind": {"parent_id": "id"}}
    stream = {"path": "/parents/{parent.parent_id}/things", "parent": binding}
    hub = Hub(manifest(tmp_path, stream, limits={"concurrency": 5}))
    hub.checkpoints = MemoryCheckpoints({"parents": [_parent(str(number)) for number in range(40)]})
    vendor = Vendor([])
    vendor.client = lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer))  # type: ignore[method-assign]
    hub.read(vendor)
    assert peak == 5
    assert len(hub.pages) == 40


def test_the_states_of_many_parents_are_asked_for_some_hundred_at_a_time(tmp_path: Path) -> None:
    """One question per parent is what makes a run without a change slow at 25,000 parents."""
    parents = [_parent(str(number)) for number in range(1_200)]
    hub = _children(tmp_path, *parents)
    states = {
        f"parents={parent.key}": PartitionState(f"parents={parent.key}", parent_hash=parent.hash, complete=True)
        for parent in parents
    }
    asked: list[int] = []

    class Counted(MemoryCheckpoints):
        def partition(self, partition: str) -> PartitionState | None:
            raise AssertionError(partition)

        def partitions(self, names: Sequence[str]) -> Mapping[str, PartitionState]:
            asked.append(len(names))
            return super().partitions(names)

    hub.checkpoints = Counted({"parents": parents})
    hub.checkpoints.states = states
    hub.read(Vendor([]))
    assert asked == [500, 500, 200]
    assert hub.pages == []


def _with_parents(checkpoints: MemoryCheckpoints, *parents: ParentRecord) -> MemoryCheckpoints:
    fresh = MemoryCheckpoints({"parents": parents})
    fresh.states = checkpoints.states
    return fresh


# --- resume --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 2])
def test_a_read_goes_on_where_the_last_stored_page_ended(tmp_path: Path, stop: int) -> None:
    pages = {None: page([1], next="a"), "a": page([2], next="b"), "b": page([3])}
    hub = _hub(tmp_path, first_page_params={"start": "yes"})
    hub.read(Vendor(lambda request: pages[request.url.params.get("after")]), stop_after=stop)
    before = hub.keys
    vendor = Vendor(lambda request: pages[request.url.params.get("after")])
    hub.read(vendor)
    assert before + hub.keys == ["1", "2", "3"]
    assert vendor.params("start")[0] is None
    assert not hub.pages[0].restarted


def _slow(request: httpx.Request) -> httpx.Response:
    """Three pages of everything; among the changes only a fourth record."""
    if "since" in request.url.params:
        return page([_at(4, "2026-05-01T11:59:59Z")])
    pages = {
        None: page([_at(1, "2026-04-05T00:00:00Z")], next="a"), "a": page([_at(2, "2026-04-01T00:00:00Z")], next="b"),
        "b": page([_at(3, "2026-04-01T00:00:00Z")]),
    }  # fmt: skip
    return pages[request.url.params.get("after")]


def test_changes_are_read_beside_an_interrupted_read_of_everything(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental={**INCREMENTAL, "lag": "1m"})
    hub.read(Vendor(_slow), stop_after=1)
    vendor = Vendor(_slow)
    hub.read(vendor)
    assert [(page.kind, page.records[0].key) for page in hub.pages] == [
        (ReadKind.INCREMENTAL, "4"), (ReadKind.BACKFILL, "2"), (ReadKind.BACKFILL, "3"),
    ]  # fmt: skip
    assert vendor.params("since")[0] == "2026-05-01T11:59:00Z", (
        "from the moment the first page was asked for, less the lag"
    )
    assert hub.checkpoints.states[""].cursor == "2026-05-01T11:59:59.000000Z"


def test_an_interrupted_read_of_changes_does_not_stop_the_read_of_everything(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    hub.read(Vendor(_slow), stop_after=1)
    broken = Vendor([page([_at(4, "2026-05-01T11:59:59Z")], next="c"), page([])])
    hub.read(broken, stop_after=1)
    state = hub.checkpoints.states[""]
    assert (state.position or {})["at"] == {"cursor": "a"}
    assert (state.changes or {})["at"] == {"cursor": "c"}
    last = Vendor(lambda request: page([5]) if request.url.params.get("after") == "c" else _slow(request))
    hub.read(last)
    assert hub.keys == ["5", "2", "3"]


def test_changes_are_asked_for_again_while_a_long_read_of_everything_goes_on(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL, cadence="1h")

    def answer(request: httpx.Request) -> httpx.Response:
        hub.clock.at += timedelta(minutes=50)
        return _slow(request)

    hub.read(Vendor(answer))
    assert [page.kind for page in hub.pages] == [
        ReadKind.BACKFILL, ReadKind.INCREMENTAL, ReadKind.BACKFILL, ReadKind.BACKFILL,
    ]  # fmt: skip


def test_an_expired_position_restarts_that_read_from_its_cursor(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    hub.read(Vendor([page([_at(1, "2026-04-01T00:00:00Z")])]))
    hub.read(Vendor([page([_at(2, "2026-04-02T00:00:00Z")], next="old"), page([])]), stop_after=1)
    expired = httpx.Response(410, json={"error": "the cursor expired"})
    vendor = Vendor(
        lambda request: expired if request.url.params.get("after") == "old" else page([_at(2, "2026-04-02T00:00:00Z")])
    )
    hub.read(vendor)
    assert vendor.params("since")[-1] == "2026-04-01T00:00:00Z"
    assert hub.pages[0].restarted
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_position_that_leads_to_a_foreign_origin_is_given_up_by_the_next_run(tmp_path: Path) -> None:
    """A next link that was spoilt once must not stop the stream for ever."""
    hub = _hub(tmp_path, paginator={"type": "next_url", "next_url_path": "next"})
    with pytest.raises(StopStream, match="not an origin"):
        hub.read(Vendor([page([1, 2], next="https://thief.example/things?p=2")]))
    vendor = Vendor([page([1, 2], next=f"{BASE}/things?p=2"), page([3], next=None)])
    hub.read(vendor)
    assert {request.url.host for request in vendor.asked} == {"api.vendor.example"}
    assert (hub.keys, hub.pages[0].restarted) == (["1", "2", "3"], True)
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_full_read_does_not_go_on_with_an_incremental_one(tmp_path: Path) -> None:
    hub = _hub(tmp_path, incremental=INCREMENTAL)
    hub.read(Vendor([page([_at(1, "2026-04-01T00:00:00Z")])]))
    hub.read(Vendor([page([_at(2, "2026-04-02T00:00:00Z")], next="a"), page([])]), stop_after=1)
    vendor = Vendor([page([1, 2])])
    hub.read(vendor, full=True)
    assert (vendor.params("after"), vendor.params("since")) == ([None], [None])


def test_a_position_of_another_kind_of_paging_restarts(tmp_path: Path) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([page([1, 2], next="a"), page([3])]), stop_after=1)
    hub.manifest = manifest(tmp_path, {"paginator": {"type": "page_number", "page_param": "page"}, "page_size": 2})
    answers = {"1": page([1, 2]), "2": page([3]), "3": page([])}
    hub.read(Vendor(lambda request: answers[request.url.params["page"]]))
    assert hub.pages[0].restarted
    assert hub.keys == ["1", "2", "3"]


def test_every_hit_can_be_fetched_again_on_a_first_read_too(tmp_path: Path) -> None:
    hub = _hub(tmp_path, hydrate={"path": "/things/{record.id}"})
    whole = httpx.Response(200, json={"id": 1, "whole": True})
    hub.read(Vendor(lambda request: page([1]) if request.url.path == "/things" else whole))
    assert hub.records[0].payload == b'{"id":1,"whole":true}'


def test_the_next_page_is_under_way_before_this_one_is_taken(tmp_path: Path) -> None:
    hub = _hub(tmp_path)
    vendor = Vendor(lambda request: page([1, 2], next="a") if "after" not in request.url.params else page([3]))
    hub.read(vendor, stop_after=1)
    assert len(vendor.asked) == 2


# --- what the vendor may refuse or break ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [402, 403, 404])
def test_no_access_to_a_collection_names_the_scope(tmp_path: Path, status: int) -> None:
    hub = _hub(tmp_path, scope="things.read")
    hub.read(Vendor([httpx.Response(status, json={"message": "not yours"})]))
    last = hub.pages[-1]
    assert (last.completeness, last.wire, last.position) == (Completeness.NO_ACCESS, 0, None)
    assert "things.read" in (last.reason or "")
    assert "not yours" in (last.reason or "")


def test_another_refusal_stops_and_quotes_the_vendor(tmp_path: Path) -> None:
    with pytest.raises(StopStream, match="limit must be less than 100"):
        _hub(tmp_path).read(Vendor([httpx.Response(400, json={"message": "limit must be less than 100"})]))


def test_a_null_list_is_doubted_unless_the_end_is_marked(tmp_path: Path) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([page([1], next="a"), page(None, next="b"), page(None)]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    marked = _hub(tmp_path)
    marked.read(Vendor([page(None, next=None)]))
    assert marked.pages[-1].completeness is Completeness.COMPLETE
    declared = _hub(tmp_path, null_list="empty")
    declared.read(Vendor([httpx.Response(200, json={})]))
    assert declared.pages[-1].completeness is Completeness.COMPLETE


@pytest.mark.parametrize("body", [{"other": []}, {"items": {"1": {}}}, {"items": "none"}])
def test_a_page_without_its_list_stops_and_shows_what_came(tmp_path: Path, body: dict[str, Any]) -> None:
    with pytest.raises(StopStream, match="no list of records at 'items'") as caught:
        _hub(tmp_path).read(Vendor([httpx.Response(200, json=body)]))
    assert "null_list: empty" in str(caught.value)


def test_no_content_is_an_empty_complete_read(tmp_path: Path) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([httpx.Response(204)]))
    assert (hub.pages[-1].wire, hub.pages[-1].completeness) == (0, Completeness.COMPLETE)


def test_a_bad_record_is_given_out_with_its_problem_and_counted(tmp_path: Path) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([httpx.Response(200, content=b'{"items":[{"id":1},{"x":NaN},{"id":2}]}')]))
    assert hub.pages[0].wire == 3
    assert [record.problem is None for record in hub.records] == [True, False, True]


def test_a_path_word_without_a_value_is_the_connectors_fault(tmp_path: Path) -> None:
    hub = _hub(tmp_path, path="/things/{config.client_id}")
    with pytest.raises(FixConnector, match=r"needs \{config.client_id\}"):
        hub.read(Vendor([]))


def test_local_times_are_in_the_connections_zone(tmp_path: Path) -> None:
    hub = Hub(manifest(tmp_path, {"record_time": "at"}), timezone="Europe/Berlin")
    hub.read(Vendor([page([{"id": 1, "at": "2026-05-01 10:00:00"}])]))
    assert hub.records[0].record_time == datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
