"""What is compared: normalised feature columns derived from the match table, and a profile of their contents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve import placeholders, sql
from pipelines.resolve.employers import employer
from pipelines.resolve.match_view import ADDRESS_TERMS, LIST_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import duckdb

    from pipelines.resolve.rules import Policy

MIN_FILLED = 0.02
MIN_SHARED = 0.01
_KEYS = ("rid", "source_record_id", "source_ref", "is_stub", "role_class")
_PERSON_NAMES = ("full_name", "given_name", "middle_name", "family_name")
_ORG_NAMES = ("name", "legal_name")
_TITLES = (
    "^((mr|mrs|ms|miss|mx|dr|prof|professor|sir|dame|lady|lord|rev|reverend|hon|viscount|viscountess|baroness|countess|"
    "duchess|capt|captain|lieutenant|colonel|admiral|herr|frau|madame|monsieur|[0-9]+(st|nd|rd|th))( |$))+"
)
_SUFFIXES = "(^| )(jr|sr|ii|iii|iv|phd|md|esq|bt|baronet|mbe|obe|cbe|[0-9]+(st|nd|rd|th))$"
_PARTICLES = (
    "(?:(?:af|al|av|bin|da|dal|de|degli|dei|del|della|delle|den|der|des|di|do|dos|du|el|ibn|la|las|le|les|lo|los|mac|mc|"
    "saint|san|santa|st|ten|ter|tot|van|vom|von|zu|zum|zur) )*"
)
"""Words that stand before a family name and belong to it: Elena De Luca, Jan van der Berg."""
_FAMILY_ONLY = "^(?:da|dal|de|degli|dei|del|della|delle|den|der|des|di|dos|du|ten|ter|tot|van|vom|von|zu|zum|zur) "
"""A full name that begins with one of these is a family name alone; El, Al, San and La may be given names."""
_SOURCE = "regexp_extract(source_ref, '^[^/]*(/[^/]*)?/')"


@dataclass(frozen=True)
class Feature:
    """One comparable column of the ``norm`` table and how its values are to be read.

    ``expr`` reads the match table; ``known`` reads what these make of all columns and is NULL where that is a placeholder.
    """

    column: str
    kind: str
    expr: str
    system: str = ""
    known: str = ""


@dataclass(frozen=True)
class Profile:
    """What a feature's column holds: share of rows filled, distinct values, mean length, most frequent share."""

    filled: float
    distinct: int
    length: float
    top: float


def numbered(table: pa.Table) -> pa.Table:
    """Return the records with ``rid``, their place in the order of source_ref; the rows stay where they are."""
    order = pc.sort_indices(table["source_ref"]).to_numpy()
    rid = np.empty(table.num_rows, np.int32)
    rid[order] = np.arange(table.num_rows, dtype=np.int32)
    return table.append_column("rid", pa.array(rid))


def build_norm(
    con: duckdb.DuckDBPyConnection, entity: str, policy: Policy, known: tuple[Feature, ...] | None = None
) -> tuple[Feature, ...]:
    """Create ``norm`` from ``match`` (which has ``rid``): one column per feature; return the features.

    ``sound`` has the sound key of each family name.

    ``known`` are a model's features: what a model compares does not depend on the records at hand.
    """
    columns = [row[0] for row in con.execute("DESCRIBE match").fetchall()]
    filled = _filled(con, columns)
    features = known or _features(con, entity, columns, filled, policy)
    con.execute(f"CREATE OR REPLACE TABLE norm AS {_norm_sql(features, columns, filled)}")
    make_sound(con, features, "norm")
    return features


def make_sound(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], source: str) -> None:
    """Create ``sound``, where people are compared: the sound key of each family name in a table like ``norm``."""
    if any(feature.column == "family" for feature in features):
        con.execute(f"CREATE OR REPLACE TABLE sound AS {_sounds(source)}")


