"""Random worlds of records, evidence and people's decisions, small enough to be checked by brute force.

A world goes through decisions, undos, arrivals, deletes, retrainings and reorders; after each step the pure functions
(constraints, partition, ids) are run as the stage runs them and every rule is checked against a plain re-reading of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product

import numpy as np

from pipelines.resolve import cluster
from pipelines.resolve.cluster import CERTAIN, Edges
from pipelines.resolve.decisions import Constraints, constraints
from pipelines.store.decisions import MATCH, NO_MATCH, SPLIT, UNSURE, Decision
from tests.resolve.links import Links

Pair = tuple[int, int]


@dataclass
class Model:
    """What a match model would say: a weight for each pair, and from which on it links."""

    weights: dict[Pair, float]
    threshold: float
    certain: frozenset[Pair]
    conflicts: frozenset[Pair]


@dataclass
class World:
    """Records, what is known of them, and the crosswalk that followed."""

    records: list[int]
    model: Model
    alive: set[int]
    decisions: list[Decision] = field(default_factory=list)
    links: Links = field(default_factory=Links)

    @property
    def crosswalk(self) -> dict[int, int]:
        """The id of each record."""
        return self.links.crosswalk

    def order(self) -> list[int]:
        """Live records in the order of their references."""
        return [record for record in self.records if record in self.alive]

    def settle(self) -> tuple[Constraints, dict[int, int]]:
        """Resolve as the stage does; returns what bound, and the cluster of each record."""
        bound, records = constraints(self.decisions), self.order()
        labels = partition(records, self.model, bound).tolist()
        self.links.become(records, labels)
        return bound, dict(zip(records, labels, strict=True))


def partition(records: list[int], model: Model, bound: Constraints) -> np.ndarray:
    """Cluster the records under a model and what people decided."""
    row = {record: number for number, record in enumerate(records)}

    def edges(pairs: dict[Pair, float]) -> Edges:
        here = sorted((*sorted((row[a], row[b])), w) for (a, b), w in pairs.items() if a in row and b in row)
        table = np.array(here, np.float64).reshape(-1, 3)
        return Edges(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].copy())

    everything = edges(model.weights)

    def score_all(left: np.ndarray, right: np.ndarray) -> Edges:
        wanted = set(zip(left.tolist(), right.tolist(), strict=True))
        pairs = zip(everything.left.tolist(), everything.right.tolist(), strict=True)
        return everything.where(np.array([pair in wanted for pair in pairs], np.bool_))

    against = edges(dict.fromkeys(model.conflicts, 0.0))
    return cluster.partition(
        len(records),
        everything.where(everything.weight >= -2),
        edges(dict.fromkeys(model.certain, CERTAIN)),
        lambda _: against,
        model.threshold,
        score_all,
        bound.over(np.array(records, np.int64)),
    )


def a_model(rng: np.random.Generator, records: list[int]) -> Model:
    """A model over a world of a few people, with mistakes."""
    person = {record: int(rng.integers(0, max(2, len(records) // 3))) for record in records}
    weights, certain, conflicts = {}, set(), set()
    for pair in combinations(sorted(records), 2):
        same = person[pair[0]] == person[pair[1]]
        weights[pair] = round(float(rng.normal(7 if same else -5, 4)), 3)
        if rng.random() < (0.25 if same else 0.02):
            certain.add(pair)
        if rng.random() < (0.01 if same else 0.08):
            conflicts.add(pair)
    return Model(weights, float(rng.choice([0.0, 1.5, 4.0])), frozenset(certain), frozenset(conflicts))


def a_world(rng: np.random.Generator) -> World:
    """A world whose records' numbers say nothing of their order, some of them still to come."""
    records = [int(one) for one in rng.permutation(np.arange(1, 40))[: rng.integers(4, 11)]]
    alive = {one for one in records if rng.random() < 0.85} or set(records)
    return World(records, a_model(rng, records), alive)


def a_decision(rng: np.random.Generator, world: World) -> Decision:
    """Any decision about records of the world, there or not."""
    number = len(world.decisions) + 1
    kind = str(rng.choice([MATCH, MATCH, NO_MATCH, NO_MATCH, UNSURE, SPLIT]))
    chosen = [int(one) for one in rng.permutation(world.records)]
    if kind != SPLIT:
        return Decision(number, "person", kind, left_id=chosen[0], right_id=chosen[1])
    first, second = sorted(int(one) for one in rng.integers(1, len(chosen), 2))
    groups = [chosen[:first], chosen[first:second]] if first < second else [chosen[:first], chosen[first:]]
    return Decision(number, "person", kind, groups=tuple(tuple(sorted(group)) for group in groups))


def step(rng: np.random.Generator, world: World) -> None:
    """Let one thing happen."""
    what = rng.choice(["decide", "decide", "decide", "undo", "arrive", "delete", "retrain", "reorder"])
    still = [n for n, one in enumerate(world.decisions) if one.is_open]
    if what == "decide" and len(still) < 7:
        world.decisions.append(a_decision(rng, world))
    elif what == "undo" and still:
        _unmerge(rng, world)
    elif what == "arrive":
        world.alive |= {int(rng.choice(world.records))}
    elif what == "delete" and len(world.alive) > 1:
        world.alive -= {int(rng.choice(sorted(world.alive)))}
    elif what == "retrain":
        world.model = a_model(rng, world.records)
    elif what == "reorder":
        world.records = [int(one) for one in rng.permutation(world.records)]


