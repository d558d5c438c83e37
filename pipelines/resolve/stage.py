"""The stage: who is one party, decided anew when a party row changed, written as differences."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConfig
from pipelines.report import StageReport
from pipelines.resolve import ids
from pipelines.resolve.alarms import summary
from pipelines.resolve.apply import apply_changes
from pipelines.resolve.assigned import assigned, live_ids
from pipelines.resolve.decisions import constraints
from pipelines.resolve.engine import resolve_table
from pipelines.resolve.incremental import Given
from pipelines.resolve.index import IndexWriter, fingerprint
from pipelines.resolve.ledger import Ledger
from pipelines.resolve.match_view import MATCHED_ENTITIES
from pipelines.resolve.model import MatchModel
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.ready import model_of
from pipelines.resolve.rules import load_policy
from pipelines.store import decisions, identity, match_index, retractions
from pipelines.store.match_index import IndexState

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.context import StageContext
    from pipelines.resolve.decisions import Constraints
    from pipelines.resolve.engine import Resolution
    from pipelines.resolve.features import Feature
    from pipelines.resolve.rules import Policy
    from pipelines.store import Lease

STAGE = "resolve"


def run(context: StageContext) -> StageReport:
    """Bring the crosswalk of ``context.entity`` up to date; without a changed party row nothing is done at all."""
    entity = context.entity
    if entity not in MATCHED_ENTITIES:
        raise FixConfig(
            f"the resolve stage cannot match {entity!r}", why="only parties have an identity",
            do=f"use context.for_entity with one of: {', '.join(MATCHED_ENTITIES)}",
        )  # fmt: skip
    with context.store.acquire(f"master/{STAGE}", now=context.now, tenant_id=context.tenant_id) as lease:
        return _run(context, entity, lease)


def _run(context: StageContext, entity: str, lease: Lease) -> StageReport:
    store, tenant = context.store, context.tenant_id
    retractions.settle(store, lease, actor=context.actor)
    with store.at_one_time():
        upto, since = identity.last_change(store, tenant), store.watermark(STAGE, entity, tenant_id=tenant)
        decided = decisions.changed_records(store, tenant, entity, since)
        changed = bool(decided) or identity.parties_changed(store, tenant, entity, since)
    if not context.full and since and not changed:
        return StageReport(STAGE, entity=entity, counts={"read": 0, "written": 0}, details={"unchanged": True})
    policy = load_policy(context.config.identity)
    if not context.full and since:
        report = _increment(context, entity, policy, (since, upto), decided, lease)
        if report is not None:
            return report
    table = read_match_table(store, tenant, entity, policy)
    if table.num_rows == 0 and not since:
        return StageReport(STAGE, entity=entity, counts={"read": 0, "written": 0})
    report, index = _resolve(context, entity, policy, table, lease)
    with store.write(lease, cause=context.cause, actor=context.actor) as tx:
        tx.set_watermark(STAGE, entity, upto)
        if index is not None:
            match_index.set_state(tx, entity, index)
    return report


def _increment(
    context: StageContext, entity: str, policy: Policy, span: tuple[int, int], decided: set[int], lease: Lease
) -> StageReport | None:
    """Resolve only what changed, where the active model has an index of the store; else ``None``, and nothing is done."""
    store, tenant = context.store, context.tenant_id
    with store.at_one_time():
        number, state = identity.active_number(store, tenant, entity), match_index.state(store, tenant, entity)
        if number is None or state is None or state.fingerprint is None or state.model_id != number:
            return None
        model = model_of(store, tenant, number)
        if model is None:
            return None
        bound = constraints(decisions.open_decisions(store, tenant, entity))
    given = Given(store, tenant, entity, policy, model, number, state, bound, decided)
    report = apply_changes(context, given, *span, lease, lambda rows: _outgrown(model, rows, policy))
    return replace(report, details=report.details | _conflicts(bound)) if report else None


def _resolve(
    context: StageContext, entity: str, policy: Policy, table: pa.Table, lease: Lease
) -> tuple[StageReport, IndexState | None]:
    """Decide everything anew and write the differences; return what the index says of itself once all is written."""
    store, tenant = context.store, context.tenant_id
    context.progress(f"{STAGE} {entity}: {table.num_rows} records")
    stored = identity.active_model(store, tenant, entity)
    known = MatchModel.from_json(stored[1]) if stored and MatchModel.is_current(stored[1]) else None
    reused = known is not None and not _outgrown(known, table.num_rows, policy)
    decided = constraints(decisions.open_decisions(store, tenant, entity))
    keep = _Keep(context, entity, policy, lease, stored[0] if stored and reused else None)
    model = known if reused else None
    spark = context.config.spark.session() if context.config.spark else None
    reports: list[StageReport] = []

    def write(_con: duckdb.DuckDBPyConnection, resolution: Resolution) -> None:
        keep.keep(resolution.model)
        reports.append(_write(context, entity, resolution, keep.model_id, lease))

    resolve_table(table, entity, policy, model, decided, write, keep, spark)
    return replace(reports[0], details=reports[0].details | _conflicts(decided)), keep.end()


class _Keep:
    """Stores a new model, and writes the index while the tables of a full run are there, beside the ledger."""

    def __init__(self, context: StageContext, entity: str, policy: Policy, lease: Lease, known: int | None) -> None:
        self._context, self._entity, self._policy = context, entity, policy
        self._writing = Ledger(context, entity, lease).writing
        self._known = known
        self.model_id = known or 0
        self._writer = IndexWriter(entity, self._writing)
        self._index: IndexState | None = None

    def records(self, con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> None:
        """Write the index's lines; it says nothing before all of it is written and it is told its model."""
        self._writer.write_lines(con, features)

    def keys(self, con: duckdb.DuckDBPyConnection, model: MatchModel) -> None:
        """Write the index's postings."""
        self._index = self._writer.write_postings(con, fingerprint(self._policy, model.features))

    def keep(self, model: MatchModel) -> None:
        """Store a new model."""
        if self._known is None:
            with self._writing() as tx:
                self.model_id = identity.add_model(tx, self._entity, model.to_json(), dict(model.report))

    def end(self) -> IndexState | None:
        """Return what the index says of itself once all is written; one that no model needs any more is emptied."""
        if self._index is not None:
            return replace(self._index, model_id=self.model_id)
        if match_index.state(self._context.store, self._context.tenant_id, self._entity):
            with self._writing() as tx:
                match_index.clear(tx, self._entity)
                match_index.set_state(tx, self._entity, IndexState(self.model_id, None, 0, 0))
        return None


