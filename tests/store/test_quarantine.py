"""A quarantined record keeps its raw payload and its reason, is there once, and leaves when it goes through."""

from __future__ import annotations

import pyarrow as pa
import pytest
from sqlalchemy import select

from pipelines.store import Store, quarantine
from pipelines.store.quarantine_reads import Filter, entries, payloads, summary
from tests.store.rows import T, writing

PLACE = ("normalise", "crm", "contacts")


def entry(*keys: str | None, reason: str = "not a number", raw: bytes = b'{"a":"\x00"}') -> pa.Table:
    n = len(keys)
    columns = {"object": ["contact"] * n, "source_key": pa.array(keys, pa.string()), "reason": [reason] * n}
    return pa.table({**columns, "path": ["properties.age"] * n, "raw": pa.array([raw] * n, pa.binary())})


def add(store: Store, rows: pa.Table) -> int:
    with writing(store) as tx:
        return quarantine.add(tx, *PLACE, rows)


def reasons(store: Store) -> list[str]:
    q = T["quarantine"].c
    return [row.reason for row in store.read(select(q.reason).where(q.resolved_seq.is_(None)).order_by(q.reason))]


def test_the_raw_payload_is_kept_byte_for_byte(store: Store):
    raw = bytes(range(256)) + '"é,'.encode()
    add(store, entry("1", raw=raw))

    q = T["quarantine"].c
    assert store.read(select(q.raw, q.path)) == [(raw, "properties.age")]
    assert store.read_arrow(select(q.raw)).to_pylist() == [{"raw": raw}]


def test_the_same_record_is_there_once_with_its_newest_reason(store: Store):
    add(store, entry("1", reason="first"))
    add(store, entry("1", reason="second"))

    assert reasons(store) == ["second"]
    assert quarantine.open_count(store, "crm", "contacts") == 1


def test_a_keyless_record_met_again_is_not_entered_twice(store: Store):
    assert add(store, entry(None, raw=b"a")) == 1
    assert add(store, entry(None, raw=b"a")) == 0
    assert add(store, entry(None, raw=b"b")) == 1


def test_a_record_that_goes_through_leaves_quarantine(store: Store):
    add(store, entry("1", "2"))

    with writing(store) as tx:
        closed = quarantine.resolve(tx, *PLACE, pa.table({"object": ["contact"] * 2, "source_key": ["1", "9"]}))

    assert closed == 1
    assert quarantine.open_count(store, "crm", "contacts") == 1


def test_an_unknown_column_is_refused(store: Store):
    with pytest.raises(ValueError, match="unknown quarantine columns"):
        add(store, pa.table({"reasons": ["bad"]}))


def test_the_same_fault_met_again_keeps_its_entry(store: Store):
    add(store, entry("1", raw=b"a"))
    (first,) = entries(store, Filter())

    assert add(store, entry("1", raw=b"a")) == 0
    assert [one.quarantine_id for one in entries(store, Filter())] == [first.quarantine_id]


def test_a_newer_bad_version_supersedes_the_older_one_which_stays_to_be_seen(store: Store):
    add(store, entry("1", raw=b"a"))
    add(store, entry("1", raw=b"b"))

    assert [one.resolution for one in entries(store, Filter(closed=True))] == ["superseded", None]


def test_two_bad_versions_of_a_record_in_one_batch_leave_the_later_one_open(store: Store):
    rows = pa.concat_tables([entry("1", raw=b"a", reason="first"), entry("1", raw=b"b", reason="second")])
    add(store, rows)

    assert reasons(store) == ["second"]


def test_discarded_content_never_comes_back_and_says_who_gave_it_up_and_why(store: Store):
    add(store, entry("1", raw=b"a"))
    add(store, entry(None, raw=b"k"))
    numbers = [one.quarantine_id for one in entries(store, Filter())]
    with store.acquire("x") as lease, store.write(lease, cause="discard", actor="user:ann") as tx:
        assert quarantine.discard(tx, numbers, "test data") == 2

    assert add(store, pa.concat_tables([entry("1", raw=b"a", reason="another"), entry(None, raw=b"k")])) == 0
    assert add(store, entry("1", raw=b"new content")) == 1
    gone = entries(store, Filter(closed=True))[0]
    assert (gone.resolution, gone.resolution_note, gone.resolved_by) == ("discarded", "test data", "user:ann")
    assert gone.resolved_at is not None
    assert quarantine.open_count(store, "crm", "contacts") == 1


def test_a_discarded_entry_is_not_opened_again_by_what_comes_later(store: Store):
    add(store, entry("1", raw=b"a"))
    with writing(store) as tx:
        quarantine.discard(tx, [one.quarantine_id for one in entries(store, Filter())], "no")
        quarantine.relabel(tx, [one.quarantine_id for one in entries(store, Filter(closed=True))], "replayed")

    assert [one.resolution for one in entries(store, Filter(closed=True))] == ["discarded"]


def test_entries_are_found_by_place_reason_and_number(store: Store):
    add(store, entry("1", reason="not a number"))
    add(store, entry("2", reason="50 % off"))
    first, second = entries(store, Filter())

    assert entries(store, Filter(reason="0 % o")) == [second]
    assert entries(store, Filter(ids=[first.quarantine_id])) == [first]
    assert entries(store, Filter(connection_id="other")) == []
    assert payloads(store, [first.quarantine_id]) == {first.quarantine_id: (b'{"a":"\x00"}', None)}
    assert [row[3:] for row in summary(store, Filter())] == [
        ("50 % off", "properties.age", 1),
        ("not a number", "properties.age", 1),
    ]
