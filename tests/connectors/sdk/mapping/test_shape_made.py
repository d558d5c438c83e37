"""What a batch holds decides how it is read, never what comes out of it."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

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
