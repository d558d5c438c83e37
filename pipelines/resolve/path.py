"""The way through the evidence that holds two records together: the one whose weakest step is strongest, then shortest."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.store.pair_reads import Edge


def strength(edge: Edge, accepted: float) -> float | None:
    """Return how strongly evidence links (a rule or a person: without limit); ``None`` where it does not link."""
    if edge.judgement == "positive" and edge.weight is None:
        return math.inf
    return edge.weight if edge.kind == "scored" and edge.weight is not None and edge.weight >= accepted else None


def best_path(edges: Iterable[Edge], start: int, end: int, accepted: float) -> list[Edge]:
    """Return the steps from one record to another, in order; empty where the evidence does not connect them.

    ``accepted`` is the weight from which on a score may link. Equal ways are decided by the numbers of the records.
    """
    linking = [(given, edge) for edge in edges if (given := strength(edge, accepted)) is not None]
    for least in sorted({given for given, _ in linking}, reverse=True):
        found = _shortest([edge for given, edge in linking if given >= least], start, end)
        if found:
            return found
    return []


def _shortest(edges: Sequence[Edge], start: int, end: int) -> list[Edge]:
    near: dict[int, list[tuple[int, Edge]]] = {}
    for edge in sorted(edges, key=lambda each: (each.left_id, each.right_id, each.kind, each.rule or "")):
        near.setdefault(edge.left_id, []).append((edge.right_id, edge))
        near.setdefault(edge.right_id, []).append((edge.left_id, edge))
    came: dict[int, tuple[int, Edge]] = {}
    waiting, seen = deque([start]), {start}
    while waiting and end not in seen:
        here = waiting.popleft()
        for there, edge in near.get(here, ()):
            if there not in seen:
                seen.add(there)
                came[there] = (here, edge)
                waiting.append(there)
    way = []
    while end in came:
        end, edge = came[end]
        way.append(edge)
    return way[::-1]
