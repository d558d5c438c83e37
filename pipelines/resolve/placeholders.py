"""What stands where nobody knew: the policy's placeholders, read as missing values (ADR 0059).

The expressions read the columns that the features make, one layer above them: within it a value would be computed once for
each place that a condition names it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.resolve import sql

if TYPE_CHECKING:
    from pipelines.resolve.rules import Policy

_OF_KIND = {
    "middle": "name", "date": "birth_date", "org": "text", "words": "text", "street": "text", "place": "text",
    "postcode": "text", "attribute": "text",
}  # fmt: skip
"""Which of the policy's placeholders stand for a missing value of a kind."""


def known(column: str, kind: str, policy: Policy) -> str:
    """Return the SQL of a feature's column that is NULL for a placeholder; empty where there are none for such values."""
    name, words = sql.quote(column), policy.placeholders.get(_OF_KIND.get(kind, ""), ())
    if kind in ("given", "family"):
        return _somebody(name, policy)
    if column == "country":  # NA is Namibia
        return ""
    if kind == "middle":  # a letter by itself is an initial
        words = tuple(word for word in (*words, *policy.placeholders.get("whole_name", ())) if len(word) > 1)
    said = "org" if kind == "words" else name  # its words are sorted: "n a" is "a n"
    return f"CASE WHEN {said} NOT IN {sql.literals(words)} THEN {name} END" if words else ""


def _somebody(name: str, policy: Policy) -> str:
    """Return the SQL of one of both names: no word that is nobody's name, and not if both are such or the words of such."""
    nobody = policy.placeholders.get("name", ())
    words = (*nobody, *policy.placeholders.get("whole_name", ()))
    if not words:
        return ""
    alone = " AND ".join(f"({each} IS NULL OR {each} IN {sql.literals(words)})" for each in ("given", "family"))
    return f"CASE WHEN NOT ({alone}) AND {name} NOT IN {sql.literals(nobody)} THEN {name} END"
