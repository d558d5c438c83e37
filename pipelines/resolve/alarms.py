"""Alarms of a resolution: clusters that are too large, too loosely held, or hold what may never be one party.

What guards against over-merging can itself fail: a limit set too high, a value nobody thought of. So the result is looked
at for what over-merging looks like, whatever caused it. The limits lie well below the size at which components are cut.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.resolve.cluster import Floats, Ints

LEAST_SIZE = 12
MOST_SIZE = 60
TIMES_USUAL = 3
SPARSE = 0.15
SPARSE_FROM = 6
REPORTED = 20


@dataclass(frozen=True)
class Alarm:
    """One suspicious cluster: its smallest source_record_id, how many records it has, and what crossed which limit."""

    kind: str
    record: int
    records: int
    value: float
    limit: float


def alarms(ids: Ints, labels: Ints, evidence: pa.Table) -> tuple[Alarm, ...]:
    """Return the alarms of a partition (``labels`` by ``ids``, as a resolution has them), worst kinds first.

    ``contradiction``: two records are one party although evidence forbids it. ``size``: three times as many records as
    the median cluster, at least 13, and always beyond 60. ``density``: six records or more, of whose pairs fewer
    than 15 % are linked, by score or by one value that all of them hold.
    """
    sizes = np.bincount(labels, minlength=len(labels))
    left, right = (_label_of(ids, labels, evidence[side].to_numpy()) for side in ("left_id", "right_id"))
    inside = evidence.filter(left == right).append_column("cluster", [left[left == right]])
    first = np.full(len(labels), np.iinfo(np.int64).max)
    np.minimum.at(first, labels, ids)

    def of(kind: str, found: Ints, values: Floats, limit: float) -> list[Alarm]:
        rows = sorted(zip(found.tolist(), values.tolist(), strict=True), key=lambda row: (-sizes[row[0]], row[0]))
        return [Alarm(kind, int(first[one]), int(sizes[one]), round(value, 4), limit) for one, value in rows]

    against = inside["cluster"].to_numpy()[_is(inside, "judgement", "negative")]
    contradicted, times = np.unique(against, return_counts=True)
    limit = size_limit(sizes)
    large = np.flatnonzero(sizes > limit)
    density = _density(sizes, inside)
    sparse = np.flatnonzero((sizes >= SPARSE_FROM) & (density < SPARSE))
    return (
        *of("contradiction", contradicted, times.astype(np.float64), 0),
        *of("size", large, sizes[large].astype(np.float64), limit),
        *of("density", sparse, density[sparse], SPARSE),
    )


def summary(found: tuple[Alarm, ...]) -> dict[str, Any]:
    """Return what a stage reports: how many alarms of each kind, and the first of them."""
    kinds = [alarm.kind for alarm in found]
    return {**{kind: kinds.count(kind) for kind in sorted(set(kinds))}, "first": [asdict(x) for x in found[:REPORTED]]}


def size_limit(sizes: Ints) -> float:
    """Return the most records that a cluster may have without an alarm; sizes of 0 and 1 do not count."""
    several = sizes[sizes > 1]
    usual = float(np.quantile(several, 0.5, method="lower")) if len(several) else 1.0
    return float(min(MOST_SIZE, max(LEAST_SIZE, TIMES_USUAL * usual)))


def _label_of(ids: Ints, labels: Ints, wanted: Ints) -> Ints:
    order = np.argsort(ids)
    return np.asarray(labels[order[np.searchsorted(ids[order], wanted)]])


def _is(table: pa.Table, column: str, value: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(pc.equal(table[column], value).to_numpy(zero_copy_only=False), np.bool_)


def _density(sizes: Ints, inside: pa.Table) -> Floats:
    """Return per cluster the share of its pairs that are linked; the holders of one value are all linked by it."""
    positive = inside.filter(_is(inside, "judgement", "positive"))
    scored = _is(positive, "kind", "scored")
    linked = np.bincount(positive["cluster"].to_numpy()[scored], minlength=len(sizes)).astype(np.float64)
    stars = positive.filter(~scored).group_by(["cluster", "left_id", "rule"]).aggregate([("right_id", "count")])
    leaves = stars["right_id_count"].to_numpy()
    linked += np.bincount(stars["cluster"].to_numpy(), leaves * (leaves + 1) / 2, len(sizes))
    pairs = np.maximum(sizes * (sizes - 1) / 2, 1)
    return np.asarray(np.minimum(linked / pairs, 1.0))
