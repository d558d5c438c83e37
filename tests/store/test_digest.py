"""Digests are equal when the meaning is, on either store, whatever order and numbers it came with; else not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipelines.store import Store, digest, quarantine, reads
from tests.store import protocol
from tests.store.rows import DAY, INSTANT, T, intern, people, writing


def fill(store: Store, keys: list[str], *, first_entity: int, name: str = "Ada") -> None:
    """Two contacts of one golden person with an order, entered in the order of ``keys``."""
    ids = dict(zip(keys, intern(store, *keys), strict=True))
    order = intern(store, "o1", name="order", entity="order")[0]
    with writing(store) as tx:
        tx.upsert(T["person"], people([ids[key] for key in keys], [f"{name} {key}" for key in keys]))
        tx.upsert(
            T["order"],
            pa.table(
                {
                    "source_record_id": [order], "row_key": [""], "customer": [ids["1"]], "tags": [["é", 'a"b']],
                    "total": pa.array([Decimal("12.5")], pa.decimal128(38, 6)), "placed_at": pa.array([DAY], INSTANT),
                    "is_test": [False], "extras": ['{"x":1}'],
                }
            ),
        )  # fmt: skip
        links = {
            "source_record_id": [ids[key] for key in keys],
            "entity": ["person"] * 2,
            "entity_id": [first_entity] * 2,
        }
        tx.upsert(T["crosswalk"], pa.table(links))
        golden = {"entity_id": [first_entity], "full_name": [f"{name} 1"], "source_count": [2], "is_stub": [False]}
        tx.upsert(
            T["golden_person"], pa.table({**golden, "provenance": [f'{{"full_name":[{ids["1"]},"recency",null]}}']})
        )
        edge = {
            "evidence_id": [tx.allocate("evidence_id", 1)],
            "entity": ["person"],
            "left_id": [ids[keys[0]]],
            "right_id": [ids[keys[1]]],
        }
        tx.insert(
            T["evidence"],
            pa.table({**edge, "kind": ["rule"], "rule": ["email"], "judgement": ["positive"], "weight": [0.1]}),
        )
        quarantine.add(
            tx, "extract", "crm", "contacts", pa.table({"reason": ["no key"], "raw": pa.array([b"{}"], pa.binary())})
        )
        read = protocol.open_read(tx, reads.open_load(tx, "crm", "contacts"), "crm", "contacts", "", "snapshot")
        protocol.finish_read(tx, read, "COMPLETE")


@pytest.mark.postgres
def test_digests_are_equal_on_both_stores_whatever_the_order_and_numbers(sqlite_store: Store, postgres_store: Store):
    fill(sqlite_store, ["1", "2"], first_entity=1)
    intern(postgres_store, "8", "9", stub=True)  # other numbers than the first store's
    fill(postgres_store, ["2", "1"], first_entity=70)

    left, right = digest(sqlite_store), digest(postgres_store)

    assert {name for name in left if left[name] != right[name]} == set()
    assert len(set(left.values())) > 8


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("person", {"family_name": "Lovelace"}),
        ("order", {"total": Decimal("12.500001")}),
        ("order", {"placed_at": DAY.replace(microsecond=1)}),
        ("order", {"customer": 2}),
        ("golden_person", {"city": "London"}),
        ("golden_person", {"provenance": {"full_name": [2, "recency", None]}}),
        ("evidence", {"weight": 0.2}),
        ("crosswalk", {"entity_id": 9}),
        ("quarantine", {"reason": "too large"}),
    ],
)
def test_a_changed_meaning_changes_the_digest_of_its_table(sqlite_store: Store, table: str, change: dict[str, Any]):
    fill(sqlite_store, ["1", "2"], first_entity=1)
    before = digest(sqlite_store)

    with writing(sqlite_store) as tx:
        key = tx.execute(T[table].select().limit(1)).one()._mapping
        names = [column.name for column in T[table].primary_key]
        tx.execute(T[table].update().where(*(T[table].c[name] == key[name] for name in names)).values(change))

    after = digest(sqlite_store)
    assert table in {name for name in before if before[name] != after[name]}


def test_our_own_numbers_and_clocks_do_not_change_the_digest(sqlite_store: Store):
    fill(sqlite_store, ["1", "2"], first_entity=1)
    before = digest(sqlite_store)

    with writing(sqlite_store) as tx:
        for name in ("person", "order", "crosswalk", "golden_person"):
            tx.execute(T[name].update().values(change_seq=999, actor="other", cause="other", known_from=999))
        tx.execute(T["person"].update().values(payload_hash="other", mapping_version=9))

    assert digest(sqlite_store) == before
