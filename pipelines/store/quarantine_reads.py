"""Looking into quarantine: entries by connection, stream, reason or number; open ones unless all are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, or_, select

from pipelines.store.quarantine import MENDED, SUPERSEDED
from pipelines.store.tables import quarantine

if TYPE_CHECKING:
    from pipelines.store.store import Store

_IDS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Entry:
    """One record in quarantine, without its payload; ``resolution`` is None while it is open."""

    quarantine_id: int
    stage: str
    connection_id: str
    stream: str
    object: str | None
    source_key: str | None
    reason: str
    path: str | None
    raw_hash: str | None
    mapping_version: int | None
    schema_version: str | None
    load_id: int | None
    read_id: int | None
    segment_id: int | None
    row_no: int | None
    cause: str | None
    entered_at: datetime | None
    change_seq: int
    resolution: str | None
    resolution_note: str | None
    resolved_by: str | None
    resolved_at: datetime | None


@dataclass(frozen=True)
class Filter:
    """Which entries; ``reason`` is a part of the reason, ``closed`` takes resolved ones too."""

    connection_id: str | None = None
    stream: str | None = None
    stage: str | None = None
    reason: str | None = None
    ids: Sequence[int] | None = None
    closed: bool = False
    replayable: bool = False


def entries(store: Store, wanted: Filter, *, limit: int | None = None, tenant_id: int = 1) -> list[Entry]:
    """Return the entries that fit, oldest first."""
    columns = [quarantine.c[name] for name in Entry.__dataclass_fields__]
    found: list[Entry] = []
    for part in _parts(wanted):
        statement = _fitting(select(*columns), part, tenant_id).order_by(quarantine.c.quarantine_id)
        found += [Entry(**row._mapping) for row in store.read(statement.limit(limit))]  # noqa: SLF001  public
    return found


def summary(store: Store, wanted: Filter, *, tenant_id: int = 1) -> list[tuple[str, str, str, str, str | None, int]]:
    """Return (stage, connection, stream, reason, path, entries) of what fits, the most frequent first."""
    q = quarantine.c
    columns = (q.stage, q.connection_id, q.stream, q.reason, q.path)
    statement = _fitting(select(*columns, func.count()), wanted, tenant_id).group_by(*columns)
    rows = store.read(statement.order_by(func.count().desc(), *columns))
    return [(row[0], row[1], row[2], row[3], row[4], int(row[5])) for row in rows]


def payloads(store: Store, ids: Iterable[int], *, tenant_id: int = 1) -> dict[int, tuple[bytes | None, bytes | None]]:
    """Return raw and parent of entries, byte for byte as they came."""
    q = quarantine.c
    found: dict[int, tuple[bytes | None, bytes | None]] = {}
    for part in _parts(Filter(ids=list(ids), closed=True)):
        rows = store.read(_fitting(select(q.quarantine_id, q.raw, q.parent), part, tenant_id))
        found.update({int(row[0]): (row[1], row[2]) for row in rows})
    return found


def streams(store: Store, wanted: Filter, *, tenant_id: int = 1) -> list[tuple[str, str]]:
    """Return the (connection, stream) pairs that have fitting entries."""
    q = quarantine.c
    statement = _fitting(select(q.connection_id, q.stream).distinct(), wanted, tenant_id)
    return [(row[0], row[1]) for row in store.read(statement.order_by(q.connection_id, q.stream))]


def _parts(wanted: Filter) -> list[Filter]:
    if wanted.ids is None:
        return [wanted]
    ids = list(wanted.ids)
    starts = range(0, len(ids), _IDS_AT_ONCE)
    return [Filter(**{**wanted.__dict__, "ids": ids[start : start + _IDS_AT_ONCE]}) for start in starts]


def _fitting(statement: Select[*tuple[Any, ...]], wanted: Filter, tenant_id: int) -> Select[*tuple[Any, ...]]:
    q = quarantine.c
    where: list[Any] = [q.tenant_id == tenant_id]
    for column, value in ((q.connection_id, wanted.connection_id), (q.stream, wanted.stream), (q.stage, wanted.stage)):
        where += [] if value is None else [column == value]
    where += [] if wanted.reason is None else [q.reason.contains(wanted.reason, autoescape=True)]
    where += [] if wanted.ids is None else [q.quarantine_id.in_(wanted.ids)]
    if wanted.replayable:
        where.append(or_(q.resolved_seq.is_(None), q.resolution.in_((MENDED, SUPERSEDED))))
    elif not wanted.closed:
        where.append(q.resolved_seq.is_(None))
    return statement.where(*where)
