"""Records that could not be read are read again under newer rules, and land as if they had been readable at first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.protocols import Page
from pipelines import extract, normalise
from pipelines.extract.replay import replay
from pipelines.store import Store, digest, heads
from pipelines.store.quarantine_reads import Filter, entries
from tests._hub import Hub, bad_record, make_hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "updated": "2026-01-01T00:00:00Z"}
BOB = {**ADA, "id": 2, "first": "Bob"}


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Store.open(f"sqlite:///{tmp_path}/twin/store.db") as store:
        yield make_hub(tmp_path / "twin", store, monkeypatch)


def _page(hub: Hub, good: list[dict], bad: list[dict]) -> Page:
    page = hub.page(good)
    refused = tuple(bad_record(json.dumps(one).encode(), "too large: 99 bytes, the limit is 10") for one in bad)
    return Page(**{**page.__dict__, "records": (*page.records, *refused), "wire": page.wire + len(refused)})


def _sync(hub: Hub, monkeypatch: pytest.MonkeyPatch, page: Page) -> None:
    monkeypatch.setattr(extract, "read_stream", hub.vendor.read_stream)
    hub.vendor.pages = [page]
    extract.run(hub.context())
    normalise.run(hub.context())


def test_what_was_too_large_and_is_not_any_more_gives_the_store_that_took_it_at_once(
    hub: Hub, twin: Hub, monkeypatch: pytest.MonkeyPatch
):
    _sync(hub, monkeypatch, _page(hub, [BOB], [ADA]))
    _sync(twin, monkeypatch, _page(twin, [BOB, ADA], []))
    wrong = digest(hub.store)

    report = replay(hub.context())
    normalise.run(hub.context())

    assert wrong != digest(twin.store)
    assert report.counts == {"read": 1, "loaded": 1, "unchanged": 0, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert digest(hub.store) == digest(twin.store)
    assert [one.resolution for one in entries(hub.store, Filter(closed=True))] == ["replayed"]


def test_what_is_still_unreadable_stays_where_it_is(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    page = hub.page([BOB])
    broken = bad_record(b'{"id": 1, "n": NaN}', "unreadable")
    _sync(hub, monkeypatch, Page(**{**page.__dict__, "records": (*page.records, broken), "wire": 2}))
    before = digest(hub.store)

    report = replay(hub.context())

    assert (report.counts["read"], report.counts["quarantined"]) == (1, 1)
    assert digest(hub.store) == before


def test_a_record_of_which_something_newer_is_landed_is_not_turned_back(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    _sync(hub, monkeypatch, _page(hub, [{**ADA, "first": "Augusta", "updated": "2026-02-01T00:00:00Z"}], [ADA]))
    hash_before = heads.known(hub.store, "toy", "person", ["1"])["1"].hash

    report = replay(hub.context())

    assert report.counts["filtered"] == 1
    assert heads.known(hub.store, "toy", "person", ["1"])["1"].hash == hash_before
    assert entries(hub.store, Filter()) == []


def test_a_load_that_goes_bad_stops_before_the_page_that_blew_the_fuse_and_goes_on_there(
    sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    hub = sqlite_hub
    many = [{**ADA, "id": number} for number in range(100, 151)]
    good = hub.page([BOB], after="p2")
    hub.vendor.pages = [good, _page(hub, [], many)]

    report = extract.run(hub.context())
    hub.vendor.pages = [hub.page([ADA])]
    after = extract.run(hub.context())

    assert (report.completeness, report.counts["loaded"], report.counts["quarantined"]) == ("PARTIAL", 1, 0)
    assert "51 of the last 52 records are bad, at most 50 may be (most often: 51 x too large" in report.error
    assert "quarantine: max_bad" in report.error
    assert hub.vendor.seen[1].position == {"kind": "SNAPSHOT", "at": {"after": "p2"}}
    assert after.completeness == "COMPLETE"
