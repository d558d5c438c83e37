"""What people decided, as constraints on the partition: a pure function of the open decisions.

*match* puts two records together, *no_match* keeps two apart by whatever path, *split* does both, *unsure* takes a pair
out of the automatic links and binds nothing. Where a way of matches leads between two records that must be apart, the
people contradict each other: every match on such a way is suspended and all its records are kept apart until someone
resolves it. Decisions about records that are gone still count, so that nothing depends on who is here today.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve.decided import Decided
from pipelines.resolve.edges import Edges
from pipelines.store.decisions import MATCH, NO_MATCH, SPLIT, UNSURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipelines.resolve.edges import Ints
    from pipelines.store.decisions import Decision

Pair = tuple[int, int]
Node = tuple[int, int, int]
"""A record (0, id, 0), or what a decision says of one group of records (1, decision, group)."""


@dataclass(frozen=True)
class Contradiction:
    """Two records that must be apart and yet together: by which decisions, and which records are kept apart for it."""

    pair: Pair
    apart: tuple[int, ...]
    together: tuple[int, ...]
    records: tuple[int, ...]


@dataclass(frozen=True)
class Constraints:
    """What binds: disjoint groups of records that are one party, pairs that are not, pairs that only a person links.

    No pair of ``apart`` has both ends in one group, whatever was decided.
    """

    groups: tuple[tuple[int, ...], ...] = ()
    apart: frozenset[Pair] = frozenset()
    unsure: frozenset[Pair] = frozenset()
    contradictions: tuple[Contradiction, ...] = ()
    said: tuple[tuple[int, int, str, str], ...] = field(default=(), repr=False)
    """(left, right, rule, judgement) of every pair that a decision names: what the ledger says."""

    def over(self, records: Ints) -> Decided:
        """Return the constraints on these records, as row numbers; what is about others is left out."""
        row = _rows_of(records, {one for group in self.groups for one in group}.union(*self.apart, *self.unsure))
        together = [
            (members[0], other)
            for members in ([row[one] for one in group if one in row] for group in self.groups)
            for other in members[1:]
        ]
        return Decided(_edges(together), *(_edges(_here(pairs, row)) for pairs in (self.apart, self.unsure)))

    def evidence(self, records: Ints) -> pa.Table:
        """Return the ledger's rows about these records: left_id, right_id, kind, rule, judgement, weight."""
        here = set(_rows_of(records, {one for left, right, *_ in self.said for one in (left, right)}))
        rows = [one for one in self.said if one[0] in here and one[1] in here]
        lefts, rights, rules, judgements = zip(*rows, strict=True) if rows else ((), (), (), ())
        return pa.table(
            {
                "left_id": pa.array(lefts, pa.int64()),
                "right_id": pa.array(rights, pa.int64()),
                "kind": pa.array(["steward"] * len(rows), pa.string()),
                "rule": pa.array(rules, pa.string()),
                "judgement": pa.array(judgements, pa.string()),
                "weight": pa.nulls(len(rows), pa.float64()),
            }
        )


def constraints(decisions: Iterable[Decision]) -> Constraints:
    """Return what the open decisions among these bind, in whatever order they are given."""
    listed = sorted((one for one in decisions if one.is_open), key=lambda one: one.decision_id)
    if not listed:
        return Constraints()
    against: dict[Pair, set[int]] = defaultdict(set)
    for one in listed:
        for pair in _apart(one):
            against[pair].add(one.decision_id)
    graph = _graph(listed)
    contradictions, suspended = _contradictions(graph, against)
    kept = {node: graph[node] - {other for other in graph[node] if (node, other) in suspended} for node in graph}
    held = {pair for each in contradictions for pair in combinations(each.records, 2)}
    return Constraints(
        groups=_groups(kept),
        apart=frozenset(against) | held,
        unsure=frozenset(one.pair for one in listed if one.kind == UNSURE and one.pair),
        contradictions=contradictions,
        said=tuple(sorted({row for one in listed for row in _said(one, suspended)})),
    )


def _pair(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)


def _together(decision: Decision) -> tuple[tuple[int, ...], ...]:
    """Return the groups of records that a decision says are one party each."""
    return (decision.records,) if decision.kind == MATCH else decision.groups if decision.kind == SPLIT else ()


def _apart(decision: Decision) -> Iterator[Pair]:
    """Yield the pairs that a decision says are two parties."""
    if decision.kind == NO_MATCH and decision.pair:
        yield decision.pair
    for one, other in combinations(decision.groups if decision.kind == SPLIT else (), 2):
        yield from (_pair(a, b) for a in one for b in other if a != b)


