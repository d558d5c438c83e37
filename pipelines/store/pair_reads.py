"""What the explanation of a pair reads: which records are meant, where they belong, and the evidence of their clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select

from pipelines.store.tables import connection, crosswalk, evidence, source_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from pipelines.store.store import Store

_AT_ONCE = 500
EVIDENCE = ("left_id", "right_id", "kind", "rule", "judgement", "weight", "model_id")


@dataclass(frozen=True)
class Found:
    """One source record: its number, its reference, what it is and which golden entity holds it."""

    record: int
    source_ref: str
    entity: str | None
    is_stub: bool
    deleted: bool
    entity_id: int | None


@dataclass(frozen=True)
class Edge:
    """One row of evidence that holds now."""

    left_id: int
    right_id: int
    kind: str
    rule: str | None
    judgement: str
    weight: float | None
    model_id: int | None


def find_record(store: Store, tenant_id: int, name: str) -> Found | None:
    """Return the source record of a number, or of a reference ``connection/object/key`` (the connection by name or id)."""
    condition = source_record.c.source_record_id == int(name) if name.isdecimal() else _named(name)
    if condition is None:
        return None
    r, c = source_record.c, connection.c
    known = source_record.join(
        connection, and_(c.tenant_id == r.tenant_id, c.connection_id == r.connection_id), isouter=True
    )
    linked = and_(crosswalk.c.tenant_id == r.tenant_id, crosswalk.c.source_record_id == r.source_record_id)
    kind = func.coalesce(crosswalk.c.entity, r.entity)
    statement = (
        select(
            r.source_record_id,
            r.connection_id,
            r.object,
            r.source_key,
            kind,
            r.is_stub,
            r.deleted_at,
            crosswalk.c.entity_id,
        )
        .select_from(known.join(crosswalk, linked, isouter=True))
        .where(r.tenant_id == tenant_id, condition)
        .order_by(r.source_record_id)
    )
    rows = store.read(statement.limit(1))
    if not rows:
        return None
    record, connection_id, name, key, entity, is_stub, deleted_at, entity_id = rows[0]
    return Found(record, f"{connection_id}/{name}/{key}", entity, is_stub, deleted_at is not None, entity_id)


def references(store: Store, tenant_id: int, records: Iterable[int]) -> dict[int, str]:
    """Return the references of these records."""
    r, found, listed = source_record.c, dict[int, str](), sorted(set(records))
    for start in range(0, len(listed), _AT_ONCE):
        mine = r.tenant_id == tenant_id, r.source_record_id.in_(listed[start : start + _AT_ONCE])
        rows = store.read(select(r.source_record_id, r.connection_id, r.object, r.source_key).where(*mine))
        found |= {row[0]: "/".join(row[1:]) for row in rows}
    return found


def members_of(store: Store, tenant_id: int, entity: str, entity_id: int) -> list[int]:
    """Return the records that one golden entity holds, ascending."""
    c = crosswalk.c
    mine = c.tenant_id == tenant_id, c.entity == entity, c.entity_id == entity_id
    return [row[0] for row in store.read(select(c.source_record_id).where(*mine).order_by(c.source_record_id))]


def evidence_among(store: Store, tenant_id: int, entity: str, records: Iterable[int]) -> list[Edge]:
    """Return the evidence between these records that holds now, in the order of its ends."""
    e, wanted = evidence.c, sorted(set(records))
    inside, found = set(wanted), list[Edge]()
    for start in range(0, len(wanted), _AT_ONCE):
        mine = e.tenant_id == tenant_id, e.entity == entity, e.known_to.is_(None)
        begins = e.left_id.in_(wanted[start : start + _AT_ONCE])
        rows = store.read(select(*(e[name] for name in EVIDENCE)).where(*mine, begins))
        found += [Edge(*row) for row in rows if row[1] in inside]
    return sorted(found, key=lambda edge: (edge.left_id, edge.right_id, edge.kind, edge.rule or ""))


def _named(name: str) -> ColumnElement[bool] | None:
    parts = name.split("/", 2)
    if len(parts) != len(("connection", "object", "key")):
        return None
    r = source_record.c
    its = or_(r.connection_id == parts[0], connection.c.name == parts[0])
    return and_(its, r.object == parts[1], r.source_key == parts[2])
