"""A segment whose numbers do not agree is refused as a whole: an account that is broken cannot be committed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from connectors.sdk.errors import Unaccounted
from pipelines.store import Store, heads, quarantine, reads
from pipelines.store.quarantine_reads import Filter, entries
from tests.store import protocol
from tests.store.rows import DAY, INSTANT, writing

FILE = {"name": "f.parquet", "first": 0, "rows": 1}
BAD = pa.table({"reason": ["unreadable: NaN"], "raw": pa.array([b"{NaN}"], pa.binary())})


def opened(store: Store, kind: str = "SNAPSHOT") -> reads.OpenRead:
    with writing(store) as tx:
        load_id = reads.open_load(tx, "crm", "contacts", connector_version="1.2.3")
        return protocol.open_read(tx, load_id, "crm", "contacts", "", kind)


def landed(key: str) -> pa.Table:
    columns = {"source_key": [key], "row_no": pa.array([0], pa.int64()), "hash": ["h"], "op": ["upsert"]}
    return pa.table({**columns, "record_time": pa.array([DAY], INSTANT)})


def commit(store: Store, read: reads.OpenRead, **part: Any) -> None:
    with writing(store) as tx:
        protocol.commit_segment(tx, read, reads.Segment("contact", **part))


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"counts": {"wire": 2, "loaded": 1}, "files": [FILE], "records": 1}, "2 records came over the wire, 1 are"),
        (
            {"counts": {"wire": 1, "loaded": 1, "duplicate": 1}, "files": [FILE], "records": 1},
            "1 records came .*, 2 are",
        ),
        ({"counts": {"wire": 1, "loaded": 1}, "files": [], "records": 1}, "1 records count as loaded, 0 were written"),
        ({"counts": {"wire": 1, "quarantined": 1}}, "1 records count as quarantined, 0 are kept"),
        ({"counts": {}, "quarantine": BAD}, "0 records count as quarantined, 1 are kept"),
    ],
)
def test_a_segment_that_does_not_add_up_is_refused_and_leaves_nothing_behind(
    store: Store, part: dict[str, Any], told: str
):
    read = opened(store)

    with pytest.raises(Unaccounted, match=told):
        commit(store, read, heads=landed("1"), position={"after": "p2"}, **part)

    assert heads.segments_after(store, "crm", "contacts", 0) == []
    assert entries(store, Filter()) == []
    assert reads.partition(store, "crm", "contacts", "").position is None


def test_an_entry_names_the_load_the_read_and_the_version_that_met_it(store: Store):
    read = opened(store)
    commit(store, read, counts={"wire": 1, "quarantined": 1}, quarantine=BAD)

    (entry,) = entries(store, Filter())
    assert (entry.load_id, entry.read_id, entry.schema_version) == (read.load_id, read.read_id, "1.2.3")
    assert entry.entered_at is not None


def test_a_keyed_entry_is_mended_when_the_record_is_landed_or_met_again_in_good_order(store: Store):
    bad = BAD.append_column("object", pa.array(["contact"])).append_column("source_key", pa.array(["1"]))
    read = opened(store)
    commit(store, read, counts={"wire": 1, "quarantined": 1}, quarantine=bad)
    commit(store, read, counts={"wire": 1, "loaded": 1}, files=[FILE], records=1, heads=landed("1"))
    landed_then = quarantine.open_count(store, "crm", "contacts")
    commit(store, read, counts={"wire": 1, "quarantined": 1}, quarantine=bad)
    known = heads.known(store, "crm", "contact", ["1"])["1"].source_record_id
    commit(store, read, counts={"wire": 1, "unchanged": 1}, seen=pa.array([known], pa.int64()))

    assert landed_then == 0
    assert [one.resolution for one in entries(store, Filter(closed=True))] == ["mended", "mended"]


def test_a_keyless_entry_is_gone_when_a_complete_snapshot_no_longer_holds_it(store: Store):
    first = opened(store)
    commit(store, first, counts={"wire": 1, "quarantined": 1}, quarantine=BAD)
    with writing(store) as tx:
        protocol.finish_read(tx, first, "COMPLETE")
    still = quarantine.open_count(store, "crm", "contacts")
    met = opened(store)
    commit(store, met, counts={"wire": 1, "quarantined": 1}, quarantine=BAD)
    with writing(store) as tx:
        protocol.finish_read(tx, met, "COMPLETE")
    still_there = quarantine.open_count(store, "crm", "contacts")
    without = opened(store)
    with writing(store) as tx:
        protocol.finish_read(tx, without, "COMPLETE")

    assert (still, still_there) == (1, 1)
    assert [one.resolution for one in entries(store, Filter(closed=True))] == ["gone"]


def test_an_incomplete_snapshot_proves_nothing_about_a_keyless_entry(store: Store):
    first = opened(store)
    commit(store, first, counts={"wire": 1, "quarantined": 1}, quarantine=BAD)
    with writing(store) as tx:
        protocol.finish_read(tx, first, "COMPLETE")
    second = opened(store)
    with writing(store) as tx:
        protocol.finish_read(tx, second, "PARTIAL")

    assert quarantine.open_count(store, "crm", "contacts") == 1
