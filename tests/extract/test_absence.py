"""Deletes by absence: only from complete snapshots, only when proven, and never more than the fuse allows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.errors import RetryLater, StopStream
from connectors.sdk.protocols import Completeness, Page, ReadKind
from pipelines import extract, normalise
from pipelines.extract import deletes
from tests import _hub
from tests._hub import Hub, bad_record, make_hub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipelines.report import StageReport
    from pipelines.store import Store

pytestmark = pytest.mark.slow  # each goes through whole stages

_MARK = 'deleted: {path: gone, equals: "true"}'
_TWICE = 'deleted: {path: gone, equals: "true", absence: twice}'
_CONFIRM = 'deleted: {path: gone, equals: "true", absence: confirm, item: {path: "/people/{key}"}}'
_LIVE = "SELECT source_key FROM source_record WHERE deleted_at IS NULL AND object = 'person' ORDER BY source_key"


@pytest.fixture
def hub(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose people are gone when two complete snapshots do not show them."""
    monkeypatch.setattr(_hub, "MANIFEST", _hub.MANIFEST.replace(_MARK, _TWICE))
    return make_hub(tmp_path, store, monkeypatch)


@pytest.fixture
def asking(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose people are gone when the vendor says so of each."""
    monkeypatch.setattr(_hub, "MANIFEST", _hub.MANIFEST.replace(_MARK, _CONFIRM))
    return make_hub(tmp_path, store, monkeypatch)


def person(number: int) -> dict[str, Any]:
    return {"id": number, "first": f"P{number}", "updated": "2026-01-01T00:00:00Z"}


def sync(hub: Hub, *pages: Page, accept: Iterable[str] = ()) -> StageReport:
    """Let the vendor show these pages, and read and normalise them."""
    hub.vendor.pages = list(pages)
    context = replace(hub.context(), accept_deletes=frozenset(accept))
    report = extract.run(context)
    normalise.run(context)
    return report


def show(hub: Hub, *numbers: int, **page: Any) -> StageReport:
    """Sync a complete snapshot of these people."""
    accept = page.pop("accept", ())
    return sync(hub, replace(hub.page([person(number) for number in numbers]), **page), accept=accept)


def live(hub: Hub) -> list[str]:
    with hub.store.engine.connect() as connection:
        return [key for (key,) in connection.exec_driver_sql(_LIVE)]


def says(monkeypatch: pytest.MonkeyPatch, *there: str, refuses: Exception | None = None) -> list[list[str]]:
    """Let the vendor have only these records when it is asked for single ones; return what it will be asked."""
    asked: list[list[str]] = []

    async def existing(_item: Any, _settings: Any, keys: list[str], **_: Any) -> set[str]:
        asked.append(list(keys))
        if refuses is not None:
            raise refuses
        return set(there) & set(keys)

    monkeypatch.setattr(extract, "existing", existing)
    return asked


def test_a_record_missing_from_two_complete_snapshots_is_deleted(hub: Hub) -> None:
    show(hub, 1, 2, 3)
    once = show(hub, 1, 3)
    assert (live(hub), once.details["absent"]) == (["1", "2", "3"], {"missed": 1, "deleted": 0, "live": 3})
    assert show(hub, 1, kind=ReadKind.INCREMENTAL).details == {}, "a snapshot is judged once"

    twice = show(hub, 1, 3)

    assert (live(hub), twice.details["absent"]) == (["1", "3"], {"missed": 1, "deleted": 1, "live": 3})
    assert twice.ok
    assert show(hub, 1, 3).details == {}


def test_a_record_that_is_back_in_between_has_to_be_missing_twice_again(hub: Hub) -> None:
    for numbers in ((1, 2), (1,), (1, 2), (1,)):
        show(hub, *numbers)

    assert live(hub) == ["1", "2"]


def test_a_deleted_record_that_is_shown_again_lives_again(hub: Hub) -> None:
    for numbers in ((1, 2), (1,), (1,)):
        show(hub, *numbers)
    assert live(hub) == ["1"]

    show(hub, 1, 2)

    assert live(hub) == ["1", "2"]


@pytest.mark.parametrize(
    "page",
    [
        {"completeness": Completeness.UNKNOWN, "reason": "a full page without a next one"},
        {"completeness": Completeness.PARTIAL, "reason": "more than the cap"},
        {"completeness": Completeness.NO_ACCESS, "reason": "403"},
        {"restarted": True},
        {"kind": ReadKind.INCREMENTAL},
    ],
)
def test_nothing_is_missed_by_a_read_that_is_not_a_complete_snapshot(hub: Hub, page: dict[str, Any]) -> None:
    show(hub, 1, 2, 3)

    for _ in range(3):
        report = show(hub, 1, **page)

    assert live(hub) == ["1", "2", "3"]
    assert "absent" not in report.details


def test_a_broken_off_snapshot_misses_nothing(hub: Hub) -> None:
    show(hub, 1, 2, 3)
    hub.vendor.error = RetryLater("the vendor is down")
    for _ in range(3):
        sync(hub, hub.page([person(1)], after="p2"))

    assert live(hub) == ["1", "2", "3"]


def test_what_a_read_of_changes_met_meanwhile_is_not_missing(hub: Hub) -> None:
    """The snapshot passes the record's place before it is there: a record that moves while pages are read."""
    show(hub, 1, 2)
    for _ in range(2):
        changed = replace(hub.page([person(2)]), kind=ReadKind.INCREMENTAL)
        sync(hub, hub.page([person(1)], after="p2"), changed, hub.page([]))

    assert live(hub) == ["1", "2"]


def test_a_record_that_is_there_but_unusable_is_not_missing(hub: Hub) -> None:
    show(hub, 1, 2, 3)
    known = bad_record(b'{"id": 2, "x": NaN}', "not JSON")._replace(key="2")
    for _ in range(2):
        page = hub.page([person(1), person(3)])
        sync(hub, replace(page, records=(*page.records, known), wire=page.wire + 1))
    assert live(hub) == ["1", "2", "3"]

    for _ in range(2):
        page = hub.page([person(1)])
        sync(hub, replace(page, records=(*page.records, bad_record(b'{"id"', "not JSON")), wire=page.wire + 1))

    assert live(hub) == ["1", "2", "3"], "a record without a key may be any of those that are missing"


def test_an_older_version_of_a_record_shows_that_it_is_there(hub: Hub) -> None:
    show(hub, 1, 2)
    for _ in range(2):
        sync(hub, hub.page([person(1), {**person(2), "first": "old", "updated": "2020-01-01T00:00:00Z"}]))

    assert live(hub) == ["1", "2"]


def test_the_parts_of_a_stream_are_judged_each_by_its_own_snapshot(hub: Hub) -> None:
    def both(a: list[int], b: list[int] | None) -> list[Page]:
        pages = [hub.page([person(n) for n in a], partition="a")]
        return pages if b is None else [*pages, hub.page([person(n) for n in b], partition="b")]

    sync(hub, *both([1, 2], [3]))
    for _ in range(2):
        sync(hub, *both([1], None))
    assert live(hub) == ["1", "3"], "the part that was not read misses nothing"

    for _ in range(2):
        sync(hub, *both([], [3, 1]))
    assert live(hub) == ["1", "3"], "a record that moves to another part is not gone"


def test_more_deletes_than_the_fuse_allows_are_shown_and_nothing_is_deleted(hub: Hub) -> None:
    everybody = range(deletes.FUSE_FLOOR + 10)
    show(hub, *everybody)
    show(hub, 0)

    blown = show(hub, 0)

    gone = deletes.FUSE_FLOOR + 9
    assert len(live(hub)) == len(everybody)
    assert (blown.ok, blown.exit_code, blown.completeness) == (False, 1, "COMPLETE")
    assert f"{gone} of {gone + 1} records are missing at the vendor, one run may delete 50" in (blown.error or "")
    assert "unisono sync --accept-deletes toy/people" in (blown.error or "")
    assert blown.details["absent"] == {
        "missed": gone, "deleted": 0, "live": gone + 1, "waiting": gone, "fuse": 50,
    }  # fmt: skip
    again = show(hub, 0, kind=ReadKind.INCREMENTAL)
    assert not again.ok, "it stays blown until somebody has looked"


def test_a_person_may_let_the_deletes_through(hub: Hub) -> None:
    show(hub, *range(deletes.FUSE_FLOOR + 10))
    for _ in range(2):
        show(hub, 0)

    accepted = show(hub, 0, accept=["toy/people"])

    assert accepted.ok
    assert live(hub) == ["0"]


def test_the_fuse_grows_with_the_stream(hub: Hub) -> None:
    everybody = range(1_400)
    show(hub, *everybody)
    for _ in range(2):
        report = show(hub, *everybody[70:])

    assert report.ok, "70 of 1,400 are 5 %"
    assert len(live(hub)) == 1_330


def test_a_kill_before_the_tombstones_only_puts_them_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for numbers in ((1, 2), (1,)):
        show(hub, *numbers)
    with monkeypatch.context() as patch:
        patch.setattr(deletes.Deletes, "_bury", _die)
        with pytest.raises(SystemExit):
            show(hub, 1)
    assert live(hub) == ["1", "2"]

    show(hub, kind=ReadKind.INCREMENTAL)

    assert live(hub) == ["1"]


def _die(*_: object) -> None:
    raise SystemExit(9)


def test_where_the_vendor_can_be_asked_one_absence_is_enough(asking: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = says(monkeypatch, "3")
    show(asking, 1, 2, 3)
    report = show(asking, 1)

    assert asked == [["2", "3"]]
    assert live(asking) == ["1", "3"]
    assert report.details["absent"] == {"not_listed": 1, "missed": 2, "deleted": 1, "live": 3}


def test_a_vendor_that_refuses_to_say_deletes_nothing(asking: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    show(asking, 1, 2)
    says(monkeypatch, refuses=StopStream("status 403"))

    assert not show(asking, 1).ok
    assert live(asking) == ["1", "2"]


def test_no_more_records_are_asked_for_than_blow_the_fuse(asking: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = says(monkeypatch)
    show(asking, *range(200))

    assert not show(asking, 0).ok
    assert [len(keys) for keys in asked] == [deletes.FUSE_FLOOR + 1]
    assert len(live(asking)) == 200


def test_a_stream_that_says_nothing_of_absence_deletes_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_hub(tmp_path, store, monkeypatch)
    for numbers in ((1, 2), (1,), (1,), (1,)):
        show(plain, *numbers)

    assert live(plain) == ["1", "2"]
