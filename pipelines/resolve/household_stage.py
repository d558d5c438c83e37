"""The stage: households of the golden persons, with ids that are carried over by the rule of persons (ADR 0034)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.compute import query
from pipelines.report import StageReport
from pipelines.resolve import ids
from pipelines.resolve.household_reach import reached
from pipelines.resolve.households import RULES_VERSION, homes_of, households, people_of
from pipelines.resolve.ledger import Ledger
from pipelines.store import household_open, household_reads, identity
from pipelines.store.golden_reads import last_change
from pipelines.store.tables import household_home, household_member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.context import StageContext
    from pipelines.resolve.ids import Assignment, Ints
    from pipelines.store import Lease, Store, WriteTransaction

STAGE, ENTITY = "households", "household"
ROWS_PER_WRITE = 20_000
FEW = 1_000
"""So many changed persons are always looked at by themselves; more than that only up to a fifth of all."""
_UNIT, _RULES = "members", "rules"


def run(context: StageContext) -> StageReport:
    """Bring the households up to date where golden persons changed; ``full`` makes all anew and gives the same."""
    store, tenant = context.store, context.tenant_id
    counts = dict.fromkeys(("read", "households", "written", "unchanged", "removed"), 0)
    with store.acquire(f"master/{STAGE}", now=context.now, tenant_id=tenant) as lease:
        upto, since = last_change(store, tenant), store.watermark(STAGE, _UNIT, tenant_id=tenant)
        stale = store.watermark(STAGE, _RULES, tenant_id=tenant) != RULES_VERSION
        changed = None if context.full or stale else household_reads.changed(store, tenant, since)
        if changed is not None and not len(changed):
            return StageReport(STAGE, counts=counts)
        decided = _decided(store, tenant, changed)
        assignment = assigned(store, tenant, decided)
        written = _Members(context, lease, decided.with_ids(assignment)).write(decided.now, assignment)
        _remember(context, lease, decided, upto, stale=stale)
    counts |= written | {"read": decided.read, "households": len(pc.unique(decided.found.column("label")))}
    return StageReport(STAGE, counts=counts, details={"ids": assignment.counts()})


@dataclass(frozen=True)
class Decided:
    """Households of everybody, or (``persons``) of those whom a change can reach, and what was stored of the same.

    ``homes`` and ``homes_before`` are those of everybody, or of those who changed.
    """

    read: int
    found: pa.Table
    homes: pa.Table
    homes_before: pa.Table
    now: Mapping[int, int]
    persons: pa.Array | None = None

    def with_ids(self, assignment: Assignment) -> pa.Table:
        """Return the rows of ``household_member`` that follow."""
        numbers = pa.array(assignment.entity_ids, pa.int64())
        return self.found.drop_columns(["label"]).append_column("household_id", numbers)


def _decided(store: Store, tenant: int, changed: pa.Array | None) -> Decided:
    if changed is None or len(changed) > max(FEW, household_reads.count_persons(store, tenant) // 5):
        persons = household_reads.persons(store, tenant)
        people = people_of(persons)
        found = households(people, household_reads.points(store, tenant))
        return Decided(
            persons.num_rows, found, homes_of(people), household_reads.homes(store, tenant), _live(store, tenant)
        )
    reach = reached(store, tenant, changed)
    before, ids = household_reads.homes(store, tenant, changed), pa.array(sorted(reach.ids), pa.int64())
    return Decided(reach.read, reach.found(), reach.homes, before, _live(store, tenant, ids), ids)


def _live(store: Store, tenant: int, ids: pa.Array | None = None) -> dict[int, int]:
    rows = household_reads.members(store, tenant, ids)
    return dict(zip(rows.column("person_id").to_pylist(), rows.column("household_id").to_pylist(), strict=True))


def assigned(store: Store, tenant: int, decided: Decided) -> Assignment:
    """Return the household ids of the members found; who is alone again leaves, and a household of nobody is retired."""
    former: dict[int, list[int]] = defaultdict(list)
    for person, household in household_reads.former(store, tenant, decided.persons):
        former[person].append(household)
    persons, labels = (decided.found.column(name).to_numpy().astype(np.int64) for name in ("person_id", "label"))
    first = household_reads.first(store, tenant, decided.persons)
    return ids.assign_ids(persons, labels, decided.now, former, identity.next_id(store, tenant), first)


def _remember(context: StageContext, lease: Lease, decided: Decided, upto: int, *, stale: bool) -> None:
    """Keep the homes and how far the stage has come: homes of a change and its end in one commit, for they find it again."""
    fresh = query("SELECT * FROM homes EXCEPT SELECT * FROM before", homes=decided.homes, before=decided.homes_before)
    gone = decided.homes_before.filter(
        pc.invert(pc.is_in(decided.homes_before.column("person_id"), decided.homes.column("person_id")))
    ).select(["person_id"])
    writing = partial(context.store.write, lease, cause=context.cause, actor=context.actor)
    if fresh.num_rows + gone.num_rows > ROWS_PER_WRITE and not stale:
        with writing() as tx:  # should this run be killed, everything is made anew
            tx.set_watermark(STAGE, _RULES, 0)
    starts = range(0, max(fresh.num_rows, gone.num_rows, 1), ROWS_PER_WRITE)
    for start in starts:
        with writing() as tx:
            tx.upsert(household_home, fresh.slice(start, ROWS_PER_WRITE))
            tx.delete(household_home, gone.slice(start, ROWS_PER_WRITE))
            if start == starts[-1]:
                household_open.forget(tx, upto)
                tx.set_watermark(STAGE, _UNIT, upto)
                tx.set_watermark(STAGE, _RULES, RULES_VERSION)


class _Members(Ledger):
    """Writes households as a ledger writes identities: the link of a person is its membership."""

    def __init__(self, context: StageContext, lease: Lease, wanted: pa.Table) -> None:
        super().__init__(context, ENTITY, lease)
        self._wanted = wanted

    def write(self, now: Mapping[int, int], assignment: Assignment) -> dict[str, int]:
        """Write what became of ids with the memberships they concern, then those that differ in something else."""
        persons = self._wanted.column("person_id").to_numpy().astype(np.int64)
        moved = self.write_assignment(persons, now, assignment).written - len(assignment.gone)
        told = 0
        for start in range(0, self._wanted.num_rows, ROWS_PER_WRITE):
            with self.writing() as tx:
                told += tx.upsert(household_member, self._wanted.slice(start, ROWS_PER_WRITE)).written
        written = moved + told
        return {"written": written, "unchanged": len(persons) - written, "removed": len(assignment.gone)}

    def _write_links(self, tx: WriteTransaction, records: Ints, _entity_ids: Ints, *, anew: bool) -> None:
        del anew  # a membership may be there before its person has another id
        chosen = pc.is_in(self._wanted.column("person_id"), pa.array(records, pa.int64()))
        tx.upsert(household_member, self._wanted.filter(chosen))

    def _drop_links(self, tx: WriteTransaction, records: pa.Array) -> None:
        tx.delete(household_member, pa.table({"person_id": records}))
