"""``unisono bench identity DIR``: resolve a directory's records without any setting, then score against its truth."""

from __future__ import annotations

import resource
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.csv as pcsv
import yaml

from connectors.sdk.errors import FixConfig
from pipelines.resolve.decided import Decided
from pipelines.resolve.engine import partition_of, resolve_table
from pipelines.resolve.read_csv import read_records
from pipelines.resolve.rules import load_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    import duckdb

    from pipelines.resolve.edges import Ints
    from pipelines.resolve.engine import Resolution

SWEPT = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
"""Match weights (log2 odds) from 0.2 to 0.985: what a person might choose as threshold."""


def bench_identity(
    directory: Path, *, progress: Callable[[str], None] | None = None, sweep: bool = False
) -> dict[str, object]:
    """Return the accuracy and cost of resolving ``records.csv``; of ``dataset.yaml`` only the entity is read.

    With ``sweep`` the F1 of every threshold of ``SWEPT`` is measured too, on the same scores: ``best_f1`` is the highest,
    at ``best_threshold``.
    """
    started = time.perf_counter()
    table = read_records(directory / "records.csv", _entity(directory / "dataset.yaml"), source="bench")
    if progress:
        progress(f"{directory.name}: {table.num_rows:,} records")
    curve: dict[float, Ints] = {}
    seconds = []

    def then(con: duckdb.DuckDBPyConnection, resolution: Resolution) -> None:
        seconds.append(time.perf_counter() - started)
        for threshold in SWEPT if sweep else ():
            model = replace(resolution.model, threshold=threshold)
            curve[threshold] = partition_of(con, model, load_policy(), Decided.nothing())

    resolution = resolve_table(table, _entity(directory / "dataset.yaml"), load_policy(), then=then)
    truth = _truth(directory / "truth.csv")
    keys = [ref.split("/", 1)[1] for ref in resolution.source_refs.to_pylist()]
    right = [truth.get(key, key) for key in keys]
    return {
        "name": directory.name,
        **accuracy(resolution.labels.tolist(), right),
        **_best({threshold: accuracy(labels.tolist(), right)["pairwise_f1"] for threshold, labels in curve.items()}),
        "threshold": _chance(resolution.model.threshold),
        "seconds": round(seconds[0], 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _best(curve: dict[float, float]) -> dict[str, float]:
    if not curve:
        return {}
    best = max(sorted(curve, key=abs), key=lambda threshold: curve[threshold])
    return {"best_f1": curve[best], "best_threshold": _chance(best)}


def _chance(weight: float) -> float:
    return float(round(1 / (1 + 2**-weight), 4))


def _entity(path: Path) -> str:
    if not path.is_file():
        raise FixConfig(
            "the benchmark's description is missing",
            where=str(path),
            do="write `entity: person` or `entity: organization` into it",
        )
    return str((yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("entity", "person"))


def _truth(path: Path) -> dict[str, str]:
    table = pcsv.read_csv(
        path, convert_options=pcsv.ConvertOptions(column_types={"source_key": "string", "cluster": "string"})
    )
    return dict(zip(table["source_key"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def accuracy(labels: Sequence[Hashable], truth: Sequence[Hashable]) -> dict[str, float | int]:
    """Return pairwise precision, recall and F1, B-cubed F1, number of clusters and the largest one."""
    found, true, both = Counter(labels), Counter(truth), Counter(zip(labels, truth, strict=True))
    right, joined, wanted = _pairs(both), _pairs(found), _pairs(true)
    precision, recall = right / joined if joined else 1.0, right / wanted if wanted else 1.0
    rows = max(len(labels), 1)
    cubed = _f1(
        sum(n * n / found[pair[0]] for pair, n in both.items()) / rows,
        sum(n * n / true[pair[1]] for pair, n in both.items()) / rows,
    )
    return {
        "pairwise_precision": round(precision, 4),
        "pairwise_recall": round(recall, 4),
        "pairwise_f1": round(_f1(precision, recall), 4),
        "b3_f1": round(cubed, 4),
        "clusters": len(found),
        "largest_cluster": max(found.values(), default=0),
    }


def _pairs(counts: Counter[Hashable] | Counter[tuple[Hashable, Hashable]]) -> int:
    return sum(n * (n - 1) // 2 for n in counts.values())


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
