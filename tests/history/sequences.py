"""Random sequences of merges and unmerges over made-up entities, with the id history that a store would keep."""

from __future__ import annotations

import numpy as np

from tests.resolve.links import Links

Groups = list[list[int]]


def become(links: Links, groups: Groups) -> None:
    """Give these groups of records their ids; the records are in the order of their numbers."""
    label = {record: number for number, group in enumerate(groups) for record in group}
    links.become(sorted(label), [label[record] for record in sorted(label)])


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
    become(links, blocks)
    states, joined = [dict(links.crosswalk)], [[number] for number in range(len(blocks))]
    for _ in range(int(rng.integers(2, 14))):
        joined = random_step(rng, joined)
        become(links, groups_of(blocks, joined))
    states.append(dict(links.crosswalk))
    become(links, blocks)
    return [*states, dict(links.crosswalk)]


def comes_back(seed: int) -> bool:
    """Tell whether all ids are as they were, and none was minted meanwhile."""
    links = Links()
    before, _, after = wander(links, seed)
    return before == after and links.next_id == 1 + len(set(before.values()))
