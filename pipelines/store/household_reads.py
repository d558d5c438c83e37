"""What households are made of and what they are now: golden persons, shared contact points, members, former ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, func, select

from pipelines.store.identity import is_large
from pipelines.store.tables import (
    entity_id,
    golden_contact_point,
    household_member,
    household_member_version,
    metadata,
)

if TYPE_CHECKING:
    from pipelines.store.store import Store

_PERSON = ("entity_id", "given_name", "family_name", "street", "street_2", "city", "postcode", "is_stub", "provenance")
_MEMBER = ("person_id", "household_id", "reasons", "valid_from")


def changed(store: Store, tenant_id: int, since: int) -> bool:
    """True when a golden person or a contact point was written, or a golden person taken away, after ``since``."""
    past = metadata.tables["golden_person_version"]
    for table, seq in (
        (metadata.tables["golden_person"], metadata.tables["golden_person"].c.change_seq),
        (past, past.c.known_to),
        (golden_contact_point, golden_contact_point.c.change_seq),
    ):
        newest = select(func.max(seq)).where(table.c.tenant_id == tenant_id)
        if (store.read(newest)[0][0] or 0) > since:
            return True
    return False


def persons(store: Store, tenant_id: int) -> pa.Table:
    """Return the golden persons with their names, their address and where it comes from."""
    table = metadata.tables["golden_person"]
    statement = select(*(table.c[name] for name in _PERSON)).where(table.c.tenant_id == tenant_id)
    return store.read_arrow(statement, big=is_large(store, tenant_id))


def points(store: Store, tenant_id: int) -> pa.Table:
    """Return entity_id, kind and value_norm of the persons' e-mail addresses and phones that have not ended."""
    point = golden_contact_point.c
    mine = point.tenant_id == tenant_id, point.entity == "person", point.kind.in_(("email", "phone"))
    statement = select(point.entity_id, point.kind, point.value_norm).where(*mine, point.state != "ended")
    return store.read_arrow(statement, big=is_large(store, tenant_id))


def members(store: Store, tenant_id: int) -> pa.Table:
    """Return the members of all households as they stand."""
    row = household_member.c
    return store.read_arrow(select(*(row[name] for name in _MEMBER)).where(row.tenant_id == tenant_id))


def former(store: Store, tenant_id: int) -> list[tuple[int, int]]:
    """Return which persons once were in which households that exist no more and may come back."""
    past = household_member_version.c
    gone = and_(
        entity_id.c.tenant_id == past.tenant_id,
        entity_id.c.entity_id == past.household_id,
        entity_id.c.status != "active",
    )
    statement = select(past.person_id, past.household_id).distinct()
    rows = store.read(
        statement.select_from(household_member_version.join(entity_id, gone)).where(past.tenant_id == tenant_id)
    )
    return [(int(row[0]), int(row[1])) for row in rows]


def first(store: Store, tenant_id: int) -> dict[int, int]:
    """Return the first household of every person whose membership was ever superseded."""
    past = household_member_version.c
    statement = select(past.person_id, past.household_id).where(past.tenant_id == tenant_id)
    rows = store.read(statement.order_by(past.person_id, past.known_from.desc()))
    return {int(row[0]): int(row[1]) for row in rows}


def household_of(store: Store, tenant_id: int, person_id: int) -> list[dict[str, Any]]:
    """Return the members of the household that a person is in, each with the reasons; empty if in none."""
    row = household_member.c
    mine = select(row.household_id).where(row.tenant_id == tenant_id, row.person_id == person_id)
    statement = select(*(row[name] for name in _MEMBER)).where(row.tenant_id == tenant_id, row.household_id.in_(mine))
    return [dict(found._mapping) for found in store.read(statement.order_by(row.person_id))]  # noqa: SLF001


def loose_members(store: Store, tenant_id: int) -> int:
    """Count members that are no golden person."""
    person = metadata.tables["golden_person"]
    same = and_(person.c.tenant_id == household_member.c.tenant_id, person.c.entity_id == household_member.c.person_id)
    statement = select(func.count()).select_from(household_member.outerjoin(person, same))
    return int(
        store.read(statement.where(household_member.c.tenant_id == tenant_id, person.c.entity_id.is_(None)))[0][0]
    )
