"""What must hold of any dated graph, on a sample of seeds; ``make bench-influence`` runs the whole number."""

from __future__ import annotations

import random

import numpy as np
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.influence.hierarchy import Link, acyclic, circle_members
from pipelines.influence.paths import Edge, best_paths
from pipelines.influence.tree import Tree
from tests.influence import graphs

pytestmark = pytest.mark.slow  # many generated graphs

SEEDS = range(300)


@pytest.mark.parametrize("check", [graphs.check_settled, graphs.check_acyclic, graphs.check_reparenting])
def test_of_random_dated_graphs(check) -> None:
    for seed in SEEDS:
        check(seed)


def test_random_graphs_do_have_circles_and_contests() -> None:
    links = [graphs.parent_links(random.Random(seed)) for seed in SEEDS]
    assert sum(bool(circle_members([one.child for one in each], [one.parent for one in each])) for each in links) > 150
    assert (
        sum(any(piece.conflict for piece in graphs.settle(graphs.spans(random.Random(seed)))) for seed in SEEDS) > 150
    )


@pytest.mark.parametrize(("size", "reach"), [(1, None), (300, None), (300, 1), (300, 3)])
def test_a_roll_up_of_the_parts_equals_the_whole(size: int, reach: int | None) -> None:
    chance = random.Random(size)
    above = {child + 7: parent + 7 for child, parent in graphs.random_tree(chance, size, reach=reach).items()} or {8: 7}
    own = {node: chance.randrange(-(10**12), 10**12) for node in (*above, 7)}
    tree = Tree(np.array(list(above)), np.array(list(above.values())))
    keys, values = (np.array(column, np.int64) for column in zip(*own.items(), strict=True))
    totals = dict(zip(tree.ids.tolist(), tree.sums(tree.aligned(keys, values)).tolist(), strict=True))

    assert totals == graphs.sums_by_hand(above, own)
    assert totals[7] == sum(own.values())
    places = list(tree.below(7))
    start = places[len(places) // 2].entity_id
    assert sorted(tree.ids[tree.inside(start)].tolist()) == sorted(place.entity_id for place in tree.below(start))
    assert len({place.entity_id for place in places}) == len(places) == len(own)
    assert all(above[place.entity_id] == place.parent_id for place in places[1:])
    assert all(len(tree.path(place.entity_id)) == place.depth + 1 for place in places)


def test_a_sum_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FixConfig, match="does not fit"):
        Tree(np.array([2]), np.array([1])).sums(np.array([2**62, 2**62]))


def test_circle_members_are_found_and_only_between_circles() -> None:
    assert circle_members([1, 2, 3, 4, 5], [2, 3, 1, 1, 4]) == {1, 2, 3}
    assert circle_members([1, 2, 3], [2, 3, 4]) == set()


@pytest.mark.parametrize(
    ("strengths", "claims", "cut"),
    [((0.9, 0.3, 0.5), (3, 1, 2), 2), ((0.5, 0.5, 0.5), (1, 3, 2), 2), ((0.5, 0.5, 0.5), (1, 1, 1), 3)],
    ids=["the weakest", "of equals the newest", "else the greater reference"],
)
def test_a_circle_is_cut_at(strengths: tuple[float, ...], claims: tuple[int, ...], cut: int) -> None:
    links = [
        Link(child, child % 3 + 1, None, None, strengths[child - 1], graphs.instant(claims[child - 1]), f"crm/{child}")
        for child in (1, 2, 3)
    ]
    assert [link.child for link in acyclic(links) if link.cut] == [cut]


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_best_path_is_the_best_of_all_paths(depth: int) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        edges = [Edge(*chance.sample(range(7), 2), chance.choice((0.1, 0.5, 0.9, 1.0)), "knows") for _ in range(14)]
        found = best_paths(edges, 0, depth=depth)

        everything = list(_walks(edges, (0,), 1.0, depth))
        assert set(found) == {way[-1] for way, _ in everything}
        for target, path in found.items():
            assert path.strength == pytest.approx(max(strength for way, strength in everything if way[-1] == target))
            assert len(path.kinds) == len(path.people) - 1 <= depth


def _walks(edges, way, strength, depth):
    for edge in edges:
        if depth and edge.a == way[-1] and edge.b not in way:
            yield (*way, edge.b), strength * edge.strength
            yield from _walks(edges, (*way, edge.b), strength * edge.strength, depth - 1)
