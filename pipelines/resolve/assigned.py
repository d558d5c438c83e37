"""The ids of a partition, from what the store knows of the ids before: for a full run, an increment and a preview alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.resolve import ids
from pipelines.resolve.memberships import Memberships
from pipelines.store import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.resolve.ids import Assignment, Ints
    from pipelines.store import Store


def live_ids(store: Store, tenant: int, entity: str) -> dict[int, int]:
    """Return the id that each record has now."""
    return dict(_rows(identity.links(store, tenant, entity)))


def assigned(
    store: Store,
    tenant: int,
    entity: str,
    partition: tuple[Ints, Ints],
    crosswalk: Mapping[int, int],
    reached: pa.Array | None = None,
) -> Assignment:
    """Return the ids of a partition (records and labels); nothing is written.

    ``crosswalk`` holds the live ids of all records that the partition replaces; ``reached`` names the records to look up,
    where the partition is not of all.
    """
    former: dict[int, list[int]] = {}
    for record, old in _rows(identity.former_links(store, tenant, entity, reached)):
        former.setdefault(record, []).append(old)
    homes = dict(_rows(identity.first_links(store, tenant, entity, reached)))

    def remember(records: Sequence[int]) -> Memberships:
        spans = identity.spans(store, tenant, entity, pa.array(records, pa.int64()))
        return Memberships.of(zip(*(spans[name].to_pylist() for name in spans.column_names), strict=True))

    return ids.assign_ids(*partition, crosswalk, former, identity.next_id(store, tenant), homes, remember)


def _rows(table: pa.Table) -> list[tuple[int, int]]:
    return list(zip(table["source_record_id"].to_pylist(), table["entity_id"].to_pylist(), strict=True))
