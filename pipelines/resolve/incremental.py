"""An increment: changed records matched against the index, and only the clusters decided anew that they reach.

It computes what a full run would, for a part: a set of records that no edge leaves, before or after. The partition is
decided component by component, so the part's is the whole's; evidence, ids and statistics are differences in both.
What the records change is worked out by statements (``set_based``) or, of few, in Python (``few``): the same steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve import cannot_link, cluster, index
from pipelines.resolve.few import Few
from pipelines.resolve.few_records import TooMany, rounded
from pipelines.resolve.neighbours import MissingRow
from pipelines.resolve.set_based import SetBased
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.resolve.cluster import Ints
    from pipelines.resolve.decisions import Constraints
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store
    from pipelines.store.match_blocks import Line
    from pipelines.store.match_index import IndexState

KEY = ("left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")
_EVIDENCE = pa.schema(
    [(name, pa.string() if name in ("kind", "rule", "judgement") else pa.int64()) for name in KEY]
).set(5, pa.field("weight", pa.float64()))
_ROUNDING = 0.001
FEW = 8
"""So many changed records are worked out in Python; for more, statements cost less."""
Statement = tuple[Any, ...]
"""A row of evidence in the order of ``KEY``."""
Pair = tuple[int, int]
Against = tuple[int, int, str]
"""A pair that a rule keeps apart, and the rule."""


@dataclass(frozen=True)
class Given:
    """What an increment starts from: one entity of a store, its model and what people decided."""

    store: Store
    tenant_id: int
    entity: str
    policy: Policy
    model: MatchModel
    model_id: int
    state: IndexState
    constraints: Constraints
    decided: set[int] = field(default_factory=set)


class Work(Protocol):
    """What changed records change of others, after ``work_out``.

    ``old`` are lines before; ``dirty`` are all records whose line differs, ``gone`` those that left, ``live`` the changed
    ones that are there, ``linked`` those whose deterministic links were decided anew; ``stats`` and ``stale_stats`` are
    what the statistics table must be told.
    """

    old: dict[int, Line]
    dirty: set[int]
    gone: set[int]
    live: set[int]
    linked: set[int]
    stats: pa.Table
    stale_stats: pa.Table

    @property
    def rows(self) -> dict[int, Line]:
        """The lines at hand, as they are now."""

    def work_out(self, changed: Ints, floor: float) -> None:
        """Work out what the changed records change of others; pairs below the weight ``floor`` are left out."""

    def scored(self) -> list[tuple[int, int, float]]:
        """Return the scored pairs: those with a record that differs, or of a block that crossed the limit."""

    def links(self) -> list[tuple[int, int, str]]:
        """Return the deterministic links among ``linked``."""

    def crossing(self) -> set[Pair]:
        """Return the unchanged pairs whose block became usable or unusable."""

    def fetch(self, ids: Iterable[int]) -> None:
        """Read the lines of these records; a record may have none."""

    def partition(self, reached: Iterable[int], pairs: set[Pair], links: set[Pair]) -> tuple[Ints, Ints, list[Against]]:
        """Decide these records anew as a full run would; return them, their clusters, and pairs that a rule keeps apart."""

    def buckets(self) -> tuple[pa.Table, Ints]:
        """Return the buckets whose postings moved, and the numbers of those that are empty now."""


@dataclass(frozen=True)
class Outcome:
    """What is to be written: evidence that came and went, the partition of the records reached, and the index's rows."""

    read: int
    records: Ints
    labels: Ints
    reached: Ints
    evidence: pa.Table
    closed: pa.Array
    stats: pa.Table
    stale_stats: pa.Table
    rows: dict[int, Line]
    gone: tuple[int, ...]
    buckets: pa.Table
    emptied: Ints
    total: int


