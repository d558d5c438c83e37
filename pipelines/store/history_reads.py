"""What was known at an earlier commit: links, ids, source rows and golden rows as of a ``change_seq``.

Known time is the order of commits, never a clock; ``seq_at`` says which commit an instant stands for. A row is known at
``seq`` when ``known_from <= seq`` and it was not yet superseded: the union of a table and its ``…_version``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Table, and_, func, literal, or_, select, union_all
from sqlalchemy.types import BigInteger

from pipelines.store.decisions import PIN
from pipelines.store.pins import Pin
from pipelines.store.tables import (
    commit_log,
    crosswalk,
    crosswalk_version,
    decision,
    id_event,
    metadata,
    picked,
    source_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

    from pipelines.store.store import Store

_MOVES = ("minted", "reactivated", "merged_into", "retired")


def seq_at(store: Store, tenant_id: int, moment: datetime) -> int:
    """Return the newest commit made at or before an instant; 0 where the store was empty then.

    Commits older than the log of commits have no instant: then the answer is the one before the log begins.
    """
    log = commit_log.c
    mine = log.tenant_id == tenant_id
    found = store.read(select(func.max(log.change_seq)).where(mine, log.committed_at <= moment))[0][0]
    if found is not None:
        return int(found)
    first = store.read(select(func.min(log.change_seq)).where(mine))[0][0]
    return int(first or 1) - 1


def committed_at(store: Store, tenant_id: int, seq: int) -> datetime | None:
    """Return when a commit was made; ``None`` for one older than the log of commits."""
    log = commit_log.c
    rows = store.read(select(log.committed_at).where(log.tenant_id == tenant_id, log.change_seq == seq))
    return rows[0][0] if rows else None


def is_erased(store: Store, tenant_id: int, entity: str, number: int) -> bool:
    """Return whether an id stood for somebody who was erased."""
    event = id_event.c
    mine = (event.tenant_id == tenant_id, event.entity == entity, event.entity_id == number, event.kind == "erased")
    return bool(store.read(select(event.id_event_id).where(*mine).limit(1)))


def id_at(store: Store, tenant_id: int, entity: str, number: int, seq: int) -> int | None:
    """Return what an id stood for at a commit: itself, or what it was merged into; ``None`` before it was minted."""
    seen: set[int] = set()
    while number not in seen:
        seen.add(number)
        event = _last_move(store, tenant_id, entity, number, seq)
        if event is None:
            return None
        if event[0] != "merged_into":
            return number
        number = int(event[1])
    return number


def links(store: Store, tenant_id: int, entity: str, seq: int, ids: pa.Array | None = None) -> pa.Table:
    """Return source_record_id and entity_id of the links known at a commit, of the entities ``ids`` or of all."""
    parts = []
    for table, known in _both(crosswalk, crosswalk_version, seq):
        mine = [table.c.tenant_id == tenant_id, table.c.entity == entity, *known]
        mine += [] if ids is None else [table.c.entity_id.in_(select(picked.c.id))]
        parts.append(select(table.c.source_record_id, table.c.entity_id).where(*mine))
    return store.read_arrow(union_all(*parts), ids=ids)


def references(store: Store, tenant_id: int, records: pa.Array) -> pa.Table:
    """Return source_record_id, connection_id, object and source_key of source records."""
    record = source_record.c
    columns = (record.source_record_id, record.connection_id, record.object, record.source_key)
    mine = (record.tenant_id == tenant_id, record.source_record_id.in_(select(picked.c.id)))
    return store.read_arrow(select(*columns).where(*mine), ids=records)


def source_versions(
    store: Store, tenant_id: int, entity: str, columns: Sequence[str], seq: int, records: pa.Array
) -> pa.Table:
    """Return every row that these source records ever said in an entity up to a commit, superseded ones too.

    Beside ``columns``: source_record_id, row_key, record_time, term_times, deleted_at, known_from and known_to, which is
    null for the newest row of all and may lie after that commit.
    """
    current, version = metadata.tables[entity], metadata.tables[f"{entity}_version"]
    names = ("source_record_id", "row_key", "record_time", "term_times", "deleted_at", *columns, "known_from")
    parts = []
    for table, known_to in ((current, literal(None, BigInteger).label("known_to")), (version, version.c.known_to)):
        mine = (table.c.tenant_id == tenant_id, table.c.source_record_id.in_(select(picked.c.id)))
        parts.append(select(*(table.c[name] for name in names), known_to).where(*mine, table.c.known_from <= seq))
    return store.read_arrow(union_all(*parts), ids=records)


def party_owners(store: Store, tenant_id: int, entity: str, seq: int, parties: pa.Array) -> pa.Table:
    """Return the source records that up to a commit said something of these parties in an entity: source_record_id."""
    parts = []
    for table in (metadata.tables[entity], metadata.tables[f"{entity}_version"]):
        mine = (table.c.tenant_id == tenant_id, table.c.known_from <= seq, table.c.party.in_(select(picked.c.id)))
        parts.append(select(table.c.source_record_id).where(*mine))
    return store.read_arrow(select(union_all(*parts).subquery().c.source_record_id).distinct(), ids=parties)


def golden(store: Store, tenant_id: int, entity: str, seq: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the golden rows as they were written by a commit, of the entities ``ids`` or of all."""
    name = f"golden_{entity}"
    return rows_known(store, tenant_id, name, seq, column="entity_id", ids=ids)


