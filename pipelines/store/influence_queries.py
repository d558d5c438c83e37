"""Relations and hierarchies as of a date, who is away, names, and sums of facts: what questions about the map read.

``known`` asks for what was known at a ``change_seq``; without it, for what is known now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, func, literal, or_, select, union_all

from pipelines.store.retractions import left_out
from pipelines.store.tables import account_hierarchy, crosswalk, golden_relationship, metadata, picked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table

    from pipelines.store.store import Store

RELATION = (
    "from_id", "from_entity", "to_id", "to_entity", "type", "role", "hierarchy", "valid_from", "valid_to", "strength",
    "sources", "together", "is_primary", "evidence_at", "told_by", "conflict", "conflict_with",
)  # fmt: skip
LINK = ("entity_id", "parent_id", "valid_from", "valid_to", "strength", "cut")


def relations_of(
    store: Store,
    tenant_id: int,
    ids: Iterable[int],
    at: datetime | None = None,
    *,
    types: Sequence[str] = (),
    known: int | None = None,
) -> list[dict[str, Any]]:
    """Return the relations with one of ``ids`` at either end, strongest first; those that hold at ``at`` if it is given."""
    rows = _known(golden_relationship, RELATION, known)
    mine = [
        rows.c.tenant_id == tenant_id,
        or_(*(end.in_(select(picked.c.id)) for end in (rows.c.from_id, rows.c.to_id))),
    ]
    if types:
        mine.append(rows.c.type.in_(types))
    if at is not None:
        mine += _holds(rows, at)
    found = store.read_arrow(select(*(rows.c[name] for name in RELATION)).where(*mine), ids=_ids(ids)).to_pylist()
    return sorted(found, key=lambda row: (-row["strength"], row["type"], row["from_id"], row["to_id"], row["role"]))


def hierarchy_links(
    store: Store, tenant_id: int, kind: str, at: datetime, *, known: int | None = None
) -> pa.Table:  # fmt: skip
    """Return entity_id, parent_id, valid_from, valid_to and strength of the links of a hierarchy at an instant."""
    rows = _known(account_hierarchy, ("hierarchy", *LINK), known)
    mine = rows.c.tenant_id == tenant_id, rows.c.hierarchy == kind, rows.c.cut.is_(None), *_holds(rows, at)
    return store.read_arrow(select(*(rows.c[name] for name in LINK[:-1])).where(*mine))


def parents(store: Store, tenant_id: int, child: int, at: datetime) -> dict[str, int]:
    """Return the parent of an organisation at an instant in each hierarchy that gives it one."""
    row = account_hierarchy.c
    mine = row.tenant_id == tenant_id, row.entity_id == child, row.cut.is_(None), *_holds(account_hierarchy, at)
    found = store.read(select(row.hierarchy, row.parent_id).where(*mine))
    return {kind: int(parent) for kind, parent in found}


def employee_roles(store: Store, tenant_id: int, ids: Iterable[int]) -> list[dict[str, Any]]:
    """Return entity_id, role, valid_from and valid_to of the roles ``employee`` and ``absent`` of these people."""
    rows = metadata.tables["party_role"]
    party = and_(crosswalk.c.tenant_id == rows.c.tenant_id, crosswalk.c.source_record_id == rows.c.party)
    mine = (
        rows.c.tenant_id == tenant_id, rows.c.deleted_at.is_(None), rows.c.role.in_(("employee", "absent")),
        crosswalk.c.entity_id.in_(select(picked.c.id)), *left_out(store, tenant_id, rows.c.source_record_id),
    )  # fmt: skip
    names = (crosswalk.c.entity_id, rows.c.role, rows.c.valid_from, rows.c.valid_to)
    statement = select(*names).select_from(rows.join(crosswalk, party)).where(*mine)
    found: list[dict[str, Any]] = store.read_arrow(statement, ids=_ids(ids)).to_pylist()
    return found


def display_names(store: Store, tenant_id: int, ids: Iterable[int]) -> dict[int, str]:
    """Return the golden name of each person and organisation that has one."""
    person, body = metadata.tables["golden_person"].c, metadata.tables["golden_organization"].c
    both = union_all(
        select(person.entity_id, func.coalesce(person.full_name, person.given_name, person.family_name).label("name"))
        .where(person.tenant_id == tenant_id, person.entity_id.in_(select(picked.c.id))),
        select(body.entity_id, body.name).where(body.tenant_id == tenant_id, body.entity_id.in_(select(picked.c.id))),
    )  # fmt: skip
    rows = store.read_arrow(both, ids=_ids(ids)).to_pylist()
    return {row["entity_id"]: row["name"] for row in rows if row["name"]}


def fact_sums(
    store: Store, tenant_id: int, entity: str, party: str, *, value: str | None, unit: str | None, ids: pa.Array | None
) -> pa.Table:
    """Return entity_id, unit, facts (how many) and total of live facts by the golden entity that ``party`` leads to.

    What a retracted record says does not count.
    """
    rows = metadata.tables[entity]
    to = and_(crosswalk.c.tenant_id == rows.c.tenant_id, crosswalk.c.source_record_id == rows.c[party])
    currency = rows.c[unit].label("unit") if unit else literal("").label("unit")
    total = func.sum(rows.c[value]).label("total") if value else func.count().label("total")
    statement = select(crosswalk.c.entity_id, currency, func.count().label("facts"), total)
    group = [crosswalk.c.entity_id, *([rows.c[unit]] if unit else [])]
    mine: list[ColumnElement[bool]] = [rows.c.tenant_id == tenant_id, rows.c.deleted_at.is_(None)]
    mine += left_out(store, tenant_id, rows.c.source_record_id)
    if value:
        mine.append(rows.c[value].is_not(None))
    if ids is not None:
        mine.append(crosswalk.c.entity_id.in_(select(picked.c.id)))
    grouped = statement.select_from(rows.join(crosswalk, to)).where(*mine).group_by(*group)
    return store.read_arrow(grouped, ids=ids)


def _holds(rows: Any, at: datetime) -> list[ColumnElement[bool]]:
    begun = or_(rows.c.valid_from.is_(None), rows.c.valid_from <= at)
    going = or_(rows.c.valid_to.is_(None), rows.c.valid_to > at)
    return [begun, going]


def _known(table: Table, names: Sequence[str], known: int | None) -> Any:
    """Return the rows known now, or those known at a ``change_seq``."""
    if known is None:
        return table
    past = metadata.tables[f"{table.name}_version"]
    columns = ("tenant_id", *names)
    now = select(*(table.c[name] for name in columns)).where(table.c.known_from <= known)
    then = select(*(past.c[name] for name in columns)).where(past.c.known_from <= known, past.c.known_to > known)
    return union_all(now, then).subquery()


def _ids(ids: Iterable[int]) -> pa.Array:
    return pa.array(sorted(set(ids)), pa.int64())
