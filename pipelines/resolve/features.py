"""What is compared: normalised feature columns derived from the match table, and a profile of their contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.resolve import sql
from pipelines.resolve.match_view import ADDRESS_TERMS, LIST_COLUMNS

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.rules import Policy

_KEYS = ("source_record_id", "source_ref", "is_stub", "role_class")
_PERSON_NAMES = ("full_name", "given_name", "middle_name", "family_name")
_ORG_NAMES = ("name", "legal_name")
_TITLES = "^(mr|mrs|ms|miss|dr|prof|sir|dame|lady|lord|rev|hon) "
_SUFFIXES = " (jr|sr|ii|iii|iv|phd|md|esq)$"
LEGAL_FORMS = (
    "inc", "incorporated", "corp", "corporation", "co", "company", "ltd", "limited", "llc", "llp", "lp", "plc", "gmbh",
    "ag", "kg", "ug", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "oy", "aps", "pty", "the", "and", "of",
)  # fmt: skip


@dataclass(frozen=True)
class Feature:
    """One comparable column of the ``norm`` table and how its values are to be read."""

    column: str
    kind: str
    expr: str
    system: str = ""


@dataclass(frozen=True)
class Profile:
    """What a feature's column holds: share of rows filled, distinct values, mean length, most frequent share."""

    filled: float
    distinct: int
    length: float
    top: float


def build_norm(con: duckdb.DuckDBPyConnection, entity: str, policy: Policy) -> tuple[Feature, ...]:
    """Create ``norm`` from ``match``: rows numbered by source_ref, one column per feature; return the features."""
    columns = [row[0] for row in con.execute("DESCRIBE match").fetchall()]
    filled = _filled(con, columns)
    features = tuple(_features(entity, columns, filled, policy, _systems(con)))
    select = ",\n".join(f"{feature.expr} AS {sql.quote(feature.column)}" for feature in features)
    con.execute(
        f"""CREATE OR REPLACE TABLE norm AS
        WITH base AS (
            SELECT *, (row_number() OVER (ORDER BY source_ref) - 1)::INTEGER AS rid FROM match
        )
        SELECT rid, source_record_id, source_ref, is_stub, (role_class = 'employee') AS employee,
        {select or "NULL AS nothing"}
        FROM base ORDER BY rid"""
    )
    return features


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


def _systems(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return identifier systems that enough records carry to be compared value by value."""
    rows = con.execute(
        """SELECT split_part(v, '=', 1) FROM (SELECT unnest(identifiers) AS v FROM match)
        GROUP BY 1 HAVING count(*) >= (SELECT count(*) FROM match) * 0.02 ORDER BY 1"""
    ).fetchall()
    return [row[0] for row in rows]


def _features(entity: str, columns: list[str], filled: set[str], policy: Policy, systems: list[str]) -> list[Feature]:
    names = _person_names(filled) if entity == "person" else _org_names(filled)
    used = {*_KEYS, *LIST_COLUMNS, *_PERSON_NAMES, *_ORG_NAMES, *ADDRESS_TERMS, "birth_date", "website", "domain"}
    plain = [name for name in columns if name in filled and name not in used and name not in policy.ignored_terms]
    return [
        *names,
        *_dates(filled),
        *_contacts(filled, policy),
        *[Feature(f"id_{_safe(system)}", "code", _identifier(system, policy), system) for system in systems],
        *_address(filled),
        *[Feature(name, "attribute", sql.text(sql.quote(name))) for name in plain],
    ]


def _person_names(filled: set[str]) -> list[Feature]:
    if not filled & set(_PERSON_NAMES):
        return []
    full = _clean_name("full_name" if "full_name" in filled else "NULL::VARCHAR")
    given, family = _clean_name("given_name"), _clean_name("family_name")
    tail = f"CASE WHEN {full} LIKE '% %' THEN regexp_extract({full}, '([^ ]+)$', 1) END"
    features = [
        Feature("given", "given", f"coalesce({given}, CASE WHEN {family} IS NULL THEN {sql.first_word(full)} END)"),
        Feature("family", "family", f"coalesce({family}, CASE WHEN {given} IS NULL THEN {tail} END)"),
    ]
    middle = _clean_name("middle_name") if "middle_name" in filled else _middle(full, given, family)
    if "middle_name" in filled or "full_name" in filled:
        features.append(Feature("middle", "middle", middle))
    return features


def _middle(full: str, given: str, family: str) -> str:
    inner = f"trim(regexp_replace({full}, '^[^ ]+|[^ ]+$', '', 'g'))"
    known = f"(coalesce({given}, ''), coalesce({family}, ''))"
    return f"CASE WHEN {full} LIKE '% % %' AND {inner} NOT IN {known} THEN nullif({inner}, '') END"


def _clean_name(column: str) -> str:
    name = column if column.startswith("NULL") else sql.text(sql.quote(column))
    return f"nullif(regexp_replace(regexp_replace({name}, '{_TITLES}', ''), '{_SUFFIXES}', ''), '')"


def _org_names(filled: set[str]) -> list[Feature]:
    present = [sql.text(sql.quote(name)) for name in ("name", "legal_name", "organization_name") if name in filled]
    if not present:
        return []
    name = f"coalesce({', '.join(present)})"
    words = f"list_filter(string_split({name}, ' '), lambda w: w NOT IN {sql.literals(LEGAL_FORMS)})"
    bare = f"coalesce(nullif(array_to_string({words}, ' '), ''), {name})"
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


def normal_list(kind: str, expr: str, policy: Policy) -> str:
    """Sorted distinct normal forms of a list column without the policy's blocked values; NULL when none is left."""
    normal = {
        "email": sql.email,
        "phone": sql.phone,
        "website": sql.host,
        "social": _social,
        "identifier": _system_value,
    }[kind]("x")
    distinct = f"list_distinct(list_transform({expr}, lambda x: {normal}))"
    kept = f"list_filter({distinct}, lambda y: y IS NOT NULL{_not_blocked(kind, policy)})"
    return f"CASE WHEN len({kept}) > 0 THEN list_sort({kept}) END"


def _social(expr: str) -> str:
    return f"nullif(regexp_replace(regexp_replace(lower(trim({expr})), '^(https?://)?(www\\.)?', ''), '/+$', ''), '')"


def _system_value(expr: str) -> str:
    value = f"substr({expr}, strpos({expr}, '=') + 1)"
    kept = f"CASE WHEN NOT regexp_matches({value}, '^ *-[0-9]+ *$') THEN {sql.compact(value)} END"
    return f"split_part({expr}, '=', 1) || '=' || {kept}"


def _not_blocked(kind: str, policy: Policy) -> str:
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
