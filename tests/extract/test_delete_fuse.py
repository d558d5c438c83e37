"""One fuse before every delete that reads bring: what passes it, what waits for a person, and what makes a delete void."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.errors import RetryLater
from connectors.sdk.protocols import ReadKind
from pipelines import extract, normalise
from pipelines.extract import deletes
from pipelines.extract.replay import replay
from pipelines.store import quarantine_reads
from pipelines.store.digest import digest
from tests import _hub
from tests._hub import Hub, bad_record, make_hub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from connectors.sdk.protocols import Page
    from pipelines.report import StageReport
    from pipelines.store import Store

pytestmark = pytest.mark.slow  # each goes through whole stages

FLOOR = deletes.FUSE_FLOOR
UNIT = "toy/people"
_LIVE = "SELECT count(*) FROM source_record WHERE deleted_at IS NULL AND object = 'person'"
_TOLD = "SELECT count(*) FROM person WHERE deleted_at IS NULL"


@pytest.fixture
def hub(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose people say themselves that they are gone."""
    return make_hub(tmp_path, store, monkeypatch)


def person(number: int, *, gone: bool = False, at: str = "2026-01-01") -> dict[str, Any]:
    return {"id": number, "first": f"P{number}", "updated": f"{at}T00:00:00Z", **({"gone": True} if gone else {})}


def marked(*numbers: int, at: str = "2026-01-02") -> list[dict[str, Any]]:
    return [person(number, gone=True, at=at) for number in numbers]


def sync(hub: Hub, *pages: Page, accept: Iterable[str] = (), error: Exception | None = None) -> StageReport:
    """Let the vendor show these pages, and read and normalise them."""
    hub.vendor.pages, hub.vendor.error = list(pages), error
    context = replace(hub.context(), accept_deletes=frozenset(accept))
    report = extract.run(context)
    assert report.imbalance is None
    normalise.run(context)
    return report


def show(hub: Hub, records: Iterable[dict[str, Any]], **given: Any) -> StageReport:
    """Sync one page of changes that is whole."""
    return sync(hub, replace(hub.page(records), kind=ReadKind.INCREMENTAL), **given)


def live(hub: Hub) -> int:
    """How many people live: by their records, and by what they say."""
    with hub.store.engine.connect() as connection:
        records, people = (connection.exec_driver_sql(one).scalar_one() for one in (_LIVE, _TOLD))
    assert records == people
    return int(records)


def test_as_many_marked_records_as_the_fuse_allows_are_deleted_by_their_load(hub: Hub) -> None:
    show(hub, map(person, range(FLOOR + 10)))

    report = show(hub, marked(*range(FLOOR)))

    assert (report.ok, report.counts["loaded"], live(hub)) == (True, FLOOR, 10)
    assert report.details["deletes"] == {"marked": FLOOR, "deleted": FLOOR, "live": FLOOR + 10, "fuse": FLOOR}


def test_one_marked_record_more_and_none_is_deleted_but_every_record_is_kept(hub: Hub) -> None:
    show(hub, map(person, range(FLOOR + 10)))

    blown = show(hub, [*marked(*range(FLOOR + 1)), person(99)])

    assert live(hub) == FLOOR + 11
    assert (blown.ok, blown.exit_code, blown.completeness) == (False, 1, "COMPLETE")
    assert blown.counts["loaded"] == FLOOR + 2
    assert f"{FLOOR + 1} of {FLOOR + 11} records are marked as deleted at the vendor" in (blown.error or "")
    assert f"unisono sync --accept-deletes {UNIT}" in (blown.error or "")
    told = {"marked": FLOOR + 1, "deleted": 0, "live": FLOOR + 11, "fuse": FLOOR, "waiting": FLOOR + 1}
    assert blown.details["deletes"] == told


def test_what_waits_is_let_through_later_though_the_vendor_shows_it_no_more(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    show(hub, marked(*range(70)))
    again = show(hub, [])
    assert (again.ok, live(hub)) == (False, 100), "it stays blown until somebody has looked"

    accepted = show(hub, [], accept=[UNIT])

    assert (accepted.ok, live(hub), accepted.details["deletes"]["deleted"]) == (True, 30, 70)
    after = show(hub, [])
    assert (after.ok, after.details) == (True, {})


def test_a_person_s_word_counts_once(hub: Hub) -> None:
    show(hub, map(person, range(200)))
    show(hub, marked(*range(60)), accept=[UNIT])

    assert not show(hub, marked(*range(60, 120))).ok
    assert live(hub) == 140


def test_a_store_that_waited_means_the_same_as_one_that_did_not(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = make_hub(tmp_path, sqlite_store, monkeypatch)
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60)))
    show(hub, [*marked(*range(60)), *marked(60)])
    show(hub, [], accept=[UNIT])
    waited = digest(sqlite_store)

    other = make_hub(tmp_path / "other", type(sqlite_store).open(f"sqlite:///{tmp_path}/other.db"), monkeypatch)
    show(other, map(person, range(100)))
    show(other, marked(*range(61)), accept=[UNIT])

    assert waited == digest(other.store)


def test_the_fuse_grows_with_the_stream(hub: Hub) -> None:
    show(hub, map(person, range(1_400)))

    assert show(hub, marked(*range(70))).ok, "70 of 1,400 are 5 %"
    assert live(hub) == 1_330


