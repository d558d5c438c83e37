"""Records below a deleted parent: they follow it where the manifest says so, and are never left alive unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.errors import FixConnector
from connectors.sdk.manifest import load_manifest
from connectors.sdk.protocols import ReadKind
from pipelines import extract, normalise
from pipelines.extract import deletes
from tests import _hub
from tests._hub import Hub, make_hub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipelines.report import StageReport
    from pipelines.store import Store

pytestmark = pytest.mark.slow  # each goes through whole stages

_NOTES = "path: /notes"
_BELOW = 'path: "/people/{parent.pid}/notes"\n    parent: {stream: people, bind: {pid: id}}'
_LIVE = "SELECT source_key FROM source_record WHERE deleted_at IS NULL AND object = 'note' ORDER BY source_key"
_TOLD = "SELECT count(*) FROM interaction WHERE deleted_at IS NULL"


def _make(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch, word: str = "") -> Hub:
    monkeypatch.setattr(_hub, "MANIFEST", _hub.MANIFEST.replace(_NOTES, _BELOW + word))
    return make_hub(folder, store, monkeypatch)


@pytest.fixture
def hub(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose notes die with the person they are on."""
    return _make(tmp_path, store, monkeypatch, "\n    deleted: {with_parent: true}")


def people(hub: Hub, *numbers: int, gone: bool = False, at: str = "2026-01-01") -> StageReport:
    mark = {"gone": True} if gone else {}
    rows = [{"id": n, "first": "P", "updated": f"{at}T00:00:00Z", **mark} for n in numbers]
    return _sync(hub, "people", [replace(hub.page(rows), kind=ReadKind.INCREMENTAL)])


def notes(hub: Hub, held: dict[int, Iterable[int]] | None = None) -> StageReport:
    """Show the notes of these people, each person a part of the stream."""
    pages = []
    for number, keys in (held or {}).items():
        rows = [{"id": key, "text": "n", "about": number, "updated": "2026-01-01T00:00:00Z"} for key in keys]
        pages.append(replace(hub.page(rows, stream="notes", partition=f"people={number}"), parent_hash="h"))
    return _sync(hub, "notes", pages)


def _sync(hub: Hub, stream: str, pages: list[Any]) -> StageReport:
    hub.vendor.pages = pages
    report = extract.run(hub.context(stream))
    normalise.run(hub.context(stream))
    return report


def live(hub: Hub) -> list[str]:
    with hub.store.engine.connect() as connection:
        keys = [key for (key,) in connection.exec_driver_sql(_LIVE)]
        assert connection.exec_driver_sql(_TOLD).scalar_one() == len(keys)
    return keys


def test_the_records_of_a_deleted_parent_are_deleted_with_it(hub: Hub) -> None:
    people(hub, 1, 2)
    notes(hub, {1: [10, 11], 2: [20]})
    people(hub, 1, gone=True, at="2026-01-02")
    assert live(hub) == ["10", "11", "20"], "nothing of this stream was read yet"

    report = notes(hub)

    assert (report.ok, live(hub)) == (True, ["20"])
    assert report.details["deletes"] == {"with_parent": 2, "deleted": 2, "live": 3, "fuse": 50}
    assert notes(hub).details == {}


def test_they_need_no_fuse_of_their_own_since_the_parent_had_one(hub: Hub) -> None:
    people(hub, *range(10))
    notes(hub, {number: range(100 * number, 100 * number + 30) for number in range(10)})
    people(hub, *range(8), gone=True, at="2026-01-02")

    report = notes(hub)

    assert report.ok
    assert report.details["deletes"]["deleted"] == 240
    assert len(live(hub)) == 60


def test_a_parent_whose_delete_waits_for_the_fuse_keeps_its_records(hub: Hub) -> None:
    everybody = range(deletes.FUSE_FLOOR + 10)
    people(hub, *everybody)
    notes(hub, {1: [10]})
    assert not people(hub, *everybody, gone=True, at="2026-01-02").ok

    assert notes(hub).details == {}
    assert live(hub) == ["10"]


def test_a_parent_that_comes_back_is_read_from_the_beginning_and_its_records_live_again(hub: Hub) -> None:
    people(hub, 1)
    notes(hub, {1: [10]})
    people(hub, 1, gone=True, at="2026-01-02")
    notes(hub)
    assert live(hub) == []
    people(hub, 1, at="2026-01-03")

    hub.vendor.seen.clear()
    with hub.store.engine.connect() as connection:
        states = connection.exec_driver_sql("SELECT count(*) FROM partition_state WHERE stream = 'notes'").scalar_one()
    notes(hub, {1: [10]})

    assert states == 0, "with its old state it would count as unchanged, and never be read"
    assert live(hub) == ["10"]


def test_a_record_that_was_met_below_another_parent_since_stays(hub: Hub) -> None:
    people(hub, 1, 2)
    notes(hub, {1: [10], 2: [20]})
    hub.vendor.pages = []
    moved = hub.page(
        [{"id": 10, "text": "n", "about": 1, "updated": "2026-01-01T00:00:00Z"}], stream="notes", partition="people=2"
    )
    _sync(hub, "notes", [moved])
    people(hub, 1, gone=True, at="2026-01-02")

    notes(hub)

    assert live(hub) == ["10", "20"]


def test_records_that_outlive_their_parents_stay_and_nobody_is_told(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = _make(tmp_path, store, monkeypatch, "\n    deleted: {with_parent: false}")
    people(hub, 1)
    notes(hub, {1: [10]})
    people(hub, 1, gone=True, at="2026-01-02")

    assert notes(hub).details == {}
    assert live(hub) == ["10"]


def test_where_the_manifest_says_nothing_they_stay_and_every_load_says_how_many(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = _make(tmp_path, store, monkeypatch)
    people(hub, 1, 2)
    notes(hub, {1: [10, 11], 2: [20]})
    people(hub, 1, gone=True, at="2026-01-02")

    for _ in range(2):
        report = notes(hub)

    assert (report.ok, live(hub)) == (True, ["10", "11", "20"])
    assert report.details["deletes"] == {"deleted": 0, "live": 3, "fuse": 50, "orphaned": 2}


def test_only_a_child_stream_may_speak_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _hub.MANIFEST.replace(_NOTES, _NOTES + "\n    deleted: {with_parent: true}")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "manifest.yaml").write_text(text)

    with pytest.raises(FixConnector, match="has no parent"):
        load_manifest(tmp_path / "toy" / "manifest.yaml")
