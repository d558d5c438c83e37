"""The stage: who is one party, decided anew when a party row changed, written as differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConfig
from pipelines.report import StageReport
from pipelines.resolve import ids
from pipelines.resolve.engine import resolve_table
from pipelines.resolve.ledger import Ledger
from pipelines.resolve.match_view import MATCHED_ENTITIES
from pipelines.resolve.model import MatchModel
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.rules import load_policy
from pipelines.store import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from pipelines.context import StageContext
    from pipelines.resolve.engine import Resolution
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
    upto, since = identity.last_change(store, tenant), store.watermark(STAGE, entity, tenant_id=tenant)
    if not context.full and since and not identity.parties_changed(store, tenant, entity, since):
        return StageReport(STAGE, entity=entity, counts={"read": 0, "written": 0}, details={"unchanged": True})
    policy = load_policy(context.config.identity)
    table = read_match_table(store, tenant, entity, policy)
    if table.num_rows == 0 and not since:
        return StageReport(STAGE, entity=entity, counts={"read": 0, "written": 0})
    report = _resolve(context, entity, policy, table, lease)
    with store.write(lease, cause=context.cause, actor=context.actor) as tx:
        tx.set_watermark(STAGE, entity, upto)
    return report


def _resolve(context: StageContext, entity: str, policy: Policy, table: pa.Table, lease: Lease) -> StageReport:
    store, tenant = context.store, context.tenant_id
    context.progress(f"{STAGE} {entity}: {table.num_rows} records")
    stored = identity.active_model(store, tenant, entity)
    known = MatchModel.from_json(stored[1]) if stored and MatchModel.is_current(stored[1]) else None
    reused = known is not None and not _outgrown(known, table.num_rows, policy)
    resolution = resolve_table(table, entity, policy, known if reused else None)
    if stored and reused:
        model_id = stored[0]
    else:
        with store.write(lease, cause=context.cause, actor=context.actor) as tx:
            model_id = identity.add_model(tx, entity, resolution.model.to_json(), dict(resolution.model.report))
    return _write(context, entity, resolution, model_id, lease)


def _outgrown(model: MatchModel, rows: int, policy: Policy) -> bool:
    """Apply the policy's rule for another model: the records have grown past what this one was learned from."""
    return rows >= model.rows * policy.retrain_growth


def _write(context: StageContext, entity: str, resolution: Resolution, model_id: int, lease: Lease) -> StageReport:
    store, tenant = context.store, context.tenant_id
    ledger = Ledger(context, entity, lease)
    evidence = ledger.write_evidence(resolution, model_id)
    crosswalk = _pairs(identity.links(store, tenant, entity))
    former: dict[int, list[int]] = {}
    for record, old in _rows(identity.former_links(store, tenant, entity)):
        former.setdefault(record, []).append(old)
    assignment = ids.assign_ids(
        resolution.source_record_ids, resolution.labels, crosswalk, former, identity.next_id(store, tenant)
    )
    links = ledger.write_assignment(resolution, crosswalk, assignment)
    ledger.write_stats(resolution)
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
        **resolution.model.report,
    }


def _rows(table: pa.Table) -> list[tuple[int, int]]:
    return list(zip(table["source_record_id"].to_pylist(), table["entity_id"].to_pylist(), strict=True))


def _pairs(table: pa.Table) -> Mapping[int, int]:
    return dict(_rows(table))
