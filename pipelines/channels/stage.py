"""The stage: makes contact points and preferences of the golden parties of one entity that changed since the last run.

Runs after golden: a preference's language and time zone are golden cells. A run reads spans of entities and writes them
in short transactions; the watermark moves at the end, so that a run which was killed is repeated, and a row that did
not change is not written again.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from connectors.sdk.errors import FixConfig
from pipelines.channels.points import golden_points
from pipelines.channels.policy import load_policy
from pipelines.channels.preferences import Stated, golden_preferences
from pipelines.channels.signals import signals
from pipelines.compute import query
from pipelines.report import StageReport
from pipelines.store import Counts, channel_reads, golden_reads, tables
from pipelines.store.golden_reads import Scope
from pipelines.store.household_open import drop_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.channels.policy import Policy
    from pipelines.context import StageContext
    from pipelines.store import Lease, Store

STAGE = "channels"
SPAN_ENTITIES = 120_000
WRITE_ROWS = 20_000
_CODE_VERSION = 1  # raise it when the same policy would decide otherwise: every row is then made anew


class Made(NamedTuple):
    """The rows of this stage for some entities, and how many contact points of source records they come from."""

    read: int
    points: pa.Table
    preferences: pa.Table


@dataclass(frozen=True)
class _Done:
    read: int = 0
    points: Counts = Counts()  # noqa: RUF009  frozen itself
    preferences: Counts = Counts()  # noqa: RUF009  frozen itself
    removed: int = 0

    def __add__(self, other: _Done) -> _Done:
        points, preferences = self.points + other.points, self.preferences + other.preferences
        return _Done(self.read + other.read, points, preferences, self.removed + other.removed)


def run(context: StageContext) -> StageReport:
    """Bring contact points and preferences of ``context.entity`` up to date; ``full`` makes all and gives the same."""
    if context.entity is None:
        raise FixConfig("the channels stage needs an entity", do="use context.for_entity('person')")
    policy = load_policy(context.config.channels)
    with context.store.acquire(f"master/{STAGE}", now=context.now, tenant_id=context.tenant_id) as lease:
        return _run(context, context.entity, policy, lease)


def made(store: Store, scope: Scope, policy: Policy) -> Made:
    """Return the rows of the entities in ``scope`` as they follow from what the store holds now."""
    said = channel_reads.points(store, scope)
    happened = signals(channel_reads.events(store, scope), policy)
    moved = channel_reads.moved_points(store, scope) if happened.num_rows else _MOVED
    points = golden_points(said, happened, moved, policy, scope.entity)
    stated = Stated(channel_reads.stated(store, scope), channel_reads.statements(store, scope))
    return Made(said.num_rows, points, golden_preferences(stated, happened, policy, scope.entity))


def _run(context: StageContext, entity: str, policy: Policy, lease: Lease) -> StageReport:
    store, tenant = context.store, context.tenant_id
    upto, since = golden_reads.last_change(store, tenant), store.watermark(STAGE, entity, tenant_id=tenant)
    meaning = policy.fingerprint ^ _CODE_VERSION
    known = store.watermark(STAGE, f"{entity}/policy", tenant_id=tenant) == meaning
    everything = context.full or since == 0 or not known
    if everything:
        ids = channel_reads.entity_ids(store, tenant, entity)
    else:
        ids = channel_reads.changed_entity_ids(store, tenant, entity, since)
    done = _Done()
    for scope, rows in _made_ahead(store, _scopes(tenant, entity, ids, everything=everything), policy):
        done += _write(context, lease, scope, rows)
        context.progress(f"{STAGE} {entity}: {done.points.written + done.points.unchanged} contact points")
    if (upto != since and (len(ids) > 0 or since == 0)) or not known:
        with store.write(lease, cause=context.cause, actor=context.actor) as tx:
            tx.set_watermark(STAGE, entity, upto)
            tx.set_watermark(STAGE, f"{entity}/policy", meaning)
    return _report(entity, len(ids), done)


def _scopes(tenant: int, entity: str, ids: pa.Array, *, everything: bool) -> Iterator[Scope]:
    """Ask for spans of ids where all of them are wanted: that needs no list of them in the store."""
    for start in range(0, len(ids), SPAN_ENTITIES):
        asked = ids.slice(start, SPAN_ENTITIES)
        if everything:
            yield Scope(tenant, entity, first=asked[0].as_py(), last=asked[-1].as_py())
        else:
            yield Scope(tenant, entity, ids=asked)


def _made_ahead(store: Store, scopes: Iterator[Scope], policy: Policy) -> Iterator[tuple[Scope, Made]]:
    """Yield each scope with its rows; the next is made while one is written."""
    with ThreadPoolExecutor(max_workers=1) as maker:
        waiting: tuple[Scope, Future[Made]] | None = None
        for scope in scopes:
            ready, waiting = waiting, (scope, maker.submit(made, store, scope, policy))
            if ready is not None:
                yield ready[0], ready[1].result()
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def _write(context: StageContext, lease: Lease, scope: Scope, rows: Made) -> _Done:
    points, gone_points = _written(context, lease, scope, "golden_contact_point", rows.points)
    preferences, gone = _written(context, lease, scope, "golden_preference", rows.preferences)
    return _Done(rows.read, points, preferences, gone_points + gone)


def _written(context: StageContext, lease: Lease, scope: Scope, name: str, rows: pa.Table) -> tuple[Counts, int]:
    """Make these all the rows that the entities of the scope have in the table; each transaction stays short."""
    table = tables.metadata.tables[name]
    before = channel_reads.keys(context.store, scope, table)
    gone, counts = _without(before, rows), Counts()
    for start in range(0, rows.num_rows, WRITE_ROWS):
        with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
            counts += tx.upsert(table, rows.slice(start, WRITE_ROWS))
    if gone.num_rows:
        with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
            drop_points(tx, gone) if table is tables.golden_contact_point else tx.delete(table, gone)
    return counts, gone.num_rows


def _without(before: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the keys that no row has any more."""
    if before.num_rows == 0:
        return before
    same = " AND ".join(f'r."{name}" = b."{name}"' for name in before.column_names)
    now = rows.select(before.column_names)
    return query(f"SELECT * FROM b WHERE NOT EXISTS (SELECT 1 FROM r WHERE {same})", b=before, r=now)


def _report(entity: str, entities: int, done: _Done) -> StageReport:
    counts = {
        "read": done.read,
        "entities": entities,
        "written": done.points.written,
        "unchanged": done.points.unchanged,
        "preferences": done.preferences.written,
        "removed": done.removed,
    }
    return StageReport(stage=STAGE, entity=entity, counts=counts)


_MOVED = pa.schema([("source_record_id", pa.int64()), ("row_key", pa.string())]).empty_table()
