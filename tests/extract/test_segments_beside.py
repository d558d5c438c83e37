"""A segment is committed beside the reading of the next one: in order, one at a time, and never after one that failed."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.sdk.errors import RetryLater, StoreFull
from connectors.sdk.protocols import Page
from pipelines import extract, landing
from pipelines.extract.beside import Beside
from pipelines.store import commits, heads
from tests._hub import Hub

PATIENCE_S = 30
RECORDS = 8  # of SEGMENT_RECORDS: three pages of one record are handed over, with the fourth one on its way


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.extract.segments.SEGMENT_RECORDS", RECORDS)


def _pages(hub: Hub, count: int) -> list[Page]:
    """Return pages of one record; each but the last says where the next one begins."""
    return [
        hub.page([{"id": number, "updated": "2026-01-01T00:00:00Z"}], after=f"p{number}" if number < count else None)
        for number in range(1, count + 1)
    ]


def _committed(hub: Hub) -> list[int]:
    """Return the numbers of records of the committed segments, in the order of their commits."""
    return [segment.records for segment in heads.segments_after(hub.store, "toy", "people", 0)]


def _watched(monkeypatch: pytest.MonkeyPatch, watch: Callable[[], None]) -> None:
    """Have something done at the beginning of every commit of a segment."""
    commit = commits.commit_parts

    def watched(*args: Any) -> None:
        watch()
        commit(*args)

    monkeypatch.setattr(commits, "commit_parts", watched)


def test_the_next_pages_are_read_while_a_segment_is_committed(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    later_was_read = threading.Event()
    seen: list[bool] = []
    _watched(monkeypatch, lambda: seen.append(later_was_read.wait(PATIENCE_S)))

    def pages() -> Iterator[Page]:
        for number, page in enumerate(_pages(hub, 5), 1):
            if number == 5:
                later_was_read.set()
            yield page

    hub.vendor.pages = pages()
    report = extract.run(hub.context())

    assert seen == [True, True], "the first commit waits for a page that comes after its own"
    assert (report.completeness, report.counts["loaded"], _committed(hub)) == ("COMPLETE", 5, [3, 2])


def test_segments_are_committed_one_at_a_time_in_the_order_of_their_pages(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    at_work, most, positions = [], [], []
    commit = commits.commit_parts

    def watched(tx: Any, parts: Any) -> None:
        at_work.append(1)
        time.sleep(0.02)
        most.append(len(at_work))
        positions.extend(part.segment.position for part in parts)
        commit(tx, parts)
        at_work.pop()

    monkeypatch.setattr(commits, "commit_parts", watched)
    hub.vendor.pages = _pages(hub, 14)
    report = extract.run(hub.context())

    assert set(most) == {1}
    assert [at and at["at"]["after"] for at in positions] == ["p3", "p6", "p9", "p12", None]
    assert (report.counts["loaded"], _committed(hub)) == (14, [3, 3, 3, 3, 2])


def test_what_a_kill_could_cost_is_never_more_than_a_segment(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    done: list[int] = []
    commit = commits.commit_parts

    def slow(tx: Any, parts: Any) -> None:
        time.sleep(0.05)
        commit(tx, parts)
        done.extend(part.segment.records for part in parts)

    open_at_each_page = []

    def pages() -> Iterator[Page]:
        for number, page in enumerate(_pages(hub, 20), 1):
            open_at_each_page.append(number - sum(done))  # with this one, which the engine asks for ahead
            yield page

    monkeypatch.setattr(commits, "commit_parts", slow)
    hub.vendor.pages = pages()
    extract.run(hub.context())

    assert RECORDS // 2 < max(open_at_each_page) <= RECORDS


def test_after_a_failed_commit_nothing_read_since_is_committed_and_the_next_run_brings_all(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    failing = threading.Event()
    pages = _pages(hub, 5)

    def no_space(*_: object, **__: object) -> None:
        failing.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    def given() -> Iterator[Page]:
        """Go on when the first segment has failed, with a page of the second one taken before anybody noticed."""
        yield from pages[:4]
        assert failing.wait(PATIENCE_S)
        time.sleep(0.05)
        patch.undo()  # there is room again: only the failure itself keeps what follows from being committed
        yield pages[4]

    patch = pytest.MonkeyPatch()
    patch.setattr(landing, "_put", no_space)
    hub.vendor.pages = given()
    failed = extract.run(hub.context())
    left = _committed(hub)

    hub.vendor.pages = pages
    report = extract.run(hub.context())

    assert "free space there" in failed.error
    assert (failed.completeness, failed.exit_code, failed.counts["loaded"]) == ("PARTIAL", StoreFull.exit_code, 0)
    assert left == []
    assert hub.vendor.seen[1] is None or hub.vendor.seen[1].position is None, "no position is kept either"
    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 5)


def test_a_failure_ends_the_reading_at_the_next_page(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    read, failing = [], threading.Event()

    def refused(*_: object) -> None:
        failing.set()
        raise RetryLater("the store is away")

    def given() -> Iterator[Page]:
        for number, page in enumerate(_pages(hub, 20), 1):
            read.append(number)
            yield page
            if number == 3:
                assert failing.wait(PATIENCE_S)
                time.sleep(0.05)

    monkeypatch.setattr(commits, "commit_parts", refused)
    hub.vendor.pages = given()
    report = extract.run(hub.context())

    assert (report.error, report.exit_code) == ("the store is away", RetryLater.exit_code)
    assert read == [1, 2, 3, 4]


def test_an_error_of_the_vendor_waits_until_what_came_before_it_is_committed(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    _watched(monkeypatch, lambda: time.sleep(0.05))
    hub.vendor.pages, hub.vendor.error = _pages(hub, 6)[:5], RetryLater("the vendor is down")
    report = extract.run(hub.context())

    assert (report.completeness, report.error, report.counts["loaded"]) == ("PARTIAL", "the vendor is down", 5)
    assert _committed(hub) == [3, 2]


def test_work_beside_is_done_in_order_and_its_error_is_told_once():
    beside, done = Beside(), []

    def wrong() -> None:
        time.sleep(0.02)
        raise KeyError("lost")

    beside.start(lambda: done.append(1))
    beside.start(wrong)
    with pytest.raises(KeyError, match="lost"):
        beside.start(lambda: done.append(2))
    beside.start(lambda: done.append(3))
    beside.wait()

    assert done == [1, 3]
