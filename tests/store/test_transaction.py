"""A write transaction is all or nothing, keeps history, and touches only what changed; alike on both stores."""

from __future__ import annotations

import pyarrow as pa
import pytest
from sqlalchemy import select

from connectors.sdk.errors import StoreFailure
from pipelines.store import Counts, Store
from tests.store.rows import DAY, INSTANT, T, intern, people, refs, writing

PERSON, VERSION = T["person"], T["person_version"]


def upsert(store: Store, rows: pa.Table) -> tuple[Counts, int]:
    with writing(store) as tx:
        return tx.upsert(PERSON, rows), tx.change_seq


def test_an_unchanged_row_keeps_its_change_seq_and_makes_no_version(store: Store):
    ids = intern(store, "1", "2")
    _, first = upsert(store, people(ids, ["Ada", "Bob"]))

    counts, second = upsert(store, people(ids, ["Ada", "Bob"]))

    assert counts == Counts(unchanged=2)
    assert second > first
    assert store.read(select(PERSON.c.change_seq).distinct()) == [(first,)]
    assert store.read(select(VERSION)) == []


def test_a_changed_row_leaves_its_former_self_in_the_version_table(store: Store):
    ids = intern(store, "1", "2")
    _, first = upsert(store, people(ids, ["Ada", "Bob"]))

    counts, second = upsert(store, people([*ids, *intern(store, "3")], ["Ada", "Bobby", "Cy"]))

    assert counts == Counts(written=2, unchanged=1)
    names = select(PERSON.c.full_name, PERSON.c.known_from).order_by(PERSON.c.source_record_id)
    assert store.read(names) == [("Ada", first), ("Bobby", second), ("Cy", second)]
    assert store.read(select(VERSION.c.full_name, VERSION.c.known_from, VERSION.c.known_to)) == [("Bob", first, second)]


def test_a_row_changed_twice_in_one_transaction_makes_one_version(store: Store):
    ids = intern(store, "1")
    upsert(store, people(ids, ["Ada"]))

    with writing(store) as tx:
        tx.upsert(PERSON, people(ids, ["Bob"]))
        tx.upsert(PERSON, people(ids, ["Cy"]))

    assert store.read(select(VERSION.c.full_name)) == [("Ada",)]


def test_a_new_mapping_version_that_changes_nothing_leaves_the_row(store: Store):
    ids = intern(store, "1")
    upsert(store, people(ids, ["Ada"]))
    newer = people(ids, ["Ada"]).set_column(5, "mapping_version", pa.array([2], pa.int64()))

    assert upsert(store, newer)[0] == Counts(unchanged=1)


def test_a_new_mapping_version_under_the_same_payload_hash_is_not_overlooked(store: Store):
    ids = intern(store, "1")
    upsert(store, people(ids, ["Ada"], hashes=["same"]))
    newer = people(ids, ["Ada L."], hashes=["same"]).set_column(5, "mapping_version", pa.array([2], pa.int64()))

    assert upsert(store, newer)[0] == Counts(written=1)


def test_two_rows_with_one_key_in_one_batch_are_refused(store: Store):
    ids = intern(store, "1")
    upsert(store, people(ids, ["Ada"]))

    with pytest.raises(ValueError, match="repeat a key"):
        upsert(store, people([*ids, *ids], ["Ada", "Bob"]))


def test_a_row_without_its_source_record_is_refused(store: Store):
    with pytest.raises(StoreFailure, match="breaks a rule of the store's schema"):
        upsert(store, people([99], ["Nobody"]))


def test_an_unknown_column_is_refused_with_the_known_ones(store: Store):
    with pytest.raises(ValueError, match=r"no column \['shoe_size'\].*full_name"):
        upsert(store, people([1], ["Ada"]).append_column("shoe_size", pa.array([42])))


