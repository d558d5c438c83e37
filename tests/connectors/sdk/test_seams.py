"""Lists read by offset or page number that move while they are read: no record is passed by in a read said to be COMPLETE."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from connectors.sdk.errors import StopStream
from connectors.sdk.protocols import Completeness
from connectors.sdk.seams import Seam

from .vendor import Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Move = Callable[["Moving"], None]

pytestmark = pytest.mark.slow  # each reads a whole stream

SIZE: Final = 5
PAGED: Final[dict[str, dict[str, Any]]] = {
    "offset": {"type": "offset", "offset_param": "offset", "limit_param": "limit"},
    "offset and total": {"type": "offset", "offset_param": "offset", "limit_param": "limit", "total_path": "total"},
    "offset and more": {"type": "offset", "offset_param": "offset", "has_more_path": "more"},
    "pages": {"type": "page_number", "page_param": "page"},
    "pages and total": {"type": "page_number", "page_param": "page", "total_path": "total"},
    "number of pages": {"type": "page_number", "page_param": "page", "total_pages_path": "pages"},
}
CURSOR: Final = {
    "cursor_path": "updated", "resolution": "1s", "bound": "inclusive", "lag": "0s", "sorted": "asc", "start_param": "since",
}  # fmt: skip


class Moving(Vendor):
    """A list in the order of its records' time, cut into pages by position; ``moves`` happen before requests."""

    def __init__(self, count: int, moves: dict[int, Move], *, size: int = SIZE) -> None:
        super().__init__(self._answer, limit=400)
        self.rows: dict[int, int] = {key: key for key in range(count)}
        self.never_moved = set(self.rows)
        self.moves, self.size, self.time = moves, size, count

    def _answer(self, request: httpx.Request) -> httpx.Response:
        move = self.moves.get(len(self.asked))
        if move is not None:
            move(self)
        order = sorted(self.rows, key=lambda key: (self.rows[key], key))
        asked = request.url.params
        start = (int(asked["page"]) - 1) * self.size if "page" in asked else int(asked.get("offset", 0))
        shown = order[start : start + self.size]
        total = len(order)
        records = [{"id": key, "updated": _at(self.rows[key])} for key in shown]
        return page(records, total=total, pages=-(-total // self.size), more=start + len(shown) < total)

    def update(self, keys: Iterable[int]) -> None:
        """Change records: they move to the end."""
        for key in set(keys) & set(self.rows):
            self.time += 1
            self.rows[key] = self.time
            self.never_moved.discard(key)

    def delete(self, keys: Iterable[int]) -> None:
        for key in set(keys):
            self.rows.pop(key, None)
            self.never_moved.discard(key)

    def insert(self, count: int, *, head: bool) -> None:
        for _ in range(count):
            self.time += 1
            self.rows[self.time + 10_000] = -self.time if head else self.time


def _at(tick: int) -> str:
    day, second = divmod(tick + 5000, 10_000)
    return f"2026-04-{10 + day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def _hub(tmp_path: Path, paging: str, *, cursor: bool = True) -> Hub:
    stream = {"paginator": dict(PAGED[paging]), "page_size": SIZE, "record_time": "updated"}
    return Hub(manifest(tmp_path, {**stream, **({"incremental": CURSOR} if cursor else {})}))


def _met(hub: Hub) -> set[int]:
    return {int(key) for key in hub.keys if key is not None}


def _at_random(seed: int) -> dict[int, Move]:
    """Return moves before some requests: deletes, updates and inserts, few or very many."""
    dice = random.Random(seed)

    def move(vendor: Moving) -> None:
        for _ in range(dice.randint(1, 2)):
            keys = list(vendor.rows)
            some = dice.sample(keys, min(len(keys), dice.choice([1, 1, 2, 3, SIZE, 2 * SIZE])))
            low = sorted(keys, key=lambda key: vendor.rows[key])[: len(some)]
            chosen = dice.choice([some, low])
            match dice.choice(["update", "delete", "insert"]):
                case "update":
                    vendor.update(chosen)
                case "delete":
                    vendor.delete(chosen)
                case _:
                    vendor.insert(len(some), head=dice.random() < 0.5)

    often = dice.choice([0.1, 0.3, 0.8])
    return {at: move for at in range(2, dice.choice([6, 15, 60])) if dice.random() < often}


def _lost(tmp_path: Path, paging: str, seeds: range) -> tuple[list[str], list[Completeness | None]]:
    """Return what each read lacks though it says COMPLETE, and how each ended; every third is killed and goes on."""
    hubs = [_hub(tmp_path, paging, cursor=cursor) for cursor in (True, False)]
    lost: list[str] = []
    ends: list[Completeness | None] = []
    for seed in seeds:
        vendor = Moving(seed % 43, _at_random(seed), size=SIZE if seed % 5 else SIZE - 2)
        hub, met = Hub(hubs[seed % 2].manifest), set()
        try:
            if seed % 3 == 0:
                hub.read(vendor, stop_after=1 + seed % 7)
                met = _met(hub)
            hub.read(vendor)
        except StopStream:
            ends.append(None)
            continue
        ends.append(hub.pages[-1].completeness)
        missing = vendor.never_moved - _met(hub) - met
        if ends[-1] is Completeness.COMPLETE and missing:
            lost.append(f"seed {seed}: {sorted(missing)}")
    return lost, ends


@pytest.mark.parametrize("paging", PAGED)
def test_a_complete_read_of_a_list_that_moves_has_every_record_that_did_not_change(tmp_path: Path, paging: str) -> None:
    lost, ends = _lost(tmp_path, paging, range(40))
    assert lost == []
    assert ends.count(Completeness.COMPLETE) > 25, ends


@pytest.mark.slow
@pytest.mark.parametrize("paging", PAGED)
def test_however_a_list_moves_nothing_is_lost_in_a_complete_read(tmp_path: Path, paging: str) -> None:
    lost, ends = _lost(tmp_path, paging, range(40, 340))
    assert lost == []
    assert ends.count(Completeness.COMPLETE) > 200, ends


@pytest.mark.parametrize(
    ("paging", "asked"),
    [
        ("offset", [None, "4", "8", "12", "16", "17"]),  # one early; the last brings nothing but the seam, so the edge
        ("offset and total", [None, "4", "8", "12"]),
        ("pages and total", ["1", "2", "1", "3", "2", "4", "3"]),  # each looked at again after the one behind it
    ],
)
def test_what_it_costs_where_nothing_moves(tmp_path: Path, paging: str, asked: list[str | None]) -> None:
    hub, vendor = _hub(tmp_path, paging), Moving(17, {})
    hub.read(vendor)
    assert vendor.params("page" if paging.startswith("pages") else "offset") == asked
    assert hub.keys == [str(key) for key in range(17)]  # nothing is given out twice
    assert hub.pages[-1].completeness is Completeness.COMPLETE


@pytest.mark.parametrize("paging", PAGED)
def test_a_list_of_one_page_is_asked_for_as_ever(tmp_path: Path, paging: str) -> None:
    hub, vendor = _hub(tmp_path, paging), Moving(3, {})
    hub.read(vendor)
    assert len(vendor.asked) == (1 if paging not in ("offset", "pages") else 3)
    assert hub.keys == ["0", "1", "2"]


def test_a_vendor_that_refuses_offsets_between_pages_is_asked_at_their_edges(tmp_path: Path) -> None:
    class Strict(Moving):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            if int(request.url.params.get("offset", 0)) % SIZE:
                return httpx.Response(400, json={"error": "offset must be a multiple of limit"})
            return super()._answer(request)

    hub, vendor = _hub(tmp_path, "offset and total"), Strict(17, {4: lambda moving: moving.delete([0, 1])})
    hub.read(vendor)
    assert vendor.params("offset")[:4] == [None, "4", "5", None]
    assert vendor.params("offset").count("4") == 1
    assert vendor.never_moved <= _met(hub)
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_list_that_never_holds_still_ends_unknown_and_says_why(tmp_path: Path) -> None:
    """Half of it goes and as much comes before each request: no two pages share a record."""

    def churn(vendor: Moving) -> None:
        vendor.delete(sorted(vendor.rows, key=vendor.rows.__getitem__)[: 4 * SIZE])
        vendor.insert(4 * SIZE, head=True)

    vendor = Moving(8 * SIZE, dict.fromkeys(range(2, 200), churn))
    hub = _hub(tmp_path, "offset and total")
    hub.read(vendor)
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    assert "faster than it can be read by position" in (hub.pages[-1].reason or "")
    assert len(vendor.asked) < 60


@pytest.mark.parametrize("paging", ["pages", "pages and total", "number of pages"])
def test_a_list_that_moves_to_and_fro_hides_no_record(tmp_path: Path, paging: str) -> None:
    """Each page looked at again ends in a record that was seen, and yet three lie between two pages."""
    moves: dict[int, Move] = {
        3: lambda vendor: vendor.delete([0, 1, 2]),
        5: lambda vendor: vendor.insert(3, head=True),
        7: lambda vendor: vendor.delete([key for key in vendor.rows if key > 10_000]),
    }
    hub, vendor = _hub(tmp_path, paging), Moving(25, moves)
    hub.read(vendor)
    assert vendor.never_moved <= _met(hub)
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_a_position_keeps_what_the_next_page_must_meet(tmp_path: Path) -> None:
    hub = _hub(tmp_path, "offset and total")
    hub.read(Moving(17, {}), stop_after=1)
    state = hub.checkpoints.partition("")
    stored = dict((state and state.position) or {})["seam"]
    assert (stored["stage"], len(stored["ends"])) == ("overlap", 3)
    assert Seam.from_json(stored).to_json() == stored


@pytest.mark.parametrize("paging", ["offset and total", "pages and total"])
def test_the_overlap_is_met_by_another_process_too(tmp_path: Path, paging: str) -> None:
    hub, vendor = _hub(tmp_path, paging), Moving(17, {})
    hub.read(vendor, stop_after=1)
    met = _met(hub)
    vendor.delete([0, 1])
    hub.read(vendor)
    assert vendor.never_moved <= met | _met(hub)
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_what_is_looked_at_again_is_not_fetched_again_as_a_whole_record(tmp_path: Path) -> None:
    class Whole(Moving):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            key = request.url.path.removeprefix("/things").strip("/")
            return httpx.Response(200, json={"id": int(key), "whole": True}) if key else super()._answer(request)

    stream = {"paginator": PAGED["pages and total"], "page_size": SIZE, "hydrate": {"path": "/things/{record.id}"}}
    hub, vendor = Hub(manifest(tmp_path, stream)), Whole(12, {})
    hub.read(vendor)
    items = [request.url.path for request in vendor.asked if request.url.path != "/things"]
    assert sorted(items) == sorted(f"/things/{key}" for key in range(12))
    assert hub.pages[-1].completeness is Completeness.COMPLETE


def test_positions_that_the_vendor_gives_cost_no_request_more(tmp_path: Path) -> None:
    stream = {"paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}, "page_size": SIZE}
    hub = Hub(manifest(tmp_path, stream))
    answers = {None: page(range(5), next="a"), "a": page(range(5, 10), next="b"), "b": page([10], next=None)}
    vendor = Vendor(lambda request: answers[request.url.params.get("after")])
    hub.read(vendor)
    assert vendor.params("after") == [None, "a", "b"]
