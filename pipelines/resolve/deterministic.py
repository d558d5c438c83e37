"""Links without a score, and pairs that may never be one party: from identifiers, by the policy's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve import sql
from pipelines.resolve.cluster import CERTAIN, Edges
from pipelines.resolve.features import normal, not_blocked

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.features import Feature
    from pipelines.resolve.rules import LinkRule, Policy

KINDS = ("email", "phone", "social", "website", "identifier")
_ACROSS_ROLES = ("identifier", "email")
BEGINNING = 3
"""Letters of a given name by which the holders of a value are told apart: fewer make one person of sisters."""
COMPATIBLE = 0.92
"""Similarity of whole names that do not contradict each other: lower, a common family name makes up for any given name."""


def build_values(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], policy: Policy) -> None:
    """Create ``held`` (rid, kind, value, verified) and ``identifier_stats`` (holders and names of each shared value)."""
    build_held(con, features, policy)
    build_stats(con, features)


def build_held(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...], policy: Policy) -> None:
    """Create ``held`` from ``norm`` and ``match``: what each record holds, whoever else holds it."""
    lists = [
        f"SELECT rid, '{kind}' AS kind, unnest({column}) AS value FROM norm WHERE {column} IS NOT NULL"
        for kind, column in ((feature.kind, feature.column) for feature in features if feature.kind in KINDS)
    ]
    held = " UNION ALL ".join([*lists, _identifiers_sql(policy)])
    con.execute(
        f"""CREATE OR REPLACE TABLE held AS SELECT h.rid, h.kind, h.value, s.rid IS NOT NULL AS verified FROM ({held}) h
        LEFT JOIN (SELECT DISTINCT rid, kind, value FROM ({_verified_sql()})) s
        ON s.rid = h.rid AND s.kind = h.kind AND s.value = h.value"""
    )


def build_stats(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> None:
    """Create ``person_key`` and ``identifier_stats`` from ``norm``, ``sound`` and ``held``."""
    names = {feature.column for feature in features}
    con.execute(
        """CREATE OR REPLACE TEMP TABLE shared_value AS
        SELECT kind, value FROM held GROUP BY kind, value HAVING count(*) > 1"""
    )
    con.execute(
        f"""CREATE OR REPLACE TABLE person_key AS
        SELECT rid, {_name_key(names)} AS name_key, {_full_key(names)} AS full_key,
        {f"left(given, {BEGINNING})" if "given" in names else "NULL::VARCHAR"} AS initial
        FROM norm {"LEFT JOIN sound USING (family)" if "family" in names else ""}
        WHERE rid IN (SELECT rid FROM held SEMI JOIN shared_value USING (kind, value))"""
    )
    con.execute(
        """CREATE OR REPLACE TABLE identifier_stats AS
        SELECT kind, value, count(*)::BIGINT AS holders, count(DISTINCT name_key)::BIGINT AS names,
        count(DISTINCT full_key)::BIGINT AS spellings, count(DISTINCT initial)::BIGINT AS initials
        FROM held SEMI JOIN shared_value USING (kind, value) JOIN person_key USING (rid) GROUP BY kind, value"""
    )
    con.execute("DROP TABLE shared_value")


def _identifiers_sql(policy: Policy) -> str:
    """Select the identifiers of the records, normalised one by one."""
    return f"""SELECT DISTINCT rid, 'identifier' AS kind, y AS value FROM (
            SELECT rid, {normal("identifier", "x")} AS y FROM (SELECT rid, unnest(identifiers) AS x FROM match)
        ) WHERE y IS NOT NULL{not_blocked("identifier", policy)}"""


def _verified_sql() -> str:
    """Select what sources have verified: ``kind=value`` or ``system=value`` in the column ``verified``."""
    exploded = "(SELECT rid, unnest(verified) AS q FROM match)"
    mine = [
        f"""SELECT rid, '{kind}' AS kind, {normal(kind, f"substr(q, {len(kind) + 2})")} AS value
        FROM {exploded} WHERE starts_with(q, '{kind}=')"""
        for kind in KINDS
        if kind != "identifier"
    ]
    return " UNION ALL ".join([*mine, f"SELECT rid, 'identifier', {normal('identifier', 'q')} FROM {exploded}"])


def _name_key(names: set[str]) -> str:
    """Coarse name: survives a typing error, differs between people."""
    if {"given", "family"} <= names:
        return "nullif(concat(left(given, 1), left(family_sound, 2)), '')"
    return "left(org, 4)" if "org" in names else "NULL::VARCHAR"


def _full_key(names: set[str]) -> str:
    """Return the whole name with its words sorted; NULL unless it has two words (an organisation: one)."""
    if {"given", "family"} <= names:
        return f"{sql.sorted_words(chr(39) + chr(39) + ' || given || ' + chr(39) + ' ' + chr(39) + ' || family')}"
    return "org_words" if "org_words" in names else "NULL::VARCHAR"


def build_links(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Create ``link`` (l < r, rule): star edges to the smallest source_ref that holds the value, first rule wins."""
    con.execute("CREATE OR REPLACE TABLE link_all (l INTEGER, r INTEGER, rule VARCHAR, priority INTEGER)")
    for rule in policy.rules:
        con.execute(_link_sql(rule))
    con.execute(
        """CREATE OR REPLACE TABLE link AS
        SELECT l, r, arg_min(rule, (priority, rule)) AS rule FROM link_all GROUP BY l, r"""
    )
    con.execute("DROP TABLE link_all")


