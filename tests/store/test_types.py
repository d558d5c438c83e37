"""Values come back as they were given, equal on both stores, whichever way they went in and out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from sqlalchemy import select

from connectors.sdk.errors import SkipRecord
from pipelines.store.types import checked_text, instant_text
from tests.store.rows import INSTANT, T, intern, writing

if TYPE_CHECKING:
    from pipelines.store import Store

MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
VALUES = {
    "number": 'Nº “7”,\n\t\\"x" % :a',
    "total": Decimal("9223372036854.775807"),
    "tax": Decimal("-0.000001"),
    "is_test": False,
    "tags": ['a"b', "c\\d", "é,"],
    "placed_at": MOMENT,
    "note": "",
    "extras": '{"a":[1,2.50]}',
}


def order_row(**values: object) -> pa.Table:
    types = {
        "total": pa.decimal128(38, 6),
        "tax": pa.decimal128(38, 6),
        "placed_at": INSTANT,
        "tags": pa.list_(pa.string()),
    }
    columns = {name: pa.array([value], types.get(name)) for name, value in values.items()}
    return pa.table({"source_record_id": pa.array([1], pa.int64()), "row_key": [""], **columns})


def test_bulk_values_come_back_equal_in_rows_and_in_arrow(store: Store):
    intern(store, "1")
    with writing(store) as tx:
        tx.upsert(T["order"], order_row(**VALUES))

    columns = [T["order"].c[name] for name in VALUES]
    row = store.read(select(*columns))[0]
    arrow = store.read_arrow(select(*columns))

    assert row._asdict() == VALUES | {"extras": {"a": [1, 2.5]}}
    assert arrow.to_pylist() == [VALUES]
    assert arrow.schema.field("placed_at").type == INSTANT
    assert arrow.schema.field("total").type == pa.decimal128(38, 6)


def test_single_rows_come_back_equal(store: Store):
    intern(store, "1")
    with writing(store) as tx:
        tx.put_row(T["order"], {"source_record_id": 1, "row_key": "", **VALUES, "extras": {"a": 1}})

    arrow = store.read_arrow(select(*(T["order"].c[name] for name in VALUES)))

    assert arrow.to_pylist() == [VALUES | {"extras": '{"a":1}'}]


def test_nulls_and_an_empty_list_are_told_apart(store: Store):
    intern(store, "1")
    with writing(store) as tx:
        tx.upsert(T["order"], order_row(tags=[], number=None, total=None, placed_at=None, is_test=None))

    names = ("tags", "number", "total", "placed_at", "is_test")
    rows = store.read_arrow(select(*(T["order"].c[name] for name in names))).to_pylist()

    assert rows == [{"tags": [], "number": None, "total": None, "placed_at": None, "is_test": None}]


@pytest.mark.parametrize("value", ["1e13", "-1e13"])
def test_a_decimal_that_does_not_fit_is_refused_alike_on_both_stores(store: Store, value: str):
    intern(store, "1")

    with pytest.raises(SkipRecord, match=r"order\.total.*does not fit"), writing(store) as tx:
        tx.upsert(T["order"], order_row(total=Decimal(value)))


def test_a_decimal_with_more_places_than_the_store_has_is_refused(store: Store):
    with pytest.raises(SkipRecord, match="does not fit 6 places"), writing(store) as tx:
        tx.put_row(T["order"], {"source_record_id": 1, "row_key": "", "total": Decimal("0.0000001")})


def test_text_becomes_nfc_in_bulk(store: Store):
    intern(store, "1")
    with writing(store) as tx:
        tx.upsert(T["order"], order_row(number="e\u0301"))

    assert store.read(select(T["order"].c.number)) == [("é",)]


def test_text_with_nul_is_refused_in_bulk(store: Store):
    intern(store, "1")

    with pytest.raises(SkipRecord, match=r"order\.number.*NUL"), writing(store) as tx:
        tx.upsert(T["order"], order_row(number="a\x00b"))


@pytest.mark.parametrize("text", ["a\x00", "é\x00", "\ud800"])
def test_text_that_one_store_could_not_hold_is_refused(text: str):
    with pytest.raises(SkipRecord):
        checked_text(text)


def test_instant_text_is_utc_and_of_fixed_width():
    moment = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))

    assert instant_text(moment) == "2025-12-31T23:00:00.000000Z"


def test_a_datetime_without_a_zone_is_refused(store: Store):
    with pytest.raises(SkipRecord, match="without a time zone"), writing(store) as tx:
        tx.put_row(T["order"], {"source_record_id": 1, "row_key": "", "placed_at": datetime(2026, 1, 1)})  # noqa: DTZ001


def test_big_results_equal_small_ones_and_keep_their_order(store: Store, monkeypatch: pytest.MonkeyPatch):
    intern(store, "1")
    with writing(store) as tx:
        tx.upsert(T["order"], order_row(**VALUES))
        tx.put_row(T["order"], {"source_record_id": 1, "row_key": "0"})
    names = (*VALUES, "row_key", "channel")
    statement = select(*(T["order"].c[name] for name in names)).order_by(T["order"].c.row_key.desc())
    small = store.read_arrow(statement)

    monkeypatch.setattr("pipelines.store.arrow_out.BIG_RESULT", 0)
    big = store.read_arrow(statement)

    assert small.column("row_key").to_pylist() == ["0", ""]
    assert big.equals(small)
