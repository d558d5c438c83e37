"""Fellegi-Sunter comparisons derived from the features at hand: levels, what they test, built-in weights.

``m`` and ``u`` of a level are the built-in probabilities (seen among matches, among others): used as they are when the
data are too few to learn from, and as a weak prior when they are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.resolve.agreement import check
from pipelines.resolve.short_forms import FORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.resolve.agreement import Check
    from pipelines.resolve.features import Feature, Profile

MIN_FILLED = 0.02
MAX_TOP = 0.97
TF_DISTINCT = 20
SHORT_TEXT = 4
MISSING, ELSE = "missing", "else"


@dataclass(frozen=True)
class Level:
    """One grade of agreement: the test that tells it, or none for a missing value and for everything else."""

    label: str
    check: Check | None
    m: float
    u: float
    tf: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The grades of agreement of one feature: a missing value, then best first; the last one is everything else."""

    name: str
    levels: tuple[Level, ...]


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


def _comparison(column: str, levels: list[Level]) -> Comparison:
    missing = Level(MISSING, None, 0, 0)
    rest = Level(ELSE, None, max(0.01, 1 - sum(x.m for x in levels)), max(0.01, 1 - sum(x.u for x in levels)))
    return Comparison(column, (missing, *levels, rest))


def _exact(c: str, m: float, u: float, profile: Profile) -> Level:
    tf = c if profile.distinct >= TF_DISTINCT else None
    return Level("equal", check("equal", c), m, max(u, 0.7 / max(profile.distinct, 1)) if tf is None else u, tf)


def _similar(c: str, limit: float, m: float, u: float) -> Level:
    return Level(f"similar {limit}", check("similar", c, limit), m, u)


def _edits(c: str, distance: int, m: float, u: float) -> Level:
    return Level(f"{distance} edits", check("edits", c, distance), m, u)


def _name(c: str, profile: Profile, names: set[str]) -> Comparison:
    other = "family" if c == "given" else "given"
    levels = [_exact(c, 0.8, 0.01, profile)]
    if other in names:
        levels.append(Level("swapped", check("swapped", c, other), 0.02, 0.0005))
    levels += [_similar(c, 0.92, 0.07, 0.006), Level("short form", check("short form", c, 0.84), 0.04, 0.02)]
    if c == "given":
        levels.append(Level("known as", check("known as", FORMS), 0.01, 0.001))
        if "middle" in names:
            levels.append(Level("middle name", check("one of the words", c, "middle"), 0.01, 0.001))
    if other in names:
        levels.append(Level("moved", check("moved", c, other, 0.88), 0.01, 0.001))
    return _comparison(c, levels)


def _middle(c: str, profile: Profile, _names: set[str]) -> Comparison:
    return _comparison(c, [_exact(c, 0.75, 0.02, profile), Level("initial", check("same start", c, 1), 0.15, 0.08)])


def _date(c: str, profile: Profile, _names: set[str]) -> Comparison:
    levels = [
        _exact(c, 0.85, 0.0003, profile),
        Level("one edit or turned", check("date edit", c), 0.06, 0.002),
        Level("same year", check("same start", c, 4), 0.03, 0.015),
        _edits(c, 2, 0.02, 0.01),
        Level("within a year", check("within a year", c), 0.005, 0.03),
        Level("within ten years", check("within ten years", c), 0.02, 0.15),
    ]
    return _comparison(c, levels)


def _list(c: str, m: float, u: float) -> Comparison:
    return _comparison(c, [Level("shared", check("shared", c), m, u)])


def _email(c: str, _profile: Profile, _names: set[str]) -> Comparison:
    """Addresses made of one name are alike whoever has them: where their digits differ they are different mailboxes."""
    levels = [
        Level("shared", check("shared", c), 0.7, 0.0005),
        Level("same user part", check("equal", f"{c}_user"), 0.05, 0.0002),
        Level("similar 0.92", check("similar and equal", f"{c}_first", f"{c}_digits", 0.92), 0.1, 0.0005),
        Level("similar user part", check("similar and equal", f"{c}_user", f"{c}_digits", 0.88), 0.05, 0.003),
    ]
    return _comparison(c, levels)


def _phone(c: str, _profile: Profile, _names: set[str]) -> Comparison:
    tail = Level("same last seven", check("same end", f"{c}_first", 7), 0.05, 0.00005)
    near = Level("one edit", check("edits", f"{c}_first", 1), 0.05, 0.00005)
    return _comparison(c, [Level("shared", check("shared", c), 0.65, 0.0005), tail, near])


def _code(c: str, profile: Profile, _names: set[str]) -> Comparison:
    return _comparison(c, [_exact(c, 0.85, 0.00005, profile), _edits(c, 1, 0.06, 0.0001), _edits(c, 2, 0.03, 0.0005)])


def _postcode(c: str, profile: Profile, _names: set[str]) -> Comparison:
    levels = [
        _exact(c, 0.75, 0.002, profile),
        _edits(c, 1, 0.05, 0.005),
        Level("same area", check("same start", c, 3), 0.08, 0.02),
    ]
    return _comparison(c, levels)


def _street(c: str, profile: Profile, _names: set[str]) -> Comparison:
    levels = [
        _exact(c, 0.65, 0.001, profile),
        _similar(c, 0.92, 0.12, 0.002),
        Level("same number, similar", check("similar and equal", c, f"{c}_number", 0.75), 0.06, 0.003),
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
        words = "org_words_list"
        levels += [
            Level("same words", check("most words", words, 80), 0.1, 0.0005),
            _similar(c, 0.93, 0.08, 0.001),
            Level("contained", check("contained", words), 0.08, 0.002),
            Level("half the words", check("most words", words, 50), 0.05, 0.005),
            Level("some words", check("words of the shorter", words, 50), 0.04, 0.02),
        ]
    return _comparison(c, levels)


def _source(c: str, _profile: Profile, _names: set[str]) -> Comparison:
    """One source holds a party less often twice than two sources hold it once; how much less, the data say."""
    return _comparison(c, [Level("same", check("equal", c), 0.3, 0.3)])


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
    "source": _source,
}
