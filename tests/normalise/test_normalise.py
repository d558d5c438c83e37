"""Normalise: each landed record becomes rows or a quarantine entry, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines import extract, normalise
from pipelines.normalise import parts, unit
from pipelines.store import heads
from tests._hub import MAPPING, Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "email": "Ada@Example.org", "updated": "2026-01-01T00:00:00Z"}
NOTE = {"id": 7, "about": "1", "text": "called", "updated": "2026-01-05T00:00:00Z"}


def _sync(hub: Hub, *records: dict[str, Any], stream: str = "people", full: bool = False) -> Any:
    hub.vendor.pages = [hub.page(records, stream=stream)]
    extract.run(hub.context(stream, full=full))
    return normalise.run(hub.context(stream, full=full))


def _people(hub: Hub) -> list[dict[str, Any]]:
    return _rows(hub, "person")


def _rows(hub: Hub, table: str) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from pipelines.store import tables

    return [dict(row._mapping) for row in hub.store.read(select(tables.metadata.tables[table]))]


def test_one_record_becomes_rows_of_several_entities(hub: Hub):
    report = _sync(hub, ADA)

    assert report.counts["emitted"] == 2
    assert (_people(hub)[0]["given_name"], _rows(hub, "contact_point")[0]["value_norm"]) == ("Ada", "ada@example.org")


def test_read_equals_mapped_plus_quarantined_and_emitted_equals_written_plus_unchanged(hub: Hub):
    report = _sync(hub, ADA, {**ADA, "id": 2, "born": "not a date"})

    counts = report.counts
    assert counts["read"] == counts["mapped"] + counts["quarantined"] == 2
    assert counts["emitted"] == counts["written"] + counts["unchanged"]


def test_a_record_that_does_not_convert_is_quarantined_with_reason_path_and_payload(hub: Hub):
    _sync(hub, {**ADA, "born": "not a date"})

    entry = _rows(hub, "quarantine")[0]
    assert (entry["stage"], entry["path"], entry["source_key"]) == ("normalise", "born", "1")
    assert b'"born": "not a date"' in entry["raw"]
    assert _people(hub) == []


def test_a_quarantined_change_leaves_the_earlier_rows_current_and_is_resolved_when_it_is_mended(hub: Hub):
    _sync(hub, ADA)
    _sync(hub, {**ADA, "first": "X", "born": "never", "updated": "2026-02-01T00:00:00Z"})
    before = _people(hub)[0]["given_name"]

    _sync(hub, {**ADA, "first": "Augusta", "updated": "2026-02-02T00:00:00Z"})

    assert (before, _people(hub)[0]["given_name"]) == ("Ada", "Augusta")
    assert _rows(hub, "quarantine")[0]["resolved_seq"] is not None


def test_a_second_run_without_changes_reads_nothing(hub: Hub):
    _sync(hub, ADA)

    report = _sync(hub, ADA)

    assert report.counts["read"] == 0


def test_what_a_record_no_longer_says_is_retired_and_kept_in_the_history(hub: Hub):
    _sync(hub, ADA)

    _sync(hub, {**ADA, "email": None, "updated": "2026-02-01T00:00:00Z"})

    point = _rows(hub, "contact_point")[0]
    assert (point["value_norm"], point["deleted_at"] is None) == ("ada@example.org", False)


def test_a_changed_row_keeps_its_earlier_version_with_the_span_it_was_known(hub: Hub):
    _sync(hub, ADA)
    _sync(hub, {**ADA, "last": "Lovelace", "updated": "2026-02-01T00:00:00Z"})

    old, new = _rows(hub, "person_version")[0], _people(hub)[0]
    assert (old["family_name"], new["family_name"]) == ("Byron", "Lovelace")
    assert old["known_from"] < old["known_to"] == new["known_from"]


def test_an_unchanged_value_keeps_the_time_it_was_set(hub: Hub):
    _sync(hub, ADA)

    _sync(hub, {**ADA, "last": "Lovelace", "updated": "2026-02-01T00:00:00Z"})

    assert _people(hub)[0]["term_times"] == {"given_name": "2026-01-01T00:00:00.000000Z"}


def test_a_reference_to_a_record_that_has_not_come_is_a_stub_that_the_record_replaces_under_its_id(hub: Hub):
    _sync(hub, NOTE, stream="notes")
    stub = next(row for row in _rows(hub, "source_record") if row["object"] == "person")

    _sync(hub, ADA)

    real = next(row for row in _rows(hub, "source_record") if row["object"] == "person")
    assert (stub["is_stub"], stub["entity"], real["is_stub"]) == (True, "person", False)
    assert _rows(hub, "interaction")[0]["party"] == stub["source_record_id"] == real["source_record_id"]


def test_a_deleted_record_leaves_its_rows_with_the_vendors_time_and_comes_back_when_it_is_served_again(hub: Hub):
    _sync(hub, ADA)
    _sync(hub, {**ADA, "gone": "true", "updated": "2026-02-01T00:00:00Z"})
    gone = _people(hub)[0]["deleted_at"]

    _sync(hub, {**ADA, "updated": "2026-02-03T00:00:00Z"})

    assert gone.isoformat() == "2026-02-01T00:00:00+00:00"
    assert _people(hub)[0]["deleted_at"] is None
    assert _rows(hub, "source_record")[0]["deleted_at"] is None


def test_a_new_mapping_version_reads_the_landed_heads_again_and_nothing_is_fetched_for_it(hub: Hub):
    _sync(hub, ADA)
    hub.remap(
        MAPPING.replace("version: 1", "version: 2").replace(
            "given_name: first", "given_name: {path: first, transform: [upper]}"
        )
    )

    report = normalise.run(hub.context())

    assert report.counts["read"] == 1
    assert _people(hub)[0]["given_name"] == "ADA"


def test_full_gives_the_same_rows(hub: Hub):
    _sync(hub, ADA)
    _sync(hub, {**ADA, "last": "Lovelace", "updated": "2026-02-01T00:00:00Z"})
    before = _people(hub)

    report = normalise.run(hub.context(full=True))

    assert report.counts == {**report.counts, "read": 1, "written": 0}
    assert _people(hub) == before


def test_two_versions_of_one_record_in_one_batch_both_count_and_the_later_one_is_current(hub: Hub):
    hub.vendor.pages = [hub.page([ADA, {**ADA, "first": "Augusta", "updated": "2026-01-02T00:00:00Z"}])]
    extract.run(hub.context())

    report = normalise.run(hub.context())

    assert (report.counts["read"], _people(hub)[0]["given_name"]) == (2, "Augusta")
    assert _rows(hub, "person_version")[0]["given_name"] == "Ada"


def test_heads_are_looked_through_only_when_the_mapping_has_another_version_than_at_the_last_end(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    looked = []
    stale_heads = heads.stale_heads
    monkeypatch.setattr(
        heads, "stale_heads", lambda *given, **named: (looked.append(1), stale_heads(*given, **named))[1]
    )

    _sync(hub, ADA)
    _sync(hub, {**ADA, "id": 2})
    assert looked == []
    hub.remap(MAPPING.replace("version: 1", "version: 2"))
    assert normalise.run(hub.context()).counts["read"] == 2
    assert normalise.run(hub.context()).counts["read"] == 0
    assert len(looked) == 1
    assert normalise.run(hub.context(full=True)).counts["read"] == 2


def test_a_first_run_that_broke_off_leaves_no_head_to_an_older_mapping(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    for record in (ADA, {**ADA, "id": 2}):
        hub.vendor.pages = [hub.page([record])]
        extract.run(hub.context())
    monkeypatch.setattr(parts, "BATCH_ROWS", 1)
    store_part = unit.Unit._store

    def breaks_off(self: unit.Unit, *given: Any) -> None:
        if self.counts["read"]:
            raise KeyboardInterrupt
        store_part(self, *given)

    monkeypatch.setattr(unit.Unit, "_store", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        normalise.run(hub.context())
    monkeypatch.setattr(unit.Unit, "_store", store_part)
    hub.remap(MAPPING.replace("version: 1", "version: 2").replace("given_name: first", "given_name: last"))
    normalise.run(hub.context())

    assert [row["given_name"] for row in _people(hub)] == ["Byron", "Byron"]
    assert {row["mapping_version"] for row in _rows(hub, "raw_head")} == {2}