def test_a_long_list_of_deletes_on_a_first_sync_is_no_alarm(hub: Hub) -> None:
    first = show(hub, [*map(person, range(10)), *marked(*range(100, 400))])

    assert (first.ok, live(hub), first.details) == (True, 10, {})


def test_what_came_and_went_in_one_read_is_no_delete_of_anything(hub: Hub) -> None:
    """A vendor's log of changes, read from its beginning: most of what it made it also deleted."""
    made = replace(hub.page(map(person, range(100)), after="p2"), kind=ReadKind.INCREMENTAL)

    report = sync(hub, made, replace(hub.page(marked(*range(90))), kind=ReadKind.INCREMENTAL))

    assert (report.ok, live(hub)) == (True, 10)


def test_what_came_and_went_in_one_read_is_told_so_across_a_break(hub: Hub) -> None:
    made = replace(hub.page(map(person, range(100)), after="p2"), kind=ReadKind.INCREMENTAL)
    sync(hub, made, error=RetryLater("the vendor is down"))

    assert show(hub, marked(*range(90))).ok, "the same read goes on"
    assert live(hub) == 10


def test_a_load_that_breaks_off_deletes_nothing_and_the_next_one_counts_all(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    half = replace(hub.page(marked(*range(30)), after="p2"), kind=ReadKind.INCREMENTAL)

    broken = sync(hub, half, error=RetryLater("the vendor is down"))
    assert (broken.completeness, live(hub)) == ("PARTIAL", 100)
    rest = show(hub, marked(*range(30, 60)))

    assert (rest.ok, rest.details["deletes"]["waiting"], live(hub)) == (False, 60, 100)


def test_a_waiting_delete_met_again_is_unchanged_and_a_newer_one_takes_its_place(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60)))

    again = show(hub, marked(*range(60)))
    newer = show(hub, marked(*range(60), at="2026-01-03"))

    assert (again.counts["loaded"], again.counts["unchanged"]) == (0, 60)
    assert (newer.counts["loaded"], newer.details["deletes"]["waiting"]) == (60, 60)


def test_a_record_that_is_shown_again_is_not_deleted(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60)))

    back = show(hub, [person(number, at="2026-01-04") for number in range(20)])

    assert (back.ok, live(hub)) == (True, 60), "40 are below the fuse; 20 are back"


def test_a_record_shown_again_and_marked_again_in_one_page_waits_by_its_last_word(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60)))

    last = show(hub, [person(0, at="2026-01-03"), *marked(0, at="2026-01-04")])

    assert last.details["deletes"]["waiting"] == 60


def test_an_older_version_of_a_record_does_not_save_it(hub: Hub) -> None:
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60), at="2026-01-05"))

    late = show(hub, [person(0, at="2026-01-03")])

    assert (late.counts["filtered"], late.details["deletes"]["waiting"]) == (1, 60)


def test_marks_and_absences_are_counted_together(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = 'deleted: {path: gone, equals: "true", absence: twice}'
    monkeypatch.setattr(_hub, "MANIFEST", _hub.MANIFEST.replace('deleted: {path: gone, equals: "true"}', twice))
    hub = make_hub(tmp_path, store, monkeypatch)
    sync(hub, hub.page(map(person, range(100))))
    sync(hub, hub.page(map(person, range(70))))

    both = sync(hub, hub.page([*map(person, range(40)), *marked(*range(40, 70))]))

    assert (both.ok, live(hub)) == (False, 100)
    assert both.details["deletes"] == {
        "marked": 30, "missing": 30, "deleted": 0, "live": 100, "fuse": FLOOR, "waiting": 60,
    }  # fmt: skip
    assert "60 of 100 records are gone at the vendor (30 marked as deleted, 30 missing)" in (both.error or "")
    sync(hub, replace(hub.page([]), kind=ReadKind.INCREMENTAL), accept=[UNIT])
    assert live(hub) == 40


def test_a_marked_record_is_not_counted_once_more_as_missing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = 'deleted: {path: gone, equals: "true", absence: twice}'
    monkeypatch.setattr(_hub, "MANIFEST", _hub.MANIFEST.replace('deleted: {path: gone, equals: "true"}', twice))
    hub = make_hub(tmp_path, store, monkeypatch)
    sync(hub, hub.page(map(person, range(100))))
    show(hub, marked(*range(60)))
    for _ in range(2):
        blown = sync(hub, hub.page(map(person, range(60, 100))))

    assert blown.details == {"deletes": {"marked": 60, "deleted": 0, "live": 100, "fuse": FLOOR, "waiting": 60}}
    assert sync(hub, hub.page(map(person, range(60, 100))), accept=[UNIT]).ok
    assert live(hub) == 40


def test_a_replayed_record_that_is_newer_than_the_waiting_delete_makes_it_void(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = make_hub(tmp_path, sqlite_store, monkeypatch)
    show(hub, map(person, range(100)))
    show(hub, marked(*range(60)))
    page = hub.page([])
    bad = bad_record(b'{"id": 0, "first": "P0", "updated": "2026-01-09T00:00:00Z"}', "too large")._replace(key="0")
    sync(hub, replace(page, records=(bad,), wire=1, kind=ReadKind.INCREMENTAL))
    assert len(quarantine_reads.entries(sqlite_store, quarantine_reads.Filter())) == 1

    assert replay(hub.context()).counts["loaded"] == 1

    assert show(hub, []).details["deletes"]["waiting"] == 59
