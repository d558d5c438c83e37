"""Extract: nothing lost, nothing doubled, every record accounted for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from connectors.sdk.errors import RetryLater
from connectors.sdk.protocols import Completeness
from pipelines import extract, landing
from pipelines.extract.segments import SegmentWriter
from pipelines.store import heads
from tests._hub import Hub, bad_record

ADA = {"id": 1, "first": "Ada", "updated": "2026-01-01T00:00:00Z"}
BOB = {"id": 2, "first": "Bob", "updated": "2026-01-02T00:00:00Z"}
CAT = {"id": 3, "first": "Cat", "updated": "2026-01-03T00:00:00Z"}


def _landed(hub: Hub) -> list[str]:
    segments = heads.segments_after(hub.store, "toy", "people", 0)
    files = [file["name"] for segment in segments for file in segment.files]
    lake = landing.Landing(hub.config.landing_url)
    return [payload for name in dict.fromkeys(files) for payload in lake.read(name).column("payload").to_pylist()]


def test_payloads_land_as_the_vendor_wrote_them(hub: Hub):
    hub.vendor.pages = [hub.page([ADA, BOB])]

    report = extract.run(hub.context())

    assert report.completeness == "COMPLETE"
    assert _landed(hub)[0] == '{"id": 1, "first": "Ada", "updated": "2026-01-01T00:00:00Z"}'


def test_every_record_of_the_wire_is_accounted_for(hub: Hub):
    hub.vendor.pages = [hub.page([ADA, BOB])]
    extract.run(hub.context())
    page = hub.page([ADA, {**BOB, "last": "B"}, CAT, CAT, {**ADA, "first": "Old", "updated": "2025-01-01T00:00:00Z"}])
    page = page.__class__(
        **{**page.__dict__, "records": (*page.records, bad_record(b'{"x": NaN}', "not JSON")), "wire": page.wire + 1}
    )
    hub.vendor.pages = [page]

    report = extract.run(hub.context())

    assert report.counts == {"read": 6, "loaded": 2, "unchanged": 1, "duplicate": 1, "filtered": 1, "quarantined": 1}
    assert report.details["filtered_by"] == {"older than the version already landed": 1}


def test_member_order_and_volatile_parts_do_not_make_a_change(hub: Hub):
    hub.vendor.pages = [hub.page([ADA])]
    extract.run(hub.context())
    hub.vendor.pages = [hub.page([dict(reversed(ADA.items()))])]

    report = extract.run(hub.context())

    assert (report.counts["loaded"], report.counts["unchanged"]) == (0, 1)


def test_what_was_committed_before_an_error_stays_and_the_next_run_goes_on_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pipelines.extract.segments.SEGMENT_RECORDS", 1)
    hub.vendor.pages, hub.vendor.error = [hub.page([ADA], after="p2")], RetryLater("the vendor is down")

    first = extract.run(hub.context())
    hub.vendor.pages, hub.vendor.error = [hub.page([BOB])], None
    second = extract.run(hub.context())

    assert (first.completeness, first.error) == ("PARTIAL", "the vendor is down")
    assert hub.vendor.seen[1].position == {"kind": "SNAPSHOT", "at": {"after": "p2"}}
    assert second.completeness == "COMPLETE"
    assert len(_landed(hub)) == 2


def test_a_file_without_a_commit_does_not_exist_and_is_collected(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.vendor.pages = [hub.page([ADA])]
    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "_commit", _die)
        with pytest.raises(SystemExit):
            extract.run(hub.context())
    left_over = list(Path(hub.config.landing_url).rglob("*.parquet"))

    extract.run(hub.context())

    assert len(left_over) == 1
    assert not left_over[0].exists()
    assert len(_landed(hub)) == 1


def _die(*_: object) -> None:
    raise SystemExit(9)


def test_a_full_disk_ends_the_stream_with_what_to_do_and_nothing_is_lost(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.vendor.pages = [hub.page([ADA])]
    with monkeypatch.context() as patch:
        patch.setattr(landing, "_put", _no_space)
        failed = extract.run(hub.context())

    report = extract.run(hub.context())

    assert "free space there" in failed.error
    assert (failed.completeness, failed.counts["loaded"], report.counts["loaded"]) == ("PARTIAL", 0, 1)
    assert [path.suffix for path in Path(hub.config.landing_url).rglob("*") if path.is_file()] == [".parquet"]


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_incomplete_read_is_not_reported_as_complete(hub: Hub):
    page = hub.page([ADA])
    hub.vendor.pages = [
        page.__class__(
            **{**page.__dict__, "completeness": Completeness.NO_ACCESS, "reason": "403: give the scope read"}
        )
    ]

    report = extract.run(hub.context())

    assert (report.ok, report.completeness, report.details["reason"]) == (
        False,
        "NO_ACCESS",
        "403: give the scope read",
    )


def test_partitions_share_a_file_but_keep_their_own_positions(hub: Hub):
    hub.vendor.pages = [hub.page([ADA], partition="a", after="next"), hub.page([BOB], partition="b")]

    extract.run(hub.context())

    segments = heads.segments_after(hub.store, "toy", "people", 0)
    assert {segment.partition: segment.records for segment in segments} == {"a": 1, "b": 1}
    assert len({file["name"] for segment in segments for file in segment.files}) == 1
