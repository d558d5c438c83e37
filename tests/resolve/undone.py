"""Random stacks of things that can be taken back (decisions of every kind, retractions), each taken back in its turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.store.decisions import MATCH, Decision
from tests.resolve.decision_world import World, a_decision, a_world, step

Undo = Callable[[], None]
_AT_ONCE = 7


@dataclass
class Stack:
    """Does and takes back, the last one first; ``faults`` tell where the links were not those from before, byte by byte."""

    rng: np.random.Generator
    world: World
    open: list[tuple[Undo, dict[int, int]]] = field(default_factory=list)
    undone: int = 0
    faults: list[str] = field(default_factory=list)

    def act(self) -> None:
        """Retract some records, or let a person decide something."""
        before = dict(self.world.crosswalk)
        undo = self._retract() if self.rng.random() < 0.3 else self._decide()
        self.world.settle()
        self.open.append((undo, before))

    def take_back(self) -> None:
        """Undo what was done last."""
        undo, before = self.open.pop()
        undo()
        self.world.settle()
        self.undone += 1
        if self.world.crosswalk != before:
            self.faults.append(f"{sorted(before.items())} came back as {sorted(self.world.crosswalk.items())}")

    def _retract(self) -> Undo:
        _, *others = self.rng.permutation(sorted(self.world.alive)).tolist()
        lost = {one for one in others if self.rng.random() < 0.4}
        self.world.alive -= lost

        def undo() -> None:
            self.world.alive |= lost

        return undo

    def _decide(self) -> Undo:
        decisions, number = self.world.decisions, len(self.world.decisions)
        if self.rng.random() < 0.5:
            one, other = (int(each) for each in self.rng.permutation(self.world.records)[:2])
            decisions.append(Decision(number + 1, "person", MATCH, left_id=one, right_id=other))
        else:
            decisions.append(a_decision(self.rng, self.world))

        def undo() -> None:
            decisions[number] = replace(decisions[number], known_to=number + 1)

        return undo


def stacked(seed: int, steps: int = 14) -> Stack:
    """One random stack, at the end empty; what came before it (arrivals, deletes, another model) is no part of it."""
    rng = np.random.default_rng([seed, 2])
    world = a_world(rng)
    world.settle()
    for _ in range(int(rng.integers(0, 3))):
        step(rng, world)
        world.settle()
    stack = Stack(rng, world)
    for _ in range(steps):
        if stack.open and rng.random() < 0.4:
            stack.take_back()
        elif len(stack.open) < _AT_ONCE:
            stack.act()
    while stack.open:
        stack.take_back()
    return stack
