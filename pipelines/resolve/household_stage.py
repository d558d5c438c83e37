"""The stage: households of the golden persons, with ids that are carried over by the rule of persons (ADR 0034)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report import StageReport
from pipelines.resolve import ids
from pipelines.resolve.households import RULES_VERSION, households
from pipelines.resolve.ledger import Ledger
from pipelines.store import household_reads, identity
from pipelines.store.golden_reads import last_change
from pipelines.store.tables import household_member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.context import StageContext
    from pipelines.resolve.ids import Assignment, Ints
    from pipelines.store import Lease, Store, WriteTransaction

STAGE, ENTITY = "households", "household"
ROWS_PER_WRITE = 20_000
_UNIT, _RULES = "members", "rules"


def run(context: StageContext) -> StageReport:
    """Bring the households up to date where golden persons changed; ``full`` makes all anew and gives the same."""
    store, tenant = context.store, context.tenant_id
    counts = dict.fromkeys(("read", "households", "written", "unchanged", "removed"), 0)
    with store.acquire(f"master/{STAGE}", now=context.now, tenant_id=tenant) as lease:
        upto, since = last_change(store, tenant), store.watermark(STAGE, _UNIT, tenant_id=tenant)
        stale = store.watermark(STAGE, _RULES, tenant_id=tenant) != RULES_VERSION
        if not (context.full or stale or household_reads.changed(store, tenant, since)):
            return StageReport(STAGE, counts=counts)
        persons = household_reads.persons(store, tenant)
        found = households(persons, household_reads.points(store, tenant))
        known = household_reads.members(store, tenant)
        now = dict(zip(known.column("person_id").to_pylist(), known.column("household_id").to_pylist(), strict=True))
        assignment = assigned(store, tenant, found, now)
        numbers = pa.array(assignment.entity_ids, pa.int64())
        wanted = found.drop_columns(["label"]).append_column("household_id", numbers)
        counts |= _Members(context, lease, wanted).write(now, assignment)
        with store.write(lease, cause=context.cause, actor=context.actor) as tx:
            tx.set_watermark(STAGE, _UNIT, upto)
            tx.set_watermark(STAGE, _RULES, RULES_VERSION)
    counts |= {"read": persons.num_rows, "households": len(set(found.column("label").to_pylist()))}
    return StageReport(STAGE, counts=counts, details={"ids": assignment.counts()})


def assigned(store: Store, tenant: int, found: pa.Table, now: Mapping[int, int]) -> Assignment:
    """Return the household ids of the members found; who is alone again leaves, and a household of nobody is retired."""
    former: dict[int, list[int]] = defaultdict(list)
    for person, household in household_reads.former(store, tenant):
        former[person].append(household)
    persons, labels = (found.column(name).to_numpy().astype(np.int64) for name in ("person_id", "label"))
    first = household_reads.first(store, tenant)
    return ids.assign_ids(persons, labels, now, former, identity.next_id(store, tenant), first)


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
