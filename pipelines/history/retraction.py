"""A bad source is taken back: its records leave matching and golden, its history stays, and the whole can be undone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest
from pipelines.report import StageReport
from pipelines.store import facts, history_reads, retractions

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.context import StageContext
    from pipelines.store import Store
    from pipelines.store.retractions import Retraction

STAGE = "retract"
_SCOPE = "master/retract"


def retract(
    context: StageContext,
    connection: str,
    *,
    since: datetime | None = None,
    reason: str | None = None,
    dry_run: bool = False,
) -> StageReport:
    """Take the records of a connection out of matching and golden, or those that date from ``since`` or later.

    What the connection sends later and that falls under it is kept out too, until the retraction is undone. Nothing is
    destroyed: rows, links and evidence stay as history. Run resolve and golden afterwards; ``dry_run`` only counts.
    Killed in between, the next resolve finishes it. Raises FixConfig for a connection never synced, or a second time.
    """
    store, tenant = context.store, context.tenant_id
    number = _connection_id(store, connection, tenant)
    if any(one.connection_id == number and one.since == since for one in _standing(store, tenant)):
        raise FixConfig(f"connection '{connection}' is retracted already", do="undo it with `unisono retract --undo`")
    seq = 0 if since is None else history_reads.seq_at(store, tenant, since)
    found = retractions.reach(store, tenant, number, since, seq)
    counts = {"read": found.records, "written": 0 if dry_run else found.records}
    details = {**asdict(found), "dry_run": dry_run}
    if not dry_run:
        with store.acquire(_SCOPE, now=context.now, tenant_id=tenant) as lease:
            with store.write(lease, cause="retract", actor=context.actor) as tx:
                details["retraction"] = retractions.begin(tx, number, since, reason, found.records)
            retractions.settle(store, lease, actor=context.actor, progress=context.progress)
    return StageReport(STAGE, connection=connection, counts=counts, details=details)


def undo_retraction(context: StageContext, connection: str) -> StageReport:
    """Undo the newest standing retraction of a connection; run resolve and golden afterwards.

    Its records take part again as if nothing had happened: same ids, same links, same golden values. Raises FixConfig when
    nothing of the connection is retracted.
    """
    store, tenant = context.store, context.tenant_id
    number = _connection_id(store, connection, tenant)
    mine = [one for one in _standing(store, tenant) if one.connection_id == number]
    if not mine:
        raise FixConfig(f"nothing of connection '{connection}' is retracted", do="see `unisono retract --list`")
    with store.acquire(_SCOPE, now=context.now, tenant_id=tenant) as lease:
        with store.write(lease, cause="undo retract", actor=context.actor) as tx:
            retractions.undo(tx, mine[-1].retraction_id)
        changed = retractions.settle(store, lease, actor=context.actor, progress=context.progress)
    counts = {"read": changed, "written": changed}
    return StageReport(STAGE, connection=connection, counts=counts, details={"undone": mine[-1].retraction_id})


def _standing(store: Store, tenant: int) -> list[Retraction]:
    return [one for one in retractions.retractions(store, tenant) if one.undone_at is None]


def _connection_id(store: Store, name: str, tenant: int) -> str:
    names = facts.connection_names(store, tenant_id=tenant)
    found = next((number for number, known in names.items() if known == name), None)
    if found is None:
        raise FixConfig(f"no connection '{name}' has been synced", do=suggest(name, list(names.values())))
    return found
