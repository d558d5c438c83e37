"""How two records may agree: every test in two forms, SQL for many pairs and Python for one.

A test reads the columns of two rows of ``norm``, as ``<column>_l`` and ``<column>_r`` in SQL.
A value that is missing agrees with nothing. The two forms are held equal by a property test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.resolve.similarity import jaro_winkler, within_edits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Row = Mapping[str, Any]
    Argument = str | float

_DECADE = 10
_MOVED_BACK = 0.7
"""Similarity of the second of two names that changed places: the first one tells already, this one must not contradict."""
ONE = "_one"
"""Ending of the column that holds the hash of the only value of a list, where it has one only: made to be compared."""


@dataclass(frozen=True)
class Check:
    """One named test and what it is given: the columns it reads first, then its numbers."""

    name: str
    args: tuple[Argument, ...]

    @property
    def sql(self) -> str:
        """The test as a SQL condition; NULL or false where it does not hold."""
        in_sql = _OF_SINGLES.get(self.name) or _TESTS[self.name][0]
        return in_sql(*self.args)

    def holds(self, left: Row, right: Row) -> bool:
        """Tell whether the test holds of two rows."""
        columns = [str(arg) for arg in self.args if isinstance(arg, str)]
        numbers = [arg for arg in self.args if not isinstance(arg, str)]
        if self.name in _EITHER_WAY:
            ways = ((left[columns[0]], right[columns[1]]), (right[columns[0]], left[columns[1]]))
            return any(x is not None and y is not None and _EITHER_WAY[self.name](x, y, *numbers) for x, y in ways)
        if self.name == "changed places":
            return _changed_places(left, right, columns, numbers[0])
        values = [row[column] for column in columns for row in (left, right)]
        if any(value is None for value in values):
            return False
        return _TESTS[self.name][1](*values, *numbers)

    def singly(self) -> Check:
        """Return the test for rows whose lists hold one value at most: it compares values, which is much cheaper."""
        if self.name == "shared":
            return Check("equal", (f"{self.args[0]}{ONE}",))
        if self.name == "shared, one's own":
            return Check("equal, one's own", tuple(f"{column}{ONE}" for column in self.args))
        if self.name == "mistyped, one's own":
            first, user, own, most = self.args
            return Check("mistyped, one's own value", (first, user, f"{own}{ONE}", most))
        return self


@dataclass(frozen=True)
class AnyOf:
    """Holds where one of its parts does."""

    parts: tuple[Check, ...]

    @property
    def columns(self) -> set[str]:
        """The columns that the parts read."""
        return {arg for part in self.parts for arg in part.args if isinstance(arg, str)}

    @property
    def sql(self) -> str:
        """The condition as SQL, never NULL; as cases, so that no part is computed after one that holds."""
        cases = " ".join(f"WHEN {part.sql} THEN true" for part in self.parts)
        return f"(CASE {cases} ELSE false END)" if cases else "false"

    def singly(self) -> AnyOf:
        """Return the condition for rows whose lists hold one value at most."""
        return AnyOf(tuple(part.singly() for part in self.parts))

    def holds(self, left: Row, right: Row) -> bool:
        """Tell whether one of the parts holds of two rows."""
        return any(part.holds(left, right) for part in self.parts)


def check(name: str, *args: Argument) -> Check:
    """Return a test; an unknown name is an error now and not when the SQL is made."""
    if name not in _TESTS:
        raise KeyError(name)
    return Check(name, args)


def similarity_sql(column: str, other: str | None = None) -> str:
    """Return the SQL of the Jaro-Winkler similarity of a column on the left with one on the right."""
    return f"jaro_winkler_similarity({column}_l, {other or column}_r)"


def _edits_sql(column: str, most: float) -> str:
    """Look at Levenshtein first: it is six times as fast and at most twice the Damerau distance."""
    left, right, most = f"{column}_l", f"{column}_r", int(most)
    return (
        f"CASE WHEN abs(strlen({left}) - strlen({right})) > {most} THEN false "
        f"WHEN levenshtein({left}, {right}) > {2 * most} THEN false "
        f"ELSE damerau_levenshtein({left}, {right}) <= {most} END"
    )


def _turned_sql(c: str) -> str:
    return (
        f"left({c}_l, 4) = left({c}_r, 4) AND substr({c}_l, 5, 2) = substr({c}_r, 7, 2) "
        f"AND substr({c}_l, 7, 2) = substr({c}_r, 5, 2)"
    )


def _date_edit_sql(c: str) -> str:
    return f"({_edits_sql(c, 1)}) OR ({_turned_sql(c)})"


def _turned(left: str, right: str) -> bool:
    """Day and month changed places."""
    return left[:4] == right[:4] and left[4:6] == right[6:8] and left[6:8] == right[4:6]


def _words_sql(c: str, share: float, of: str) -> str:
    both = f"len(list_intersect({c}_l, {c}_r))"
    total = {
        "all": f"(len({c}_l) + len({c}_r) - {both})",
        "fewer": f"least(len({c}_l), len({c}_r))",
    }[of]
    return f"100 * {both} >= {int(share)} * {total}"


def _words_in(left: list[str], right: list[str], share: float, of: str) -> bool:
    both = len(set(left) & set(right))
    total = len(left) + len(right) - both if of == "all" else min(len(left), len(right))
    return 100 * both >= share * total


def _contained_sql(c: str) -> str:
    both, fewer = f"len(list_intersect({c}_l, {c}_r))", f"least(len({c}_l), len({c}_r))"
    return f"{both} = {fewer} AND {fewer} >= 2"


def _contained(left: list[str], right: list[str]) -> bool:
    fewer = min(len(left), len(right))
    return len(set(left) & set(right)) == fewer and fewer >= 2  # noqa: PLR2004  two words: one may be any company's


def _short_form(left: str, right: str, limit: float) -> bool:
    return left.startswith(right) or right.startswith(left) or jaro_winkler(left, right) >= limit


def _short_form_sql(left: str, right: str, limit: float) -> str:
    return (
        f"starts_with({left}, {right}) OR starts_with({right}, {left}) "
        f"OR jaro_winkler_similarity({left}, {right}) >= {limit!r}"
    )


def _changed_places(left: Row, right: Row, columns: list[str], limit: float) -> bool:
    """The first column's value stands in the second one on the right, and the other way round as far as both are there."""
    one, other, kept = columns
    same = (left[kept], right[kept])
    if None not in same and jaro_winkler(*same) >= limit:
        return False
    moved, back = (left[one], right[other]), (left[other], right[one])
    if None in moved or jaro_winkler(*moved) < limit:
        return False
    return None in back or _short_form(*back, _MOVED_BACK)


