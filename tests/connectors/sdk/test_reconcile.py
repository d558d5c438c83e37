"""A cursor that no change moves: it must be declared as what it is, and the stream is then read whole now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk import paths
from connectors.sdk.incremental import tells_creation
from connectors.sdk.manifest import ManifestError
from connectors.sdk.protocols import Completeness, ReadKind

from .vendor import Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from pathlib import Path

MADE = {"cursor_path": "created", "start_param": "since"}


@pytest.mark.parametrize(
    "name",
    ["created", "created_at", "createdAt", "properties.createdate", "meta.dateCreated", "CreationDate", "inserted_at",
     "submitted_at"],
)  # fmt: skip
def test_a_cursor_named_for_the_making_of_a_record_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="tells when a record was made") as refused:
        manifest(tmp_path, {"incremental": {**MADE, "cursor_path": name}})
    assert all(word in str(refused.value) for word in ("manifest.yaml:", "reconcile: 7d", "immutable: true"))


@pytest.mark.parametrize(
    "name", ["updated", "updated_at", "last_modified", "created_or_updated_at", "recreated", "datetime"]
)
def test_any_other_cursor_is_taken(tmp_path: Path, name: str) -> None:
    assert not tells_creation(paths.parse(name))
    assert manifest(tmp_path, {"incremental": {**MADE, "cursor_path": name}}).stream("things").incremental is not None


@pytest.mark.parametrize("more", [{"reconcile": "7d"}, {"immutable": True}])
def test_it_is_taken_once_it_is_declared(tmp_path: Path, more: dict[str, Any]) -> None:
    assert manifest(tmp_path, {"incremental": {**MADE, **more}}).stream("things").incremental is not None


def _read(hub: Hub, note: str, *, hours: float) -> list[ReadKind]:
    """Read a vendor that shows a record's newest content only to who lists everything."""
    hub.clock.at += timedelta(hours=hours)
    record = {"id": 1, "created": "2026-04-01T00:00:00Z", "note": note}
    hub.read(Vendor(lambda request: page([] if "since" in request.url.params else [record])))
    return [one.kind for one in hub.pages if one.completeness is Completeness.COMPLETE]


def test_the_stream_is_read_whole_when_the_last_whole_read_is_too_old(tmp_path: Path) -> None:
    hub = Hub(manifest(tmp_path, {"incremental": {**MADE, "reconcile": "1d"}}))
    assert _read(hub, "first", hours=0) == [ReadKind.BACKFILL]
    assert _read(hub, "changed", hours=23) == [ReadKind.INCREMENTAL]
    assert _read(hub, "changed", hours=1) == [ReadKind.BACKFILL]
    assert b"changed" in hub.records[0].payload
    assert _read(hub, "changed", hours=23) == [ReadKind.INCREMENTAL]


def test_a_whole_read_that_was_not_proven_does_not_count(tmp_path: Path) -> None:
    hub = Hub(manifest(tmp_path, {"incremental": {**MADE, "reconcile": "1d"}, "page_size": 1}))
    _read(hub, "first", hours=0)
    hub.clock.at += timedelta(hours=24)
    hub.read(Vendor([page([1])]))
    assert hub.pages[-1].completeness is Completeness.UNKNOWN
    hub.clock.at += timedelta(minutes=1)
    hub.read(Vendor([page([])]))
    assert hub.pages[-1].kind is ReadKind.BACKFILL
