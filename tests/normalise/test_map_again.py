"""Replay gives what would have been right at first: the store that had the bug equals the store that never had it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from pipelines import extract, normalise
from pipelines.normalise.replay import replay
from pipelines.store import Store, digest
from pipelines.store.quarantine_reads import Filter, entries
from tests._hub import MAPPING, Hub, make_hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "email": "ada@example.org", "updated": "2026-01-01T00:00:00Z"}
BOB = {**ADA, "id": 2, "first": "Bob", "email": "bob@example.org"}
BORN = {"born": "1815-12-10"}
FEB, MAR = {"updated": "2026-02-01T00:00:00Z"}, {"updated": "2026-03-01T00:00:00Z"}
BUG = MAPPING.replace("birth_date: born", "birth_date: {path: born, format: '%d.%m.%Y'}")
HISTORIES = {
    "new and bad": [[BOB, {**ADA, **BORN}]],
    "good, then bad": [[ADA], [{**ADA, **BORN, **FEB, "first": "Augusta"}]],
    "good, bad, good": [[ADA], [{**ADA, **BORN, **FEB, "first": "X"}], [{**ADA, **MAR}]],
    "good, bad, good in one load": [[ADA, {**ADA, **BORN, **FEB, "first": "X"}, {**ADA, **MAR}]],
    "bad, then deleted": [[{**ADA, **BORN}], [{**ADA, **FEB, "gone": "true"}]],
    "bad twice": [[{**ADA, **BORN}], [{**ADA, **BORN, **FEB, "email": None}]],
    "deleted, then bad": [[ADA], [{**ADA, **FEB, "gone": "true"}], [{**ADA, **BORN, **MAR}]],
}


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A second hub, which never has the bug."""
    with Store.open(f"sqlite:///{tmp_path}/twin/store.db") as store:
        yield make_hub(tmp_path / "twin", store, monkeypatch)


def _sync(hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> Any:
    monkeypatch.setattr(extract, "read_stream", hub.vendor.read_stream)
    hub.vendor.pages = [hub.page(records)]
    extract.run(hub.context())
    return normalise.run(hub.context())


def _loads() -> Iterator[list[dict[str, Any]]]:
    """Each history is one person's; they are lived side by side."""
    for batch in zip_longest(*HISTORIES.values(), fillvalue=[]):
        yield [{**record, "id": f"{number}-{record['id']}"} for number, part in enumerate(batch) for record in part]


@pytest.mark.parametrize("version", ["version: 1", "version: 2"], ids=["same version", "new version"])
def test_the_store_that_had_the_bug_equals_the_one_that_never_had_it(
    hub: Hub, twin: Hub, monkeypatch: pytest.MonkeyPatch, version: str
):
    fixed = MAPPING.replace("version: 1", version)
    hub.remap(BUG)
    twin.remap(fixed)
    bad = 0
    for records in _loads():
        bad += _sync(hub, monkeypatch, records).counts["quarantined"]
        _sync(twin, monkeypatch, records)
    right, wrong = digest(twin.store), digest(hub.store)

    hub.remap(fixed)
    report = replay(hub.context())

    assert bad == len(HISTORIES) + 1
    assert wrong != right
    assert report.error is None
    assert digest(hub.store) == right
    assert entries(hub.store, Filter()) == []
    assert {one.resolution for one in entries(hub.store, Filter(closed=True))} == {"replayed"}


def test_what_is_still_bad_keeps_its_entry_and_its_earlier_rows(sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch):
    sqlite_hub.remap(BUG)
    _sync(sqlite_hub, monkeypatch, [ADA])
    _sync(sqlite_hub, monkeypatch, [{**ADA, **BORN, **FEB, "first": "X"}])
    before, (waiting,) = digest(sqlite_hub.store), entries(sqlite_hub.store, Filter())

    report = replay(sqlite_hub.context())

    assert report.counts["quarantined"] == 1
    assert digest(sqlite_hub.store) == before
    assert [one.quarantine_id for one in entries(sqlite_hub.store, Filter())] == [waiting.quarantine_id]


def test_only_the_chosen_entries_are_replayed(sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch):
    sqlite_hub.remap(BUG)
    _sync(sqlite_hub, monkeypatch, [{**ADA, **BORN}, {**BOB, **BORN}])
    first, second = entries(sqlite_hub.store, Filter())
    sqlite_hub.remap(MAPPING)

    replay(sqlite_hub.context(), ids=[second.quarantine_id])

    assert entries(sqlite_hub.store, Filter()) == [first]


def test_a_second_replay_finds_nothing_to_do(sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch):
    sqlite_hub.remap(BUG)
    _sync(sqlite_hub, monkeypatch, [{**ADA, **BORN}])
    sqlite_hub.remap(MAPPING)
    replay(sqlite_hub.context())

    assert replay(sqlite_hub.context()).counts["read"] == 0


def test_a_run_of_records_that_go_bad_stops_normalise_before_they_are_written(
    sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    sqlite_hub.remap(BUG)
    report = _sync(sqlite_hub, monkeypatch, [{**ADA, **BORN, "id": number} for number in range(60)])

    assert "51 of the last 51 records are bad, at most 50 may be" in report.error
    assert "born: " in report.error
    assert entries(sqlite_hub.store, Filter()) == []
    sqlite_hub.remap(MAPPING)
    assert normalise.run(sqlite_hub.context()).counts["mapped"] == 60


def test_an_account_that_does_not_add_up_is_refused_before_anything_is_written(
    sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    from connectors.sdk.errors import Unaccounted
    from pipelines.normalise.unit import Unit

    monkeypatch.setattr(Unit, "_count", lambda self, mapped: self.counts.update(read=mapped.read + 1))

    with pytest.raises(Unaccounted, match="2 read are not 0 mapped"):
        _sync(sqlite_hub, monkeypatch, [ADA])

    empty = digest(sqlite_hub.store)["person"]
    monkeypatch.undo()
    assert normalise.run(sqlite_hub.context()).counts["mapped"] == 1
    assert digest(sqlite_hub.store)["person"] != empty
