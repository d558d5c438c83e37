"""Persons whose household must be decided anew though no row of theirs changed (ADR 0045).

Somebody with whom they had something in common is gone, and what was in common with them. Who takes contact points or
persons away does it here or says so here, in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import delete, func, select, union

from pipelines.store.tables import (
    golden_contact_point,
    household_home,
    household_member,
    household_open,
    metadata,
    picked,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Select

    from pipelines.store.transaction import WriteTransaction

HOUSEHOLD_MOST = 12
"""Persons of one household at most; what more persons have in common joins nobody."""
SHARED_KINDS = ("email", "phone")
_PART = 400


def drop_points(tx: WriteTransaction, gone: pa.Table) -> int:
    """Delete golden contact points (their keys), and open who had them and who has them still."""
    removed = tx.delete(golden_contact_point, gone)
    shared = gone.filter(pc.is_in(gone.column("kind"), pa.array(SHARED_KINDS)))
    opened = set(shared.column("entity_id").to_pylist())
    values = sorted(set(shared.column("value_norm").to_pylist()))
    for start in range(0, len(values), _PART):
        opened |= _numbers(tx, _holders(tx, values[start : start + _PART]))
    _open(tx, opened)
    return removed


def open_neighbours(tx: WriteTransaction, ids: Sequence[int]) -> None:
    """Open everybody who has a value, a home or a household in common with these persons, who are about to be destroyed."""
    point, home, member = golden_contact_point.c, household_home.c, household_member.c
    own = select(picked.c.id)
    with tx.picking(pa.array(ids, pa.int64())):
        mine = point.tenant_id == tx.tenant_id, point.entity_id.in_(own), point.kind.in_(SHARED_KINDS)
        values = sorted({row[0] for row in tx.execute(select(point.value_norm).where(*mine))})
        homes = select(home.home).where(home.tenant_id == tx.tenant_id, home.person_id.in_(own))
        houses = select(member.household_id).where(member.tenant_id == tx.tenant_id, member.person_id.in_(own))
        near = union(
            select(home.person_id).where(home.tenant_id == tx.tenant_id, home.home.in_(homes)),
            select(member.person_id).where(member.tenant_id == tx.tenant_id, member.household_id.in_(houses)),
        )
        opened = _numbers(tx, near)
    for start in range(0, len(values), _PART):
        opened |= _numbers(tx, _holders(tx, values[start : start + _PART], len(ids)))
    _open(tx, opened - set(ids))


def forget(tx: WriteTransaction, upto: int) -> None:
    """Close what was opened up to this ``change_seq``: it has been decided."""
    row = household_open.c
    tx.execute(delete(household_open).where(row.tenant_id == tx.tenant_id, row.change_seq <= upto))


def _holders(tx: WriteTransaction, values: Sequence[str], leaving: int = 0) -> Select[Any]:
    """Persons with one of these values, where not more have it than a household has persons once ``leaving`` are gone."""
    point, person = golden_contact_point.c, metadata.tables["golden_person"].c
    real = select(person.entity_id).where(person.tenant_id == tx.tenant_id, person.entity_id == point.entity_id)
    asked = (
        point.tenant_id == tx.tenant_id, point.value_norm.in_(values), point.kind.in_(SHARED_KINDS),
        point.entity == "person", real.where(person.is_stub.is_(False)).exists(),
    )  # fmt: skip
    each = select(point.entity_id, point.kind, point.value_norm).where(*asked).distinct().subquery().c
    held = func.count().over(partition_by=(each.kind, each.value_norm)).label("held")
    counted = select(each.entity_id, held).subquery().c
    return select(counted.entity_id).where(counted.held <= HOUSEHOLD_MOST + leaving)


def _numbers(tx: WriteTransaction, statement: Any) -> set[int]:
    return {int(row[0]) for row in tx.execute(statement)}


def _open(tx: WriteTransaction, persons: Iterable[int]) -> None:
    """Enter persons anew, those that are open already too: a run that is under way must not close them."""
    numbers = pa.array(sorted(persons), pa.int64())
    if not len(numbers):
        return
    with tx.picking(numbers):
        row = household_open.c
        tx.execute(delete(household_open).where(row.tenant_id == tx.tenant_id, row.person_id.in_(select(picked.c.id))))
    tx.insert(household_open, pa.table({"person_id": numbers}))
