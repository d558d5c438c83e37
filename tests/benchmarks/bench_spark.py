"""Spark beside DuckDB: ``python -m tests.benchmarks.bench_spark [NAME…]``.

Each labelled set is resolved under one model on both engines: which pairs are in the ledger, how far their weights differ,
whether the partition is the same, and what each run costs. Then a stream's fixtures, many times over, are mapped. Larger sets
are named; each is a folder of ``identity/`` in the shared data.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml

from canonical_model import load_vocabulary
from connectors.sdk.catalog import find_connectors
from connectors.sdk.mapping import compile_stream
from connectors.sdk.mapping.preview import to_batch
from connectors.sdk.mapping.spark_run import SparkStream
from connectors.sdk.testing.fixtures import find_cases
from pipelines.resolve import load_policy, resolve_table
from pipelines.resolve.read_csv import read_records
from pipelines.spark.session import Spark
from tests.connectors.sdk.mapping.sameness import content

SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"
SETS = ("fake_1000",)
RECORDS = 20_000
Result = TypeVar("Result")


def main(names: list[str]) -> None:
    spark = Spark("local[2]")
    try:
        print(f"{'set':18}{'records':>9}{'pairs':>9}{'equal %':>9}{'partition':>11}{'DuckDB s':>10}{'Spark s':>9}")
        for name in names or SETS:
            print(resolved(spark, SHARED / name), flush=True)
        print(mapped(spark), flush=True)
    finally:
        spark.close()


def resolved(spark: Spark, directory: Path) -> str:
    """Resolve a set on both engines under the model that DuckDB learned."""
    described = yaml.safe_load((directory / "dataset.yaml").read_text(encoding="utf-8")) or {}
    entity = described.get("entity", "person")
    table, policy = read_records(directory / "records.csv", entity, source="bench"), load_policy()
    model = resolve_table(table, entity, policy).model
    here, seconds = timed(lambda: resolve_table(table, entity, policy, model))
    there, spark_seconds = timed(lambda: resolve_table(table, entity, policy, model, spark=spark))
    mine, theirs = ({tuple(row.values()) for row in found.evidence.to_pylist()} for found in (here, there))
    equal = 100 * len(mine & theirs) / max(1, len(mine | theirs))
    same = "same" if here.labels.tolist() == there.labels.tolist() else "DIFFERENT"
    return f"{directory.name:18}{table.num_rows:>9,}{len(mine):>9,}{equal:>9.3f}{same:>11}{seconds:>10.1f}{spark_seconds:>9.1f}"


def mapped(spark: Spark) -> str:
    """Map one stream's fixtures, repeated, on both engines."""
    connector = find_connectors()["acme"]
    stream = next(iter(connector.mapping.streams))
    spec = connector.manifest.streams[stream]
    cases = [case for case in find_cases(connector.path) if case.stream == stream]
    records = [record for case in cases for record in case.records(spec) if record.problem is None]
    batch = to_batch(enumerate(records * (RECORDS // len(records))))
    compiled = compile_stream(connector.mapping, stream, load_vocabulary())
    here, seconds = timed(lambda: compiled.run(batch))
    there, spark_seconds = timed(lambda: SparkStream(compiled, connector.mapping, spark).run(batch))
    same = "same" if content(here) == content(there) else "DIFFERENT"
    return f"{'map acme/' + stream:18}{batch.num_rows:>9,}{'':>18}{same:>11}{seconds:>10.1f}{spark_seconds:>9.1f}"


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1:])
