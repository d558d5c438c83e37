"""Retractions: a connection's records leave matching and golden until the retraction is undone; nothing is destroyed.

A retraction is one row of ``retraction``; which records it keeps out stands in ``retracted_record``, whose ended rows
move to its version table as everywhere. ``settle`` brings the second in line with the first in short transactions,
so that a retraction that was cut short is finished by whoever runs next, and records that come later are kept out too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    union,
    update,
)

from pipelines.store.history_reads import seq_at
from pipelines.store.tables import (
    crosswalk,
    picked,
    raw_head,
    retracted_record,
    retracted_record_version,
    retraction,
    source_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipelines.store.leases import Lease
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_AT_ONCE = 20_000


@dataclass(frozen=True)
class Retraction:
    """One retraction as it stands; ``undone_at`` is set once it was undone."""

    retraction_id: int
    connection_id: str
    since: datetime | None
    reason: str | None
    records: int
    retracted_at: datetime
    undone_at: datetime | None
    change_seq: int


@dataclass(frozen=True)
class Reach:
    """What a retraction concerns: records, how many of them are linked, to how many entities, and how many are left empty."""

    records: int
    links: int
    entities: int
    emptied: int


def retractions(store: Store, tenant_id: int) -> list[Retraction]:
    """Return all retractions, oldest first."""
    columns = [retraction.c[name] for name in Retraction.__dataclass_fields__]
    mine = retraction.c.tenant_id == tenant_id
    rows = store.read(select(*columns).where(mine).order_by(retraction.c.retraction_id))
    return [Retraction(**row._mapping) for row in rows]  # noqa: SLF001  public, underscored to spare column names


def left_out(store: Store, tenant_id: int, record: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a source record is not retracted; none at all where nothing is, the common case."""
    return not_retracted(tenant_id, record) if any_retracted(store, tenant_id) else ()


def any_retracted(store: Store, tenant_id: int) -> bool:
    """Return whether any source record is retracted."""
    return bool(store.read(_ANY, {"tenant": tenant_id}))


