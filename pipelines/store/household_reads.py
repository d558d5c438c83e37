"""What households are made of and what they are now: golden persons, shared contact points, members, former ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, case, func, select, union

from pipelines.store.household_open import HOUSEHOLD_MOST, SHARED_KINDS
from pipelines.store.identity import is_large
from pipelines.store.tables import (
    entity_id,
    golden_contact_point,
    household_home,
    household_member,
    household_member_version,
    household_open,
    metadata,
    picked,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from pipelines.store.store import Store

FAMILY_BITS = 23
"""So many low bits of a stored home are the family name's: the rest is the address."""
_PERSON = ("entity_id", "given_name", "family_name", "street", "street_2", "city", "postcode", "is_stub", "provenance")
_MEMBER = ("person_id", "household_id", "reasons", "valid_from")


def changed(store: Store, tenant_id: int, since: int) -> pa.Array:
    """Return the persons whose golden row or contact points were written or taken away after ``since``, or who are open."""
    row, past = metadata.tables["golden_person"].c, metadata.tables["golden_person_version"].c
    point, opened = golden_contact_point.c, household_open.c
    parts = union(
        select(row.entity_id).where(row.tenant_id == tenant_id, row.change_seq > since),
        select(past.entity_id).where(past.tenant_id == tenant_id, past.known_to > since),
        select(point.entity_id).where(
            point.tenant_id == tenant_id,
            point.change_seq > since,
            point.entity == "person",
            point.kind.in_(SHARED_KINDS),
        ),
        select(opened.person_id).where(opened.tenant_id == tenant_id),
    )
    return store.read_arrow(parts).column(0).combine_chunks().sort()


def count_persons(store: Store, tenant_id: int) -> int:
    """Return how many golden persons there are."""
    row = metadata.tables["golden_person"].c
    return int(
        store.read(select(func.count()).select_from(row.entity_id.table).where(row.tenant_id == tenant_id))[0][0]
    )


