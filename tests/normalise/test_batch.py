"""Rows made ready name their own record by place and others by code; the numbers come last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from canonical_model import load_vocabulary
from connectors.sdk.mapping import row_schema
from pipelines.normalise.batch import Origin, Ready, made_ready, with_ids

VOCABULARY = load_vocabulary()
RELATION = VOCABULARY.entity("relationship")
ORIGIN = Origin("crm", "contact", "person", {"contact": "person", "company": "organization"})
PART = pa.table({"ordinal": [3, 5, 9], "source_key": ["a", "b", "c"], "hash": ["ha", "hb", "hc"]})


def ref(
    name: str | None = None, key: str | None = None, system: str | None = None, value: str | None = None
) -> dict[str, Any]:
    return {"object": name, "key": key, "system": system, "value": value}


def relations(*rows: tuple[int, Any, Any]) -> pa.Table:
    made = [{"ordinal": ordinal, "row_key": "k", "from_party": one, "to_party": other} for ordinal, one, other in rows]
    return pa.Table.from_pylist(made, schema=row_schema(RELATION))


def ready(*rows: tuple[int, Any, Any]) -> Ready:
    return made_ready(PART, {"relationship": relations(*rows)}, [RELATION], ORIGIN, 1)


def numbered(made: Ready) -> list[tuple[Any, ...]]:
    """Give the part's records 10, 11, 12 and the references 100, 101, …; return what the rows say then."""
    numbers = np.arange(100, 100 + made.refs.num_rows)[made.where]
    rows = with_ids(RELATION, made.rows["relationship"], np.array([10, 11, 12]), numbers)
    names = ("source_record_id", "from_party", "to_party", "payload_hash")
    return list(zip(*(rows.column(name).to_pylist() for name in names), strict=True))


def test_a_reference_leads_to_the_same_record_from_wherever_it_is_made():
    made = ready((3, None, ref("company", "x")), (9, ref("company", "x"), ref("company", "w")))

    assert made.refs.select(["object", "source_key", "entity", "is_stub"]).to_pylist() == [
        {"object": "company", "source_key": key, "entity": "organization", "is_stub": True} for key in ("w", "x")
    ]
    assert numbered(made) == [(10, 10, 101, "ha"), (12, 101, 100, "hc")]


def test_what_refers_to_its_own_record_or_defaults_to_it_needs_no_reference():
    made = ready((5, ref("contact", "b"), ref("contact", "a")))

    assert made.refs.column("source_key").to_pylist() == ["a"]
    assert numbered(made) == [(11, 11, 100, "hb")]


def test_a_reference_by_identifier_is_a_record_of_its_system():
    made = ready((3, None, ref(system="email", value="x@y.org")))

    assert made.refs.select(["object", "source_key", "entity"]).to_pylist() == [
        {"object": "@email", "source_key": "x@y.org", "entity": "person"}
    ]


def test_a_missing_reference_that_has_no_default_stays_missing():
    assert numbered(ready((3, None, None), (5, None, ref("company", "x")))) == [
        (10, 10, None, "ha"),
        (11, 11, 100, "hb"),
    ]


def test_no_rows_still_have_all_columns():
    made = ready()

    assert made.refs.num_rows == 0
    assert set(with_ids(RELATION, made.rows["relationship"], np.empty(0, np.int64), np.empty(0, np.int64)).column_names) >= {
        "source_record_id", "row_key", "from_party", "to_party", "payload_hash", "mapping_version",
    }  # fmt: skip
