"""The score of one pair, step by step: prior, each comparison's weight, the guard; the steps sum to the score exactly.

It reads the same compiled model as the scorer. Running totals are rounded to the ledger's three decimals and a step is the
difference of two of them, so that no rounding is left over.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.resolve.comparisons import MISSING
from pipelines.resolve.compiled import UNLISTED, compile_model, value_hash
from pipelines.resolve.guards import DOUBTFUL, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.resolve.agreement import Check, Row
    from pipelines.resolve.compiled import Compiled, CompiledComparison
    from pipelines.resolve.guards import Guard
    from pipelines.resolve.model import MatchModel, Weighted

PRIOR, GUARD = "prior", "guard"
_PLACES = 3


@dataclass(frozen=True)
class TermFrequency:
    """What a value's own frequency changed: rarer than the average of its level counts for more, commoner for less."""

    share: float
    listed: bool
    weight: Decimal


@dataclass(frozen=True)
class Step:
    """One step: what was compared, how far it agreed, what that weighs (log2 odds), and the total after it."""

    name: str
    level: str
    left: Any
    right: Any
    weight: Decimal
    total: Decimal
    term_frequency: TermFrequency | None = None


@dataclass(frozen=True)
class Waterfall:
    """All steps of one pair; ``score`` is the last total, as the ledger holds it."""

    steps: tuple[Step, ...]
    score: Decimal

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values; numbers stay exact."""
        return {"score": self.score, "steps": [asdict(step) for step in self.steps]}


def waterfall(model: MatchModel, left: Row, right: Row) -> Waterfall:
    """Return how the score of two rows of ``norm`` comes about; ``left`` is the one with the smaller source_ref."""
    compiled = compile_model(model)
    exact = compiled.prior
    total = rounded(exact)
    steps = [Step(PRIOR, f"1 in {_odds(model.prior)} pairs", None, None, total, total)]
    for weighted, item in zip(model.comparisons, compiled.comparisons, strict=True):
        number = _level(item, left, right)
        exact += item.weight(left, right, compiled.frequencies)
        before, total = total, rounded(exact)
        frequency = _frequency(weighted, item, number, left, compiled)
        shown = (left[item.column], right[item.column])
        steps.append(Step(item.column, _label(weighted, number), *shown, total - before, total, frequency))
    if compiled.guard is not None and exact > DOUBTFUL:
        steps += _guarded(compiled.guard, left, right, exact)
    return Waterfall(tuple(steps), steps[-1].total)


def rounded(weight: float) -> Decimal:
    """Return a weight as the ledger holds it: three decimals, halves away from zero."""
    scaled = math.floor(abs(weight) * 10**_PLACES + 0.5)
    return Decimal(scaled if weight >= 0 else -scaled).scaleb(-_PLACES)


def guard_reason(guard: Guard, left: Row, right: Row) -> str:
    """Say in words why the guard holds a pair down, or why it lets its score stand."""
    if guard.other_person(left, right):
        return "given names clearly differ, and so do middle names or genders"
    personal = next((part for part in guard.personal.parts if part.holds(left, right)), None)
    if personal is not None:
        return f"something personal agrees: {_words(personal)}"
    if (date := _date(guard, left, right)) is not None:
        return _of_date(guard, date, left, right)
    return _of_names(guard, left, right)


def _of_names(guard: Guard, left: Row, right: Row) -> str:
    """Say what the names are worth where neither anything personal nor a birth date agrees."""
    if left["given"] is None or right["given"] is None:
        if guard.household.holds(left, right):
            return "a given name is missing and only what a household shares agrees"
        alone = not guard.beyond.holds(left, right)
        return "a given name is missing and " + ("nothing beyond it agrees" if alone else "no household explains it")
    if not guard.given_alike.holds(left, right):
        return "given names clearly differ and nothing personal agrees"
    if guard.near_names(left, right):
        return "given names differ a little, and birth years do too or a home is shared"
    if guard.namesakes(left, right):
        return "of one name, and neither birth years nor middle names agree"
    families = guard.families and left["family"] is not None and right["family"] is not None
    if families and not guard.family_alike.holds(left, right):
        return "family names clearly differ and nothing personal agrees"
    beyond = next((part for part in guard.beyond.parts if part.holds(left, right)), None)
    if beyond is None:
        return "names are alike, and nothing beyond them agrees"
    return f"more than the name agrees: {_words(beyond)}"


def _date(guard: Guard, left: Row, right: Row) -> Check | None:
    """Return in what birth dates agree, or are a typing error apart."""
    return next((part for part in (*guard.born.parts, *guard.dated.parts) if part.holds(left, right)), None)


def _of_date(guard: Guard, date: Check, left: Row, right: Row) -> str:
    unnamed = left["given"] is None or right["given"] is None
    if guard.born_beside(left, right):
        return "birth dates agree, and given names do not, nor middle names or genders"
    if unnamed or guard.given_alike.holds(left, right):
        return f"something personal agrees: {_words(date)}"
    if date not in guard.born.parts and guard.household.holds(left, right):
        return "given names clearly differ, and in one household birth dates that look alike are those of two"
    beyond = next((part for part in guard.beyond.parts if part.holds(left, right)), None)
    if beyond is None:
        return "given names clearly differ, and nothing beyond the birth date agrees"
    return f"more than the birth date agrees: {_words(beyond)}"


def _words(part: Check) -> str:
    return " ".join(map(str, (part.name, *part.args)))


def _guarded(guard: Guard, left: Row, right: Row, exact: float) -> list[Step]:
    cap = guard.cap(left, right)
    before, total = rounded(exact), rounded(exact if cap is None else min(exact, cap))
    level = "refused" if cap == REFUSED else "held down" if cap is not None and cap < exact else "stands"
    return [Step(GUARD, f"{level}: {guard_reason(guard, left, right)}", None, None, total - before, total)]


def _level(item: CompiledComparison, left: Row, right: Row) -> int | None:
    """Return the number of the level that two rows reach; ``None`` where a value is missing."""
    if left[item.column] is None or right[item.column] is None:
        return None
    return next((number for number, test in enumerate(item.tests) if test.holds(left, right)), len(item.tests))


def _label(weighted: Weighted, number: int | None) -> str:
    if number is None:
        return MISSING
    return [level.label for level, _, _ in weighted.levels if level.label != MISSING][number]


def _frequency(
    weighted: Weighted, item: CompiledComparison, number: int | None, left: Row, compiled: Compiled
) -> TermFrequency | None:
    column = None if number is None else item.frequent[number]
    if number is None or column is None:
        return None
    listed: Mapping[str, float] = compiled.frequencies[column]
    name = value_hash(left[column])
    share = listed.get(name, listed[UNLISTED])
    _, _, average = [level for level in weighted.levels if level[0].label != MISSING][number]
    return TermFrequency(2**share, name in listed, rounded(math.log2(average) - share))


def _odds(prior: float) -> str:
    return f"{1 / prior:,.0f}"
