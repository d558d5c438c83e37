"""The commit protocol: what a segment brings is there together or not at all, and a killed read goes on where it was."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from connectors.sdk.errors import FixConfig
from pipelines.store import Store, heads, quarantine, reads
from tests.store import protocol
from tests.store.rows import DAY, INSTANT, T, writing

CRM, STREAM, WHOLE = "crm", "contacts", ""
FILE = {"name": "f.parquet", "first": 0, "rows": 1}


def landed(*keys: str, hash_of: str = "h", op: str = "upsert") -> pa.Table:
    n = len(keys)
    return pa.table(
        {
            "source_key": pa.array(keys, pa.string()),
            "row_no": pa.array(range(n), pa.int64()),
            "hash": [f"{hash_of}{key}" for key in keys],
            "op": [op] * n,
            "record_time": pa.array([DAY] * n, INSTANT),
        }
    )


def opened(store: Store, kind: str = "snapshot", partition: str = WHOLE, stream: str = STREAM) -> reads.OpenRead:
    with writing(store) as tx:
        load_id = reads.open_load(tx, CRM, stream)
        return protocol.open_read(tx, load_id, CRM, stream, partition, kind)


def commit(store: Store, read: reads.OpenRead, *keys: str, **part: Any) -> None:
    n = len(keys)
    rows = landed(*keys, hash_of=part.pop("hash_of", "h"), op=part.pop("op", "upsert")) if keys else None
    files = [{"name": "f.parquet", "first": 0, "rows": n}] if keys else []
    bad = part["quarantine"].num_rows if "quarantine" in part else 0
    counts = part.pop("counts", {"wire": n + bad, "loaded": n, "quarantined": bad})
    segment = reads.Segment("contact", heads=rows, files=files, records=n, counts=counts, **part)
    with writing(store) as tx:
        protocol.commit_segment(tx, read, segment)


def finish(store: Store, read: reads.OpenRead, completeness: str = "COMPLETE", **end: Any) -> reads.LoadResult:
    with writing(store) as tx:
        protocol.finish_read(tx, read, completeness, **end)
        return reads.finish_load(tx, read.load_id)


def test_a_read_that_was_killed_goes_on_at_its_last_committed_position(store: Store):
    first = opened(store)
    commit(store, first, "1", position={"after": "p2"})

    second = opened(store)

    assert (first.resumed, first.position) == (False, None)
    assert (second.resumed, second.position, second.read_id) == (True, {"after": "p2"}, first.read_id)
    assert second.load_id != first.load_id


def test_reads_of_two_kinds_go_on_side_by_side_each_from_its_own_position(store: Store):
    whole = opened(store, "BACKFILL")
    commit(store, whole, "1", position={"after": "p2"})
    changes = opened(store, "INCREMENTAL")
    commit(store, changes, "2", position={"after": "c9"})
    finish(store, changes, cursor="c1")

    again = opened(store, "BACKFILL")

    assert (again.resumed, again.position, again.read_id) == (True, {"after": "p2"}, whole.read_id)
    rows = {row.state: row for row in reads.partitions(store, CRM, STREAM)}
    assert (rows["incremental"].cursor, rows["incremental"].open_read_id) == ("c1", None)
    assert (rows["backfill"].cursor, rows["backfill"].open_read_id) == (None, whole.read_id)


def test_a_refused_position_abandons_only_the_read_it_belongs_to(store: Store):
    whole, changes = opened(store, "BACKFILL"), opened(store, "INCREMENTAL")

    with writing(store) as tx:
        again = protocol.open_read(tx, changes.load_id, CRM, STREAM, WHOLE, "INCREMENTAL", restart=True)

    found = {row.read_id: (row.status, row.restarted) for row in store.read(select(T["read"]))}
    assert found == {
        whole.read_id: ("open", False),
        changes.read_id: ("abandoned", False),
        again.read_id: ("open", True),
    }


def test_only_a_complete_read_moves_the_cursor(store: Store):
    finish(store, opened(store), cursor="c1", parent_hash="h1")
    finish(store, opened(store), "PARTIAL", cursor="c2", parent_hash="h2")

    row = reads.partition(store, CRM, STREAM, WHOLE)

    assert row is not None
    assert (row.cursor, row.parent_hash, row.completeness, row.open_read_id) == ("c1", "h1", "PARTIAL", None)
    assert opened(store).cursor == "c1"


def test_an_unknown_partition_has_no_state(store: Store):
    assert reads.partition(store, CRM, STREAM, "elsewhere") is None


def test_a_load_sums_its_segments_and_takes_the_worst_verdict_of_its_reads(store: Store):
    with writing(store) as tx:
        load_id = reads.open_load(tx, CRM, STREAM)
        email, sms = (protocol.open_read(tx, load_id, CRM, STREAM, name, "snapshot") for name in ("email", "sms"))
    commit(store, email, "1", counts={"wire": 3, "loaded": 1, "unchanged": 2})
    commit(store, sms, "2", counts={"wire": 1, "loaded": 1})
    finish(store, email)

    result = finish(store, sms, "NO_ACCESS", reason="scope crm.read is missing")

    assert result.completeness == "NO_ACCESS"
    assert result.counts == {"wire": 4, "loaded": 2, "unchanged": 2, "duplicate": 0, "filtered": 0, "quarantined": 0}


def test_a_load_with_an_open_read_is_partial(store: Store):
    read = opened(store)

    with writing(store) as tx:
        assert reads.finish_load(tx, read.load_id).completeness == "PARTIAL"


def test_a_misspelt_count_is_refused(store: Store):
    with pytest.raises(ValueError, match=r"unknown counts \['lodaed'\]; known: wire"):
        commit(store, opened(store), "1", counts={"lodaed": 1})


def test_heads_tell_what_was_landed_before(store: Store):
    read = opened(store)
    commit(store, read, "1", "2")

    known = heads.known(store, CRM, "contact", ["2", "3"])

    assert [(key, row.hash, row.op, row.last_read) for key, row in known.items()] == [
        ("2", "h2", "upsert", read.read_id)
    ]
    assert heads.known(store, CRM, "contact", []) == {}


def test_a_head_seen_again_unchanged_belongs_to_the_newer_read(store: Store):
    first = opened(store)
    commit(store, first, "1", "2")
    finish(store, first)
    second = opened(store)
    ids = pa.array([heads.known(store, CRM, "contact", ["1"])["1"].source_record_id], pa.int64())

    commit(store, second, seen=ids)

    assert heads.absent(store, CRM, "contact", [second.read_id]).column("source_key").to_pylist() == ["2"]


def test_segments_are_consumed_in_commit_order_from_a_watermark(store: Store):
    read = opened(store)
    commit(store, read, "1", position={"after": "p1"})
    commit(store, read, "2", position={"after": "p2"})

    found = heads.segments_after(store, CRM, STREAM, 0)
    rest = heads.segments_after(store, CRM, STREAM, found[0].change_seq)

    first, second = (each.segment_id for each in found)
    assert first < second
    assert reads.partition(store, CRM, STREAM, WHOLE).position == {"after": "p2"}
    assert [(each.segment_id, each.files, each.kind, each.object) for each in rest] == [
        (second, [FILE], "snapshot", "contact")
    ]
    assert heads.segments(store, [second]) == {second: [FILE]}
    assert heads.committed_files(store, CRM, STREAM) == [FILE, FILE]


def test_a_new_mapping_version_reads_only_heads_it_has_not_read(store: Store):
    commit(store, opened(store), "1", "2")
    ids = heads.stale_heads(store, CRM, "contact", 1).column("source_record_id")
    assert len(ids) == 2

    with writing(store) as tx:
        assert heads.mark_mapped(tx, ids.slice(0, 1), 1) == 1

    assert heads.stale_heads(store, CRM, "contact", 1).column("source_key").to_pylist() == ["2"]
    assert heads.stale_heads(store, CRM, "contact", 2).num_rows == 2


def test_only_parents_changed_since_the_childs_complete_read_are_read_again(store: Store):
    commit(store, opened(store, stream="tickets"), "1", "2", "3")
    for key, verdict in (("1", "COMPLETE"), ("2", "PARTIAL")):
        finish(store, opened(store, partition=key, stream="comments"), verdict, parent_hash=f"h{key}")

    def changed(*, changed_only: bool = True) -> list[str]:
        return (
            heads.parents(store, CRM, "contact", "comments", changed_only=changed_only).column("source_key").to_pylist()
        )

    assert changed() == ["2", "3"]
    assert changed(changed_only=False) == ["1", "2", "3"]
    commit(store, opened(store, stream="tickets"), "1", hash_of="new")
    assert changed() == ["1", "2", "3"]
    commit(store, opened(store, stream="tickets"), "2", op="delete")
    assert changed() == ["1", "3"]


def test_a_segment_that_fails_anywhere_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    read = opened(store)
    before = {
        name: store.read(select(T[name]))
        for name in ("segment", "raw_head", "source_record", "quarantine", "partition_state")
    }

    def fail(*_args: Any) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(quarantine, "add", fail)
    with pytest.raises(RuntimeError, match="injected"):
        commit(store, read, "1", position={"after": "p2"}, quarantine=pa.table({"reason": ["bad"]}))

    assert {name: store.read(select(T[name])) for name in before} == before


def test_a_connection_keeps_the_id_of_its_first_sync(store: Store):
    with writing(store) as tx:
        first = reads.register_connection(tx, "crm", "hubspot", 0)
        second = reads.register_connection(tx, "crm", "hubspot", 0)

    assert first == second
    with pytest.raises(FixConfig, match="was synced with connector 'hubspot', not 'zendesk'"), writing(store) as tx:
        reads.register_connection(tx, "crm", "zendesk", 0)