def increment(given: Given, changed: Ints) -> Outcome | None:
    """Return what the changed records change; ``None`` where the index is not of this model and cannot tell."""
    if index.fingerprint(given.policy, given.model.features) != given.state.fingerprint:
        return None
    try:
        if len(changed) <= FEW:
            try:
                return _Increment(given, Few(given)).run(changed)
            except TooMany:
                pass
        with SetBased(given) as work:
            return _Increment(given, work).run(changed)
    except MissingRow:
        return None


class _Increment:
    """One increment: evidence, the part that it reaches, and what is to be written."""

    def __init__(self, given: Given, work: Work) -> None:
        self.given, self.work = given, work
        self.linking = cluster.accepted_from(given.model.threshold) - _ROUNDING
        self.open: dict[int, Statement] = {}

    def run(self, changed: Ints) -> Outcome:
        """Work out the consequences, step by step."""
        self.work.work_out(changed, self._floor() - _ROUNDING)
        new, stale = self._pair_evidence()
        added, removed = self._difference(new, stale)
        reached = self._closure(added, removed)
        records, labels, against = self._partition(reached, added, removed)
        more_added, more_removed = self._difference(*self._cluster_evidence(reached, records, against))
        return self._outcome(len(changed), records, labels, reached, added + more_added, removed | more_removed)

    def _floor(self) -> float:
        return math.log2(self.given.policy.ledger_floor / (1 - self.given.policy.ledger_floor))

    # --- evidence about pairs --------------------------------------------------------------------------------------
    def _pair_evidence(self) -> tuple[list[Statement], set[int]]:
        """Return the evidence that pairs give now, and the numbers of all open evidence about the same pairs."""
        work, floor, threshold, model = self.work, self._floor(), self.given.model.threshold, self.given.model_id
        new: list[Statement] = [
            (
                one,
                other,
                "scored",
                None,
                "positive" if rounded(weight, 6) >= threshold else "unsure",
                rounded(weight, 3),
                model,
            )
            for one, other, weight in work.scored()
            if rounded(weight, 6) >= floor
        ]
        new += [(one, other, "deterministic", rule, "positive", None, None) for one, other, rule in work.links()]
        crossing = work.crossing()
        moved, decided = work.dirty | work.gone, work.live | work.gone
        self._read_open(moved | decided | work.linked | {end for pair in crossing for end in pair})
        stale = set()
        for number, (left, right, kind, rule, *_) in self.open.items():
            if kind == "scored":
                about = left in moved or right in moved or (min(left, right), max(left, right)) in crossing
            else:
                both = left in work.linked and right in work.linked
                about = _is_link(kind, rule) and (both or left in decided or right in decided)
            if about:
                stale.add(number)
        return new, stale

    def _read_open(self, ids: Iterable[int]) -> list[Statement]:
        """Read the open evidence that touches these records; return its rows."""
        asked = pa.array(sorted(ids), pa.int64())
        read = match_index.open_evidence_of(self.given.store, self.given.tenant_id, self.given.entity, asked)
        rows = list(zip(*(read[name].to_pylist() for name in match_index.EVIDENCE), strict=True))
        self.open |= {row[0]: row[1:] for row in rows}
        return [row[1:] for row in rows]

    def _difference(self, new: list[Statement], stale: set[int]) -> tuple[list[Statement], set[int]]:
        """Return what of ``new`` is not among the open rows ``stale``, and those of these that are not in ``new``."""
        known, wanted = {self.open[number]: number for number in stale}, set(new)
        return [row for row in new if row not in known], {number for row, number in known.items() if row not in wanted}

    # --- the part: no edge leaves it -------------------------------------------------------------------------------
    def _closure(self, added: list[Statement], removed: set[int]) -> set[int]:
        """Return all records that edges connect, now or before, with what changed.

        A statement that may not hold its records in one cluster is no edge: whoever has it beside an unchanged line and
        unchanged edges stays where he is.
        """
        near: dict[int, set[int]] = {}
        edges = [row for row in added if self._connects(row)]
        for left, right, *_ in [*edges, *self.given.constraints.said]:
            near.setdefault(left, set()).add(right)
            near.setdefault(right, set()).add(left)
        gone = (self.open[number] for number in removed)
        ends = {end for row in (*edges, *gone) if self._connects(row) for end in row[:2]}
        reached: set[int] = set()
        frontier = self.work.dirty | self.work.live | self.work.gone | self.given.decided | ends
        while frontier:
            reached |= frontier
            rows = self._read_open(frontier)
            found = {end for row in rows if self._connects(row) for end in row[:2]}
            frontier = (found | {other for one in frontier for other in near.get(one, ())}) - reached
        return reached

    def _connects(self, row: Statement) -> bool:
        """Tell whether evidence may hold two records in one cluster; what a person said always counts."""
        return row[2] != "scored" or float(row[5]) >= self.linking

    def _partition(
        self, reached: set[int], added: list[Statement], removed: set[int]
    ) -> tuple[Ints, Ints, list[Against]]:
        """Decide the reached records anew, as a full run would."""
        self.work.fetch(reached)
        here = {sid for sid in reached if sid in self.work.rows}
        pairs: set[Pair] = set()
        links: set[Pair] = set()
        for row in [*added, *(row for number, row in self.open.items() if number not in removed)]:
            left, right, kind, rule = row[:4]
            if left in here and right in here and self._connects(row):
                if kind == "scored":
                    pairs.add((left, right))
                elif _is_link(kind, rule):
                    links.add((left, right))
        return self.work.partition(here, pairs, links)

    def _cluster_evidence(
        self, reached: set[int], records: Ints, against: list[Against]
    ) -> tuple[list[Statement], set[int]]:
        """Return what clusters and people say about the reached records now, and the open evidence of that kind."""
        found: list[Statement] = [
            (left, right, "deterministic", rule, "negative", None, None) for left, right, rule in against
        ]
        said = self.given.constraints.evidence(records).to_pylist()
        found += [(*(row[name] for name in KEY[:-1]), None) for row in said]
        stale = {
            number
            for number, (left, right, kind, rule, *_) in self.open.items()
            if kind != "scored" and not _is_link(kind, rule) and (left in reached or right in reached)
        }
        return found, stale

    # --- what is to be written -------------------------------------------------------------------------------------
    def _outcome(
        self,
        read: int,
        records: Ints,
        labels: Ints,
        reached: set[int],
        added: list[Statement],
        closed: set[int],
    ) -> Outcome:
        work = self.work
        buckets, emptied = work.buckets()
        new = sum(sid not in work.old for sid in work.dirty)
        ordered = sorted(added, key=lambda row: (row[0], row[1], row[2], row[3] or ""))
        return Outcome(
            read=read,
            records=records,
            labels=labels,
            reached=np.array(sorted(reached), np.int64),
            evidence=_table(ordered),
            closed=pa.array(sorted(closed), pa.int64()),
            stats=work.stats,
            stale_stats=work.stale_stats,
            rows={sid: work.rows[sid] for sid in sorted(work.dirty)},
            gone=tuple(sorted(work.gone)),
            buckets=buckets,
            emptied=emptied,
            total=self.given.state.records + new - len(work.gone & work.old.keys()),
        )


def _table(rows: list[Statement]) -> pa.Table:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in KEY]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, _EVIDENCE, strict=True)], schema=_EVIDENCE)


def _is_link(kind: object, rule: object) -> bool:
    return kind == "deterministic" and rule not in cannot_link.RULES


def links_of(given: Given, outcome: Outcome) -> dict[int, int] | None:
    """Return the crosswalk of the reached records; ``None`` where one of their entities has records beyond them."""
    read = match_index.links_of(given.store, given.tenant_id, given.entity, pa.array(outcome.reached))
    held = read["source_record_id"]
    if not pc.all(pc.is_in(held, value_set=pa.array(outcome.reached))).as_py() and len(held):
        return None
    return dict(zip(held.to_pylist(), read["entity_id"].to_pylist(), strict=True))
