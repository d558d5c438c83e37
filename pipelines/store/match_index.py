"""The match index in the store: a row per record in the form that is compared, and postings from a key to its records.

Postings are kept in buckets, not a row each: a bucket holds the (key, record) pairs of a range of key hashes as 16 bytes
each, in order. A lookup reads one small row; writing a million records' twelve million postings costs seconds, not minutes.
Everything here is derived from source rows and is removed with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sqlalchemy import and_, delete, func, select, union

from pipelines.store.tables import (
    crosswalk,
    evidence,
    match_bucket,
    match_index,
    match_row,
    metadata,
    picked,
    source_record,
)
from pipelines.store.tables import identifier_stats as stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Select, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_SATELLITES = ("contact_point", "party_identifier", "party_role")
_AT_ONCE = 500
ROW = ("source_record_id", "connection_id", "object", "source_key", "features", "held", "keys")
STATS = ("system", "value_hash", "records", "names", "spellings", "initials")
EVIDENCE = ("evidence_id", "left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")


@dataclass(frozen=True)
class IndexState:
    """Of which model an entity's index is, into how many buckets (2 ** bits) it is cut, of how many records it is."""

    model_id: int
    fingerprint: str | None
    bits: int
    records: int


def state(store: Store, tenant_id: int, entity: str) -> IndexState | None:
    """Return what an entity's index says of itself; its fingerprint is None while it is being written."""
    names = ("model_id", "fingerprint", "bits", "records")
    mine = match_index.c.tenant_id == tenant_id, match_index.c.entity == entity
    rows = store.read(select(*(match_index.c[name] for name in names)).where(*mine))
    return IndexState(*rows[0]) if rows else None


def set_state(tx: WriteTransaction, entity: str, value: IndexState) -> None:
    """Say what an entity's index holds from this transaction on."""
    tx.put_row(
        match_index,
        {"entity": entity, "model_id": value.model_id, "fingerprint": value.fingerprint, "bits": value.bits,
         "records": value.records},
    )  # fmt: skip


def clear(tx: WriteTransaction, entity: str) -> None:
    """Take out everything an entity's index holds."""
    for table in (match_row, match_bucket):
        tx.execute(delete(table).where(table.c.tenant_id == tx.tenant_id, table.c.entity == entity))


def changed_parties(store: Store, tenant_id: int, entity: str, since: int) -> pa.Array:
    """Return the records of which anything that matching reads was written after ``since``, deletions included."""
    own = metadata.tables[entity]
    parts = [_newer(source_record, source_record.c.source_record_id, tenant_id, since)]
    parts.append(_newer(own, own.c.source_record_id, tenant_id, since))
    for name in _SATELLITES:
        table, version = metadata.tables[name], metadata.tables[f"{name}_version"]
        parts += [_newer(table, table.c.party, tenant_id, since), _before(table, version, tenant_id, since)]
        parts.append(_told_by_newer(table, tenant_id, since))
    found = store.read_arrow(union(*parts))
    return found.column(0).drop_null().combine_chunks()


def _newer(table: Table, party: ColumnElement[int], tenant_id: int, since: int) -> Select[Any]:
    return select(party.label("id")).where(table.c.tenant_id == tenant_id, table.c.change_seq > since)


def _before(table: Table, version: Table, tenant_id: int, since: int) -> Select[Any]:
    """Whom the rows that were written after ``since`` belonged to before."""
    changed = select(table.c.source_record_id).where(table.c.tenant_id == tenant_id, table.c.change_seq > since)
    mine = version.c.tenant_id == tenant_id, version.c.source_record_id.in_(changed), version.c.known_to > since
    return select(version.c.party.label("id")).where(*mine)


def _told_by_newer(table: Table, tenant_id: int, since: int) -> Select[Any]:
    """Of whom the records speak that came, went or were retracted after ``since``."""
    record = source_record.c
    newer = select(record.source_record_id).where(record.tenant_id == tenant_id, record.change_seq > since)
    mine = table.c.tenant_id == tenant_id, table.c.source_record_id.in_(newer)
    return select(table.c.party.label("id")).where(*mine)


