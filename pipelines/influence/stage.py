"""The stage: golden relations of the subjects that changed, then the account hierarchies if a parent link did.

A run is repeated if it was killed: the watermarks move at the end of each part, and a row whose meaning did not change
is not written again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.compute import query
from pipelines.influence import rules
from pipelines.influence.hierarchy import Link, acyclic, circle_members
from pipelines.influence.lift import Told, account
from pipelines.influence.relations import KEY, relations
from pipelines.report import StageReport
from pipelines.store import influence_changes, influence_reads, tables
from pipelines.store.golden_reads import last_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.context import StageContext
    from pipelines.store import Lease, Store

STAGE = "influence"
WRITE_ROWS = 20_000
_RELATIONS, _HIERARCHY, _RULES = "relations", "hierarchy", "rules"
_HIERARCHY_ROW = ("hierarchy", "entity_id", "span", "parent_id", "valid_from", "valid_to", "strength", "cut")
_HIERARCHY_KEY = _HIERARCHY_ROW[:3]


def run(context: StageContext) -> StageReport:
    """Bring the golden relations and account hierarchies up to date; ``full`` makes all of them and gives the same."""
    with context.store.acquire(f"master/{STAGE}", now=context.now, tenant_id=context.tenant_id) as lease:
        counts = _relate(context, lease)
        counts |= _arrange(context, lease)
    return StageReport(stage=STAGE, counts=counts)


def read_told(store: Store, tenant_id: int, subjects: pa.Array | None) -> Told:
    """Read what the relations of these golden entities, or of all (``None``), are made of."""
    members = None if subjects is None else influence_reads.records_of(store, tenant_id, subjects)
    statements = influence_reads.statements(store, tenant_id, members, rules.SUBJECT_IS_TO)
    deals = influence_reads.deals(store, tenant_id, members)
    encounters = influence_reads.encounters(store, tenant_id, members)
    if members is None:
        return Told(statements, deals, influence_reads.links(store, tenant_id, None), encounters)
    named = [statements["from_party"], statements["to_party"], deals["organization"], deals["owner"], deals["contact"]]
    parties = pa.chunked_array(
        [chunk for column in (*named, encounters["record"]) for chunk in column.chunks], pa.int64()
    )
    known = influence_reads.links(store, tenant_id, parties.unique().drop_null())
    return Told(statements, deals, known, encounters)


def _relate(context: StageContext, lease: Lease) -> dict[str, int]:
    store, tenant = context.store, context.tenant_id
    upto, since = last_change(store, tenant), store.watermark(STAGE, _RELATIONS, tenant_id=tenant)
    stale = store.watermark(STAGE, _RULES, tenant_id=tenant) != rules.RULES_VERSION
    everything = context.full or since == 0 or stale
    subjects = None if everything else influence_changes.changed_subjects(store, tenant, since)
    counts = dict.fromkeys(("read", "lifted", "orphans", "self_relations", "backwards"), 0)
    counts |= dict.fromkeys(("contradicted", "written", "unchanged", "removed"), 0)
    if subjects is None or len(subjects):
        told = read_told(store, tenant, subjects)
        rows = relations(told)
        counts |= {**account(told), "contradicted": _contradicted(rows)}
        known = influence_reads.relation_keys(store, tenant, subjects)
        counts |= _replace(context, lease, "golden_relationship", rows, _gone(known, rows, KEY))
    if (upto != since and (subjects is None or len(subjects))) or stale:
        _remember(context, lease, {_RELATIONS: upto, _RULES: rules.RULES_VERSION})
    return counts


def _contradicted(rows: pa.Table) -> int:
    flags = (rules.CONTRADICTED, rules.OVERRULED)
    return int(pc.sum(pc.is_in(rows.column("conflict"), pa.array(flags))).as_py() or 0)


def _arrange(context: StageContext, lease: Lease) -> dict[str, int]:
    """Make the account hierarchies anew where a parent link changed, and write what differs."""
    store, tenant = context.store, context.tenant_id
    upto, since = last_change(store, tenant), store.watermark(STAGE, _HIERARCHY, tenant_id=tenant)
    if not (context.full or since == 0 or influence_changes.parents_changed(store, tenant, since)):
        return {"hierarchy_written": 0, "hierarchy_removed": 0, "cycles": 0}
    linked = influence_reads.parent_links(store, tenant, overruled=rules.OVERRULED)
    wanted = hierarchy_rows(linked, lambda ids: influence_reads.references(store, tenant, ids))
    known = influence_reads.hierarchy_rows(store, tenant).select(_HIERARCHY_ROW)
    fresh = query("SELECT * FROM wanted EXCEPT SELECT * FROM known ORDER BY ALL", wanted=wanted, known=known)
    done = _replace(context, lease, "account_hierarchy", fresh, _gone(known, wanted, _HIERARCHY_KEY))
    _remember(context, lease, {_HIERARCHY: upto})
    cycles = pc.sum(pc.equal(wanted.column("cut"), rules.CYCLE)).as_py() or 0
    return {"hierarchy_written": done["written"], "hierarchy_removed": done["removed"], "cycles": int(cycles)}


def hierarchy_rows(linked: pa.Table, references: Callable[[list[int]], Mapping[int, str]]) -> pa.Table:
    """Return the rows of ``account_hierarchy`` that follow from parent links; ``references`` names records in a tie."""
    rows = linked.append_column("cut", pa.nulls(linked.num_rows, pa.string()))
    parts = []
    for kind in rules.HIERARCHIES:
        mine = rows.filter(pc.equal(rows.column("hierarchy"), kind))
        core = circle_members(mine.column("entity_id").to_pylist(), mine.column("parent_id").to_pylist())
        inside = _both_in(mine, core)
        parts += [mine.filter(pc.invert(inside)), _opened(mine.filter(inside), references)]
    spans = "CAST(row_number() OVER (PARTITION BY hierarchy, entity_id ORDER BY valid_from NULLS FIRST) AS BIGINT)"
    columns = ", ".join(f"{spans} AS span" if name == "span" else name for name in _HIERARCHY_ROW)
    return query(f"SELECT {columns} FROM links ORDER BY hierarchy, entity_id, span", links=pa.concat_tables(parts))


def _both_in(rows: pa.Table, members: set[int]) -> pa.ChunkedArray:
    known = pa.array(sorted(members), pa.int64())
    return pc.and_(pc.is_in(rows.column("entity_id"), known), pc.is_in(rows.column("parent_id"), known))


def _opened(rows: pa.Table, references: Callable[[list[int]], Mapping[int, str]]) -> pa.Table:
    """Break the circles among links that may stand in one."""
    if rows.num_rows == 0:
        return rows
    told = [json.loads(text) for text in rows.column("told_by").to_pylist()]
    names = references([record for records in told for record in records])
    firsts = [min(names[record] for record in records) for records in told]
    links = [
        Link(
            row["entity_id"], row["parent_id"], row["valid_from"], row["valid_to"], row["strength"],
            row["valid_from"] or row["evidence_at"], first,
        )
        for row, first in zip(rows.to_pylist(), firsts, strict=True)
    ]  # fmt: skip
    kind = rows.column("hierarchy")[0].as_py()
    opened = [
        {"hierarchy": kind, "entity_id": link.child, "parent_id": link.parent, "valid_from": link.valid_from,
         "valid_to": link.valid_to, "strength": link.strength, "cut": link.cut}
        for link in acyclic(links)
    ]  # fmt: skip
    return pa.Table.from_pylist(opened, rows.schema)


def _gone(known: pa.Table, rows: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Return the keys that are known and no longer wanted."""
    names = ", ".join(key)
    return query(f"SELECT {names} FROM known EXCEPT SELECT {names} FROM rows", known=known, rows=rows)


def _replace(context: StageContext, lease: Lease, name: str, rows: pa.Table, gone: pa.Table) -> dict[str, int]:
    """Write rows and take away what is gone; each transaction stays short."""
    table = tables.metadata.tables[name]
    written = unchanged = removed = 0
    for start in range(0, gone.num_rows, WRITE_ROWS):
        with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
            removed += tx.delete(table, gone.slice(start, WRITE_ROWS))
    for start in range(0, rows.num_rows, WRITE_ROWS):
        with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
            done = tx.upsert(table, rows.slice(start, WRITE_ROWS))
        written, unchanged = written + done.written, unchanged + done.unchanged
    return {"written": written, "unchanged": unchanged, "removed": removed}


def _remember(context: StageContext, lease: Lease, marks: Mapping[str, int]) -> None:
    with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
        for unit, mark in marks.items():
            tx.set_watermark(STAGE, unit, mark)