def persons(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the golden persons (of ``ids``) with their names, their address and where it comes from."""
    row = metadata.tables["golden_person"].c
    statement = select(*(row[name] for name in _PERSON)).where(row.tenant_id == tenant_id, *_of(row.entity_id, ids))
    return store.read_arrow(statement, ids=ids, big=ids is None and is_large(store, tenant_id))


def points(store: Store, tenant_id: int) -> pa.Table:
    """Return entity_id, kind and value_norm of the persons' e-mail addresses and phones that have not ended."""
    point = golden_contact_point.c
    statement = select(point.entity_id, point.kind, point.value_norm).where(*_usable(tenant_id))
    return store.read_arrow(statement, big=is_large(store, tenant_id))


def points_in_common(store: Store, tenant_id: int, ids: pa.Array) -> pa.Table:
    """Return every person's points (as ``points`` does) whose value one of ``ids`` has or had, if it has ended.

    A value that more others have than a household has persons joins nobody and is left out.
    """
    person = metadata.tables["golden_person"].c
    mine, theirs = golden_contact_point.alias().c, golden_contact_point.c
    had = mine.tenant_id == tenant_id, mine.entity == "person", mine.kind.in_(SHARED_KINDS), *_of(mine.entity_id, ids)
    asked = select(mine.kind, mine.value_norm).where(*had).distinct().cte("asked")
    same = and_(theirs.value_norm == asked.c.value_norm, theirs.kind == asked.c.kind)
    real = select(person.entity_id).where(person.tenant_id == tenant_id, person.entity_id == theirs.entity_id)
    each = select(theirs.entity_id, theirs.kind, theirs.value_norm).select_from(asked).join(golden_contact_point, same)
    each = each.where(*_usable(tenant_id), real.where(person.is_stub.is_(False)).exists()).distinct()
    held = each.subquery().c
    other = func.sum(case((held.entity_id.in_(select(picked.c.id)), 0), else_=1))
    told = select(held.entity_id, held.kind, held.value_norm, _others(other, held)).subquery().c
    statement = select(told.entity_id, told.kind, told.value_norm).where(told.others <= HOUSEHOLD_MOST)
    return store.read_arrow(statement, ids=ids)


def homes(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return person_id and home (a hash) of the persons (of ``ids``) as households were last made of them."""
    row = household_home.c
    statement = select(row.person_id, row.home).where(row.tenant_id == tenant_id, *_of(row.person_id, ids))
    return store.read_arrow(statement, ids=ids, big=ids is None and is_large(store, tenant_id))


def living_at(store: Store, tenant_id: int, places: pa.Array) -> pa.Table:
    """Return person_id and home of everybody who had one of these homes as households were last made."""
    row = household_home.c
    statement = select(row.person_id, row.home).where(row.tenant_id == tenant_id, *_of(row.home, places))
    return store.read_arrow(statement, ids=places)


def neighbours(store: Store, tenant_id: int, place: int, most: int) -> list[int]:
    """Return up to ``most`` persons who had the address of a home, whatever their family name, in the order of their ids."""
    row, first = household_home.c, (place >> FAMILY_BITS) << FAMILY_BITS
    same = row.home.between(first, first + (1 << FAMILY_BITS) - 1)
    statement = select(row.person_id).where(row.tenant_id == tenant_id, same).order_by(row.person_id).limit(most)
    return [found[0] for found in store.read(statement)]


def members(store: Store, tenant_id: int, ids: pa.Array | None = None) -> pa.Table:
    """Return the members of all households as they stand, or of the households of ``ids`` (persons)."""
    row, mine = household_member.c, household_member.alias().c
    statement = select(*(row[name] for name in _MEMBER)).where(row.tenant_id == tenant_id)
    if ids is not None:
        theirs = select(mine.household_id).where(mine.tenant_id == tenant_id, mine.person_id.in_(select(picked.c.id)))
        statement = statement.where(row.household_id.in_(theirs))
    return store.read_arrow(statement, ids=ids)


def former(store: Store, tenant_id: int, ids: pa.Array | None = None) -> list[tuple[int, int]]:
    """Return which persons (of ``ids``) once were in which households that exist no more and may come back."""
    past = household_member_version.c
    gone = and_(
        entity_id.c.tenant_id == past.tenant_id,
        entity_id.c.entity_id == past.household_id,
        entity_id.c.status != "active",
    )
    joined = (
        select(past.person_id, past.household_id).distinct().select_from(household_member_version.join(entity_id, gone))
    )
    rows = store.read_arrow(joined.where(past.tenant_id == tenant_id, *_of(past.person_id, ids)), ids=ids)
    return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def first(store: Store, tenant_id: int, ids: pa.Array | None = None) -> dict[int, int]:
    """Return the first household of every person (of ``ids``) whose membership was ever superseded."""
    past = household_member_version.c
    statement = select(past.person_id, past.household_id).where(past.tenant_id == tenant_id, *_of(past.person_id, ids))
    rows = store.read_arrow(statement.order_by(past.person_id, past.known_from.desc()), ids=ids)
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def household_of(store: Store, tenant_id: int, person_id: int) -> list[dict[str, Any]]:
    """Return the members of the household that a person is in, each with the reasons; empty if in none."""
    row = household_member.c
    mine = select(row.household_id).where(row.tenant_id == tenant_id, row.person_id == person_id)
    statement = select(*(row[name] for name in _MEMBER)).where(row.tenant_id == tenant_id, row.household_id.in_(mine))
    return [dict(found._mapping) for found in store.read(statement.order_by(row.person_id))]  # noqa: SLF001


def members_of(store: Store, tenant_id: int, household_id: int) -> list[dict[str, Any]]:
    """Return the members of a household with ``known_from``, in the order of their ids."""
    row = household_member.c
    columns = *(row[name] for name in _MEMBER), row.known_from
    rows = store.read(
        select(*columns).where(row.tenant_id == tenant_id, row.household_id == household_id).order_by(row.person_id)
    )
    return [dict(found._mapping) for found in rows]  # noqa: SLF001


def left(store: Store, tenant_id: int, household_id: int) -> list[dict[str, Any]]:
    """Return who was a member of a household (person_id, known_from, known_to), the last to leave first."""
    past = household_member_version.c
    span = func.min(past.known_from).label("known_from"), func.max(past.known_to).label("known_to")
    mine = past.tenant_id == tenant_id, past.household_id == household_id
    rows = store.read(
        select(past.person_id, *span).where(*mine).group_by(past.person_id).order_by(span[1].desc(), past.person_id)
    )
    return [dict(found._mapping) for found in rows]  # noqa: SLF001


def minted(store: Store, tenant_id: int, household_id: int) -> int | None:
    """Return the commit in which a household got its id."""
    mine = entity_id.c.tenant_id == tenant_id, entity_id.c.entity_id == household_id
    rows = store.read(select(entity_id.c.minted_seq).where(*mine))
    return rows[0][0] if rows else None


def shown(store: Store, tenant_id: int, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return person_id, given_name, family_name and address of golden persons, by their id."""
    rows = persons(store, tenant_id, pa.array(ids, pa.int64())).to_pylist()
    parts = ("street", "street_2", "postcode", "city")
    return {
        row["entity_id"]: {
            "person_id": row["entity_id"], "given_name": row["given_name"], "family_name": row["family_name"],
            "address": ", ".join(row[part] for part in parts if row[part]) or None,
        }
        for row in rows
    }  # fmt: skip


def crowds(store: Store, tenant_id: int, ids: Sequence[int]) -> list[tuple[str, str, int]]:
    """Return kind, value and number of holders of the points of these persons that join nobody, for too many have them."""
    person, mine, theirs = metadata.tables["golden_person"].c, golden_contact_point.alias().c, golden_contact_point.c
    had = mine.tenant_id == tenant_id, mine.kind.in_(SHARED_KINDS), mine.state != "ended", mine.entity_id.in_(ids)
    asked = select(mine.kind, mine.value_norm).where(*had).distinct().subquery().c
    real = select(person.entity_id).where(person.tenant_id == tenant_id, person.entity_id == theirs.entity_id)
    held = func.count(theirs.entity_id.distinct()).label("held")
    same = theirs.value_norm == asked.value_norm, theirs.kind == asked.kind
    statement = select(theirs.kind, theirs.value_norm, held).where(*same, *_usable(tenant_id))
    statement = statement.where(real.where(person.is_stub.is_(False)).exists()).group_by(theirs.kind, theirs.value_norm)
    rows = store.read(statement.having(held > HOUSEHOLD_MOST).order_by(theirs.kind, theirs.value_norm))
    return [(row[0], row[1], int(row[2])) for row in rows]


def loose_members(store: Store, tenant_id: int) -> int:
    """Count members that are no golden person."""
    person = metadata.tables["golden_person"]
    same = and_(person.c.tenant_id == household_member.c.tenant_id, person.c.entity_id == household_member.c.person_id)
    statement = select(func.count()).select_from(household_member.outerjoin(person, same))
    return int(
        store.read(statement.where(household_member.c.tenant_id == tenant_id, person.c.entity_id.is_(None)))[0][0]
    )


def _usable(tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    point = golden_contact_point.c
    return (
        point.tenant_id == tenant_id, point.entity == "person", point.kind.in_(SHARED_KINDS), point.state != "ended",
    )  # fmt: skip


def _others(count: Any, held: Any) -> Any:
    return count.over(partition_by=(held.kind, held.value_norm)).label("others")


def _of(number: ColumnElement[int], ids: pa.Array | None) -> tuple[ColumnElement[bool], ...]:
    return () if ids is None else (number.in_(select(picked.c.id)),)