def counted(kind: str) -> str:
    """Return which count of ``identifier_stats`` the limit of a rule is about."""
    return "spellings" if kind == "phone" else "names"


def stays_in_role(rule: LinkRule) -> bool:
    """Tell whether a rule links customers with customers and employees with employees only."""
    return not (rule.kind in _ACROSS_ROLES and (rule.verified or rule.kind == "identifier"))


def _link_sql(rule: LinkRule) -> str:
    group = ", full_key" if rule.names == "equal" else ""
    count = counted(rule.kind)
    across = "AND one_role" if stays_in_role(rule) else ""
    return f"""
        INSERT INTO link_all
        WITH v AS (
            SELECT rid, value, verified, name_key, full_key, norm.is_stub, names
            FROM held JOIN identifier_stats USING (kind, value) JOIN person_key USING (rid) JOIN norm USING (rid)
            WHERE kind = '{rule.kind}' AND {count} <= {rule.limit}
        ), one AS ({one_names_sql(rule.kind)}), star AS (
            SELECT *, min(rid) OVER (PARTITION BY value{group}) AS centre FROM v WHERE {_eligible(rule)}
            UNION ALL
            SELECT *, min(rid) OVER (PARTITION BY value) AS centre FROM v WHERE names <= 1
            QUALIFY bool_or(is_stub) OVER (PARTITION BY value)
            UNION ALL
            SELECT v.*, min(rid) OVER (PARTITION BY value) AS centre FROM v SEMI JOIN one USING (value)
            WHERE is_stub OR full_key IS NOT NULL
        ), keyed AS MATERIALIZED (
            SELECT s.*, norm.employee FROM star s JOIN norm USING (rid) WHERE centre IS NOT NULL
        ), edge AS MATERIALIZED (
            SELECT s.centre AS l, s.rid AS r, {_names_agree(rule)} AS agree, c.employee = s.employee AS one_role
            FROM keyed s JOIN (SELECT DISTINCT rid, name_key, full_key, employee FROM keyed) c
            ON c.rid = s.centre AND s.centre < s.rid
        )
        SELECT l, r, '{rule.name}', {rule.priority} FROM edge WHERE agree {across}"""


def one_names_sql(kind: str | None = None) -> str:
    """Select the values of stubs (kind, value) that one whole name holds, and beside it halves of it: ``is_one_name``."""
    of_kind = "" if kind is None else f"AND kind = '{kind}'"
    return f"""
        SELECT kind, value FROM (
            SELECT kind, value, is_stub, name_key, full_key IS NOT NULL AS is_whole,
            min(CASE WHEN full_key IS NOT NULL THEN name_key END) OVER (PARTITION BY kind, value) AS whole
            FROM held JOIN identifier_stats USING (kind, value) JOIN person_key USING (rid) JOIN norm USING (rid)
            WHERE names > 1 {of_kind}
        ) WHERE whole IS NOT NULL GROUP BY kind, value
        HAVING bool_or(is_stub) AND NOT bool_or(name_key IS NOT NULL AND name_key != whole AND (is_whole
            OR CASE WHEN length(name_key) = 1 THEN left(whole, 1) ELSE right(whole, length(name_key)) END != name_key))"""


def _eligible(rule: LinkRule) -> str:
    if rule.names == "equal":
        return "full_key IS NOT NULL"
    return "verified" if rule.verified else "true"


def _names_agree(rule: LinkRule) -> str:
    if rule.names != "compatible":
        return "true"
    return (
        "(c.full_key IS NULL OR s.full_key IS NULL OR c.name_key = s.name_key "
        f"OR jaro_winkler_similarity(c.full_key, s.full_key) >= {COMPATIBLE})"
    )


def links(con: duckdb.DuckDBPyConnection) -> Edges:
    """Return the deterministic links as certain edges."""
    return _certain(con, "link", CERTAIN)


def _certain(con: duckdb.DuckDBPyConnection, table: str, weight: float) -> Edges:
    found = con.execute(f"SELECT l, r FROM {table} ORDER BY l, r").to_arrow_table()
    left, right = (found[name].to_numpy().astype(np.int64) for name in ("l", "r"))
    return Edges(left, right, np.full(len(left), weight))
