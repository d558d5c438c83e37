"""A quarantined record keeps its raw payload and its reason, is there once, and leaves when it goes through."""

from __future__ import annotations

import pyarrow as pa
import pytest
from sqlalchemy import select

from pipelines.store import Store, quarantine
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
