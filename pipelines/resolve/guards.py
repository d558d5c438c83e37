"""Circumstances are not a person: what a score may not decide alone.

Fellegi-Sunter weights treat comparisons as independent, and without labels EM takes the many pairs of one household for
matches. A family shares name, address, phone and mailbox and is still several people; a common name with an e-mail address
made of that name is still a common name. So a scored pair of people stands only if

- given names clearly differ: something *personal* agrees (birth date, issued identifier, social handle, an e-mail address
  or phone that only one name holds, an address that is a typing error away or that carries one of the given names); else
  the pair is refused;
- a given name is missing: something personal agrees, or nothing that a household shares does; else the pair is not linked;
- family names clearly differ: something personal agrees; else the pair is not linked;
- names are alike: anything beyond the name agrees; else the pair is not linked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.resolve import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.resolve.features import Feature

REFUSED = -12.0
"""Match weight (log2 odds) of a refused pair: it outvotes what circumstances can add up to."""
DOUBTFUL = -6.0
"""Match weight of a pair that may be one person, but that nothing says so: below every threshold, whatever the prior."""
OWN = {"emails": "own_emails", "phones": "own_phones"}
"""Columns of values whose holders have one given name, beside the columns of all values."""
_DIFFERENT_BELOW = 0.78
_ALIKE = 0.85
_SHORTEST = 3
_LISTS = ("email", "phone", "social", "website")


def weight_cap(features: Iterable[Feature], telling: Iterable[str]) -> str:
    """Return SQL for the highest weight that a pair of the records ``a`` and ``b`` may have; NULL = its score stands.

    ``telling`` names the features with enough distinct values for an agreement to mean something.
    """
    found = list(features)
    names = {feature.column for feature in found}
    if "given" not in names:
        return "NULL::DOUBLE"
    personal = _any(_personal(found, names))
    beyond = _any(_circumstances(found, set(telling)))
    return f"""CASE WHEN {personal} THEN NULL
        WHEN a.given IS NULL OR b.given IS NULL THEN
            CASE WHEN {_any(_household(found, names))} THEN {DOUBTFUL} END
        WHEN {_different(names)} THEN {REFUSED}
        WHEN {_other_family(names)} THEN {DOUBTFUL}
        WHEN {beyond} THEN NULL
        ELSE {DOUBTFUL} END::DOUBLE"""


def _any(conditions: list[str]) -> str:
    return "(" + (" OR ".join(f"coalesce({one}, false)" for one in conditions) or "false") + ")"


def _different(names: set[str]) -> str:
    """Given names clearly differ: not alike, no short form of each other, not swapped with the family name."""
    parts = [
        f"jaro_winkler_similarity(a.given, b.given) < {_DIFFERENT_BELOW}",
        "NOT starts_with(a.given, b.given) AND NOT starts_with(b.given, a.given)",
    ]
    if "family" in names:
        for one, other in (("a", "b"), ("b", "a")):
            parts.append(f"coalesce(jaro_winkler_similarity({one}.given, {other}.family), 0) < {_ALIKE}")
    return f"coalesce({' AND '.join(parts)}, false)"


def _other_family(names: set[str]) -> str:
    """Family names clearly differ: after a marriage something personal still agrees, of strangers only the given name."""
    if "family" not in names:
        return "false"
    parts = [f"jaro_winkler_similarity(a.family, b.family) < {_DIFFERENT_BELOW}"]
    parts += [
        f"coalesce(jaro_winkler_similarity({x}.given, {y}.family), 0) < {_ALIKE}" for x, y in (("a", "b"), ("b", "a"))
    ]
    return f"coalesce({' AND '.join(parts)}, false)"


def _personal(features: list[Feature], names: set[str]) -> list[str]:
    found = [_equal(f.column) for f in features if f.kind == "code"]
    found += [_shared(f.column) for f in features if f.kind == "social"]
    found += [_shared(own) for column, own in OWN.items() if column in names]
    for column in (sql.quote(feature.column) for feature in features if feature.kind == "date"):
        found.append(f"damerau_levenshtein(a.{column}, b.{column}) <= 1")
    if "emails" in names:
        found.append(f"len(list_filter(list_intersect(a.emails, b.emails), lambda e: {_carries()})) > 0")
        found.append(_mistyped())
    return found


def _household(features: list[Feature], names: set[str]) -> list[str]:
    """What a family has in common: a mailbox or phone of several names (others are personal), and an address."""
    found = [_shared(column) for column in OWN if column in names]
    return found + [_alike(feature.column) for feature in features if feature.kind == "street"]


def _mistyped() -> str:
    """The same user part at a domain that is a typing error away."""
    user = "split_part({x}.emails[1], '@', 1)"
    return (
        f"{user.format(x='a')} = {user.format(x='b')} AND a.emails[1] <> b.emails[1] "
        "AND damerau_levenshtein(a.emails[1], b.emails[1]) <= 2"
    )


def _carries() -> str:
    """An address that carries one of the given names: Bob and Robert on robert.smith@…."""
    user = "split_part(e, '@', 1)"
    return " OR ".join(f"(length({x}.given) >= {_SHORTEST} AND contains({user}, {x}.given))" for x in ("a", "b"))


def _circumstances(features: list[Feature], telling: set[str]) -> list[str]:
    """Agreements beyond the name: contact values, address, organisation, place, telling attributes."""
    found = []
    for feature in features:
        column = sql.quote(feature.column)
        if feature.kind in _LISTS:
            found.append(_shared(feature.column))
            if feature.kind == "email":
                found.append(f"jaro_winkler_similarity(a.{column}[1], b.{column}[1]) >= 0.92")
        elif feature.kind == "date":
            found.append(f"left(a.{column}, 4) = left(b.{column}, 4)")
        elif feature.kind in ("street", "org", "place", "postcode"):
            found.append(_alike(feature.column))
        elif feature.kind in ("attribute", "middle") and feature.column in telling:
            found.append(_equal(feature.column))
    return found


def _alike(column: str) -> str:
    return f"jaro_winkler_similarity(a.{sql.quote(column)}, b.{sql.quote(column)}) >= 0.9"


def _equal(column: str) -> str:
    return f"a.{sql.quote(column)} = b.{sql.quote(column)}"


def _shared(column: str) -> str:
    return f"list_has_any(a.{sql.quote(column)}, b.{sql.quote(column)})"
