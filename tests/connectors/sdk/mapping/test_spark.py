"""One mapping, two engines: the cases of the mapping tests and every connector's fixtures give the same on Spark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from canonical_model import load_vocabulary
from connectors.sdk.catalog import find_connectors
from connectors.sdk.mapping import compile_stream
from connectors.sdk.mapping.preview import to_batch
from connectors.sdk.mapping.spark_run import SparkStream
from connectors.sdk.testing.fixtures import find_cases
from tests.connectors.sdk.mapping import test_coercion as coercion
from tests.connectors.sdk.mapping import test_semantics as semantics
from tests.connectors.sdk.mapping.sameness import content
from tests.connectors.sdk.mapping.vendor import batch_of, folder

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from connectors.sdk.catalog import ConnectorFolder
    from pipelines.spark.session import Spark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]
CONNECTORS = find_connectors()
SETTINGS = {"timezone": "Europe/Berlin", "default_region": "GB"}


def on_both(
    spark: Spark, made: ConnectorFolder, stream: str, batch: pa.Table, **settings: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what both engines make of a batch."""
    compiled = compile_stream(made.mapping, stream, load_vocabulary())
    return content(compiled.run(batch, **settings)), content(
        SparkStream(compiled, made.mapping, spark).run(batch, **settings)
    )


def test_every_case_of_coercion_ends_alike(compiled: Spark, tmp_path: Path) -> None:
    cases = [coercion.document(member, raw) for member, raw, *_ in (*coercion.FITS, *coercion.FAILS)]
    odd = [
        coercion.document("text", json.dumps(text, ensure_ascii=False))
        for text in ("Zoe\u0308", "İΣß ŉ", "a\u0301\u200d", "👩‍👩‍👧", "tab\there", "\ufffd", "{}", "[]")
    ]
    numbers = [
        coercion.document(member, raw)
        for member in ("n", "money", "cents", "text", "when")
        for raw in ("12345678.5", "1e20", "1.10", "0.0001", "-0.0", "1E5", "123456789012345678901234567890")
    ]
    made = folder(tmp_path, coercion.TYPES)

    expected, found = on_both(compiled, made, "things", batch_of([*cases, *odd, *numbers]))

    assert found == expected
    assert len(found["quarantine"]) >= len(coercion.FAILS)


def test_a_number_that_became_text_or_an_object_is_no_silent_null(compiled: Spark, tmp_path: Path) -> None:
    documents = [
        f'{{{coercion.BASE}, "n": {raw}}}' for raw in ("1", '"1"', '"one"', '{"a": 1}', "[1]", "1.5", "true", "null")
    ]
    made = folder(tmp_path, coercion.TYPES)

    expected, found = on_both(compiled, made, "things", batch_of(documents))

    assert found == expected
    assert {row["source_key"] for row in found["quarantine"]} == {"2", "3", "4", "5", "6"}


def test_every_operator_ends_alike(compiled: Spark, tmp_path: Path) -> None:
    documents = [
        {"id": 1, "name": {"first": "Ada", "last": "Byron"}, "sex": "f", "state": "a", "born": "10/12/1815", "lang": "english", "tags": "b, a,,b",
         "roles": [{"kind": "x", "title": "t0"}, {"kind": "main", "title": "t1"}], "vip": True,
         "emails": [{"address": "A@X.org", "type": "office"}, {"address": "b@x.org", "type": "zzz"}, {"address": "b@x.org", "type": "zzz"}]},
        {"id": 2, "name": {"first": "boom", "last": "x"}, "sex": "q", "state": "zz", "born": "31/02/2000", "lang": "elvish"},
        {"id": 3, "name": "no object", "emails": "no list", "extra": {"deep": [1, {"x": None}]}},
        {"id": 4, "name": {"first": None}, "emails": [{"address": None}], "job": "boss", "unknown": [1, 2]},
        {},
        "[]",
        "not json",
        '{"id": 5, "name": {"first": "nul \\u0000"}}',
    ]  # fmt: skip
    made = folder(tmp_path, semantics.EVERYTHING, semantics.HOOKS)
    batch = batch_of(documents, ops=["upsert"] * 7 + ["delete"])

    expected, found = on_both(compiled, made, "things", batch, **SETTINGS)

    assert found == expected
    assert found["rows"]
    assert found["quarantine"]
    assert found["warnings"]


@pytest.mark.parametrize("name", CONNECTORS)
def test_fixtures_of_every_connector_give_the_same_rows(spark: Spark, name: str) -> None:
    cases = find_cases(CONNECTORS[name].path)
    for stream in dict.fromkeys(case.stream for case in cases):
        spec = CONNECTORS[name].manifest.streams[stream]
        records = [record for case in cases if case.stream == stream for record in case.records(spec)]
        batch = to_batch(enumerate(record for record in records if record.problem is None))

        expected, found = on_both(spark, CONNECTORS[name], stream, batch, **SETTINGS)

        assert found == expected, stream
