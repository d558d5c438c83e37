"""Stable ids: who keeps, who merges, who comes back."""

from __future__ import annotations

import numpy as np

from pipelines.resolve.ids import Assignment, IdEvent, assign_ids


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
