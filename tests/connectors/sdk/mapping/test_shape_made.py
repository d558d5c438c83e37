"""What a batch holds decides how it is read, never what comes out of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import paths
from connectors.sdk.mapping.shape import MAX_CHILDREN, DocumentShape, discover
from tests.connectors.sdk.mapping.test_semantics import EVERYTHING, HOOKS, RECORDS
from tests.connectors.sdk.mapping.vendor import Mapper, mapper


def outcomes(made: Mapper, records: list[Any]) -> list[Any]:
    """Return what each record became, without its number."""
    found = made(*records)
    entities = ("person", "contact_point", "relationship")
    rows = [
        {
            entity: [{**row, "source_key": ""} for row in found.rows(entity) if row["source_key"] == str(number)]
            for entity in entities
        }
        for number in range(len(records))
    ]
    return [(row, found.quarantine.get(str(number))) for number, row in enumerate(rows)]


def test_earlier_batches_change_nothing(tmp_path: Any):
    fresh, used = (mapper(tmp_path, EVERYTHING, hooks=HOOKS) for _ in range(2))
    used(
        {
            "name": {"first": "Ada", "deep": {"deeper": {"x": 1}}},
            "emails": [{"address": {"odd": 1}}],
            "extra": {"a": {"b": 1}},
        }
    )

    assert outcomes(used, RECORDS) == outcomes(fresh, RECORDS)
    assert used(*RECORDS).batch.unmapped == fresh(*RECORDS).batch.unmapped


def shape_of(documents: list[str], likely: Any = ()) -> DocumentShape:
    connection = duckdb.connect()
    connection.register("documents", pa.table({"d": documents}))
    return discover(connection, "documents", "d", (), likely=likely)


def test_the_shape_is_the_same_whatever_was_thought_likely():
    wide = ", ".join(f'"k{number}": {{"x": {number}}}' for number in range(MAX_CHILDREN + 1))
    documents = ['{"a": {"b": {"c": [1, {"d": null}]}}, "n": null}', f'{{"wide": {{{wide}}}, "a": 5}}']

    plain = shape_of(documents)
    hinted = shape_of(
        documents, [("a",), ("a", "b"), ("wide",), ("wide", "k1"), ("gone", "with", "it"), ("a", "b", "c")]
    )

    assert hinted == plain
    assert plain.opaque == {("wide",)}


NAMES = """
streams:
  things:
    emit:
      - entity: person
        terms: {given_name: name, family_name: name.last}
    ignore:
      - {path: id, reason: the key}
"""


def test_an_object_never_passes_for_a_text_where_a_mapping_takes_both(tmp_path: Any):
    made = mapper(tmp_path, NAMES)

    both = made({"id": 0, "name": {"last": "Byron"}}, {"id": 1, "name": "Ada"})
    texts_only = made({"id": 0, "name": "Bo"}, {"id": 1, "name": "Ada"})

    assert [(row.get("given_name"), row.get("family_name")) for row in both.rows("person")] == [
        (None, "Byron"),
        ("Ada", None),
    ]
    assert [row.get("given_name") for row in texts_only.rows("person")] == ["Bo", "Ada"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | st.sampled_from(["", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c/d", "~"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "$"]), _VALUES, max_size=3), min_size=1, max_size=4))
def test_the_shape_counts_every_node_of_every_document(documents: list[dict[str, Any]]):
    counted: dict[paths.Path, Counter[str]] = {}
    for document in documents:
        _count(document, (), counted)
    counted.pop(())

    assert shape_of([json.dumps(document) for document in documents]).types == counted


def _count(value: Any, path: paths.Path, counted: dict[paths.Path, Counter[str]]) -> None:
    counted.setdefault(path, Counter())[_kind(value)] += 1
    if isinstance(value, dict):
        for name, inner in value.items():
            _count(inner, (*path, name), counted)
    if isinstance(value, list):
        for inner in value:
            _count(inner, (*path, paths.Every()), counted)


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "UBIGINT" if value >= 0 else "BIGINT"
    return {dict: "OBJECT", list: "ARRAY", str: "VARCHAR", bool: "BOOLEAN", float: "DOUBLE"}.get(type(value), "NULL")
