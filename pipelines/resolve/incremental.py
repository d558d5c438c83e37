"""An increment: changed records matched against the index, and only the clusters decided anew that they reach.

It computes what a full run would, for a part: a set of records that no edge leaves, before or after. The partition is
decided component by component, so the part's is the whole's; evidence, ids and statistics are differences in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve import cluster, deterministic, engine, index
from pipelines.resolve.affected import NO_STATS, Affected
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.neighbours import MissingRow, Neighbours
from pipelines.resolve.scoring import prepare, score_pairs
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

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
Statement = tuple[Any, ...]
"""A row of evidence in the order of ``KEY``."""


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


def increment(given: Given, changed: pa.Array, table: pa.Table) -> Outcome | None:
    """Return what the changed records change; ``None`` where the index is not of this model and cannot tell.

    ``table`` is the match table of those of the ``changed`` records that are there.
    """
    if index.fingerprint(given.policy, given.model.features) != given.state.fingerprint:
        return None
    con = engine.connect()
    try:
        con.execute("SET preserve_insertion_order = true")
        con.register("match", numbered(table))
        features = build_norm(con, given.entity, given.policy, given.model.features)
        deterministic.build_held(con, features, given.policy)
        con.execute(NO_STATS)
        finish_norm(con, features, given.policy)
        near = Neighbours(con, given.store, given.tenant_id, given.entity, given.state, features)
        return _Increment(given, con, near).run(changed, table)
    except MissingRow:
        return None
    finally:
        con.close()


class _Increment:
    """One increment on its connection."""

    def __init__(self, given: Given, con: duckdb.DuckDBPyConnection, near: Neighbours) -> None:
        self.given, self.con, self.near = given, con, near
        self.affected = Affected(near, given.store, given.tenant_id, given.entity, given.model, given.policy)
        self.linking = cluster.accepted_from(given.model.threshold) - _ROUNDING
        self.open: dict[int, Statement] = {}

    def run(self, changed: pa.Array, table: pa.Table) -> Outcome:
        """Work out the consequences, step by step."""
        ids = changed.to_pylist()
        self.near.fetch(ids)
        self.con.execute("CREATE OR REPLACE TABLE numbered AS SELECT rid, source_record_id AS sid FROM match")
        refs = dict(zip(table["source_record_id"].to_pylist(), table["source_ref"].to_pylist(), strict=True))
        self.affected.take(ids, self.near.new_rows(refs))
        self.affected.count_values()
        self.affected.move_keys()
        self.affected.score(self._floor() - _ROUNDING)
        self.affected.link()
        new, stale = self._pair_evidence()
        added, removed = self._difference(new, stale)
        reached = self._closure(added, removed)
        records, labels = self._partition(reached, added, removed)
        more_added, more_removed = self._difference(*self._cluster_evidence(reached, records))
        return self._outcome(len(ids), records, labels, reached, added + more_added, removed | more_removed)

    def _floor(self) -> float:
        return math.log2(self.given.policy.ledger_floor / (1 - self.given.policy.ledger_floor))

    # --- evidence about pairs --------------------------------------------------------------------------------------
    def _pair_evidence(self) -> tuple[list[Statement], set[int]]:
        """Return the evidence that pairs give now, and the numbers of all open evidence about the same pairs."""
        model, affected = self.given.model, self.affected
        scored = self.con.execute(
            f"""SELECT l, r, 'scored', NULL::VARCHAR, CASE WHEN round(weight, 6) >= {model.threshold!r}
            THEN 'positive' ELSE 'unsure' END, round(weight, 3), {self.given.model_id:d}::BIGINT
            FROM found WHERE round(weight, 6) >= {self._floor()!r}"""
        ).fetchall()
        links = self.con.execute(
            "SELECT l, r, 'deterministic', rule, 'positive', NULL::DOUBLE, NULL::BIGINT FROM link_found"
        ).fetchall()
        crossing = set(self.con.execute("SELECT a, b FROM crossing_pair").fetchall())
        moved, decided = affected.dirty | affected.gone, affected.live | affected.gone
        self._read_open(moved | decided | affected.linked | {end for pair in crossing for end in pair})
        stale = set()
        for number, (left, right, kind, rule, *_) in self.open.items():
            if kind == "scored":
                about = left in moved or right in moved or (min(left, right), max(left, right)) in crossing
            else:
                both = left in affected.linked and right in affected.linked
                about = _is_link(kind, rule) and (both or left in decided or right in decided)
            if about:
                stale.add(number)
        return scored + links, stale

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
        """Return all records that edges connect, now or before, with what changed."""
        near: dict[int, set[int]] = {}
        for left, right, *_ in [*added, *self.given.constraints.said]:
            near.setdefault(left, set()).add(right)
            near.setdefault(right, set()).add(left)
        ends = {end for number in removed for end in self.open[number][:2]}
        seeds = self.affected.dirty | self.affected.live | self.affected.gone | self.given.decided | ends
        reached: set[int] = set()
        frontier = seeds | {end for row in added for end in row[:2]}
        while frontier:
            reached |= frontier
            rows = self._read_open(frontier)
            found = {end for row in rows if self._connects(row) for end in row[:2]}
            frontier = (found | {other for one in frontier for other in near.get(one, ())}) - reached
        return reached

    def _connects(self, row: Statement) -> bool:
        """Tell whether evidence may hold two records in one cluster; what a person said always counts."""
        return row[2] != "scored" or float(row[5]) >= self.linking

    def _partition(self, reached: set[int], added: list[Statement], removed: set[int]) -> tuple[Ints, Ints]:
        """Decide the reached records anew, as a full run would; leaves ``conflict``."""
        self.near.fetch(reached)
        order = self.near.load(sid for sid in reached if sid in self.near.rows)
        row = {sid: rid for rid, sid in enumerate(order)}
        rows = [*added, *(row for number, row in self.open.items() if number not in removed)]
        pairs: dict[str, set[tuple[int, ...]]] = {"pair": set(), "link": set()}
        for left, right, kind, rule, *rest in rows:
            if left in row and right in row and self._connects((left, right, kind, rule, *rest)):
                ends = (min(row[left], row[right]), max(row[left], row[right]))
                if kind == "scored":
                    pairs["pair"].add(ends)
                elif _is_link(kind, rule):
                    pairs["link"].add(ends)
        for name, found in pairs.items():
            self._edge_table(name, sorted(found))
        compiled = compile_model(self.given.model)
        prepare(self.con, compiled)
        score_pairs(self.con, compiled, "pair", "scored", None)
        records = np.array(order, np.int64)
        decided = self.given.constraints.over(records)
        return records, engine.partition_of(self.con, self.given.model, self.given.policy, decided)

    def _edge_table(self, name: str, edges: list[tuple[int, ...]]) -> None:
        l, r = zip(*edges, strict=True) if edges else ((), ())  # noqa: E741
        self.con.register("edges", pa.table({"l": pa.array(l, pa.int32()), "r": pa.array(r, pa.int32())}))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM edges")
        self.con.unregister("edges")

    def _cluster_evidence(self, reached: set[int], records: Ints) -> tuple[list[Statement], set[int]]:
        """Return what clusters and people say about the reached records now, and the open evidence of that kind."""
        found = self.con.execute(
            """SELECT x.sid, y.sid, 'deterministic', 'unique_identifier', 'negative', NULL::DOUBLE, NULL::BIGINT
            FROM conflict JOIN numbered x ON x.rid = l JOIN numbered y ON y.rid = r"""
        ).fetchall()
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
        affected = self.affected
        buckets, emptied = self._buckets()
        new = sum(sid not in affected.old for sid in affected.dirty)
        ordered = sorted(added, key=lambda row: (row[0], row[1], row[2], row[3] or ""))
        return Outcome(
            read=read,
            records=records,
            labels=labels,
            reached=np.array(sorted(reached), np.int64),
            evidence=pa.Table.from_pylist([dict(zip(KEY, row, strict=True)) for row in ordered], _EVIDENCE),
            closed=pa.array(sorted(closed), pa.int64()),
            stats=affected.stats,
            stale_stats=affected.stale_stats,
            rows={sid: self.near.rows[sid] for sid in sorted(affected.dirty)},
            gone=tuple(sorted(affected.gone)),
            buckets=buckets,
            emptied=emptied,
            total=self.given.state.records + new - len(affected.gone & affected.old.keys()),
        )

    def _buckets(self) -> tuple[pa.Table, Ints]:
        """Return the buckets whose postings moved, and the numbers of those that are empty now."""
        keys = self.near.hashes("SELECT h FROM moved UNION SELECT h FROM placed")
        numbers = np.unique(index.bucket_of(keys, self.near.bits))
        found = self.con.execute("SELECT h, sid FROM posting ORDER BY h, sid").fetchnumpy()
        h, sid = np.asarray(found["h"], np.uint64), np.asarray(found["sid"], np.int64)
        mine = np.isin(index.bucket_of(h, self.near.bits), numbers)
        rows = index.bucket_rows(self.given.entity, h[mine], sid[mine], self.near.bits)
        left = rows["bucket"].to_numpy()
        return rows, np.setdiff1d(numbers, left)


def _is_link(kind: object, rule: object) -> bool:
    return kind == "deterministic" and rule != "unique_identifier"


def links_of(given: Given, outcome: Outcome) -> dict[int, int] | None:
    """Return the crosswalk of the reached records; ``None`` where one of their entities has records beyond them."""
    read = match_index.links_of(given.store, given.tenant_id, given.entity, pa.array(outcome.reached))
    held = read["source_record_id"]
    if not pc.all(pc.is_in(held, value_set=pa.array(outcome.reached))).as_py() and len(held):
        return None
    return dict(zip(held.to_pylist(), read["entity_id"].to_pylist(), strict=True))