def not_retracted(tenant_id: Any, record: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a source record is not retracted; the tenant may be a parameter."""
    return (
        record.not_in(select(retracted_record.c.source_record_id).where(retracted_record.c.tenant_id == tenant_id)),
    )


_ANY = select(retracted_record.c.source_record_id).where(retracted_record.c.tenant_id == bindparam("tenant")).limit(1)


def moved(tenant_id: int, since: int | BindParameter[int]) -> CompoundSelect[int]:
    """Select the records that were retracted or put back after a commit, which may be a parameter."""
    kept, ended = retracted_record.c, retracted_record_version.c
    return union(
        select(kept.source_record_id).where(kept.tenant_id == tenant_id, kept.change_seq > since),
        select(ended.source_record_id).where(ended.tenant_id == tenant_id, ended.known_to > since),
    )


def reach(store: Store, tenant_id: int, connection_id: str, since: datetime | None, seq: int) -> Reach:
    """Return what a retraction would concern; ``seq`` is the commit that ``since`` stands for."""
    wanted = _concerned(tenant_id, connection_id, since, seq).subquery()
    records = store.read(select(func.count()).select_from(wanted))[0][0]
    link = crosswalk.c
    mine = link.tenant_id == tenant_id, link.source_record_id.in_(select(wanted.c.source_record_id))
    held = select(link.entity_id, func.count().label("n")).where(*mine).group_by(link.entity_id).subquery()
    links, entities = store.read(select(func.coalesce(func.sum(held.c.n), 0), func.count()))[0]
    whole = select(link.entity_id, func.count().label("n")).where(link.tenant_id == tenant_id).group_by(link.entity_id)
    sizes = whole.where(link.entity_id.in_(select(held.c.entity_id))).subquery()
    same = and_(sizes.c.entity_id == held.c.entity_id, sizes.c.n == held.c.n)
    emptied = store.read(select(func.count()).select_from(held.join(sizes, same)))[0][0]
    return Reach(int(records), int(links), int(entities), int(emptied))


def begin(tx: WriteTransaction, connection_id: str, since: datetime | None, reason: str | None, records: int) -> int:
    """Enter a retraction and return its number; ``settle`` makes it true."""
    number = tx.allocate("retraction", 1)
    row = {"connection_id": connection_id, "since": since, "reason": reason, "records": records}
    tx.insert_row(retraction, {"retraction_id": number, **row, "retracted_at": tx.now()})
    return number


def undo(tx: WriteTransaction, number: int) -> None:
    """Say that a retraction holds no more."""
    mine = (retraction.c.tenant_id == tx.tenant_id, retraction.c.retraction_id == number)
    tx.execute(update(retraction).where(*mine).values(**tx.change(retraction), undone_at=tx.now()))


def settle(store: Store, lease: Lease, *, actor: str, progress: Callable[[str], None] | None = None) -> int:
    """Make true what the retractions say, in short transactions; returns how many records changed.

    Records of undone retractions are let go first, then those of standing ones are kept out. Where nothing is due,
    nothing is written.
    """
    every = retractions(store, lease.tenant_id)
    changed = 0
    while every and (due := _due(store, lease.tenant_id, every)) is not None:
        with store.write(lease, cause="retract", actor=actor) as tx:
            _apply(tx, *due)
        changed += len(due[1])
        if progress is not None:
            progress(f"retract: {changed:,} records")
    return changed


def _due(store: Store, tenant_id: int, every: list[Retraction]) -> tuple[int | None, pa.ChunkedArray] | None:
    """Return the next records to let go (``None`` beside them) or to keep out (the retraction beside them)."""
    kept = retracted_record.c
    undone = [one.retraction_id for one in every if one.undone_at is not None]
    mine = (kept.tenant_id == tenant_id, kept.retraction_id.in_(undone))
    free = store.read_arrow(select(kept.source_record_id).where(*mine).limit(_AT_ONCE))
    if free.num_rows:
        return None, free.column(0)
    known = select(kept.source_record_id).where(kept.tenant_id == tenant_id)
    for each in every:
        if each.undone_at is None:
            seq = 0 if each.since is None else seq_at(store, tenant_id, each.since)
            wanted = _concerned(tenant_id, each.connection_id, each.since, seq)
            new = store.read_arrow(wanted.where(source_record.c.source_record_id.not_in(known)).limit(_AT_ONCE))
            if new.num_rows:
                return each.retraction_id, new.column(0)
    return None


def _apply(tx: WriteTransaction, number: int | None, records: pa.ChunkedArray) -> None:
    """Write it and mark the records as changed, so that resolve and golden look at them again."""
    rows = pa.table({"source_record_id": records})
    if number is None:
        tx.delete(retracted_record, rows)
    else:
        tx.insert(retracted_record, rows.append_column("retraction_id", pa.array([number] * len(records), pa.int64())))
    with tx.picking(records):
        mine = (source_record.c.tenant_id == tx.tenant_id, source_record.c.source_record_id.in_(select(picked.c.id)))
        tx.execute(update(source_record).where(*mine).values(**tx.change(source_record)))


def _concerned(tenant_id: int, connection_id: str, since: datetime | None, seq: int) -> Select[Any]:
    """Select the records of a connection, or those whose content dates from ``since`` or later by the vendor's time.

    A record without a vendor's time dates from the commit that landed it; a stub has no content of its own.
    """
    head, record = raw_head.c, source_record.c
    same = and_(head.tenant_id == record.tenant_id, head.source_record_id == record.source_record_id)
    statement = select(record.source_record_id).outerjoin_from(source_record, raw_head, same)
    statement = statement.where(record.tenant_id == tenant_id, record.connection_id == connection_id)
    if since is not None:
        statement = statement.where(
            or_(head.record_time >= since, and_(head.record_time.is_(None), head.change_seq > seq))
        )
    return statement.order_by(record.source_record_id)
