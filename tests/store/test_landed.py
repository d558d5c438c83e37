"""Heads enter the store straight or by way of a stage, and nobody can tell by which: many, few, known before, odd ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipelines.store import Store, heads, landed
from pipelines.store.bulk import Bulk
from tests.store.rows import DAY, INSTANT, writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

CRM = "crm"
MANY = [f"k{number}" for number in range(700)]


def rows(keys: Sequence[str], mark: str = "a", times: Sequence[datetime | None] = ()) -> pa.Table:
    n = len(keys)
    return pa.table(
        {
            "source_key": pa.array(keys, pa.string()),
            "row_no": pa.array(range(n), pa.int64()),
            "hash": pa.array([f"{mark}{place:031d}" for place in range(n)], pa.string()),
            "op": ["upsert"] * n,
            "record_time": pa.array(times or [DAY] * n, INSTANT),
        }
    )


def put(store: Store, table: pa.Table, segment_id: int) -> None:
    with writing(store) as tx:
        landed.put_heads(tx, CRM, "contact", table, segment_id=segment_id, read_id=10 * segment_id)


def found(store: Store) -> list[tuple[Any, ...]]:
    """Return key, place, hash, time, read and whether it is a stub, of all that is there."""
    sql = """SELECT r.source_key, h.segment_id, h.row_no, h.hash, h.op, h.record_time, h.last_read, r.is_stub, r.object,
             h.mapping_version, h.change_seq = r.change_seq, h.cause FROM source_record AS r JOIN raw_head AS h
             ON h.tenant_id = r.tenant_id AND h.source_record_id = r.source_record_id ORDER BY r.source_record_id"""
    with writing(store) as tx:
        return [tuple(row) for row in tx.connection.exec_driver_sql(sql)]


def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bulk, "insert_unless_known", lambda *_: None)


def test_many_new_keys_are_what_they_are_by_way_of_a_stage(store: Store, monkeypatch: pytest.MonkeyPatch):
    put(store, rows(MANY), 1)
    straight = found(store)
    staged(monkeypatch)
    put(store, rows([f"x{key}" for key in MANY]), 1)

    again = found(store)[len(MANY) :]
    assert [row[0] for row in straight] == MANY
    assert [(row[0].removeprefix("x"), *row[1:]) for row in again] == straight


def test_many_new_keys_need_no_stage(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(Bulk, "stage")

    put(sqlite_store, rows(MANY), 1)

    assert len(found(sqlite_store)) == len(MANY)


def test_keys_that_others_interned_since_the_look_up_keep_their_ids(store: Store):
    put(store, rows(["k5", "k600"], "b"), 1)
    before = heads.known(store, CRM, "contact", ["k5", "k600"])
    put(store, rows(MANY), 2)

    after = heads.known(store, CRM, "contact", MANY)
    assert {key: after[key].source_record_id for key in before} == {
        key: one.source_record_id for key, one in before.items()
    }
    assert [after[key].hash for key in MANY] == [f"a{place:031d}" for place in range(len(MANY))]
    assert {after[key].last_read for key in MANY} == {20}


def test_a_stub_met_among_many_new_keys_becomes_real(store: Store):
    refs = pa.table({
        "connection_id": [CRM], "object": ["contact"], "source_key": ["k77"], "entity": ["person"], "is_stub": [True],
    })  # fmt: skip
    with writing(store) as tx:
        tx.intern(refs)

    put(store, rows(MANY), 1)

    assert [row[7] for row in found(store)] == [False] * len(MANY)


def test_times_that_some_lack_stay_as_they_are(store: Store):
    times = [DAY if place % 3 else None for place in range(len(MANY))]

    put(store, rows(MANY, times=times), 1)

    assert [one.record_time for one in heads.known(store, CRM, "contact", MANY).values()].count(None) == times.count(
        None
    )
    assert heads.known(store, CRM, "contact", ["k1"])["k1"].record_time == DAY
    assert heads.known(store, CRM, "contact", ["k3"])["k3"].record_time is None


@pytest.mark.parametrize("odd", ["it's", 'a "b"', "é", "\\", "\t", "12", "1e5", "null", "🙂"])
def test_a_key_is_the_text_it_was(store: Store, odd: str):
    put(store, rows([odd, *MANY]), 1)

    assert heads.known(store, CRM, "contact", [odd])[odd].source_record_id == 1
