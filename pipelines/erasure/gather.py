"""Who is erased: every record of the person, the facts about it, its ids, and the texts that name nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.store import erasure_reads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.store import Store

_SHORTEST = 5  # a text of fewer letters or digits is found in too much that is not about the person


def gather(store: Store, tenant: int, entity: str, number: int) -> erasure_reads.Person:
    """Return everything there is of a golden record.

    A value or name that a live record of somebody else holds too stays where others gave it: it is in ``values`` of nobody,
    and is destroyed in the person's own records only.
    """
    members = erasure_reads.members(store, tenant, entity, number)
    values, names = erasure_reads.texts(store, tenant, entity, members)
    others = erasure_reads.shared_values(store, tenant, values, members)
    own_values = values - others
    own = sorted({*members, *erasure_reads.stubs_of(store, tenant, own_values)})
    common = erasure_reads.shared_names(store, tenant, entity, names, own)
    ids, shared_ids = erasure_reads.ids_of(store, tenant, number, own)
    return erasure_reads.Person(
        entity=entity,
        entity_id=number,
        own=tuple(erasure_reads.references(store, tenant, own)),
        other=tuple(erasure_reads.references(store, tenant, erasure_reads.about(store, tenant, own))),
        ids=tuple(ids),
        shared_ids=tuple(shared_ids),
        values=frozenset(own_values),
        needles=frozenset(_telling(own_values | (names - common))),
    )


def _telling(texts: Iterable[str]) -> set[str]:
    return {text for text in texts if sum(letter.isalnum() for letter in text) >= _SHORTEST}
