"""Circumstances are not a person: what a score may not decide alone.

Fellegi-Sunter weights treat comparisons as independent, and without labels EM takes the many pairs of one household for
matches. A family shares name, address, phone and mailbox and is still several people; a common name with an e-mail address
made of that name is still a common name. So a scored pair of people stands only if

- given names clearly differ, and so do middle names (their first letters) or genders: something *personal* agrees and the
  birth date too; else the pair is refused. In one home a date or a number is typed into the wrong record;
- given names clearly differ, or differ a little and the birth years too, or differ a little in one home: something personal
  agrees (birth date, issued identifier, social handle, an e-mail address or phone that only one name holds, an address that
  carries one of the given names or is a typing error away from one that does); else the pair is refused. Where given names
  clearly differ a birth date needs more beside it: of one family name some are born on one day, and twins are. Birth dates a
  typing error apart are personal but for who shares what a household shares: brothers and sisters are born on days that look
  alike too;
- a given name is missing: something personal agrees (a birth date does not where middle names or genders differ), or something
  beyond the name and nothing that a household shares; else the pair is not linked;
- names are alike, but neither birth years nor middle names: something personal agrees; else the pair is refused;
- family names clearly differ: something personal agrees; else the pair is not linked;
- names are alike: anything beyond the name agrees, be it the first letter of a middle name; else the pair is not linked. A
  birth year is nothing beyond the name where the dates are known and differ by more than a typing error: of a common name many
  are born in one year. Neither is a place or postcode that next to everybody has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.resolve.agreement import AnyOf, check
from pipelines.resolve.short_forms import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.resolve.agreement import Check, Row
    from pipelines.resolve.features import Feature

REFUSED = -12.0
"""Match weight (log2 odds) of a refused pair: it outvotes what circumstances can add up to."""
DOUBTFUL = -4.0
"""Match weight of a pair that may be one person, but that nothing says so: below every threshold, whatever the prior."""
OWN = {"emails": "own_emails", "phones": "own_phones"}
"""Columns of values whose holders have one given name, beside the columns of all values."""
_DIFFERENT_BELOW = 0.85
_ALIKE = 0.85
_NEAR = 0.9
_NEARLY_EQUAL = 0.92
"""Given names of who has another birth year or shares a home: as alike as a typing error leaves them; Elif is not Leif."""
_PLACES = ("place", "postcode")
_LISTS = ("email", "phone", "social", "website")


@dataclass(frozen=True)
class Guard:
    """The highest weight that a pair may have: what is personal, and what else must agree."""

    personal: AnyOf
    born: AnyOf
    dated: AnyOf
    household: AnyOf
    given_alike: AnyOf
    given_equal: AnyOf
    dates: tuple[str, ...]
    family_alike: AnyOf
    another: AnyOf
    another_middle: AnyOf
    beyond: AnyOf
    families: bool

    @property
    def columns(self) -> set[str]:
        """The columns of ``norm`` that the guard reads."""
        groups = (
            self.personal,
            self.dated,
            self.household,
            self.given_equal,
            self.family_alike,
            self.another_middle,
            self.beyond,
        )
        named = {column for group in groups for column in group.columns}
        return named | self.name_columns | set(self.dates) | ({"family"} if self.families else set())

    @property
    def name_columns(self) -> set[str]:
        """Those that ``other_person`` reads."""
        return {"given"}.union(*(group.columns for group in (self.given_alike, self.another, self.born)))

    @property
    def sql(self) -> str:
        """The cap of a pair as SQL over ``…_l`` and ``…_r``; NULL = its score stands."""
        unnamed = "(given_l IS NULL OR given_r IS NULL)"
        return f"""CASE WHEN {self.other_person_sql} THEN {REFUSED}
            WHEN {self.personal.sql} THEN NULL
            WHEN {self.born.sql} OR {self.dated.sql} THEN CASE
                WHEN ({unnamed} OR {self._other_given_sql}) AND {self.another.sql} THEN {REFUSED}
                WHEN {self._other_given_sql} AND (NOT {self.beyond.sql} OR NOT {self.born.sql} AND {self.household.sql})
                THEN {DOUBTFUL} END
            WHEN {unnamed} THEN CASE WHEN {self.household.sql} OR NOT {self.beyond.sql} THEN {DOUBTFUL} END
            WHEN NOT {self.given_alike.sql} THEN {REFUSED}
            WHEN NOT {self.given_equal.sql} AND ({self._another_year_sql} OR {self.household.sql}) THEN {REFUSED}
            WHEN {self._another_year_sql} AND {self.another_middle.sql} THEN {REFUSED}
            WHEN {self._other_family_sql} THEN {DOUBTFUL}
            WHEN {self.beyond.sql} THEN NULL
            ELSE {DOUBTFUL} END::DOUBLE"""

    @property
    def other_person_sql(self) -> str:
        """``other_person`` as a SQL condition; never NULL."""
        return f"({self.another.sql} AND {self._other_given_sql} AND NOT {self.born.sql})"

    @property
    def _other_given_sql(self) -> str:
        return f"(given_l IS NOT NULL AND given_r IS NOT NULL AND NOT {self.given_alike.sql})"

    @property
    def _other_family_sql(self) -> str:
        if not self.families:
            return "false"
        return f"(family_l IS NOT NULL AND family_r IS NOT NULL AND NOT {self.family_alike.sql})"

    @property
    def _another_year_sql(self) -> str:
        """Both records have a birth date, and its years differ; never NULL."""
        return f"({' OR '.join(f'coalesce(left({c}_l, 4) <> left({c}_r, 4), false)' for c in self.dates) or 'false'})"

    def other_person(self, left: Row, right: Row) -> bool:
        """Tell whether the names are those of two people: birth dates do not agree, and whatever else does is no matter."""
        other = self.another.holds(left, right) and self._other_given(left, right)
        return other and not self.born.holds(left, right)

    def born_beside(self, left: Row, right: Row) -> bool:
        """Tell whether two whose birth dates agree are two: their names do not say one, and something says another."""
        unnamed = left["given"] is None or right["given"] is None
        return self.another.holds(left, right) and (unnamed or self._other_given(left, right))

    def near_names(self, left: Row, right: Row) -> bool:
        """Tell whether given names differ a little, and birth years do too or a home is shared."""
        doubted = self._another_year(left, right) or self.household.holds(left, right)
        return doubted and not self.given_equal.holds(left, right)

    def namesakes(self, left: Row, right: Row) -> bool:
        """Tell whether neither birth years nor middle names of two agree."""
        return self._another_year(left, right) and self.another_middle.holds(left, right)

    def _other_given(self, left: Row, right: Row) -> bool:
        return None not in (left["given"], right["given"]) and not self.given_alike.holds(left, right)

    def _other_family(self, left: Row, right: Row) -> bool:
        known = self.families and None not in (left["family"], right["family"])
        return known and not self.family_alike.holds(left, right)

    def _another_year(self, left: Row, right: Row) -> bool:
        known = [(left[c], right[c]) for c in self.dates if left[c] is not None and right[c] is not None]
        return any(one[:4] != other[:4] for one, other in known)

    def singly(self) -> Guard:
        """Return the guard of rows whose lists hold one value at most."""
        return replace(
            self, personal=self.personal.singly(), household=self.household.singly(), beyond=self.beyond.singly()
        )

    def cap(self, left: Row, right: Row) -> float | None:
        """Return the cap of one pair; ``None`` = its score stands."""
        if self.other_person(left, right):
            return REFUSED
        if self.personal.holds(left, right):
            return None
        born = self.born.holds(left, right)
        if born or self.dated.holds(left, right):
            return self._of_equal_dates(left, right, born=born)
        return self._of_other_dates(left, right)

    def _of_equal_dates(self, left: Row, right: Row, *, born: bool) -> float | None:
        if self.born_beside(left, right):
            return REFUSED
        other = self._other_given(left, right)
        at_home = other and not born and self.household.holds(left, right)
        return DOUBTFUL if at_home or (other and not self.beyond.holds(left, right)) else None

    def _of_other_dates(self, left: Row, right: Row) -> float | None:
        if left["given"] is None or right["given"] is None:
            return None if self.beyond.holds(left, right) and not self.household.holds(left, right) else DOUBTFUL
        if not self.given_alike.holds(left, right):
            return REFUSED
        if self.near_names(left, right) or self.namesakes(left, right):
            return REFUSED
        if self._other_family(left, right):
            return DOUBTFUL
        return None if self.beyond.holds(left, right) else DOUBTFUL


def guard_of(features: Iterable[Feature], telling: Iterable[str]) -> Guard | None:
    """Return the guard of a model's features; ``None`` where pairs are scored as they are (organisations).

    ``telling`` names the features with enough distinct values for an agreement to mean something; none where nobody counted.
    """
    found = list(features)
    names = {feature.column for feature in found}
    if "given" not in names:
        return None
    middle = tuple(check("another start", f.column) for f in found if f.kind == "middle")
    gender = tuple(check("another gender", f.column) for f in found if f.column == "gender")
    return Guard(
        personal=AnyOf(tuple(_personal(found, names))),
        born=AnyOf(tuple(check("equal", f.column) for f in found if f.kind == "date")),
        dated=AnyOf(tuple(check("edits", f.column, 1) for f in found if f.kind == "date")),
        household=AnyOf(tuple(_household(found, names))),
        given_alike=AnyOf(_given_alike(names, _DIFFERENT_BELOW)),
        given_equal=AnyOf(_given_alike(names, _NEARLY_EQUAL)),
        dates=tuple(feature.column for feature in found if feature.kind == "date"),
        family_alike=AnyOf(_family_alike(names)),
        another=AnyOf((*middle, *gender)),
        another_middle=AnyOf(middle),
        beyond=AnyOf(tuple(_circumstances(found, set(telling)))),
        families="family" in names,
    )


def _given_alike(names: set[str], least: float) -> tuple[Check, ...]:
    middle = [check("one of the words", "given", "middle")] if "middle" in names else []
    return (check("short form", "given", least), check("known as", FORMS), *middle, *_swapped(names))


def _family_alike(names: set[str]) -> tuple[Check, ...]:
    return (check("similar", "family", _DIFFERENT_BELOW), *_swapped(names)) if "family" in names else ()


def _swapped(names: set[str]) -> list[Check]:
    """Given and family name changed places, on one side at least; where the family names are alike they did not."""
    if "family" not in names:
        return []
    return [check("changed places", a, b, "family", _ALIKE) for a, b in (("given", "family"), ("family", "given"))]


def _personal(features: list[Feature], names: set[str]) -> list[Check]:
    """What one person alone uses; cheap tests first."""
    found = [check("equal", f.column) for f in features if f.kind == "code"]
    found += [check("shared", own) for column, own in OWN.items() if column in names]
    found += [check("shared", f.column) for f in features if f.kind == "social"]
    if "emails" in names:
        found.append(check("shared, one's own", "emails", "emails_named"))
        found.append(check("mistyped, one's own", "emails_first", "emails_user", "emails_named", 2))
    return found


def _household(features: list[Feature], names: set[str]) -> list[Check]:
    """What a family has in common: a mailbox or phone of several names (others are personal), and an address."""
    found = [check("shared", column) for column in OWN if column in names]
    return found + [check("similar", f.column, _NEAR) for f in features if f.kind == "street"]


def _circumstances(features: list[Feature], telling: set[str]) -> list[Check]:
    """Agreements beyond the name: contact values, address, organisation, place, telling attributes."""
    found = []
    for feature in features:
        column = feature.column
        if feature.kind in _LISTS:
            found.append(check("shared", column))
            if feature.kind == "email":
                found.append(check("similar and equal", f"{column}_first", f"{column}_digits", 0.92))
        elif feature.kind == "date":
            found.append(check("date turned", column))
        elif feature.kind in ("street", "org") or (feature.kind in _PLACES and (column in telling or not telling)):
            found.append(check("similar", column, _NEAR))
        elif feature.kind == "attribute" and column in telling:
            found.append(check("equal", column))
        elif feature.kind == "middle" and column in telling:
            found.append(check("same start", column, 1))
    return sorted(found, key=lambda part: part.name.startswith("similar"))  # cheap tests first
