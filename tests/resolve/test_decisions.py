"""Constraints from decisions: what binds, what contradicts, and that the partition obeys whatever happens around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.resolve import cluster
from pipelines.resolve.cluster import Decided, Edges
from pipelines.resolve.decisions import Constraints, constraints
from pipelines.store.decisions import MATCH, NO_MATCH, SPLIT, UNSURE, Decision
from tests.resolve import decision_world
from tests.resolve.undone import stacked

pytestmark = pytest.mark.slow  # each goes through whole stages

RUNS = 60


def said(*decisions: tuple) -> Constraints:
    """Constraints of (kind, left, right) or (split, group, group …), numbered from 1."""
    made = [
        Decision(n, "person", kind, groups=tuple(parts))
        if kind == SPLIT
        else Decision(n, "person", kind, left_id=parts[0], right_id=parts[1])
        for n, (kind, *parts) in enumerate(decisions, 1)
    ]
    return constraints(made)


def test_a_pair_of_which_a_person_is_unsure_counts_as_zero_scored_or_not() -> None:
    here = said((UNSURE, 0, 1), (UNSURE, 4, 2)).over(np.arange(5))
    scored = Edges(np.array([0, 1]), np.array([1, 3]), np.array([7.0, 5.0]))

    neutral = here.neutral(scored, 5)

    ends = zip(neutral.left.tolist(), neutral.right.tolist(), neutral.weight.tolist(), strict=True)
    assert {(min(a, b), max(a, b), w) for a, b, w in ends} == {(0, 1, 0.0), (2, 4, 0.0), (1, 3, 5.0)}


def test_matches_are_transitive_also_through_records_that_are_gone() -> None:
    bound = said((MATCH, 1, 2), (MATCH, 3, 2))

    here = bound.over(np.array([3, 1, 9], np.int64))

    assert bound.groups == ((1, 2, 3),)
    assert (here.together.left.tolist(), here.together.right.tolist()) == ([1], [0])


def test_a_closed_decision_binds_nothing() -> None:
    assert constraints([replace(Decision(1, "person", MATCH, left_id=1, right_id=2), known_to=5)]) == Constraints()


def test_a_contradiction_suspends_what_leads_from_one_to_the_other_and_nothing_else() -> None:
    bound = said((MATCH, 1, 2), (MATCH, 2, 3), (MATCH, 3, 4), (NO_MATCH, 1, 3), (MATCH, 7, 8))

    (told,) = bound.contradictions
    assert (told.pair, told.apart, told.together, told.records) == ((1, 3), (4,), (1, 2), (1, 2, 3))
    assert bound.groups == ((3, 4), (7, 8))
    assert bound.apart == {(1, 2), (1, 3), (2, 3)}


def test_a_no_match_inside_a_group_of_a_split_takes_both_out_of_it() -> None:
    bound = said((SPLIT, (1, 2, 3, 4), (5,)), (NO_MATCH, 2, 3))

    assert bound.groups == ((1, 4),)
    assert {(2, 3), (1, 5), (4, 5)} <= bound.apart
    assert bound.contradictions[0].together == (1,)


def test_a_match_and_a_no_match_of_one_pair_hold_it_apart_and_the_ledger_says_so() -> None:
    bound = said((MATCH, 1, 2), (NO_MATCH, 1, 2), (UNSURE, 3, 4))

    rows = bound.evidence(np.array([1, 2, 3, 4], np.int64)).to_pylist()

    assert bound.groups == ()
    assert bound.apart == {(1, 2)}
    assert [(one["left_id"], one["right_id"], one["rule"], one["judgement"]) for one in rows] == [
        (1, 2, "match", "conflict"),
        (1, 2, "no_match", "negative"),
        (3, 4, "unsure", "unsure"),
    ]


def edges(*pairs: tuple[int, int, float]) -> Edges:
    left, right, weight = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Edges(np.array(left, np.int64), np.array(right, np.int64), np.array(weight, np.float64))


def partition(rows: int, scored: Edges, decided: Decided, forbidden: Edges | None = None) -> list[int]:
    against = forbidden or Edges.none()
    return cluster.partition(
        rows, scored, Edges.none(), lambda _: against, 0.0, lambda _l, _r: scored, decided
    ).tolist()


def test_a_match_joins_whole_clusters_against_scores_and_unique_identifiers() -> None:
    scored = edges((0, 1, 9), (2, 3, 9), (0, 2, -9), (0, 3, -9), (1, 2, -9), (1, 3, -9))
    decided = Decided(edges((0, 2, 0)), Edges.none(), Edges.none())

    assert partition(4, scored, decided, forbidden=edges((1, 3, 0))) == [0, 0, 0, 0]


def test_a_no_match_beside_a_match_parts_a_cluster_record_by_record() -> None:
    scored = edges((0, 1, 9), (2, 3, 9))
    decided = Decided(edges((0, 2, 0)), edges((1, 3, 0)), Edges.none())

    assert partition(4, scored, decided) == [0, 0, 0, 3]


def test_a_no_match_holds_against_certain_links_and_by_whatever_path() -> None:
    certain = edges((0, 1, cluster.CERTAIN), (1, 2, cluster.CERTAIN), (0, 2, cluster.CERTAIN))
    decided = Decided(Edges.none(), edges((0, 2, 0)), Edges.none())

    label = cluster.partition(
        3, Edges.none(), certain, lambda _: Edges.none(), 0.0, lambda _l, _r: Edges.none(), decided
    ).tolist()

    assert label[0] != label[2]


def test_unsure_takes_the_pair_out_of_the_links_and_leaves_other_ways_open() -> None:
    decided = Decided(Edges.none(), Edges.none(), edges((0, 2, 0)))

    assert partition(3, edges((0, 2, 9)), decided) == [0, 1, 2]
    assert partition(3, edges((0, 1, 9), (1, 2, 9), (0, 2, -9)), decided) == [0, 0, 0]


def test_no_decisions_change_nothing() -> None:
    rng = np.random.default_rng(4)
    pairs = edges(*((a, b, float(rng.integers(-6, 9))) for a in range(12) for b in range(a + 1, 12)))
    accepted = pairs.where(pairs.weight >= 0)

    without = cluster.partition(12, accepted, Edges.none(), lambda _: Edges.none(), 0.0, lambda _l, _r: pairs)
    empty = Constraints().over(np.arange(12))

    assert (
        cluster.partition(12, accepted, Edges.none(), lambda _: Edges.none(), 0.0, lambda _l, _r: pairs, empty).tolist()
        == without.tolist()
    )


@pytest.mark.parametrize("portion", range(3))
def test_no_random_run_breaks_a_decision(portion: int) -> None:
    found = {seed: decision_world.run(seed) for seed in range(portion * RUNS, (portion + 1) * RUNS)}

    assert {seed: faults for seed, faults in found.items() if faults} == {}


def test_random_merges_and_unmerges_give_back_the_first_ids() -> None:
    found = {seed: decision_world.merges(seed) for seed in range(RUNS // 2)}

    assert {seed: faults for seed, faults in found.items() if faults} == {}


def test_what_is_undone_in_its_turn_leaves_the_links_from_before() -> None:
    stacks = {seed: stacked(seed) for seed in range(RUNS)}

    assert {seed: stack.faults for seed, stack in stacks.items() if stack.faults} == {}
    assert sum(stack.undone for stack in stacks.values()) > 5 * RUNS