def add_sounds(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], source: str) -> None:
    """Add to ``sound`` the family names of a table like ``norm`` that it does not have yet."""
    if any(feature.column == "family" for feature in features):
        con.execute(f"INSERT INTO sound {_sounds(f'{source} ANTI JOIN sound USING (family)')}")


def _sounds(source: str) -> str:
    return f"""SELECT family, {sql.phonetic("family")} AS family_sound
        FROM (SELECT DISTINCT family FROM {source} WHERE family IS NOT NULL)"""


def _norm_sql(features: tuple[Feature, ...], columns: list[str], filled: set[str]) -> str:
    exprs = norm_exprs(features, columns)
    select = ",\n".join(f"{expr} AS {sql.quote(column)}" for column, expr in exprs.items())
    said = f"""SELECT rid, is_stub, (role_class = 'employee') AS employee, {select or "NULL AS nothing"}
        FROM (SELECT *, {_cleaned(filled)} FROM match)"""
    known = known_exprs(features)
    if not known:
        return said
    columns = [
        f"{known.get(name, sql.quote(name))} AS {sql.quote(name)}" for name in ("rid", "is_stub", "employee", *exprs)
    ]
    return f"SELECT {', '.join(columns)} FROM ({said})"


def norm_exprs(features: tuple[Feature, ...], columns: list[str] | None = None) -> dict[str, str]:
    """Return the expression of each feature's column; a plain attribute that these ``columns`` do not have is NULL."""
    lacking = {f.column for f in features if columns is not None and f.kind == "attribute" and f.column not in columns}
    return {f.column: "NULL::VARCHAR" if f.column in lacking else f.expr for f in features}


def known_exprs(features: tuple[Feature, ...]) -> dict[str, str]:
    """Return the expressions that read placeholders as missing, over the columns as ``norm_exprs`` make them."""
    return {f.column: f.known for f in features if f.known}


def cleaned_exprs() -> dict[str, str]:
    """Return the expressions of person names in normal form, made once for all the features that are made of them."""
    return {f"~{name}": _clean_name(name) for name in _PERSON_NAMES}


def _cleaned(filled: set[str]) -> str:
    return ", ".join(
        f"{expr if name[1:] in filled else 'NULL::VARCHAR'} AS {sql.quote(name)}"
        for name, expr in cleaned_exprs().items()
    )