def rows_known(
    store: Store, tenant_id: int, name: str, seq: int, *, column: str, ids: pa.Array | None = None
) -> pa.Table:
    """Return the rows of a table with a ``…_version`` twin as known at a commit; ``ids`` picks by ``column``."""
    current, version = metadata.tables[name], metadata.tables[f"{name}_version"]
    names = [each.name for each in current.columns if each.name not in ("tenant_id", "actor", "cause")]
    parts = []
    for table, known in _both(current, version, seq):
        mine = [table.c.tenant_id == tenant_id, *known]
        mine += [] if ids is None else [table.c[column].in_(select(picked.c.id))]
        parts.append(select(*(table.c[each] for each in names)).where(*mine))
    return store.read_arrow(union_all(*parts), ids=ids)


def without_retracted(store: Store, tenant_id: int, seq: int, rows: pa.Table) -> pa.Table:
    """Return the rows whose source record was not retracted at a commit."""
    held = rows_known(store, tenant_id, "retracted_record", seq, column="source_record_id")
    if not held.num_rows:
        return rows
    return rows.filter(pc.invert(pc.is_in(rows.column("source_record_id"), pc.unique(held.column("source_record_id")))))


def has_history(name: str) -> bool:
    """Return whether a table keeps its superseded rows."""
    return f"{name}_version" in metadata.tables


def _both(current: Table, version: Table, seq: int) -> list[tuple[Table, list[ColumnElement[bool]]]]:
    return [
        (current, [current.c.known_from <= seq]),
        (version, [version.c.known_from <= seq, version.c.known_to > seq]),
    ]


def _last_move(store: Store, tenant_id: int, entity: str, number: int, seq: int) -> tuple[str, Any] | None:
    event = id_event.c
    mine = and_(event.tenant_id == tenant_id, event.entity == entity, event.entity_id == number)
    known = or_(*(event.kind == kind for kind in _MOVES))
    statement = select(event.kind, event.other_id).where(mine, known, event.change_seq <= seq)
    rows = store.read(statement.order_by(event.id_event_id.desc()).limit(1))
    return (rows[0][0], rows[0][1]) if rows else None


def pins(store: Store, tenant_id: int, entity: str, seq: int, moment: datetime | None) -> list[Pin]:
    """Return the pins that bound at a commit and had not expired at ``moment``, the newest decision first.

    ``entity_id`` is the one that held the pinned record at that commit.
    """
    d = decision.c
    parts = []
    for table, known in _both(crosswalk, crosswalk_version, seq):
        same = and_(table.c.tenant_id == d.tenant_id, table.c.source_record_id == d.left_id)
        columns = (
            d.decision_id, table.c.entity_id, d.left_id, d.term, d.value, d.reason, d.expires_at, d.decided_at,
            d.known_from, d.actor,
        )  # fmt: skip
        mine = (d.tenant_id == tenant_id, d.entity == entity, d.kind == PIN, d.term.is_not(None), *known)
        open_then = (d.known_from <= seq, or_(d.known_to.is_(None), d.known_to > seq))
        parts.append(select(*columns).select_from(decision.join(table, same)).where(*mine, *open_then))
    found = [Pin(*row) for row in store.read(union_all(*parts))]
    binding = [pin for pin in found if pin.expires_at is None or moment is None or pin.expires_at > moment]
    return sorted(binding, key=lambda pin: (-pin.known_from, -pin.decision_id))
