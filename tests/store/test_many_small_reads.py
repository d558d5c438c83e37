"""What makes many small reads and whole rows cheap leaves them as they were: kept statements, one moment, replaced rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from sqlalchemy import BigInteger, bindparam, event, select

from pipelines.store import sqlite_staged, store
from pipelines.store.tables import match_bucket, picked
from tests.store.rows import T, intern, writing

if TYPE_CHECKING:
    from pipelines.store import Store

RECORD = T["source_record"]
KEPT = select(RECORD.c.source_key, RECORD.c.is_stub).where(
    RECORD.c.source_record_id > bindparam("after", type_=BigInteger)
)
CHOSEN = select(RECORD.c.source_key).where(RECORD.c.source_record_id.in_(select(picked.c.id)))


def test_a_kept_statement_reads_what_the_same_one_with_its_values_written_in_reads(store: Store) -> None:
    first, _, last = intern(store, "1", "2", "3")
    for after in (first, last, first):
        expected = store.read_arrow(
            select(RECORD.c.source_key, RECORD.c.is_stub).where(RECORD.c.source_record_id > after)
        )
        assert store.read_arrow(KEPT, {"after": after}).equals(expected)
    assert store.read_arrow(KEPT, {"after": first}).num_rows == 2


def test_a_kept_statement_of_many_rows_is_read_by_the_way_for_many(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = intern(sqlite_store, "1", "2")
    asked: list[str] = []
    child = store.arrow_out.read_sqlite_child
    monkeypatch.setattr(
        store.arrow_out, "read_sqlite_child", lambda *given: (asked.append(str(given[2])), child(*given))[1]
    )
    assert sqlite_store.read_arrow(KEPT, {"after": first}, big=True)["source_key"].to_pylist() == ["2"]
    assert len(asked) == 1


def test_reads_of_one_moment_share_a_connection_and_each_forgets_its_ids(sqlite_store: Store) -> None:
    ids = intern(sqlite_store, "1", "2", "3")
    begun = [0]
    event.listen(sqlite_store.engine, "begin", lambda _: begun.__setitem__(0, begun[0] + 1))
    with sqlite_store.at_one_time():
        for number, key in zip(ids, ("1", "2", "3"), strict=True):
            found = sqlite_store.read_arrow(CHOSEN, {}, ids=pa.array([number]))
            assert found["source_key"].to_pylist() == [key]
        assert begun[0] == 1


def test_what_is_written_meanwhile_is_not_of_the_moment(store: Store) -> None:
    intern(store, "1", "2", "3")
    with store.at_one_time():
        before = store.read_arrow(KEPT, {"after": 0}).num_rows
        intern(store, "4")
        assert (before, store.read_arrow(KEPT, {"after": 0}).num_rows) == (3, 3)
    assert store.read_arrow(KEPT, {"after": 0}).num_rows == 4


def test_ids_are_forgotten_between_reads_of_one_moment_on_postgresql_too(postgres_store: Store) -> None:
    ids = intern(postgres_store, "1", "2")
    with postgres_store.at_one_time():
        found = [postgres_store.read_arrow(CHOSEN, {}, ids=pa.array([one]))["source_key"].to_pylist() for one in ids]
    assert found == [["1"], ["2"]]


def buckets(store: Store) -> dict[int, tuple[bytes, int]]:
    """Postings of every bucket and by which transaction they were written."""
    rows = store.read(select(match_bucket.c.bucket, match_bucket.c.postings, match_bucket.c.change_seq))
    return {row[0]: (bytes(row[1]), row[2]) for row in rows}


def put(store: Store, postings: dict[int, bytes]) -> int:
    """Replace buckets; return by which transaction."""
    rows = {"entity": ["person"] * len(postings), "bucket": list(postings), "postings": list(postings.values())}
    with writing(store) as tx:
        tx.replace(match_bucket, pa.table(rows))
        return tx.change_seq


@pytest.mark.parametrize("by_file", [False, True])
def test_replaced_rows_take_the_place_of_those_with_their_key(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, by_file: bool
) -> None:
    monkeypatch.setattr(sqlite_staged, "WORTH_A_FILE", 1 if by_file else 1_000)
    first = put(store, {1: b"\x00a", 2: b"b", 3: b"c"})
    assert buckets(store) == {1: (b"\x00a", first), 2: (b"b", first), 3: (b"c", first)}
    second = put(store, {2: b"\x00\xff", 3: b"c", 4: b"d"})
    assert buckets(store) == {1: (b"\x00a", first), 2: (b"\x00\xff", second), 3: (b"c", second), 4: (b"d", second)}


def test_two_replaced_rows_with_one_key_are_refused(store: Store) -> None:
    rows = pa.table({"entity": ["person"] * 2, "bucket": [1, 1], "postings": [b"a", b"b"]})
    with pytest.raises(ValueError, match="repeat a key"), writing(store) as tx:
        tx.replace(match_bucket, rows)
