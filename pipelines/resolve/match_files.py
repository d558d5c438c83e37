"""``unisono match A.csv [B.csv]``: golden rows and matched pairs from a user's own files, without a store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pyarrow as pa

from pipelines.resolve.engine import resolve_table
from pipelines.resolve.match_view import LIST_COLUMNS
from pipelines.resolve.read_csv import read_records
from pipelines.resolve.rules import load_policy

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.resolve.engine import Resolution

_TECHNICAL = ("source_record_id", "source_ref", "is_stub", "role_class", "verified")


class FileMatch(TypedDict):
    """What two files (or one) hold: golden rows, one per party, and the pairs of records that led to them."""

    golden: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    records: int
    threshold: float


def match_files(a: Path, b: Path | None = None, *, entity: str = "person") -> FileMatch:
    """Match one file with itself or two with each other; equal files give equal results, whatever their row order."""
    tables = [read_records(path, entity, source=name) for path, name in _named(a, b)]
    table = _together(tables)
    resolution = resolve_table(table, entity, load_policy())
    return FileMatch(
        golden=_golden(table, resolution),
        pairs=_matched(resolution),
        records=table.num_rows,
        threshold=round(1 / (1 + 2**-resolution.model.threshold), 4),
    )


def _named(a: Path, b: Path | None) -> list[tuple[Path, str]]:
    """Name each file's records after it; two files of one name after their places."""
    if b is None:
        return [(a, a.name)]
    return [(a, a.name), (b, b.name)] if a.name != b.name else [(a, f"1:{a.name}"), (b, f"2:{b.name}")]


def _together(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables, promote_options="default")
    numbers = pa.array(range(table.num_rows), pa.int64())
    return table.set_column(table.column_names.index("source_record_id"), "source_record_id", numbers)


def _golden(table: pa.Table, resolution: Resolution) -> list[dict[str, Any]]:
    rows = table.take(pa.array(resolution.source_record_ids)).to_pylist()
    golden = []
    for members in np.split(order := np.argsort(resolution.labels, kind="stable"), _cuts(resolution.labels[order])):
        golden.append(_best([rows[int(i)] for i in members]))
    return golden


def _cuts(labels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.flatnonzero(np.diff(labels)) + 1


def _best(members: list[dict[str, Any]]) -> dict[str, Any]:
    """Choose the most frequent value of each attribute, then the longest, then the first in the alphabet."""
    row: dict[str, Any] = {}
    for name in members[0]:
        if name in _TECHNICAL:
            continue
        if name in LIST_COLUMNS:
            values = sorted({value for member in members for value in member[name] or ()})
            row |= {name: values} if values else {}
        else:
            counted = Counter(member[name] for member in members if member[name] is not None)
            row |= {name: min(counted, key=lambda v: (-counted[v], -len(v), v))} if counted else {}
    return row | {"source_count": len(members), "sources": sorted(member["source_ref"] for member in members)}


def _matched(resolution: Resolution) -> list[dict[str, Any]]:
    """Pairs with evidence that ended in one party."""
    ids = resolution.source_record_ids.tolist()
    label = dict(zip(ids, resolution.labels.tolist(), strict=True))
    ref = dict(zip(ids, resolution.source_refs.to_pylist(), strict=True))
    return [
        {
            "left": ref[row["left_id"]],
            "right": ref[row["right_id"]],
            "rule": row["rule"] or row["kind"],
            "weight": row["weight"],
        }
        for row in resolution.evidence.to_pylist()
        if label[row["left_id"]] == label[row["right_id"]] and row["judgement"] == "positive"
    ]