def test_a_set_is_replaced_what_is_gone_stays_as_deleted(store: Store):
    ids = intern(store, "1")
    point = T["contact_point"]
    parents = pa.table({"source_record_id": pa.array(ids, pa.int64()), "deleted_at": pa.array([DAY], INSTANT)})

    def emit(*keys: str) -> Counts:
        n = len(keys)
        rows = {
            "source_record_id": pa.array(ids * n, pa.int64()),
            "row_key": pa.array(keys, pa.string()),
            "kind": ["email"] * n,
        }
        with writing(store) as tx:
            return tx.replace_set(point, parents, pa.table(rows))

    assert emit("a", "b") == Counts(written=2)
    assert emit("b", "c") == Counts(written=1, unchanged=1, retired=1)
    assert emit("b", "c") == Counts(unchanged=2)
    live = select(point.c.row_key).where(point.c.deleted_at.is_(None)).order_by(point.c.row_key)
    assert store.read(live) == [("b",), ("c",)]
    assert store.read(select(point.c.deleted_at).where(point.c.row_key == "a")) == [(DAY,)]
    assert emit("a", "b", "c") == Counts(written=1, unchanged=2)
    assert store.read(live) == [("a",), ("b",), ("c",)]


def test_an_event_that_moved_in_time_replaces_its_former_self(store: Store):
    ids = intern(store, "1")
    table = T["interaction"]
    parents = pa.table({"source_record_id": pa.array(ids, pa.int64())})
    for year in (2019, 2020):
        row = {"row_key": [""], "type": ["note"], "occurred_at": pa.array([DAY.replace(year=year)], INSTANT)}
        with writing(store) as tx:
            tx.replace_set(
                table,
                parents,
                parents.append_column("row_key", [row["row_key"]])
                .append_column("type", [row["type"]])
                .append_column("occurred_at", row["occurred_at"]),
            )

    live = select(table.c.occurred_at).where(table.c.deleted_at.is_(None))
    assert store.read(live) == [(DAY.replace(year=2020),)]


def test_deleted_rows_of_a_versioned_table_stay_in_history(store: Store):
    ids = intern(store, "1", "2")
    upsert(store, people(ids, ["Ada", "Bob"]))

    with writing(store) as tx:
        gone = tx.delete(PERSON, pa.table({"source_record_id": pa.array(ids[:1], pa.int64())}))

    assert gone == 1
    assert store.read(select(PERSON.c.full_name)) == [("Bob",)]
    assert store.read(select(VERSION.c.full_name)) == [("Ada",)]


def write_then_fail(store: Store) -> None:
    with writing(store) as tx:
        tx.intern(refs("2"))
        tx.upsert(PERSON, people([1], ["Ada"]))
        raise RuntimeError("injected")


def test_a_transaction_that_fails_leaves_nothing(store: Store):
    intern(store, "1")
    before = store.read(select(T["counter"]).order_by(T["counter"].c.name))

    with pytest.raises(RuntimeError, match="injected"):
        write_then_fail(store)

    assert store.read(select(PERSON)) == []
    assert store.read(select(T["counter"]).order_by(T["counter"].c.name)) == before


def test_interning_is_idempotent_and_keeps_the_order_of_its_input(store: Store):
    first = intern(store, "b", "a", "b", "c")

    again = intern(store, "a", "b", "d")

    assert first == [1, 2, 1, 3]
    assert again == [2, 1, 4]


def test_a_stub_becomes_real_under_the_same_id(store: Store):
    record = T["source_record"]
    (stub,) = intern(store, "1", stub=True, entity="organization")
    (still,) = intern(store, "1", stub=True, entity="person")
    assert store.read(select(record.c.is_stub, record.c.entity)) == [(True, "organization")]

    (real,) = intern(store, "1", stub=False, entity="person")
    (later,) = intern(store, "1", stub=True, entity="organization")

    assert stub == still == real == later
    assert store.read(select(record.c.is_stub, record.c.entity)) == [(False, "person")]


def test_a_reference_met_as_stub_and_as_record_in_one_batch_is_real(store: Store):
    both = pa.concat_tables([refs("1", stub=True, entity="organization"), refs("1")])

    with writing(store) as tx:
        ids = tx.intern(both).column("source_record_id").to_pylist()

    assert ids == [1, 1]
    record = T["source_record"]
    assert store.read(select(record.c.is_stub, record.c.entity)) == [(False, "person")]


