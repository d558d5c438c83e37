"""The match table of a store: every value of a record, one address taken whole, whatever the order of its rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipelines.resolve import load_policy
from pipelines.resolve.read_store import read_match_table
from pipelines.store import Store, identity, tables

pytestmark = pytest.mark.slow  # each fills a store

T = tables.metadata.tables
RECORDS = 3


def _points(ids: pa.ChunkedArray) -> list[dict[str, Any]]:
    first, second, third = ids.to_pylist()
    mail = [{"kind": "email", "value": value} for value in ("b@x.example", "a@x.example", "a@x.example")]
    home = {"kind": "address", "street": "1 Home", "city": "Leeds", "rank": 2}
    work = {"kind": "address", "street": "2 Work", "postcode": "LS1", "rank": 1}
    said = [
        *({"source_record_id": first, "party": first, **point} for point in (*mail, home, work)),
        {
            "source_record_id": second,
            "party": second,
            "kind": "phone",
            "value": "+44 1",
            "value_norm": "441",
            "verified": True,
        },
        {"source_record_id": second, "party": second, "kind": "address", "street": "3 Only"},
        {"source_record_id": third, "party": first, "kind": "web", "value": "x.example", "verified": True},
    ]
    return [{"row_key": f"p{number}", "rank": None, "verified": False, **point} for number, point in enumerate(said)]


def _land(store: Store, *, turned: bool) -> None:
    with store.acquire("ingest/test") as lease, store.write(lease, cause="test") as tx:
        refs = {"connection_id": ["crm"] * RECORDS, "object": ["contact"] * RECORDS, "source_key": ["2", "10", "1"]}
        ids = tx.intern(pa.table({**refs, "entity": ["person"] * RECORDS, "is_stub": [False] * RECORDS}))[
            "source_record_id"
        ]
        parents, points = pa.table({"source_record_id": ids}), _points(ids)
        names = {"source_record_id": ids, "row_key": [""] * RECORDS, "family_name": ["Lovelace", "Babbage", None]}
        tx.replace_set(T["person"], parents, pa.table(names))
        columns = sorted({name for point in points for name in point})
        listed = points[::-1] if turned else points
        table = {name: [point.get(name) for point in listed] for name in columns}
        schema = {"rank": pa.int64(), "verified": pa.bool_(), "source_record_id": pa.int64(), "party": pa.int64()}
        tx.replace_set(
            T["contact_point"], parents,
            pa.table({name: pa.array(values, schema.get(name, pa.string())) for name, values in table.items()}),
        )  # fmt: skip


def _matched(store: Store) -> dict[str, dict[str, Any]]:
    rows = read_match_table(store, 1, "person", load_policy()).to_pylist()
    return {row["source_ref"].rsplit("/", 1)[1]: row for row in rows}


@pytest.mark.parametrize("turned", [False, True], ids=["as landed", "turned"])
def test_values_are_distinct_and_sorted_and_the_first_address_is_taken_whole(sqlite_store: Store, turned: bool) -> None:
    _land(sqlite_store, turned=turned)

    found = _matched(sqlite_store)

    ada = found["2"]
    assert (ada["family_name"], ada["emails"], ada["websites"]) == (
        "Lovelace",
        ["a@x.example", "b@x.example"],
        ["x.example"],
    )
    assert (ada["street"], ada["city"], ada["postcode"]) == ("2 Work", None, "LS1")
    assert ada["verified"] == ["website=x.example"]
    assert (found["10"]["phones"], found["10"]["verified"], found["10"]["street"]) == (["441"], ["phone=441"], "3 Only")
    assert (found["1"]["family_name"], found["1"]["emails"], found["1"]["websites"]) == (None, [], [])


def test_a_large_store_is_read_the_same_by_the_way_for_many_rows(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _land(sqlite_store, turned=False)
    small = _matched(sqlite_store)
    assert not identity.is_large(sqlite_store, 1)

    monkeypatch.setattr(identity, "BIG_RESULT", 1)

    assert identity.is_large(sqlite_store, 1)
    assert _matched(sqlite_store) == small