def profile_features(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> dict[str, Profile]:
    """Measure each feature's column over the records that take part in scoring."""
    profiles = {}
    for feature in features:
        column = sql.quote(feature.column)
        row = con.execute(
            f"""WITH v AS (
                SELECT {column} AS v, count(*) AS n FROM norm WHERE NOT is_stub AND {column} IS NOT NULL GROUP BY 1)
            SELECT coalesce(sum(n), 0), count(*), coalesce(sum(n * length(v::VARCHAR)) / sum(n), 0),
            coalesce(max(n), 0),
            (SELECT count(*) FROM norm WHERE NOT is_stub) FROM v"""
        ).fetchone()
        filled, distinct, length, top, rows = row or (0, 0, 0, 0, 0)
        profiles[feature.column] = Profile(filled / max(rows, 1), distinct, float(length), top / max(filled, 1))
    return profiles


def _filled(con: duckdb.DuckDBPyConnection, columns: list[str]) -> set[str]:
    """Columns that hold anything at all."""
    scalars = [name for name in columns if name not in _KEYS]
    tests = [
        f"count(*) FILTER (len({sql.quote(name)}) > 0)" if name in LIST_COLUMNS else f"count({sql.quote(name)})"
        for name in scalars
    ]
    row = con.execute(f"SELECT {', '.join(tests)} FROM match").fetchone()
    return {name for name, count in zip(scalars, row or (), strict=True) if count}


def _systems(con: duckdb.DuckDBPyConnection, policy: Policy) -> list[str]:
    """Return identifier systems worth comparing value by value: on enough records, and with values that meet.

    A vendor's own numbers, each on one record only, say nothing about who is who: neighbours in a sequence are not
    typing errors. Of few records nothing can be said; and systems that a party has one of are always compared.
    """
    rows = con.execute(
        f"""WITH v AS (SELECT v, count(*) AS n FROM (SELECT unnest(identifiers) AS v FROM match) GROUP BY v),
        total AS (SELECT count(*) AS n FROM match)
        SELECT split_part(v, '=', 1) AS system FROM v, total GROUP BY system
        HAVING sum(v.n) >= any_value(total.n) * {MIN_FILLED} AND (
            any_value(total.n) < {policy.training_rows} OR system IN {sql.literals(policy.unique_systems)}
            OR coalesce(sum(v.n) FILTER (v.n > 1), 0) >= sum(v.n) * {MIN_SHARED})
        ORDER BY system"""
    ).fetchall()
    return [row[0] for row in rows]


def _features(
    con: duckdb.DuckDBPyConnection, entity: str, columns: list[str], filled: set[str], policy: Policy
) -> tuple[Feature, ...]:
    names = _person_names(filled) if entity == "person" else _org_names(filled)
    used = {*_KEYS, *LIST_COLUMNS, *_PERSON_NAMES, *_ORG_NAMES, *ADDRESS_TERMS, "birth_date", "website", "domain"}
    plain = [name for name in columns if name in filled and name not in used and name not in policy.ignored_terms]
    exprs = {name: sql.text(sql.quote(name)) for name in plain}
    if entity == "person" and "organization_name" in exprs:
        exprs["organization_name"] = employer(con, policy, mailed="emails" in filled)
    found = (
        *names,
        *_dates(filled),
        *_contacts(filled, policy),
        *[
            Feature(f"id_{_safe(system)}", "code", _identifier(system, policy), system)
            for system in _systems(con, policy)
        ],
        *_address(filled),
        *[Feature(name, "attribute", expr) for name, expr in exprs.items()],
        Feature("source", "source", _SOURCE),
    )
    return tuple(replace(feature, known=placeholders.known(feature.column, feature.kind, policy)) for feature in found)


def _person_names(filled: set[str]) -> list[Feature]:
    if not filled & set(_PERSON_NAMES):
        return []
    full, given, family = (sql.quote(f"~{name}") for name in ("full_name", "given_name", "family_name"))
    alone = f"regexp_matches({full}, '{_FAMILY_ONLY}')"
    tail = f"CASE WHEN {alone} THEN {full} WHEN {full} LIKE '% %' THEN regexp_extract({full}, ' ({_PARTICLES}[^ ]+)$', 1) END"
    first = f"CASE WHEN NOT {alone} THEN {sql.first_word(full)} END"
    features = [
        Feature("given", "given", f"coalesce({given}, {_unless(first, full, family)})"),
        Feature("family", "family", f"coalesce({family}, {_unless(tail, full, given)})"),
    ]
    middle = sql.quote("~middle_name") if "middle_name" in filled else _middle(full, given, family)
    if "middle_name" in filled or "full_name" in filled:
        features.append(Feature("middle", "middle", middle))
    return features


def _unless(word: str, full: str, other: str) -> str:
    """Return a word of the full name, unless it is the name that is known already, or the full name is."""
    return f"CASE WHEN {full} <> coalesce({other}, '') THEN nullif({word}, coalesce({other}, '')) END"


def _middle(full: str, given: str, family: str) -> str:
    inner = f"trim(regexp_replace({full}, '^[^ ]+|(?: {_PARTICLES}[^ ]+)$', '', 'g'))"
    known = f"(coalesce({given}, ''), coalesce({family}, ''))"
    return f"CASE WHEN {full} LIKE '% % %' AND {inner} NOT IN {known} THEN nullif({inner}, '') END"


def _clean_name(column: str) -> str:
    """A name in normal form without titles; an e-mail address that stands where the name is missing is no name."""
    name = sql.text(sql.quote(column))
    bare = f"nullif(trim(regexp_replace(regexp_replace({name}, '{_TITLES}', ''), '{_SUFFIXES}', '')), '')"
    return f"CASE WHEN NOT contains({sql.quote(column)}, '@') THEN {bare} END"


def _org_names(filled: set[str]) -> list[Feature]:
    present = [sql.text(sql.quote(name)) for name in ("name", "legal_name", "organization_name") if name in filled]
    if not present:
        return []
    name = f"coalesce({', '.join(present)})"
    bare = f"coalesce(nullif(array_to_string({sql.without_legal_form(name)}, ' '), ''), {name})"
    return [Feature("org", "org", bare), Feature("org_words", "words", sql.sorted_words(bare))]


def _dates(filled: set[str]) -> list[Feature]:
    return [Feature("birth_date", "date", sql.date_digits("birth_date"))] if "birth_date" in filled else []


def _contacts(filled: set[str], policy: Policy) -> list[Feature]:
    features = []
    for column, kind in (("emails", "email"), ("phones", "phone"), ("socials", "social"), ("websites", "website")):
        sources = f"{column}" if column != "websites" else _web_sources(filled)
        if column in filled or (column == "websites" and filled & {"website", "domain"}):
            features.append(Feature(column, kind, normal_list(kind, sources, policy)))
    return features


def _web_sources(filled: set[str]) -> str:
    scalars = [f"[{name}]" for name in ("website", "domain") if name in filled]
    return f"list_concat({', '.join(['websites', *scalars])})" if scalars else "websites"


def normal(kind: str, expr: str) -> str:
    """Return the SQL of the normal form of one value of a kind; NULL when nothing is left."""
    return _NORMAL[kind](expr)


def normal_list(kind: str, expr: str, policy: Policy) -> str:
    """Sorted distinct normal forms of a list column without the policy's blocked values; NULL when none is left."""
    distinct = f"list_distinct(list_transform({expr}, lambda x: {normal(kind, 'x')}))"
    kept = f"list_filter({distinct}, lambda y: y IS NOT NULL{not_blocked(kind, policy)})"
    return f"list_sort(nullif({kept}, []))"


def _social(expr: str) -> str:
    return f"nullif(regexp_replace(regexp_replace(lower(trim({expr})), '^(https?://)?(www\\.)?', ''), '/+$', ''), '')"


def _system_value(expr: str) -> str:
    value = f"substr({expr}, strpos({expr}, '=') + 1)"
    kept = f"CASE WHEN NOT regexp_matches({value}, '^ *-[0-9]+ *$') THEN {sql.compact(value)} END"
    return f"split_part({expr}, '=', 1) || '=' || {kept}"


def not_blocked(kind: str, policy: Policy) -> str:
    """Return the SQL that goes on with AND where the normal form ``y`` is none of the policy's blocked values."""
    subject = "substr(y, strpos(y, '=') + 1)" if kind == "identifier" else "y"
    return "".join(f" AND NOT regexp_matches({subject}, {sql.literal(p)})" for p in policy.blocked.get(kind, ()))


def _identifier(system: str, policy: Policy) -> str:
    mine = f"list_filter(identifiers, lambda z: split_part(z, '=', 1) = {sql.literal(system)})"
    listed = normal_list("identifier", mine, policy)
    return f"substr(({listed})[1], {len(system) + 2})"


def _address(filled: set[str]) -> list[Feature]:
    kinds = {"street": "street", "street_2": "street", "city": "place", "region": "attribute", "country": "attribute"}
    features = [Feature(name, kind, sql.text(name)) for name, kind in kinds.items() if name in filled]
    if "postcode" in filled:
        features.append(Feature("postcode", "postcode", sql.compact("postcode")))
    return features


def _safe(system: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in system.lower())


_NORMAL: Mapping[str, Callable[[str], str]] = {
    "email": sql.email,
    "phone": sql.phone,
    "website": sql.host,
    "social": _social,
    "identifier": _system_value,
}