def _graph(decisions: Iterable[Decision]) -> dict[Node, set[Node]]:
    """Return which record takes part in which statement "these are one party", both ways."""
    graph: dict[Node, set[Node]] = defaultdict(set)
    for one in decisions:
        for number, group in enumerate(_together(one)):
            hub = (1, one.decision_id, number)
            for record in group:
                graph[0, record, 0].add(hub)
                graph[hub].add((0, record, 0))
    return dict(graph)


def _contradictions(
    graph: Mapping[Node, set[Node]], against: Mapping[Pair, set[int]]
) -> tuple[tuple[Contradiction, ...], set[tuple[Node, Node]]]:
    """Return the contradictions and, both ways, what each record no longer counts for."""
    whole = {record: number for number, group in enumerate(_groups(graph)) for record in group}
    told, suspended = [], set()
    for pair in sorted(against):
        if pair[0] not in whole or whole[pair[0]] != whole.get(pair[1]):
            continue
        way = _between(graph, (0, pair[0], 0), (0, pair[1], 0))
        suspended |= way | {(other, one) for one, other in way}
        nodes = {node for edge in way for node in edge}
        told.append(
            Contradiction(
                pair=pair,
                apart=tuple(sorted(against[pair])),
                together=tuple(sorted({number for kind, number, _ in nodes if kind == 1})),
                records=tuple(sorted(number for kind, number, _ in nodes if kind == 0)),
            )
        )
    return tuple(told), suspended


def _between(graph: Mapping[Node, set[Node]], start: Node, end: Node) -> set[tuple[Node, Node]]:
    """Return the edges on all ways from one node to another that pass no node twice.

    They are the block that the two would share if an edge joined them: a depth-first search from ``end`` that takes
    ``start`` as its parent, less every part that hangs on a single node of it.
    """
    index, low = {start: 0, end: 1}, {start: 0, end: 1}
    edges: list[tuple[Node, Node]] = []
    walk: list[tuple[Node, Node, Iterator[Node]]] = [(end, start, iter(sorted(graph[end])))]
    began: dict[Node, int] = {end: 0}
    while walk:
        node, parent, others = walk[-1]
        for other in others:
            if other not in index:
                index[other] = low[other] = len(index)
                began[other] = len(edges)
                edges.append((node, other))
                walk.append((other, node, iter(sorted(graph[other]))))
                break
            if other != parent and index[other] < index[node]:
                edges.append((node, other))
                low[node] = min(low[node], index[other])
        else:
            walk.pop()
            if walk:
                low[parent] = min(low[parent], low[node])
                if low[node] >= index[parent]:
                    del edges[began[node] :]
    return set(edges)


def _groups(graph: Mapping[Node, set[Node]]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of two records and more that are connected."""
    seen: set[Node] = set()
    groups = []
    for node in sorted(graph):
        if node in seen:
            continue
        reached, frontier = {node}, [node]
        while frontier:
            fresh = graph[frontier.pop()] - reached
            reached |= fresh
            frontier.extend(fresh)
        seen |= reached
        members = tuple(sorted(number for kind, number, _ in reached if kind == 0))
        if len(members) > 1:
            groups.append(members)
    return tuple(sorted(groups))


def _said(decision: Decision, suspended: set[tuple[Node, Node]]) -> Iterator[tuple[int, int, str, str]]:
    """Yield what a decision says of each pair that it names."""
    for number, group in enumerate(_together(decision)):
        hub = (1, decision.decision_id, number)
        out = {record for record in group if ((0, record, 0), hub) in suspended}
        for left, right in combinations(sorted(group), 2):
            yield left, right, decision.kind, "conflict" if out & {left, right} else "positive"
    yield from ((left, right, decision.kind, "negative") for left, right in _apart(decision))
    if decision.kind == UNSURE and decision.pair:
        yield *decision.pair, decision.kind, "unsure"


def _rows_of(records: Ints, wanted: set[int]) -> dict[int, int]:
    """Return the row number of each wanted record that is among ``records``."""
    asked = np.array(sorted(wanted), np.int64)
    order = np.argsort(records, kind="stable")
    at = np.searchsorted(records, asked, sorter=order)
    known = at < len(records)
    rows = order[at[known]]
    same = records[rows] == asked[known]
    return dict(zip(asked[known][same].tolist(), rows[same].tolist(), strict=True))


def _here(pairs: Iterable[Pair], row: Mapping[int, int]) -> list[Pair]:
    return sorted(_pair(row[left], row[right]) for left, right in pairs if left in row and right in row)


def _edges(pairs: list[Pair]) -> Edges:
    if not pairs:
        return Edges.none()
    table = np.array(pairs, np.int64)
    return Edges(table[:, 0].copy(), table[:, 1].copy(), np.zeros(len(pairs)))