def rows(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> pa.Table:
    """Return the index rows of these records, with their references."""
    same = and_(
        source_record.c.tenant_id == match_row.c.tenant_id,
        source_record.c.source_record_id == match_row.c.source_record_id,
    )
    columns = [(source_record if name in ROW[1:4] else match_row).c[name] for name in ROW]
    mine = match_row.c.tenant_id == tenant_id, match_row.c.entity == entity, _chosen(match_row.c.source_record_id)
    return store.read_arrow(select(*columns).join_from(match_row, source_record, same).where(*mine), ids=ids)


def _chosen(column: ColumnElement[int]) -> ColumnElement[bool]:
    """One of the ids at hand; said in this way, both stores look each up in the table's index."""
    return column.in_(select(picked.c.id))


def few_rows(store: Store, tenant_id: int, entity: str, ids: Sequence[int]) -> list[tuple[int, str, str]]:
    """Return record, features and held values of a few records, by as few point reads as the store allows."""
    columns = (match_row.c.source_record_id, match_row.c.features, match_row.c.held)
    mine = match_row.c.tenant_id == tenant_id, match_row.c.entity == entity
    return [
        (int(row[0]), row[1], row[2])
        for part in _parts(ids)
        for row in store.read(select(*columns).where(*mine, match_row.c.source_record_id.in_(part)))
    ]


def buckets(store: Store, tenant_id: int, entity: str, numbers: pa.Array) -> pa.Table:
    """Return these buckets: bucket, postings."""
    mine = match_bucket.c.tenant_id == tenant_id, match_bucket.c.entity == entity, _chosen(match_bucket.c.bucket)
    return store.read_arrow(select(match_bucket.c.bucket, match_bucket.c.postings).where(*mine), ids=numbers)


def few_buckets(store: Store, tenant_id: int, entity: str, numbers: Sequence[int]) -> list[bytes]:
    """Return the postings of a few buckets."""
    mine = match_bucket.c.tenant_id == tenant_id, match_bucket.c.entity == entity
    return [
        bytes(row[0])
        for part in _parts(numbers)
        for row in store.read(select(match_bucket.c.postings).where(*mine, match_bucket.c.bucket.in_(part)))
    ]


def known_stats(store: Store, tenant_id: int, entity: str, values: pa.Table) -> pa.Table:
    """Return the statistics that are kept of these values (columns system, value_hash)."""
    found = [pa.table({name: [] for name in STATS}, schema=_STATS_SCHEMA)]
    for system in values["system"].unique().to_pylist():
        hashes = [
            h
            for s, h in zip(values["system"].to_pylist(), values["value_hash"].to_pylist(), strict=True)
            if s == system
        ]
        for part in _parts(hashes):
            mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity, stats.c.system == system
            read = store.read(select(*(stats.c[n] for n in STATS)).where(*mine, stats.c.value_hash.in_(part)))
            found.append(pa.Table.from_pylist([dict(zip(STATS, row, strict=True)) for row in read], _STATS_SCHEMA))
    return pa.concat_tables(found)


def stats_of(store: Store, tenant_id: int, entity: str, system: str, value_hash: str) -> tuple[int, int, int] | None:
    """Return names, spellings and initials that are kept of one value; ``None`` where one name at most holds it."""
    mine = stats.c.tenant_id == tenant_id, stats.c.entity == entity
    names = stats.c.names, stats.c.spellings, stats.c.initials
    found = store.read(select(*names).where(*mine, stats.c.system == system, stats.c.value_hash == value_hash))
    return (int(found[0][0] or 0), int(found[0][1] or 0), int(found[0][2] or 0)) if found else None


_STATS_SCHEMA = pa.schema([(n, pa.string() if n in ("system", "value_hash") else pa.int64()) for n in STATS])


def open_evidence_of(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> pa.Table:
    """Return the evidence that holds now and has one of these records at one of its ends; a pair of them comes once."""
    mine = evidence.c.tenant_id == tenant_id, evidence.c.entity == entity, evidence.c.known_to.is_(None)
    columns = [evidence.c[name] for name in EVIDENCE]
    sides = [select(*columns).where(*mine, _chosen(end)) for end in (evidence.c.left_id, evidence.c.right_id)]
    return store.read_arrow(union(*sides), ids=ids)


def links_of(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> pa.Table:
    """Return the crosswalk of these records and of all that share an entity with one of them."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    whole = select(crosswalk.c.entity_id).where(*mine, _chosen(crosswalk.c.source_record_id))
    columns = crosswalk.c.source_record_id, crosswalk.c.entity_id
    return store.read_arrow(select(*columns).where(*mine, crosswalk.c.entity_id.in_(whole)), ids=ids)


def entities_of(store: Store, tenant_id: int, entity: str, ids: Sequence[int]) -> dict[int, int]:
    """Return the current entity of each of a few records."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity
    return {
        int(record): int(number)
        for part in _parts(ids)
        for record, number in store.read(
            select(crosswalk.c.source_record_id, crosswalk.c.entity_id).where(
                *mine, crosswalk.c.source_record_id.in_(part)
            )
        )
    }


def remove_rows(tx: WriteTransaction, ids: pa.Array) -> None:
    """Take records out of the index rows; whoever erases a record calls this in the same transaction."""
    with tx.picking(ids):
        mine = match_row.c.tenant_id == tx.tenant_id, match_row.c.source_record_id.in_(select(picked.c.id))
        tx.execute(delete(match_row).where(*mine))


def remove_buckets(tx: WriteTransaction, entity: str, numbers: pa.Array) -> None:
    """Take out buckets that hold nothing any more."""
    with tx.picking(numbers):
        mine = match_bucket.c.tenant_id == tx.tenant_id, match_bucket.c.entity == entity
        tx.execute(delete(match_bucket).where(*mine, match_bucket.c.bucket.in_(select(picked.c.id))))


def count_rows(store: Store, tenant_id: int, entity: str) -> int:
    """Return the number of index rows of an entity."""
    mine = match_row.c.tenant_id == tenant_id, match_row.c.entity == entity
    return int(store.read(select(func.count()).select_from(match_row).where(*mine))[0][0])


def _parts(values: Sequence[object] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[list[object]]:
    listed = list(values)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
