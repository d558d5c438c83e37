"""Fellegi-Sunter comparisons derived from the features at hand: levels, what they test, built-in weights.

``m`` and ``u`` of a level are the built-in probabilities (seen among matches, among others): used as they are when the
data are too few to learn from, and as a weak prior when they are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.resolve.features import Feature, Profile

MIN_FILLED = 0.02
MAX_TOP = 0.97
TF_DISTINCT = 20
SHORT_TEXT = 4


@dataclass(frozen=True)
class Level:
    """One grade of agreement: a SQL condition over ``…_l`` and ``…_r`` columns."""

    label: str
    condition: str
    m: float
    u: float
    tf: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The grades of agreement of one feature, best first; the last one is everything else."""

    name: str
    levels: tuple[Level, ...]
    columns: tuple[str, ...]


def build_comparisons(
    features: tuple[Feature, ...], profiles: Mapping[str, Profile], *, choosy: bool = True
) -> tuple[Comparison, ...]:
    """Return the comparisons worth making: features filled often enough and telling records apart.

    Of few records nothing can be said about a feature: then all are compared, unless ``choosy``.
    """
    names = {feature.column for feature in features}
    found = []
    for feature in features:
        profile = profiles[feature.column]
        maker = _MAKERS.get(feature.kind)
        worth = profile.filled >= MIN_FILLED and profile.distinct > 1 and profile.top <= MAX_TOP
        if maker and (worth or not choosy):
            found.append(maker(feature.column, profile, names))
    return tuple(found)


def _comparison(column: str, levels: list[Level], *others: str) -> Comparison:
    missing = Level("missing", f"{column}_l IS NULL OR {column}_r IS NULL", 0, 0)
    rest = Level("else", "ELSE", max(0.01, 1 - sum(x.m for x in levels)), max(0.01, 1 - sum(x.u for x in levels)))
    return Comparison(column, (missing, *levels, rest), (column, *others))


def _exact(c: str, m: float, u: float, profile: Profile) -> Level:
    tf = c if profile.distinct >= TF_DISTINCT else None
    return Level("equal", f"{c}_l = {c}_r", m, max(u, 0.7 / max(profile.distinct, 1)) if tf is None else u, tf)


def _similar(c: str, limit: float, m: float, u: float) -> Level:
    return Level(f"similar {limit}", f"jaro_winkler_similarity({c}_l, {c}_r) >= {limit}", m, u)


def _edits(c: str, distance: int, m: float, u: float) -> Level:
    return Level(f"{distance} edits", f"damerau_levenshtein({c}_l, {c}_r) <= {distance}", m, u)


def _name(c: str, profile: Profile, names: set[str]) -> Comparison:
    other = "family" if c == "given" else "given"
    levels = [_exact(c, 0.8, 0.01, profile)]
    if other in names:
        levels.append(Level("swapped", f"{c}_l = {other}_r AND {other}_l = {c}_r", 0.02, 0.0005))
    levels += [
        _similar(c, 0.92, 0.07, 0.006),
        Level(
            "short form",
            f"starts_with({c}_l, {c}_r) OR starts_with({c}_r, {c}_l) OR jaro_winkler_similarity({c}_l, {c}_r) >= 0.84",
            0.04,
            0.02,
        ),
    ]
    return _comparison(c, levels, *([other] if other in names else []))


def _middle(c: str, profile: Profile, _names: set[str]) -> Comparison:
    initial = Level("initial", f"left({c}_l, 1) = left({c}_r, 1)", 0.15, 0.08)
    return _comparison(c, [_exact(c, 0.75, 0.02, profile), initial])


def _date(c: str, profile: Profile, _names: set[str]) -> Comparison:
    crossed = f"substr({c}_l, 5, 2) = substr({c}_r, 7, 2) AND substr({c}_l, 7, 2) = substr({c}_r, 5, 2)"
    turned = f"left({c}_l, 4) = left({c}_r, 4) AND {crossed}"
    levels = [
        _exact(c, 0.85, 0.0003, profile),
        Level("one edit or turned", f"damerau_levenshtein({c}_l, {c}_r) <= 1 OR ({turned})", 0.06, 0.002),
        Level("same year", f"left({c}_l, 4) = left({c}_r, 4)", 0.03, 0.015),
        _edits(c, 2, 0.02, 0.01),
        Level("within ten years", f"abs(left({c}_l, 4)::INTEGER - left({c}_r, 4)::INTEGER) <= 10", 0.02, 0.15),
    ]
    return _comparison(c, levels)


def _list(c: str, m: float, u: float) -> Comparison:
    return _comparison(c, [Level("shared", f"list_has_any({c}_l, {c}_r)", m, u)])