def _years_sql(c: str, most: int) -> str:
    return f"abs(left({c}_l, 4)::INTEGER - left({c}_r, 4)::INTEGER) <= {most}"


def _years(left: str, right: str) -> int:
    return abs(int(left[:4]) - int(right[:4]))


def _another_gender_sql(c: str) -> str:
    left, right = (f"left({c}_{side}, 1)" for side in "lr")
    return f"{left} IN ('m', 'f', 'w') AND {right} IN ('m', 'f', 'w') AND ({left} = 'm') <> ({right} = 'm')"


def _moved_sql(column: str, other: str, limit: float) -> str:
    return f"coalesce({similarity_sql(column, other)} >= {limit!r}, false)"


def _one_of_sql(word: str, words: str) -> str:
    return f"coalesce(contains(' ' || {words} || ' ', ' ' || {word} || ' '), false)"


_TWO_GENDERS = ({"m", "f"}, {"m", "w"})
"""First letters of male beside female and weiblich, written out or not; whatever else is said tells nothing."""

_EITHER_WAY: Mapping[str, Callable[..., bool]] = {
    "moved": lambda x, y, limit: jaro_winkler(x, y) >= limit,
    "one of the words": lambda word, words: f" {word} " in f" {words} ",
}
"""Tests of one record's first column against the other's second one, either way round; one way may be missing."""

_OF_SINGLES: Mapping[str, Callable[..., str]] = {
    "equal, one's own": lambda c, own: f"{c}_l = {c}_r AND ({own}_l IS NOT NULL OR {own}_r IS NOT NULL)",
    "mistyped, one's own value": lambda c, o, own, most: (
        f"CASE WHEN {o}_l = {o}_r AND {c}_l <> {c}_r AND ({own}_l IS NOT NULL OR {own}_r IS NOT NULL) "
        f"THEN {_edits_sql(c, most)} END"
    ),
}
"""What ``singly`` makes of tests of lists: SQL alone, of many pairs; one pair is tested by the lists."""

