"""What a store remembers of its links, without a store: for tests that go through thousands of partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.resolve.ids import assign_ids
from pipelines.resolve.memberships import Memberships, Span


@dataclass
class Links:
    """The crosswalk of a few records and every link there was."""

    crosswalk: dict[int, int] = field(default_factory=dict)
    ended: list[Span] = field(default_factory=list)
    since: dict[int, int] = field(default_factory=dict)
    commit: int = 0
    next_id: int = 1

    def become(self, records: Sequence[int], labels: Sequence[int]) -> None:
        """Give a partition its ids, as the resolve stage does: labels beside records, which are in their order."""
        live, former, homes = set(self.crosswalk.values()), dict[int, list[int]](), dict[int, int]()
        for record, entity_id, _, _ in self.ended:
            homes.setdefault(record, entity_id)
            if entity_id not in live and entity_id not in former.setdefault(record, []):
                former[record].append(entity_id)
        partition = np.array(records, np.int64), np.array(labels, np.int64)
        given = assign_ids(*partition, self.crosswalk, former, self.next_id, homes, self._remember)
        self._follow(dict(zip(records, given.entity_ids.tolist(), strict=True)))
        self.next_id = given.next_id

    def _follow(self, after: dict[int, int]) -> None:
        self.commit += 1
        moved = {record: old for record, old in self.crosswalk.items() if after.get(record) != old}
        self.ended += [(record, old, self.since[record], self.commit) for record, old in moved.items()]
        self.since |= {record: self.commit for record, e in after.items() if self.crosswalk.get(record) != e}
        self.crosswalk = after

    def _remember(self, records: Sequence[int]) -> Memberships:
        spans = [*self.ended, *((r, e, self.since[r], None) for r, e in self.crosswalk.items())]
        asked = set(records)
        ids = {entity_id for record, entity_id, _, _ in spans if record in asked}
        return Memberships.of(span for span in spans if span[1] in ids)
