"""``unisono query`` reads the v1 views and nothing else, and never writes; alike on both stores."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.store import Store, views
from tests.store.rows import T, intern, people, writing


def test_every_view_can_be_read(store: Store):
    for name in views.names(store.dialect):
        assert store.query(f"SELECT * FROM {name}").rows == []


def test_the_rows_of_every_view_can_be_counted_and_those_of_no_table(store: Store):
    for name in views.names(store.dialect):
        assert store.query(f"SELECT count(*) FROM {name}").rows == [(0,)]
    with pytest.raises(FixConfig):
        store.query("SELECT count(*) FROM golden_person")


def test_every_entity_of_the_vocabulary_has_a_view(store: Store):
    assert {f"v1_{name}" for name in store.vocabulary.entities} <= set(views.names(store.dialect))


def test_a_selection_is_answered_with_names_and_rows(store: Store):
    result = store.query(
        "WITH a AS (SELECT count(*) AS n FROM v1_person WHERE full_name LIKE 'A%') SELECT n, '%' AS p FROM a;"
    )

    assert result.columns == ("n", "p")
    assert result.rows == [(0, "%")]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM person",
        "SELECT count(*) FROM person",
        "SELECT * FROM v1_person, (SELECT entity_id FROM golden_person) AS v1_order",
        "WITH v1_person AS (SELECT * FROM golden_person) SELECT * FROM v1_person",
        "WITH person AS (SELECT * FROM person) SELECT * FROM person",
        "SELECT * FROM (WITH person AS (SELECT 1) SELECT * FROM person) AS a, (SELECT * FROM person) AS b",
        "SELECT (SELECT max(value) FROM token) FROM v1_person",
        "SELECT * FROM effective_consent",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pg_class",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pragma_table_info('person')",
        "SELECT query_to_xml('SELECT * FROM person', true, true, '')",
        "SELECT 1; SELECT 2",
        "DELETE FROM v1_person",
        "INSERT INTO v1_person SELECT * FROM v1_person",
        "WITH gone AS (DELETE FROM person RETURNING *) SELECT * FROM gone",
        "CREATE TABLE x AS SELECT 1",
        "PRAGMA table_info(person)",
        "ATTACH 'x.db' AS x",
        "SELECT nothing FROM v1_person",
        "SELEC 1",
        "",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(store: Store, sql: str):
    with pytest.raises(FixConfig, match=r"cannot be run(?s:.*)v1_person"):
        store.query(sql)


def test_references_are_shown_as_golden_ids_and_money_exactly(store: Store):
    order, customer = intern(store, "7", name="order", entity="order") + intern(store, "1")
    with writing(store) as tx:
        tx.upsert(T["person"], people([customer], ["Ada"]))
        amounts = pa.array([Decimal("-0.5")], pa.decimal128(38, 6))
        row = {"source_record_id": [order], "row_key": [""], "customer": [customer], "total": amounts}
        tx.upsert(T["order"], pa.table(row))
        tx.upsert(T["crosswalk"], pa.table({"source_record_id": [customer], "entity": ["person"], "entity_id": [77]}))

    rows = store.query("SELECT source_ref, customer_id, customer_ref, total, tax FROM v1_order").rows

    assert [(*row[:3], str(row[3]), row[4]) for row in rows] == [
        ("crm/order/7", 77, "crm/contact/1", "-0.500000", None)
    ]
    assert store.query("SELECT entity_id, source_ref FROM v1_crosswalk").rows == [(77, "crm/contact/1")]


def test_deleted_rows_are_not_shown(store: Store):
    ids = intern(store, "7", name="order", entity="order")
    parents = pa.table({"source_record_id": pa.array(ids, pa.int64())})
    with writing(store) as tx:
        tx.upsert(T["order"], parents.append_column("row_key", [[""]]))
    with writing(store) as tx:
        tx.replace_set(
            T["order"],
            parents,
            pa.table({"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())}),
        )

    assert store.query("SELECT * FROM v1_order").rows == []
