"""When a stream was last read whole is known from the store, so that it can be due again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connectors.sdk.protocols import Completeness, Page, ReadKind
from pipelines import extract
from tests._hub import MANIFEST, NOW, Hub

ADA = {"id": 1, "first": "Ada", "made": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z"}
CURSOR = "    incremental: {cursor_path: created, start_param: since, reconcile: 1d}\n"


def _sync(hub: Hub, kind: ReadKind, end: Completeness, *, hours: int) -> None:
    page: Page = replace(hub.page([ADA]), kind=kind, completeness=end, cursor="2026-01-01T00:00:00.000000Z")
    hub.vendor.pages = [page]
    extract.run(replace(hub.context(), now=lambda: NOW + timedelta(hours=hours)))


def test_only_complete_reads_of_everything_count(hub: Hub):
    folder = hub.connection.connector.path
    (folder / "manifest.yaml").write_text(
        MANIFEST.replace('    deleted: {path: gone, equals: "true"}\n', CURSOR, 1), encoding="utf-8"
    )
    hub.remap((folder / "mapping.yaml").read_text(encoding="utf-8"))

    _sync(hub, ReadKind.BACKFILL, Completeness.COMPLETE, hours=0)
    _sync(hub, ReadKind.INCREMENTAL, Completeness.COMPLETE, hours=1)
    _sync(hub, ReadKind.BACKFILL, Completeness.UNKNOWN, hours=2)
    _sync(hub, ReadKind.BACKFILL, Completeness.COMPLETE, hours=3)
    _sync(hub, ReadKind.INCREMENTAL, Completeness.COMPLETE, hours=4)

    seen = [state and state.whole for state in hub.vendor.seen]
    assert seen == [None, NOW, NOW, NOW, NOW + timedelta(hours=3)]


def test_a_stream_that_is_never_due_does_not_ask(hub: Hub):
    _sync(hub, ReadKind.SNAPSHOT, Completeness.COMPLETE, hours=0)
    _sync(hub, ReadKind.SNAPSHOT, Completeness.COMPLETE, hours=1)
    assert [state and state.whole for state in hub.vendor.seen] == [None, None]
