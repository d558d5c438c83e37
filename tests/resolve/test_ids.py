"""Stable ids: who keeps, who merges, who comes back."""

from __future__ import annotations

import numpy as np

from pipelines.resolve.ids import Assignment, IdEvent, assign_ids
from tests.resolve.links import Links


def assign(
    groups: dict[int, list[int]] | list[list[int]], before: dict[int, int], former: dict[int, list[int]] | None = None
) -> tuple[dict[int, int], Assignment]:
    listed = list(groups.values()) if isinstance(groups, dict) else groups
    pairs = sorted((record, members[0]) for members in listed for record in members)
    records, labels = np.array([r for r, _ in pairs], np.int64), np.array([c for _, c in pairs], np.int64)
    known = [*before.values(), *(e for ids in (former or {}).values() for e in ids)]
    assignment = assign_ids(records, labels, before, former or {}, max(known, default=0) + 1)
    return dict(zip(records.tolist(), assignment.entity_ids.tolist(), strict=True)), assignment


def test_new_entities_are_minted_in_the_order_of_their_first_record() -> None:
    ids, assignment = assign([[10, 30], [20]], {})

    assert ids == {10: 1, 30: 1, 20: 2}
    assert assignment.events == (IdEvent("minted", 1), IdEvent("minted", 2))
    assert assignment.next_id == 3


def test_nothing_changed_writes_no_event() -> None:
    before = {10: 1, 30: 1, 20: 2}

    ids, assignment = assign([[10, 30], [20]], before)

    assert ids == before
    assert assignment.events == ()


def test_merge_keeps_the_id_with_most_members_and_points_the_other_to_it() -> None:
    ids, assignment = assign([[1, 2, 3]], {1: 7, 2: 9, 3: 9})

    assert set(ids.values()) == {9}
    assert assignment.events == (IdEvent("merged_into", 7, 9),)


def test_merge_of_equals_keeps_the_older_id() -> None:
    ids, assignment = assign([[1, 2]], {1: 9, 2: 7})

    assert set(ids.values()) == {7}
    assert assignment.events == (IdEvent("merged_into", 9, 7),)


def test_split_keeps_the_id_on_the_larger_part() -> None:
    ids, assignment = assign([[1], [2, 3]], {1: 4, 2: 4, 3: 4})

    assert ids == {1: 5, 2: 4, 3: 4}
    assert assignment.events == (IdEvent("minted", 5), IdEvent("split_from", 5, 4))


def test_unmerge_reactivates_the_retired_id() -> None:
    ids, assignment = assign([[1], [2, 3]], {1: 9, 2: 9, 3: 9}, {1: [7]})

    assert ids == {1: 7, 2: 9, 3: 9}
    assert assignment.events == (IdEvent("reactivated", 7), IdEvent("split_from", 7, 9))


def test_id_of_an_emptied_entity_is_retired_and_comes_back_with_its_record() -> None:
    _, emptied = assign([[2]], {1: 4, 2: 5})
    ids, returned = assign([[1], [2]], {2: 5}, {1: [4]})

    assert emptied.events == (IdEvent("retired", 4),)
    assert emptied.gone == (1,)
    assert ids == {1: 4, 2: 5}
    assert returned.events == (IdEvent("reactivated", 4),)


def test_a_lost_member_leaves_the_id_where_it_was() -> None:
    ids, assignment = assign([[2, 3]], {1: 4, 2: 4, 3: 4})

    assert set(ids.values()) == {4}
    assert assignment.events == ()
    assert assignment.gone == (1,)


def test_every_merge_and_unmerge_sequence_returns_to_the_first_ids() -> None:
    rng = np.random.default_rng(3)
    start, _ = assign([[n] for n in range(8)], {})
    crosswalk, former = dict(start), {}
    for _ in range(40):
        colours = rng.integers(0, 3, 8)
        merged = [[n for n in range(8) if colours[n] == c] for c in range(3) if (colours == c).any()]
        for groups in (merged, [[n] for n in range(8)]):
            after, _ = assign(groups, crosswalk, former)
            for record, old in crosswalk.items():
                former.setdefault(record, []).append(old)
            live = set(after.values())
            crosswalk = after
            former = {r: sorted(set(olds) - live) for r, olds in former.items()}

    assert crosswalk == start


def become(links: Links, *groups: tuple[int, ...]) -> dict[int, int]:
    """Give the groups their ids, and return them."""
    label = {record: number for number, group in enumerate(groups) for record in group}
    links.become(sorted(label), [label[record] for record in sorted(label)])
    return dict(links.crosswalk)


def test_a_part_that_was_an_entity_takes_back_its_id_also_where_its_records_came_from_another() -> None:
    links = Links()
    become(links, (1, 2), (3, 4))
    become(links, (1,), (2,), (3, 4))
    apart = become(links, (1, 3, 4), (2,))

    merged = become(links, (1, 2, 3, 4))

    assert apart == {1: 2, 3: 2, 4: 2, 2: 3}
    assert set(merged.values()) == {2}
    assert become(links, (1, 3, 4), (2,)) == apart


def test_the_ids_of_one_moment_come_back_together_though_a_part_had_another_since() -> None:
    links = Links()
    apart = become(links, (1,), (2,))
    together = become(links, (1, 2))

    without_one = become(links, (2,))
    again = become(links, (1, 2))

    assert without_one == {2: 1}
    assert again == together
    assert become(links, (1,), (2,)) == apart


def test_ids_in_use_elsewhere_stay_there() -> None:
    links = Links()
    become(links, (1,), (2,))
    become(links, (1, 2))
    become(links, (2,))

    assert become(links, (1,), (2,)) == {1: 3, 2: 1}


def test_of_moments_at_which_the_parts_were_apart_the_one_before_they_met_counts() -> None:
    links = Links()
    apart = become(links, (1,), (2,), (3,))
    become(links, (1, 2), (3,))
    become(links, (1, 2, 3))
    become(links, (2, 3))
    become(links, (1, 2, 3))
    become(links, (1,), (2, 3))
    lent = become(links, (1,), (2,))
    become(links, (1,), (2, 3))
    become(links, (1, 2, 3))
    become(links, (1, 2), (3,))

    assert lent == {1: 4, 2: 1}
    assert become(links, (1,), (2,), (3,)) == apart