def _conflicts(decided: Constraints) -> dict[str, object]:
    """Say where people contradict each other: what they speak of is kept apart until one of them resolves it."""
    told = [{"kept_apart": each.records, "decisions": (*each.together, *each.apart)} for each in decided.contradictions]
    return {"conflicts": told} if told else {}


def _outgrown(model: MatchModel, rows: int, policy: Policy) -> bool:
    """Apply the policy's rule for another model: the records have grown past what this one was learned from."""
    return rows >= model.rows * policy.retrain_growth


def _write(context: StageContext, entity: str, resolution: Resolution, model_id: int, lease: Lease) -> StageReport:
    store, tenant = context.store, context.tenant_id
    ledger = Ledger(context, entity, lease)
    with ThreadPoolExecutor(max_workers=1) as beside:
        stats = beside.submit(Ledger(context, entity, lease).write_stats, resolution)
        alarms = beside.submit(lambda: resolution.alarms)  # the resolution keeps them
        evidence = ledger.write_evidence(resolution, model_id)
        crosswalk = live_ids(store, tenant, entity)
        assignment = assigned(store, tenant, entity, (resolution.source_record_ids, resolution.labels), crosswalk)
        links = ledger.write_assignment(resolution.source_record_ids, crosswalk, assignment)
        for step in (stats, alarms):
            step.result()
    counts = {
        "read": len(resolution.labels),
        "links": resolution.evidence.num_rows,
        "clusters": resolution.clusters,
        "merged": len(resolution.labels) - resolution.clusters,
        "written": links.written,
        "unchanged": links.unchanged,
    }
    return StageReport(
        STAGE, entity=entity, counts=counts, details=_details(resolution, assignment, evidence.written, model_id)
    )


def _details(resolution: Resolution, assignment: ids.Assignment, evidence: int, model_id: int) -> dict[str, object]:
    return {
        "model": model_id,
        "model_origin": resolution.model.origin,
        "threshold": round(1 / (1 + 2**-resolution.model.threshold), 4),
        "evidence_written": evidence,
        "ids": assignment.counts(),
        "alarms": summary(resolution.alarms),
        **resolution.model.report,
    }
