"""The last step of ``norm``: shared values leave the comparison, and columns that tests and blocking read are derived."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.resolve.agreement import ONE
from pipelines.resolve.guards import OWN
from pipelines.resolve.short_forms import FORMS, full_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from pipelines.resolve.features import Feature
    from pipelines.resolve.rules import Policy

_LISTS = ("email", "phone", "social", "website")
WITHOUT_SHARED = ("email", "phone", "social")


def finish_norm(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], policy: Policy) -> None:
    """Rebuild ``norm`` without the values that too many different names hold (a kiosk's phone, a school's mailbox).

    Beside each list there are ``own_…`` (values whose holders have one given name, as far as its first letters tell: what a
    person alone uses), ``…_first`` and other parts. Needs ``held`` and ``identifier_stats``.
    """
    lists = [feature for feature in features if feature.kind in WITHOUT_SHARED]
    for feature in lists:
        con.execute(_reduced_sql(feature, policy.shared_value_names))
    with short_forms(con):
        con.execute(f"CREATE TABLE finished AS {_finished_sql(features)}")
    con.execute("DROP TABLE norm; ALTER TABLE finished RENAME TO norm")
    for feature in lists:
        con.execute(f"DROP TABLE reduced_{feature.column}")


@contextmanager
def short_forms(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Offer the names that a given name may be short for as the table ``short_form``."""
    con.register("short_form", _short_form_table())
    try:
        yield
    finally:
        con.unregister("short_form")


@cache
def _short_form_table() -> pa.Table:
    return pa.table({"given": list(full_names()), FORMS: [list(x) for x in full_names().values()]})


def _finished_sql(features: tuple[Feature, ...]) -> str:
    """Select the last form of ``norm`` from itself, ``sound``, ``short_form`` and ``reduced_…`` of each list."""
    lists = [feature for feature in features if feature.kind in WITHOUT_SHARED]
    kept = ", ".join(f"{_kept(f.column, 'kept')} AS {f.column}" for f in lists)
    own = "".join(f"{_kept(f.column, 'own')} AS {OWN[f.column]}, " for f in lists if f.column in OWN)
    joins = " ".join(f"LEFT JOIN reduced_{f.column} ON reduced_{f.column}.rid = norm.rid" for f in lists)
    return derived_sql(features, f"(SELECT {own} norm.* {f'REPLACE ({kept})' if kept else ''} FROM norm {joins})")


def derived_sql(features: tuple[Feature, ...], source: str) -> str:
    """Select the rows of ``source`` with all the columns that are made of others, ``sound`` and ``short_form``."""
    columns = {f.column for f in features}
    several = [f.column for f in features if f.kind in _LISTS]
    parts = [f"{expr} AS {name}" for name, expr in part_exprs(features).items()]
    joined = "LEFT JOIN sound USING (family)" if "family" in columns else ""
    joined += " LEFT JOIN short_form USING (given)" if "given" in columns else ""
    return f"SELECT *, {', '.join([*parts, *_singles(several, columns)])} FROM {source} {joined}"


def _reduced_sql(feature: Feature, limit: int) -> str:
    """Records that hold a value of too many names or of several given names: most have none and stay as they are."""
    return f"""CREATE OR REPLACE TABLE reduced_{feature.column} AS
        SELECT rid, list(value ORDER BY value) FILTER (coalesce(names, 0) <= {limit}) AS kept,
        list(value ORDER BY value) FILTER (coalesce(initials, 1) <= 1) AS own
        FROM held LEFT JOIN identifier_stats USING (kind, value) WHERE kind = '{feature.kind}'
        AND rid IN (SELECT rid FROM held JOIN identifier_stats USING (kind, value)
            WHERE kind = '{feature.kind}' AND (names > {limit} OR initials > 1))
        GROUP BY rid"""


def _kept(column: str, part: str) -> str:
    return f"CASE WHEN reduced_{column}.rid IS NULL THEN norm.{column} ELSE reduced_{column}.{part} END"


def part_exprs(features: tuple[Feature, ...]) -> dict[str, str]:
    """Return the columns that are made of others, so that they are made once per record and not once per pair."""
    columns = {f.column for f in features}
    parts = {f"{f.column}_number": f"regexp_extract({f.column}, '[0-9]+')" for f in features if f.kind == "street"}
    if "emails" in columns:
        named = f"list_filter(emails, lambda e: {_carries_name('e', columns)})"
        parts |= {
            "emails_first": "emails[1]",
            "emails_user": "split_part(emails[1], '@', 1)",
            "emails_digits": "regexp_replace(split_part(emails[1], '@', 1), '[^0-9]+', '', 'g')",
            "emails_named": f"CASE WHEN given IS NOT NULL THEN {named} WHEN emails IS NOT NULL THEN [] END"
            if "given" in columns
            else "CASE WHEN emails IS NOT NULL THEN []::VARCHAR[] END",
        }
    if "phones" in columns:
        parts["phones_first"] = "phones[1]"
    if "org_words" in columns:
        parts["org_words_list"] = "string_split(org_words, ' ')"
    return parts


def _carries_name(address: str, columns: set[str]) -> str:
    """Return the condition that an address is made of its holder's name: the given name, or its initial and the family name.

    ``juergen.winkler@`` is Jürgen's, ``j.vogel@`` and ``jvogel85@`` Jana Vogel's. Never true where the given name is missing.
    """
    user = _plain_vowels(f"split_part({address}, '@', 1)")
    given = f"length(given) >= 3 AND contains({user}, {_plain_vowels('given')})"
    if "family" not in columns:
        return f"({given})"
    both = f"left(given, 1) || {_letters(_plain_vowels('family'))}"
    return f"({given} OR (length(family) >= 3 AND strpos({_letters(user)}, {both}) = 1))"


def _plain_vowels(text: str) -> str:
    """Write ä, ö and ü as they are without their marks, however they were written."""
    return f"regexp_replace({text}, '([aou])e', '\\1', 'g')"


def _letters(text: str) -> str:
    return f"regexp_replace({text}, '[^a-z]+', '', 'g')"


def _singles(lists: list[str], columns: set[str]) -> list[str]:
    """Return (the hash of) the only value of each list that has one only, and whether any list has ``several``."""
    own = [OWN[column] for column in lists if column in OWN]
    singles = [f"CASE WHEN len({name}) = 1 THEN hash({name}[1]) END AS {name}{ONE}" for name in (*lists, *own)]
    if "emails" in columns and "given" in columns:
        named = _carries_name("emails[1]", columns)
        singles.append(f"CASE WHEN len(emails) = 1 AND {named} THEN true END AS emails_named{ONE}")
    elif "emails" in columns:
        singles.append(f"NULL::BOOLEAN AS emails_named{ONE}")
    return [*singles, " OR ".join(["false", *(f"coalesce(len({name}) > 1, false)" for name in lists)]) + " AS several"]
