"""Write what a resolution found: only differences, evidence append-only, every transaction short."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve import ids
from pipelines.resolve.duck import connect
from pipelines.store import identity, tables
from pipelines.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.context import StageContext
    from pipelines.resolve.engine import Resolution
    from pipelines.resolve.ids import Assignment, Ints
    from pipelines.store import Lease, WriteTransaction

ROWS_PER_WRITE = 60_000
_EVIDENCE_KEY = ("left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")
_STATUS = {ids.MINTED: ids.ACTIVE, ids.REACTIVATED: ids.ACTIVE, ids.MERGED_INTO: ids.MERGED, ids.RETIRE: ids.RETIRED}


@dataclass(frozen=True)
class Written:
    """Rows that differed and rows that did not."""

    written: int = 0
    unchanged: int = 0


class Ledger:
    """Writes one entity's resolution under the stage's lease."""

    def __init__(self, context: StageContext, entity: str, lease: Lease) -> None:
        self._entity, self._store, self._tenant = entity, context.store, context.tenant_id
        self.writing = Writing(context, lease)

    def write_evidence(self, resolution: Resolution, model_id: int) -> Written:
        """Append new evidence and close what no longer holds."""
        new, gone, kept = self._evidence_changes(resolution.evidence, model_id)
        return Written(self.append(new, gone).written, kept)

    def append(self, new: pa.Table, gone: pa.Array) -> Written:
        """Append these rows to the ledger, and say of others (by number) that they held until now."""
        for start in range(0, new.num_rows, ROWS_PER_WRITE):
            with self.writing() as tx:
                part = new.slice(start, ROWS_PER_WRITE)
                first = tx.allocate("evidence", part.num_rows)
                numbers = pa.array(range(first, first + part.num_rows), pa.int64())
                entity = pa.repeat(pa.scalar(self._entity), part.num_rows)
                tx.insert(tables.evidence, part.append_column("evidence_id", numbers).append_column("entity", entity))
        for start in range(0, len(gone), ROWS_PER_WRITE):
            with self.writing() as tx:
                identity.close_evidence(tx, gone.slice(start, ROWS_PER_WRITE))
        return Written(new.num_rows + len(gone))

    def write_assignment(self, records: Ints, crosswalk: Mapping[int, int], assignment: Assignment) -> Written:
        """Write changed links together with what became of the ids that they concern; a small change is one commit."""
        entity_ids = assignment.entity_ids
        changed = np.flatnonzero(ids.ids_before(records, crosswalk) != entity_ids)
        order = changed[np.argsort(entity_ids[changed], kind="stable")]
        events = _event_rows(assignment)
        anew = not crosswalk and not identity.anybody_linked(self._store, self._tenant)
        portions = _portions(entity_ids[order], events["owner"].to_numpy())
        gone = range(0, len(assignment.gone), ROWS_PER_WRITE)
        for portion, start in zip_longest(portions, gone):
            with self.writing() as tx:
                if portion:
                    self._write_events(tx, events[portion[1]])
                    self._write_links(tx, records[order[portion[0]]], entity_ids[order[portion[0]]], anew=anew)
                if start is not None:
                    self._drop_links(tx, pa.array(assignment.gone[start : start + ROWS_PER_WRITE], pa.int64()))
        return Written(len(order) + len(assignment.gone), len(records) - len(order))

    def write_stats(self, resolution: Resolution) -> Written:
        """Keep how many records and names hold each shared value, by the hash of the value."""
        rows = stats_rows(resolution.identifier_stats, self._entity)
        known = identity.known_stats(self._store, self._tenant, self._entity)
        return self.put_stats(rows, _missing(known, rows))

    def put_stats(self, rows: pa.Table, stale: pa.Table) -> Written:
        """Write these statistics and remove stale ones (columns entity, system, value_hash)."""
        counts = Written()
        for start in range(0, rows.num_rows, ROWS_PER_WRITE):
            with self.writing() as tx:
                done = tx.upsert(tables.identifier_stats, rows.slice(start, ROWS_PER_WRITE))
                counts = Written(counts.written + done.written, counts.unchanged + done.unchanged)
        if stale.num_rows:
            with self.writing() as tx:
                tx.delete(tables.identifier_stats, stale)
        return counts

    def _evidence_changes(self, found: pa.Table, model_id: int) -> tuple[pa.Table, pa.Array, int]:
        con = connect()
        try:
            con.register("found", found)
            con.register("open", identity.open_evidence(self._store, self._tenant, self._entity))
            con.execute(
                f"""CREATE VIEW named AS
                SELECT *, CASE WHEN kind = 'scored' THEN {model_id:d} END::BIGINT AS model_id FROM found"""
            )
            same = " AND ".join(f"n.{c} IS NOT DISTINCT FROM o.{c}" for c in _EVIDENCE_KEY[2:])
            on = f"n.left_id = o.left_id AND n.right_id = o.right_id AND {same}"
            new = con.execute(
                f"""SELECT {", ".join(_EVIDENCE_KEY)} FROM named n ANTI JOIN open o ON {on}
                ORDER BY left_id, right_id, kind, rule"""
            ).to_arrow_table()
            gone = con.execute(f"SELECT evidence_id FROM open o ANTI JOIN named n ON {on} ORDER BY 1").to_arrow_table()
        finally:
            con.close()
        return new, gone["evidence_id"].combine_chunks(), found.num_rows - new.num_rows

    def _write_links(self, tx: WriteTransaction, records: Ints, entity_ids: Ints, *, anew: bool) -> None:
        """Write links; in a store's first run nobody has one to be replaced."""
        entity = pa.repeat(pa.scalar(self._entity), len(records))
        links = pa.table({"source_record_id": records, "entity": entity, "entity_id": entity_ids})
        if anew:
            tx.insert(tables.crosswalk, links.sort_by("source_record_id"))
        else:
            tx.upsert(tables.crosswalk, links)

    def _drop_links(self, tx: WriteTransaction, records: pa.Array) -> None:
        tx.delete(tables.crosswalk, pa.table({"source_record_id": records}))

    def _write_events(self, tx: WriteTransaction, events: pa.Table) -> None:
        if not events.num_rows:
            return
        first = tx.allocate("id_event", events.num_rows)
        numbers = pa.array(np.arange(first, first + events.num_rows))
        entity = pa.repeat(pa.scalar(self._entity), events.num_rows)
        rows = events.drop_columns(["owner"]).append_column("id_event_id", numbers).append_column("entity", entity)
        tx.insert(tables.id_event, rows)
        self._write_states(tx, events)

    def _write_states(self, tx: WriteTransaction, events: pa.Table) -> None:
        minted = events.filter(pc.equal(events["kind"], ids.MINTED))["entity_id"]
        if len(minted):
            n = len(minted)
            rows = pa.table(
                {
                    "entity_id": minted,
                    "entity": pa.repeat(pa.scalar(self._entity), n),
                    "status": pa.repeat(pa.scalar(ids.ACTIVE), n),
                    "current_id": pa.nulls(n, pa.int64()),
                    "minted_seq": pa.repeat(pa.scalar(tx.change_seq, pa.int64()), n),
                }
            )
            tx.insert(tables.entity_id, rows)
        others = [kind for kind in _STATUS if kind != ids.MINTED]
        changed = events.filter(pc.is_in(events["kind"], pa.array(others))).to_pylist()
        if changed:
            current = [e["other_id"] if e["kind"] == ids.MERGED_INTO else None for e in changed]
            states = {
                "entity_id": pa.array([e["entity_id"] for e in changed], pa.int64()),
                "status": pa.array([_STATUS[e["kind"]] for e in changed]),
                "current_id": pa.array(current, pa.int64()),
            }
            tx.upsert(tables.entity_id, pa.table(states))