def _email(c: str, _profile: Profile, _names: set[str]) -> Comparison:
    user_l, user_r = f"split_part({c}_l[1], '@', 1)", f"split_part({c}_r[1], '@', 1)"
    levels = [
        Level("shared", f"list_has_any({c}_l, {c}_r)", 0.7, 0.0005),
        Level("same user part", f"{user_l} = {user_r}", 0.05, 0.0002),
        _similar_at(c, 0.92, 0.1, 0.0005),
        Level("similar user part", f"jaro_winkler_similarity({user_l}, {user_r}) >= 0.88", 0.05, 0.003),
    ]
    return _comparison(c, levels)


def _similar_at(c: str, limit: float, m: float, u: float) -> Level:
    return Level(f"similar {limit}", f"jaro_winkler_similarity({c}_l[1], {c}_r[1]) >= {limit}", m, u)


def _phone(c: str, _profile: Profile, _names: set[str]) -> Comparison:
    tail = Level("same last seven", f"right({c}_l[1], 7) = right({c}_r[1], 7)", 0.05, 0.00005)
    near = Level("one edit", f"damerau_levenshtein({c}_l[1], {c}_r[1]) <= 1", 0.05, 0.00005)
    return _comparison(c, [Level("shared", f"list_has_any({c}_l, {c}_r)", 0.65, 0.0005), tail, near])


def _code(c: str, profile: Profile, _names: set[str]) -> Comparison:
    return _comparison(c, [_exact(c, 0.85, 0.00005, profile), _edits(c, 1, 0.06, 0.0001), _edits(c, 2, 0.03, 0.0005)])


def _postcode(c: str, profile: Profile, _names: set[str]) -> Comparison:
    levels = [
        _exact(c, 0.75, 0.002, profile),
        _edits(c, 1, 0.05, 0.005),
        Level("same area", f"left({c}_l, 3) = left({c}_r, 3)", 0.08, 0.02),
    ]
    return _comparison(c, levels)


def _street(c: str, profile: Profile, _names: set[str]) -> Comparison:
    number = f"regexp_extract({c}_l, '[0-9]+') = regexp_extract({c}_r, '[0-9]+')"
    levels = [
        _exact(c, 0.65, 0.001, profile),
        _similar(c, 0.92, 0.12, 0.002),
        Level("same number, similar", f"jaro_winkler_similarity({c}_l, {c}_r) >= 0.75 AND {number}", 0.06, 0.003),
    ]
    return _comparison(c, levels)


def _place(c: str, profile: Profile, _names: set[str]) -> Comparison:
    return _comparison(c, [_exact(c, 0.75, 0.02, profile), _similar(c, 0.9, 0.08, 0.01)])


def _attribute(c: str, profile: Profile, _names: set[str]) -> Comparison:
    levels = [_exact(c, 0.8, 0.05, profile)]
    if profile.distinct >= TF_DISTINCT and profile.length > SHORT_TEXT:
        levels.append(_similar(c, 0.9, 0.05, 0.01))
    return _comparison(c, levels)


def _org(c: str, profile: Profile, names: set[str]) -> Comparison:
    levels = [_exact(c, 0.6, 0.0005, profile)]
    if "org_words" in names:
        left, right = "string_split(org_words_l, ' ')", "string_split(org_words_r, ' ')"
        both, smaller = f"len(list_intersect({left}, {right}))", f"least(len({left}), len({right}))"
        union = f"len(list_distinct(list_concat({left}, {right})))"
        levels += [
            Level("same words", f"{both} >= 0.8 * {union}", 0.1, 0.0005),
            _similar(c, 0.93, 0.08, 0.001),
            Level("contained", f"{both} = {smaller} AND {smaller} >= 2", 0.08, 0.002),
            Level("half the words", f"{both} >= 0.5 * {union}", 0.05, 0.005),
            Level("some words", f"{both} >= 0.5 * {smaller}", 0.04, 0.02),
        ]
    return _comparison(c, levels, *(["org_words"] if "org_words" in names else []))


_MAKERS: Mapping[str, Callable[[str, Profile, set[str]], Comparison]] = {
    "given": _name,
    "family": _name,
    "middle": _middle,
    "date": _date,
    "email": _email,
    "phone": _phone,
    "social": lambda c, _p, _n: _list(c, 0.8, 0.0002),
    "website": lambda c, _p, _n: _list(c, 0.7, 0.001),
    "code": _code,
    "postcode": _postcode,
    "street": _street,
    "place": _place,
    "attribute": _attribute,
    "org": _org,
}
