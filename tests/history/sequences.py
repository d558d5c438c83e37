"""Random sequences of merges and unmerges over made-up entities, with the id history that a store would keep."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.resolve.ids import assign_ids

Groups = list[list[int]]


@dataclass
class Links:
    """The crosswalk of a few records and all that a store remembers of it."""

    crosswalk: dict[int, int] = field(default_factory=dict)
    history: dict[int, list[int]] = field(default_factory=dict)
    next_id: int = 1
    minted: int = 0

    def become(self, groups: Groups) -> None:
        """Give the partition its ids, as the resolve stage does."""
        records = np.array(sorted(r for group in groups for r in group), np.int64)
        label = {r: number for number, group in enumerate(groups) for r in group}
        labels = np.array([label[int(r)] for r in records], np.int64)
        live = set(self.crosswalk.values())
        former = {r: [e for e in dict.fromkeys(ids) if e not in live] for r, ids in self.history.items()}
        homes = {r: ids[0] for r, ids in self.history.items()}
        given = assign_ids(records, labels, self.crosswalk, former, self.next_id, homes)
        after = dict(zip(records.tolist(), given.entity_ids.tolist(), strict=True))
        for record, old in self.crosswalk.items():
            if after.get(record) != old:
                self.history.setdefault(record, []).append(old)
        self.minted += given.next_id - self.next_id
        self.crosswalk, self.next_id = after, given.next_id


def random_blocks(rng: np.random.Generator) -> Groups:
    """Some entities of one to five records each, the records in any order."""
    records = rng.permutation(np.arange(1, int(rng.integers(4, 16)))).tolist()
    blocks: Groups = []
    while records:
        size = int(rng.integers(1, 6))
        blocks.append(records[:size])
        records = records[size:]
    return blocks


def random_step(rng: np.random.Generator, joined: list[list[int]]) -> list[list[int]]:
    """Merge two groups of blocks, or take one apart in any way; ``joined`` are block numbers."""
    groups = [list(group) for group in joined]
    large = [group for group in groups if len(group) > 1]
    if large and rng.random() < 0.5:
        group = large[int(rng.integers(len(large)))]
        groups.remove(group)
        order = rng.permutation(group).tolist()
        cut = int(rng.integers(1, len(order)))
        return [*groups, order[:cut], order[cut:]]
    if len(groups) > 1:
        one, two = rng.choice(len(groups), 2, replace=False).tolist()
        merged = groups[one] + groups[two]
        return [group for number, group in enumerate(groups) if number not in (one, two)] + [merged]
    return groups


def groups_of(blocks: Groups, joined: list[list[int]]) -> Groups:
    """The records of each group of blocks."""
    return [[record for number in group for record in blocks[number]] for group in joined]


def wander(links: Links, seed: int) -> list[dict[int, int]]:
    """Merge and part entities at random and return to the first partition; the links at first, on the way and at last."""
    rng = np.random.default_rng(seed)
    blocks = random_blocks(rng)
    links.become(blocks)
    states, joined = [dict(links.crosswalk)], [[number] for number in range(len(blocks))]
    for _ in range(int(rng.integers(2, 14))):
        joined = random_step(rng, joined)
        links.become(groups_of(blocks, joined))
    states.append(dict(links.crosswalk))
    links.become(blocks)
    return [*states, dict(links.crosswalk)]


def comes_back(seed: int) -> bool:
    """Tell whether all ids are as they were, and none was minted meanwhile."""
    links = Links()
    before, _, after = wander(links, seed)
    return before == after and links.minted == len(set(before.values()))