def violations(world: World, bound: Constraints, label: dict[int, int]) -> list[str]:
    """Say where the outcome breaks a decision, a contradiction goes unsaid, or an id is not its cluster's."""
    open_ = [one for one in world.decisions if one.is_open]
    graph, against = _statements(open_), _apart(open_)
    faults: list[str] = []
    suspended: set[Pair] = set()
    for pair in against:
        ways = _ways(graph, ("r", pair[0]), ("r", pair[1]))
        suspended |= ways
        if bool(ways) != any(each.pair == pair for each in bound.contradictions):
            faults.append(f"contradiction about {pair} said: {not ways}")
        held = sorted({node[1] for edge in ways for node in edge if node[0] == "r"})
        apart = {pair, *combinations(held, 2)}
        faults += [f"{a} and {b} are one" for a, b in apart if a in label and label.get(b) == label[a]]
    for hub, members in graph.items():
        if hub[0] == "d":
            kept = [r for _, r in members if (hub, ("r", r)) not in suspended and r in label]
            faults += [f"{a} and {b} are two" for a, b in combinations(kept, 2) if label[a] != label[b]]
    faults += [
        f"{a} and {b}: id and cluster differ"
        for a, b in combinations(label, 2)
        if (label[a] == label[b]) != (world.crosswalk[a] == world.crosswalk[b])
    ]
    return faults


def _statements(decisions: list[Decision]) -> dict[tuple, set[tuple]]:
    graph: dict[tuple, set[tuple]] = {}
    for one in decisions:
        groups = [one.records] if one.kind == MATCH else one.groups if one.kind == SPLIT else []
        for number, group in enumerate(groups):
            for record in group:
                graph.setdefault(("d", one.decision_id, number), set()).add(("r", record))
                graph.setdefault(("r", record), set()).add(("d", one.decision_id, number))
    return graph


def _apart(decisions: list[Decision]) -> set[Pair]:
    pairs = {one.pair for one in decisions if one.kind == NO_MATCH and one.pair}
    for one in decisions:
        for first, second in combinations(one.groups, 2):
            pairs |= {(min(a, b), max(a, b)) for a, b in product(first, second)}
    return pairs


def _ways(graph: dict[tuple, set[tuple]], start: tuple, end: tuple) -> set[tuple]:
    """The edges of every way between two records that passes no node twice, by trying all of them."""
    found: set[tuple] = set()
    walks = [[start]] if start in graph else []
    while walks:
        walk = walks.pop()
        for node in graph[walk[-1]]:
            if node == end:
                whole = [*walk, node]
                found |= {edge for a, b in pairwise(whole) for edge in ((a, b), (b, a))}
            elif node not in walk:
                walks.append([*walk, node])
    return found


def run(seed: int, steps: int = 8) -> list[str]:
    """One random run of everything that can happen; returns its violations.

    After each step every decision is checked, and that the order in which decisions are read means nothing.
    """
    rng = np.random.default_rng(seed)
    world = a_world(rng)
    bound, label = world.settle()
    faults = violations(world, bound, label)
    for _ in range(steps):
        step(rng, world)
        bound, label = world.settle()
        faults += violations(world, bound, label)
        mixed = [world.decisions[n] for n in rng.permutation(len(world.decisions))]
        if constraints(mixed) != bound:
            faults.append("the order of decisions matters")
    return faults


def merges(seed: int, steps: int = 12) -> list[str]:
    """One random sequence of merges and unmerges by people, undone in any order; returns where the ids are not the first.

    Whenever no merge is open, and at the end, the crosswalk must be the first one, byte by byte.
    """
    rng = np.random.default_rng([seed, 1])
    world = a_world(rng)
    world.settle()
    first, faults = sorted(world.crosswalk.items()), []
    for _ in range(steps):
        _merge_or_unmerge(rng, world)
        world.settle()
        if not any(one.is_open for one in world.decisions) and sorted(world.crosswalk.items()) != first:
            faults.append(f"{first} became {sorted(world.crosswalk.items())}")
    while any(one.is_open for one in world.decisions):
        _unmerge(rng, world)
        world.settle()
    return faults if sorted(world.crosswalk.items()) == first else [*faults, f"{first} ended as {world.crosswalk}"]


def _merge_or_unmerge(rng: np.random.Generator, world: World) -> None:
    if rng.random() < 0.6:
        one, other = (int(each) for each in rng.permutation(world.records)[:2])
        world.decisions.append(Decision(len(world.decisions) + 1, "person", MATCH, left_id=one, right_id=other))
    else:
        _unmerge(rng, world)


def _unmerge(rng: np.random.Generator, world: World) -> None:
    still = [n for n, one in enumerate(world.decisions) if one.is_open]
    if still:
        n = int(rng.choice(still))
        world.decisions[n] = replace(world.decisions[n], known_to=n + 1)
