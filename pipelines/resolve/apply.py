"""Write what an increment found: the ledger, the links, then the index, which says last that all of it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.report import StageReport
from pipelines.resolve.assigned import assigned
from pipelines.resolve.incremental import increment, links_of
from pipelines.resolve.index import ROWS_PER_WRITE
from pipelines.resolve.ledger import Ledger
from pipelines.store import match_index, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.context import StageContext
    from pipelines.resolve.ids import Assignment
    from pipelines.resolve.incremental import Given, Outcome
    from pipelines.store import Lease

LARGEST_SHARE = 0.25
LEAST_ROWS = 1_000
RECORDS_PER_WRITE = 2_000
AT_ONCE = 2_000
STAGE = "resolve"


def apply_changes(
    context: StageContext, given: Given, since: int, upto: int, lease: Lease, outgrown: Callable[[int], bool]
) -> StageReport | None:
    """Resolve what changed after ``since`` and write it; ``None`` = nothing was written, a full run has to do it.

    That is so when a large share changed, when the store outgrows its model, and when the index is not of this model.
    """
    with given.store.at_one_time():
        changed = match_index.changed_parties(given.store, given.tenant_id, given.entity, since)
        if len(changed) > max(LEAST_ROWS, LARGEST_SHARE * given.state.records):
            return None
        outcome = increment(given, changed.to_numpy())
        if outcome is None or outgrown(outcome.total):
            return None
        crosswalk = links_of(given, outcome)
        if crosswalk is None:
            return None
    context.progress(f"{STAGE} {given.entity}: {len(changed)} changed records reach {len(outcome.records)}")
    return _Writer(context, given, lease).write(outcome, crosswalk, upto)


class _Writer:
    """Writes one increment in short transactions; a process that dies between them leaves an index that says so."""

    def __init__(self, context: StageContext, given: Given, lease: Lease) -> None:
        self._given, self._store = given, given.store
        self._ledger = Ledger(context, given.entity, lease)

    def write(self, outcome: Outcome, crosswalk: dict[int, int], upto: int) -> StageReport:
        """Write everything and return the stage's report."""
        if len(outcome.reached) + outcome.buckets.num_rows > AT_ONCE:
            return self._write(outcome, crosswalk, upto)
        with self._ledger.writing.at_once():
            return self._write(outcome, crosswalk, upto)

    def _write(self, outcome: Outcome, crosswalk: dict[int, int], upto: int) -> StageReport:
        given, ledger = self._given, self._ledger
        with ledger.writing() as tx:
            match_index.set_state(tx, given.entity, replace(given.state, fingerprint=None))
        evidence = ledger.append(outcome.evidence, outcome.closed)
        assignment = self._assigned(outcome, crosswalk)
        links = ledger.write_assignment(outcome.records, crosswalk, assignment)
        ledger.put_stats(outcome.stats, outcome.stale_stats)
        self._write_index(outcome)
        with ledger.writing() as tx:
            match_index.set_state(tx, given.entity, replace(given.state, records=outcome.total))
            tx.set_watermark(STAGE, given.entity, upto)
        clusters = len(np.unique(outcome.labels))
        counts = {
            "read": outcome.read,
            "reached": len(outcome.records),
            "links": outcome.evidence.num_rows,
            "clusters": clusters,
            "merged": len(outcome.records) - clusters,
            "written": links.written,
            "unchanged": links.unchanged,
        }
        details = {
            "incremental": True, "model": given.model_id, "evidence_written": evidence.written,
            "ids": assignment.counts(), "records": outcome.total,
        }  # fmt: skip
        return StageReport(STAGE, entity=given.entity, counts=counts, details=details)

    def _assigned(self, outcome: Outcome, crosswalk: dict[int, int]) -> Assignment:
        given, partition = self._given, (outcome.records, outcome.labels)
        return assigned(self._store, given.tenant_id, given.entity, partition, crosswalk, pa.array(outcome.reached))

    def _write_index(self, outcome: Outcome) -> None:
        entity, writing = self._given.entity, self._ledger.writing
        moved = sorted([*outcome.rows, *outcome.gone])
        for start in range(0, len(moved), RECORDS_PER_WRITE):
            part = moved[start : start + RECORDS_PER_WRITE]
            with writing() as tx:
                match_index.put_rows(tx, entity, {one: outcome.rows.get(one) for one in part})
        for start in range(0, outcome.buckets.num_rows, ROWS_PER_WRITE):
            with writing() as tx:
                tx.replace(tables.match_bucket, outcome.buckets.slice(start, ROWS_PER_WRITE))
        if len(outcome.emptied):
            with writing() as tx:
                match_index.remove_buckets(tx, entity, pa.array(outcome.emptied))