_TESTS: Mapping[str, tuple[Callable[..., str], Callable[..., bool]]] = {
    "equal": (lambda c: f"{c}_l = {c}_r", lambda x, y: x == y),
    "another gender": (_another_gender_sql, lambda x, y: {x[:1], y[:1]} in _TWO_GENDERS),
    "another start": (lambda c: f"left({c}_l, 1) <> left({c}_r, 1)", lambda x, y: x[:1] != y[:1]),
    "swapped": (lambda c, o: f"{c}_l = {o}_r AND {o}_l = {c}_r", lambda x, y, u, v: x == v and u == y),
    "similar": (lambda c, limit: f"{similarity_sql(c)} >= {limit!r}", lambda x, y, limit: jaro_winkler(x, y) >= limit),
    "changed places": (  # the third column is the one that would not be alike then
        lambda c, o, kept, limit: (
            f"CASE WHEN coalesce({similarity_sql(kept)} >= {limit!r}, false) THEN false "
            f"WHEN {similarity_sql(c, o)} >= {limit!r} "
            f"THEN coalesce({_short_form_sql(f'{o}_l', f'{c}_r', _MOVED_BACK)}, true) END"
        ),
        lambda *_: False,  # the other two may be missing: see ``Check.holds``
    ),
    "short form": (
        lambda c, limit: _short_form_sql(f"{c}_l", f"{c}_r", limit),
        _short_form,
    ),
    "same start": (
        lambda c, n: f"left({c}_l, {int(n)}) = left({c}_r, {int(n)})",
        lambda x, y, n: x[: int(n)] == y[: int(n)],
    ),
    "same end": (
        lambda c, n: f"right({c}_l, {int(n)}) = right({c}_r, {int(n)})",
        lambda x, y, n: x[-int(n) :] == y[-int(n) :],
    ),
    "edits": (_edits_sql, within_edits),
    "date edit": (_date_edit_sql, lambda x, y: within_edits(x, y, 1) or _turned(x, y)),
    "date turned": (_turned_sql, _turned),
    "within ten years": (lambda c: _years_sql(c, _DECADE), lambda x, y: _years(x, y) <= _DECADE),
    "within a year": (lambda c: _years_sql(c, 1), lambda x, y: _years(x, y) <= 1),
    "shared": (lambda c: f"list_has_any({c}_l, {c}_r)", lambda x, y: bool(set(x) & set(y))),
    "known as": (lambda c: f"list_has_any({c}_l, {c}_r)", lambda x, y: bool(set(x) & set(y))),
    "moved": (
        lambda c, o, limit: f"({_moved_sql(c, o, limit)} OR {_moved_sql(o, c, limit)})",
        lambda *_: False,  # either way: see ``_EITHER_WAY``
    ),
    "one of the words": (
        lambda c, o: f"({_one_of_sql(f'{c}_l', f'{o}_r')} OR {_one_of_sql(f'{c}_r', f'{o}_l')})",
        lambda *_: False,
    ),
    "shared, one's own": (
        lambda c, own: f"(list_has_any({own}_l, {c}_r) OR list_has_any({c}_l, {own}_r))",
        lambda x, y, u, v: bool(set(u) & set(y)) or bool(set(x) & set(v)),
    ),
    "similar and equal": (
        lambda c, o, limit: f"CASE WHEN {o}_l = {o}_r THEN {similarity_sql(c)} >= {limit!r} END",
        lambda x, y, u, v, limit: u == v and jaro_winkler(x, y) >= limit,
    ),
    "mistyped, one's own": (
        lambda c, o, own, most: (
            f"CASE WHEN {o}_l = {o}_r AND {c}_l <> {c}_r AND (list_has_any({own}_l, [{c}_l]) OR list_has_any({own}_r, [{c}_r])) "
            f"THEN {_edits_sql(c, most)} END"
        ),
        lambda x, y, u, v, own, other, most: (
            u == v and x != y and (x in own or y in other) and within_edits(x, y, most)
        ),
    ),
    "most words": (
        lambda c, share: _words_sql(c, share, "all"),
        lambda x, y, share: _words_in(x, y, share, "all"),
    ),
    "words of the shorter": (
        lambda c, share: _words_sql(c, share, "fewer"),
        lambda x, y, share: _words_in(x, y, share, "fewer"),
    ),
    "contained": (_contained_sql, _contained),
}
