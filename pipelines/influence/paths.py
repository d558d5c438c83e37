"""Weighted paths: who reaches whom, as the product of strengths along the best path of bounded length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edge:
    """``a`` reaches ``b`` directly, with a strength between 0 and 1."""

    a: int
    b: int
    strength: float
    kind: str


@dataclass(frozen=True)
class Path:
    """The people along the way, both ends included, the kinds of relation between them, and the product of strengths."""

    people: tuple[int, ...]
    kinds: tuple[str, ...]
    strength: float


def best_paths(edges: Iterable[Edge], start: int, *, depth: int) -> Mapping[int, Path]:
    """Return the best path of at most ``depth`` steps to everyone who can be reached; ties go to the smaller ids."""
    outgoing: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        outgoing[edge.a].append(edge)
    best = {start: Path((start,), (), 1.0)}
    latest = dict(best)
    for _ in range(depth):
        found: dict[int, Path] = {}
        for path in latest.values():
            for edge in outgoing[path.people[-1]]:
                longer = _longer(path, edge)
                if (
                    edge.b not in path.people
                    and _better(longer, found.get(edge.b))
                    and _better(longer, best.get(edge.b))
                ):
                    found[edge.b] = longer
        best |= found
        latest = found
    del best[start]
    return best


def _longer(path: Path, edge: Edge) -> Path:
    return Path((*path.people, edge.b), (*path.kinds, edge.kind), path.strength * edge.strength)


def _better(path: Path, known: Path | None) -> bool:
    if known is None:
        return True
    mine, theirs = (-path.strength, path.people, path.kinds), (-known.strength, known.people, known.kinds)
    return mine < theirs
