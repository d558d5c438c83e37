"""What the payloads of a stream look like, how that changed, and what its vendor announces in headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from pipelines.store.tables import drift_event, load, structure_profile, vendor_notice

if TYPE_CHECKING:
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

OPEN, ACCEPTED, HEALED = "open", "accepted", "healed"


@dataclass(frozen=True)
class DriftEvent:
    """One change of a stream's payloads, from the first load that showed it to the last."""

    drift_event_id: int
    connection_id: str
    stream: str
    path: str
    kind: str
    level: str
    mapped: bool
    signature: str
    detail: Mapping[str, Any]
    status: str
    first_load_id: int | None
    last_load_id: int | None
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class Notice:
    """One announcement in a vendor's response headers: something will change, at ``due_at`` if the vendor says when."""

    connection_id: str
    stream: str
    endpoint: str
    header: str
    value: str
    link: str | None
    due_at: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime

    def days_left(self, now: datetime) -> int | None:
        """Return whole days until it takes effect, negative when it has; None when the vendor gives no date."""
        return None if self.due_at is None else (self.due_at - now).days


def nodes(
    store: Store, connection_id: str, stream: str, span: str, *, tenant_id: int = 1
) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a profile by path; ``span`` is ``base`` or ``recent``."""
    table = structure_profile.c
    mine = (
        table.tenant_id == tenant_id,
        table.connection_id == connection_id,
        table.stream == stream,
        table.span == span,
    )
    columns = [table[name] for name in ("path", "parents", "types", "empty", "values", "numbers", "lengths")]
    return {row.path: dict(row._mapping) for row in store.read(select(*columns).where(*mine))}  # noqa: SLF001  public


def replace_nodes(
    tx: WriteTransaction,
    connection_id: str,
    stream: str,
    span: str,
    rows: Mapping[str, Mapping[str, Any]],
    load_id: int,
) -> None:
    """Make these rows the profile of a span."""
    table = structure_profile
    mine = (table.c.tenant_id == tx.tenant_id, table.c.connection_id == connection_id, table.c.stream == stream)
    where = (*mine, table.c.span == span)
    statement = select(table.c.path, table.c.first_load_id).where(*where)
    first = {row.path: row.first_load_id for row in tx.execute(statement)}
    tx.execute(delete(table).where(*where))
    key = {"connection_id": connection_id, "stream": stream, "span": span, **tx.change(table)}
    if rows:
        made = [
            {**key, "path": path, **row, "first_load_id": first.get(path, load_id), "last_load_id": load_id}
            for path, row in rows.items()
        ]
        tx.execute(insert(table), made)


def last_load_id(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> int:
    """Return the number of a stream's newest load, 0 before the first."""
    mine = (load.c.tenant_id == tenant_id, load.c.connection_id == connection_id, load.c.stream == stream)
    return int(store.read(select(func.coalesce(func.max(load.c.load_id), 0)).where(*mine))[0][0])


def events(
    store: Store,
    connection_id: str | None = None,
    stream: str | None = None,
    *,
    every: bool = False,
    tenant_id: int = 1,
) -> list[DriftEvent]:
    """Return open events, or all, the newest first."""
    table = drift_event.c
    where: list[Any] = [table.tenant_id == tenant_id]
    where += [] if connection_id is None else [table.connection_id == connection_id]
    where += [] if stream is None else [table.stream == stream]
    where += [] if every else [table.status == OPEN]
    columns = [table[name] for name in DriftEvent.__dataclass_fields__]
    rows = store.read(select(*columns).where(*where).order_by(table.last_load_id.desc(), table.drift_event_id))
    return [DriftEvent(**row._mapping) for row in rows]  # noqa: SLF001  public


def record(
    tx: WriteTransaction, connection_id: str, stream: str, load_id: int, found: Sequence[Mapping[str, Any]]
) -> int:
    """Enter findings (path, kind, level, mapped, signature, detail); returns how many are new.

    The same finding met again keeps its event and moves its end; one that a steward accepted stays accepted.
    """
    table = drift_event
    mine = (table.c.tenant_id == tx.tenant_id, table.c.connection_id == connection_id, table.c.stream == stream)
    columns = (table.c.drift_event_id, table.c.path, table.c.kind, table.c.signature, table.c.status)
    known: dict[tuple[str, str, str], tuple[int, str]] = {}
    for row in tx.execute(select(*columns).where(*mine, table.c.status != HEALED).order_by(table.c.drift_event_id)):
        known[(row.path, row.kind, row.signature)] = (row.drift_event_id, row.status)
    new = [one for one in found if (one["path"], one["kind"], one["signature"]) not in known]
    for one in found:
        event = known.get((one["path"], one["kind"], one["signature"]))
        if event is not None:
            values = {"last_load_id": load_id, "last_seen_at": tx.now(), "level": one["level"], "detail": one["detail"]}
            tx.execute(
                update(table)
                .where(table.c.tenant_id == tx.tenant_id, table.c.drift_event_id == event[0])
                .values(**values, change_seq=tx.change_seq)
            )
    if new:
        first = tx.allocate("drift_event_id", len(new))
        seen = {"first_load_id": load_id, "last_load_id": load_id, "first_seen_at": tx.now(), "last_seen_at": tx.now()}
        place = {"connection_id": connection_id, "stream": stream, "status": OPEN, **seen, **tx.change(table)}
        tx.execute(insert(table), [{**place, **one, "drift_event_id": first + n} for n, one in enumerate(new)])
    return len(new)


def close_events(tx: WriteTransaction, ids: Sequence[int], status: str) -> int:
    """Say of open events that they are accepted or healed; returns how many were open."""
    table = drift_event
    mine = (table.c.tenant_id == tx.tenant_id, table.c.drift_event_id.in_(list(ids)), table.c.status == OPEN)
    values = {"status": status, "change_seq": tx.change_seq, "actor": tx.actor, "cause": tx.cause}
    done: int = tx.execute(update(table).where(*mine).values(**values)).rowcount
    return done


def keep_notices(tx: WriteTransaction, connection_id: str, stream: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Record announcements (endpoint, header, value, link, due_at); one met again moves its end."""
    table = vendor_notice
    for one in found:
        key = {"connection_id": connection_id, "stream": stream, "endpoint": one["endpoint"], "header": one["header"]}
        mine = [table.c.tenant_id == tx.tenant_id, *(table.c[name] == value for name, value in key.items())]
        known = tx.execute(select(table.c.value, table.c.first_seen_at).where(*mine)).first()
        first = known.first_seen_at if known is not None and known.value == one["value"] else tx.now()
        told = {"value": one["value"], "link": one["link"], "due_at": one["due_at"]}
        tx.put_row(table, {**key, **told, "first_seen_at": first, "last_seen_at": tx.now()})


def notices(
    store: Store, connection_id: str | None = None, stream: str | None = None, *, tenant_id: int = 1
) -> list[Notice]:
    """Return what vendors announced, the soonest first."""
    table = vendor_notice.c
    where: list[Any] = [table.tenant_id == tenant_id]
    where += [] if connection_id is None else [table.connection_id == connection_id]
    where += [] if stream is None else [table.stream == stream]
    rows = store.read(select(*(table[name] for name in Notice.__dataclass_fields__)).where(*where))
    found = [Notice(**row._mapping) for row in rows]  # noqa: SLF001  public
    return sorted(
        found, key=lambda one: (one.due_at is None, str(one.due_at), one.connection_id, one.stream, one.header)
    )
