"""Records kept field by field are the same records."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.sdk.protocols import Problem, RawRecord, Records

GOOD = RawRecord("1", b"{}", "h1", datetime(2026, 1, 1, tzinfo=UTC), "c1", "upsert", b"p")
GONE = RawRecord("2", b"[]", "h2", None, None, "delete")
BAD = RawRecord(None, b"?", problem=Problem("unreadable", ""))


def test_records_come_out_as_they_went_in():
    records = Records.of([GOOD, GONE, BAD])

    assert list(records) == [GOOD, GONE, BAD]
    assert (records[1], records[-1]) == (GONE, BAD)
    assert records[1:] == [GONE, BAD]
    assert records != [GOOD, GONE]
    assert Records.of(records) is records


def test_no_records_are_records_too():
    assert list(Records()) == []
    assert Records() == ()
    assert Records().are_good


def test_records_grow_by_one_and_by_many():
    records = Records()
    records.append(GOOD)
    records.extend(Records.of([GONE, BAD]))

    assert records == (GOOD, GONE, BAD)
    assert records.keys == ["1", "2", None]


def test_one_bad_record_is_seen_among_good_ones():
    assert Records.of([GOOD, GONE]).are_good
    assert not Records.of([GOOD, BAD, GONE]).are_good
