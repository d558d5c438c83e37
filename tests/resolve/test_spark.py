"""Resolve on Spark: the same pairs with the same weights, the same links, the same partition."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve import load_policy, resolve_table
from pipelines.resolve.read_csv import read_records
from pipelines.spark.connection import SparkConnection

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.resolve.engine import Resolution
    from pipelines.spark.session import Spark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]
SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"


def evidence(resolution: Resolution) -> set[tuple[object, ...]]:
    """The ledger of a resolution; weights are in it to three decimals."""
    return {tuple(row.values()) for row in resolution.evidence.to_pylist()}


def check_same(found: Resolution, expected: Resolution) -> None:
    """Compare everything that is written."""
    assert found.model.to_json() == expected.model.to_json()
    assert evidence(found) == evidence(expected)
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.identifier_stats.to_pylist() == expected.identifier_stats.to_pylist()
    assert found.clusters < len(found.labels)
    assert any(row["kind"] == "scored" for row in found.evidence.to_pylist())


def labelled(name: str, entity: str, rows: int) -> pa.Table:
    if not SHARED.is_dir():
        pytest.fail(f"{SHARED} is missing: set UNISONO_SHARED to the folder that holds identity/{name}")
    return read_records(SHARED / name / "records.csv", entity, source="bench").slice(0, rows)


def test_persons_get_the_same_model_pairs_weights_and_partition(spark: Spark) -> None:
    """A model with blocking keys is learned; built-in weights and every pair are in ``tests/end_to_end``."""
    table = labelled("fake_1000", "person", 1000)

    expected = resolve_table(table, "person", load_policy())
    found = resolve_table(table, "person", load_policy(), spark=spark)

    check_same(found, expected)
    assert found.model.origin == "learned"


def test_organisations_get_the_same_pairs_weights_and_partition_under_a_model(spark: Spark) -> None:
    table = labelled("chicago_ecp_orgs", "organization", 1000)

    expected = resolve_table(table, "organization", load_policy())
    found = resolve_table(table, "organization", load_policy(), expected.model, spark=spark)

    check_same(found, expected)


def test_a_step_that_spark_has_no_form_for_is_refused_by_name(spark: Spark) -> None:
    connection = SparkConnection(spark)

    with pytest.raises(FixConfig, match="no_such_thing") as refused:
        connection.execute("SELECT no_such_thing(1)")

    assert "engine: duckdb" in str(refused.value)
