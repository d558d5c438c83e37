"""Few records at hand in Python: their lines and rows, the weights of their pairs, and the partition of some of them."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.resolve import cluster
from pipelines.resolve.cluster import CERTAIN, Edges
from pipelines.resolve.few_links import Party
from pipelines.resolve.index import held_values
from pipelines.resolve.neighbours import MissingRow
from pipelines.resolve.ready import ready
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.resolve.cluster import Ints
    from pipelines.resolve.incremental import Against, Given, Pair
    from pipelines.store.match_blocks import Line

MOST_REACHED = 60
_HALF = 0.5


class TooMany(Exception):
    """More is concerned than is worth working out one by one."""


def rounded(weight: float, places: int) -> float:
    """Round half away from zero, which is DuckDB's way and not Python's."""
    scale = 10.0**places
    scaled = abs(weight) * scale
    whole = math.floor(scaled)
    return math.copysign(whole + (scaled - whole >= _HALF), weight) / scale


class Records:
    """Records of an entity's match index, each read once."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._form, self._compiled = ready(given.store, given.model, given.policy)
        self.rows: dict[int, Line] = {}
        self._asked: set[int] = set()
        self._whole: dict[int, tuple[Line, dict[str, Any]]] = {}
        self._weights: dict[Pair, float | None] = {}

    def fetch(self, ids: Iterable[int]) -> None:
        """Read the lines of these records that were not read before; a record may have none."""
        new = sorted(set(ids) - self._asked)
        self._asked.update(new)
        for line in match_index.rows(self._given.store, self._given.tenant_id, self._given.entity, new):
            self.rows.setdefault(line.record, line)

    def _row(self, sid: int) -> dict[str, Any]:
        """Return the whole row of a record at hand."""
        line = self.rows.get(sid)
        if line is None:
            raise MissingRow
        known = self._whole.get(sid)
        if known is None or known[0] is not line:
            known = self._whole[sid] = (line, self._form.row(line))
        return known[1]

    def _party(self, sid: int) -> Party:
        row = self._row(sid)
        return Party.of(self.rows[sid].ref, row, held_values(self.rows[sid].held))

    def _ordered(self, a: int, b: int) -> Pair:
        return (a, b) if self.rows[a].ref < self.rows[b].ref else (b, a)

    def _weight(self, a: int, b: int) -> float | None:
        """Return the match weight of two records at hand; ``None`` where one takes no part in scoring."""
        pair = pair_of(a, b)
        if pair not in self._weights:
            left, right = (self._row(sid) for sid in self._ordered(a, b)) if self._present(a, b) else ({}, {})
            scored = not left["is_stub"] and not right["is_stub"] and bool(self._compiled.comparisons)
            self._weights[pair] = self._compiled.weight(left, right) if scored else None
        return self._weights[pair]

    def _present(self, a: int, b: int) -> bool:
        if a not in self.rows or b not in self.rows:
            raise MissingRow
        return True

    def partition(self, reached: Iterable[int], pairs: set[Pair], links: set[Pair]) -> tuple[Ints, Ints, list[Against]]:
        """Decide these records anew as a full run would; return them, their clusters, and pairs that a rule keeps apart."""
        given, order = self._given, sorted(reached, key=lambda sid: self.rows[sid].ref)
        if len(order) > MOST_REACHED:
            raise TooMany
        place = {sid: at for at, sid in enumerate(order)}
        facts = [(self._row(sid), self._party(sid).held) for sid in order]
        against: list[Against] = []

        def conflicts(label: Ints) -> Edges:
            members: dict[int, list[int]] = defaultdict(list)
            for at, own in enumerate(label.tolist()):
                members[own].append(at)
            against[:] = self._form.cannot_links.among(facts, members.values())
            return _edges([(one, other, 0.0) for one, other, _ in against])

        def score_all(left: Ints, right: Ints) -> Edges:
            return self._weighed(order, zip(left.tolist(), right.tolist(), strict=True))

        labels = cluster.partition(
            len(order),
            self._weighed(order, (tuple(sorted((place[a], place[b]))) for a, b in pairs)),
            _edges([(*sorted((place[a], place[b])), CERTAIN) for a, b in links]),
            conflicts,
            given.model.threshold,
            score_all,
            given.constraints.over(np.array(order, np.int64)),
        )
        return np.array(order, np.int64), labels, [(order[one], order[other], rule) for one, other, rule in against]

    def _weighed(self, order: list[int], pairs: Iterable[tuple[int, ...]]) -> Edges:
        found = [(one, other, self._weight(order[one], order[other])) for one, other in pairs]
        return _edges([(one, other, rounded(weight, 6)) for one, other, weight in found if weight is not None])


def _edges(rows: list[Any]) -> Edges:
    if not rows:
        return Edges.none()
    left, right, weight = zip(*sorted(rows), strict=True)
    return Edges(np.array(left, np.int64), np.array(right, np.int64), np.array(weight, np.float64))


def pair_of(a: int, b: int) -> Pair:
    """Return two records as a pair, whatever their order."""
    return (a, b) if a < b else (b, a)