def _event_rows(assignment: Assignment) -> pa.Table:
    """Return the id events in the order of the live id that each belongs to, so that it is written with that id's links."""
    placed, fresh = assignment.placed, pa.array(assignment.fresh, pa.int64())
    merged = [e.kind == ids.MERGED_INTO and e.other_id for e in placed]
    rows = pa.table(
        {
            "owner": pa.array([other or e.entity_id for other, e in zip(merged, placed, strict=True)], pa.int64()),
            "kind": pa.array([e.kind for e in placed], pa.string()),
            "entity_id": pa.array([e.entity_id for e in placed], pa.int64()),
            "other_id": pa.array([e.other_id for e in placed], pa.int64()),
        }
    )
    kinds, others = pa.repeat(pa.scalar(ids.MINTED), len(fresh)), pa.nulls(len(fresh), pa.int64())
    minted = pa.table([fresh, kinds, fresh, others], schema=rows.schema)
    order = [("owner", "ascending"), ("kind", "ascending"), ("entity_id", "ascending")]
    return pa.concat_tables([rows, minted]).sort_by(order).combine_chunks()


def _portions(entity_ids: Ints, owners: Ints) -> list[tuple[slice, slice]]:
    """Cut changed links (ordered by id) and events (by owner) into short transactions; one id's rows stay together."""
    portions, row, event = [], 0, 0
    while row < len(entity_ids) or event < len(owners):
        end = min(row + ROWS_PER_WRITE, len(entity_ids))
        while end < len(entity_ids) and entity_ids[end] == entity_ids[end - 1]:
            end += 1
        last = end >= len(entity_ids)
        upto = len(owners) if last else int(np.searchsorted(owners, entity_ids[end - 1], "right"))
        portions.append((slice(row, end), slice(event, upto)))
        row, event = end, upto
    return portions


def stats_rows(found: pa.Table, entity: str) -> pa.Table:
    """Return the rows of the statistics table: values of several names only, without the values themselves."""
    con = connect()
    try:
        con.register("found", found)
        return con.execute(
            f"SELECT '{entity}' AS entity, kind AS system, md5(value) AS value_hash, holders AS records, names, "
            "blocked, spellings, initials FROM found WHERE names > 1 OR initials > 1 ORDER BY ALL"
        ).to_arrow_table()
    finally:
        con.close()


def _missing(known: pa.Table, rows: pa.Table) -> pa.Table:
    """Keys that are stored and not found any more."""
    have = set(zip(rows["system"].to_pylist(), rows["value_hash"].to_pylist(), strict=True))
    pairs = zip(known["system"].to_pylist(), known["value_hash"].to_pylist(), strict=True)
    return known.filter(pa.array([pair not in have for pair in pairs], pa.bool_())) if known.num_rows else known