def test_counters_give_each_number_once(store: Store):
    with writing(store) as tx:
        first = tx.allocate("entity_id", 3)
        second = tx.allocate("entity_id", 1)

    assert (first, second) == (1, 4)


def test_ids_can_be_handed_to_a_read_and_to_a_transaction(store: Store):
    ids = intern(store, "1", "2", "3")
    upsert(store, people(ids, ["Ada", "Bob", "Cy"]))
    picked = T["person"].metadata  # the schema has no table of that name
    assert "picked" not in picked.tables

    from pipelines.store.tables import picked as table

    statement = (
        select(PERSON.c.full_name).join(table, table.c.id == PERSON.c.source_record_id).order_by(PERSON.c.full_name)
    )
    assert store.read_arrow(statement, ids=pa.array([ids[0], ids[2]])).column("full_name").to_pylist() == ["Ada", "Cy"]
    with writing(store) as tx:
        for number, name in ((1, "Bob"), (2, "Cy")):  # the first ids are forgotten
            with tx.picking(pa.array([ids[number]])):
                assert tx.read_arrow(statement).column("full_name").to_pylist() == [name]
    with writing(store) as tx, tx.picking(pa.array(ids[:1])):
        assert tx.read_arrow(statement).column("full_name").to_pylist() == ["Ada"]


def test_watermarks_start_at_zero_and_move(store: Store):
    assert store.watermark("normalise", "crm/contacts") == 0
    for value in (5, 9):
        with writing(store) as tx:
            tx.set_watermark("normalise", "crm/contacts", value)

    assert store.watermark("normalise", "crm/contacts") == 9


def contact_points(ids: list[int], value: str) -> tuple[pa.Table, pa.Table]:
    parents = pa.table({"source_record_id": pa.array(ids, pa.int64())})
    n = len(ids)
    return parents, parents.append_column("row_key", [["k"] * n]).append_column("value", [[value] * n])


@pytest.mark.parametrize("step", [1, 2], ids=["one run of ids", "more runs than probes"])
def test_records_that_are_new_and_records_that_are_not_are_replaced_in_one_go(store: Store, step: int):
    point = T["contact_point"]
    ids = intern(store, *map(str, range(400)))[::step]
    with writing(store) as tx:
        tx.replace_set(point, *contact_points(ids[: len(ids) // 2 : 2], "old"))

    with writing(store) as tx:
        counts = tx.replace_set(point, *contact_points(ids, "new"))

    assert counts == Counts(written=len(ids))
    assert store.read(
        select(point.c.source_record_id).where(point.c.value == "new").order_by(point.c.source_record_id)
    ) == [(number,) for number in ids]
    assert len(store.read(select(T["contact_point_version"].c.value))) == len(ids[: len(ids) // 2 : 2])


def test_many_new_rows_are_written_with_their_meaning(store: Store):
    point = T["contact_point"]
    ids = intern(store, *map(str, range(1_200)))
    parents, rows = contact_points(ids, "x")
    rows = rows.append_column("verified", pa.array([None, True, False] * 400)).append_column(
        "use", pa.array([None, "work"] * 600)
    )

    with writing(store) as tx:
        assert tx.replace_set(point, parents, rows) == Counts(written=1_200)

    found = store.read(select(point.c.verified, point.c.use, point.c.deleted_at).order_by(point.c.source_record_id))
    assert found == list(zip([None, True, False] * 400, [None, "work"] * 600, [None] * 1_200, strict=True))


def test_only_new_references_and_stubs_that_become_real_are_written(store: Store):
    record = T["source_record"]
    intern(store, "known")
    intern(store, "stub", stub=True, entity="organization")
    seqs = dict(store.read(select(record.c.source_key, record.c.change_seq)))

    intern(store, "known", "stub", "new", "new")

    now = dict(store.read(select(record.c.source_key, record.c.change_seq)))
    assert now["known"] == seqs["known"]
    assert now["new"] == now["stub"] > seqs["stub"]
