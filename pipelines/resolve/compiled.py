"""The match model as plain arrays, and the one scorer that reads them: as set-based SQL, and in Python for few records.

The match weight of a pair is the prior's log2 odds plus, for every comparison, the weight of the first level whose test
holds: ``log2(m/u)``; where the level knows term frequencies ``log2(m)`` less ``log2`` of the value's frequency; 0 where a
value is missing. Both forms give what Splink gives for the same model, which a test holds them to; Splink itself only
learns models.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.agreement import ONE
from pipelines.resolve.comparisons import ELSE, MISSING
from pipelines.resolve.guards import DOUBTFUL, Guard, guard_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipelines.resolve.agreement import Check, Row
    from pipelines.resolve.model import MatchModel, Weighted

    Floats = NDArray[np.float64]

UNLISTED = "~"
"""Name of the frequency that every value has which the model does not list."""
HASH_DIGITS = 16


@dataclass(frozen=True)
class CompiledComparison:
    """One comparison: tests, best first, and beside each its weight; the last weight is that of everything else."""

    column: str
    tests: tuple[Check, ...]
    weights: Floats
    frequent: tuple[str | None, ...]

    @property
    def sql(self) -> str:
        """The weight of a pair in this comparison."""
        cases = [f"WHEN {test.sql} THEN {self._weight_sql(level)}" for level, test in enumerate(self.tests)]
        missing = f"WHEN {self.column}_l IS NULL OR {self.column}_r IS NULL THEN 0.0::DOUBLE"
        return f"CASE {missing} {' '.join(cases)} ELSE {self._weight_sql(len(self.tests))} END"

    def singly(self) -> CompiledComparison:
        """Return the comparison of rows whose lists hold one value at most."""
        tests = tuple(test.singly() for test in self.tests)
        listed = any(test.name == "shared" for test in self.tests)
        return replace(self, tests=tests, column=f"{self.column}{ONE}" if listed else self.column)

    def _weight_sql(self, level: int) -> str:
        column = self.frequent[level]
        weight = f"{float(self.weights[level])!r}::DOUBLE"
        return weight if column is None else f"({weight} - {column}_tf_l)"

    def weight(self, left: Row, right: Row, frequencies: Mapping[str, Mapping[str, float]]) -> float:
        """Return the weight of one pair in this comparison."""
        if left[self.column] is None or right[self.column] is None:
            return 0.0
        level = next((n for n, test in enumerate(self.tests) if test.holds(left, right)), len(self.tests))
        column = self.frequent[level]
        plain = float(self.weights[level])
        return plain if column is None else plain - _listed(frequencies[column], left[column])


@dataclass(frozen=True)
class Compiled:
    """A match model ready to score: arrays of weights, tests and frequencies (log2), and the guard."""

    prior: float
    comparisons: tuple[CompiledComparison, ...]
    frequencies: Mapping[str, Mapping[str, float]]
    guard: Guard | None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of ``norm`` that a score reads."""
        tests = [test for comparison in self.comparisons for test in comparison.tests]
        named = {comparison.column for comparison in self.comparisons}
        named |= {str(arg) for test in tests for arg in test.args if isinstance(arg, str)}
        return tuple(sorted(named | (self.guard.columns if self.guard else set())))

    def singly(self) -> Compiled:
        """Return the scorer of rows whose lists hold one value at most; it gives the same and costs half."""
        return Compiled(
            self.prior, tuple(item.singly() for item in self.comparisons), self.frequencies,
            self.guard.singly() if self.guard else None,
        )  # fmt: skip

    @property
    def sql(self) -> str:
        """The match weight of a pair, before the guard, over ``…_l`` and ``…_r``."""
        return " + ".join([f"{self.prior!r}::DOUBLE", *(f"({item.sql})" for item in self.comparisons)])

    @property
    def cap_sql(self) -> str:
        """The highest weight that the guard leaves to a pair; NULL = its score stands."""
        return self.guard.sql if self.guard else "NULL::DOUBLE"

    def score(self, left: Row, right: Row) -> float:
        """Return the match weight of one pair, before the guard."""
        return sum((item.weight(left, right, self.frequencies) for item in self.comparisons), self.prior)

    def weight(self, left: Row, right: Row) -> float:
        """Return the match weight of one pair of rows of ``norm``."""
        score = self.score(left, right)
        cap = self.guard.cap(left, right) if self.guard and score > DOUBTFUL else None
        return score if cap is None else min(score, cap)

    def weights(self, record: Row, others: Sequence[Row]) -> Floats:
        """Return the match weights of one record with each of the others."""
        return np.array([self.weight(record, other) for other in others], np.float64)


def compile_model(model: MatchModel) -> Compiled:
    """Return the compiled form of a model."""
    return Compiled(
        prior=math.log2(model.prior / (1 - model.prior)),
        comparisons=tuple(_comparison(item) for item in model.comparisons),
        frequencies={
            column: {value: math.log2(share) for value, share in table.items()}
            for column, table in model.frequencies.items()
        },
        guard=guard_of(model.features, model.frequencies),
    )


def value_hash(value: str) -> str:
    """Return the name under which a model lists the frequency of a value."""
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()[:HASH_DIGITS]


def _listed(frequencies: Mapping[str, float], value: str) -> float:
    return frequencies.get(value_hash(value), frequencies[UNLISTED])


def _comparison(item: Weighted) -> CompiledComparison:
    levels = [(level, m, u) for level, m, u in item.levels if level.label != MISSING]
    tested = [level.check for level, _, _ in levels if level.check is not None]
    if len(tested) != len(levels) - 1 or levels[-1][0].label != ELSE:
        message = f"comparison {item.name} of the match model does not end in a level for everything else"
        raise ValueError(message)
    weights = [math.log2(m) if level.tf else math.log2(m / u) for level, m, u in levels]
    return CompiledComparison(
        item.name, tuple(tested), np.array(weights, np.float64), tuple(level.tf for level, _, _ in levels)
    )
