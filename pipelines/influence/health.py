"""Whether the influence map fits together: what Dagster's check and ``doctor`` ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.influence.hierarchy import Link, acyclic, circle_members
from pipelines.influence.rules import OVERRULED
from pipelines.store import influence_reads

if TYPE_CHECKING:
    from pipelines.store import Store


@dataclass(frozen=True)
class Health:
    """Counts of the map as it stands. ``circles`` and ``loose_ends`` must be 0; the others are for people to look at.

    ``circles``: links that stand in a circle although the stage should have cut them; ``cut``: links it did cut;
    ``loose_ends``: relations one end of which is no golden entity; ``overruled``: relations that another one replaced.
    """

    relations: Mapping[str, int]
    overruled: int
    links: int
    cut: int
    circles: int
    loose_ends: int

    @property
    def is_sound(self) -> bool:
        """True when no tree has a circle and every relation has both ends."""
        return self.circles == 0 and self.loose_ends == 0


def health(store: Store, *, tenant_id: int = 1) -> Health:
    """Look at all relations and hierarchies as they stand."""
    rows = influence_reads.hierarchy_rows(store, tenant_id).to_pylist()
    trees: dict[str, list[Link]] = defaultdict(list)
    for row in rows:
        if row["cut"] is None:
            ends = (row["entity_id"], row["parent_id"], row["valid_from"], row["valid_to"])
            trees[row["hierarchy"]].append(Link(*ends, row["strength"], row["valid_from"], str(row["entity_id"])))
    counted = influence_reads.relation_counts(store, tenant_id, overruled=OVERRULED)
    return Health(
        relations={kind: number for kind, number, _ in counted},
        overruled=sum(number for _, _, number in counted),
        links=sum(map(len, trees.values())),
        cut=len(rows) - sum(map(len, trees.values())),
        circles=sum(map(_circles, trees.values())),
        loose_ends=influence_reads.loose_ends(store, tenant_id),
    )


def _circles(links: list[Link]) -> int:
    inside = circle_members([link.child for link in links], [link.parent for link in links])
    return sum(1 for link in acyclic([one for one in links if one.child in inside]) if link.cut)
