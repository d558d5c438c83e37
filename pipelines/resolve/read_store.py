"""Fill the match table from the store's entity tables: bulk reads, then one DuckDB aggregation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from canonical_model import load_vocabulary
from pipelines.resolve import sql
from pipelines.resolve.engine import connect
from pipelines.resolve.match_view import ADDRESS_TERMS, ROLE_CUSTOMER, ROLE_EMPLOYEE, match_schema
from pipelines.store import identity

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import pyarrow as pa

    from pipelines.resolve.rules import Policy
    from pipelines.store import Store

_TEXT = ("text", "code", "country", "date")
_VALUE = "coalesce(value_norm, value)"
_SURE = f"""SELECT party, list(CASE kind WHEN 'web' THEN 'website' ELSE kind END || '=' || {_VALUE}) AS verified_points
    FROM points WHERE verified GROUP BY party"""
_FIRST_ADDRESSES = """
    WITH one AS (SELECT party, any_value(n) AS n, count(*) AS k FROM points WHERE kind = 'address' GROUP BY party)
    SELECT n FROM one WHERE k = 1 UNION ALL
    SELECT arg_min(n, (coalesce(rank, 1000), source_record_id, row_key)) FROM points
    WHERE kind = 'address' AND party IN (SELECT party FROM one WHERE k > 1) GROUP BY party"""
"""The address that the source ranks first; it is taken whole. Most parties have one only."""
_LISTS = {"email": "emails", "phone": "phones", "social": "socials", "web": "websites"}


def read_match_table(
    store: Store, tenant_id: int, entity: str, policy: Policy, ids: pa.Array | None = None
) -> pa.Table:
    """Return ``match_<entity>`` of everything live in the store (or of the records ``ids``), in no particular order."""
    terms = _terms(entity, policy)
    reads: dict[str, Callable[[], pa.Table]] = {
        "party_rows": lambda: identity.parties(store, tenant_id, entity, terms, ids),
        "point_rows": lambda: identity.contact_points(store, tenant_id, ids),
        "identifier_rows": lambda: identity.party_identifiers(store, tenant_id, ids),
        "employee_rows": lambda: identity.employees(store, tenant_id, ids),
    }
    con = connect()
    try:
        with ThreadPoolExecutor(max_workers=2) as readers:
            for name, rows in zip(reads, readers.map(lambda read: read(), reads.values()), strict=True):
                con.register(name, rows)
        return _aggregate(con, entity, terms)
    finally:
        con.close()


def _terms(entity: str, policy: Policy) -> list[str]:
    """Terms worth reading: text of one value that the policy does not leave out."""
    terms = load_vocabulary().entity(entity).terms.values()
    return [t.name for t in terms if t.type in _TEXT and not t.multi and t.name not in policy.ignored_terms]


def _aggregate(con: duckdb.DuckDBPyConnection, entity: str, terms: list[str]) -> pa.Table:
    con.execute(
        """CREATE TEMP TABLE points AS
        SELECT (row_number() OVER ())::INTEGER AS n, * EXCLUDE (valid_to) FROM point_rows WHERE valid_to IS NULL"""
    )
    con.execute(
        f"""CREATE TEMP TABLE addresses AS SELECT {", ".join(map(sql.quote, ("party", *ADDRESS_TERMS)))}
        FROM points SEMI JOIN ({_FIRST_ADDRESSES}) USING (n)"""
    )
    for kind, column in _LISTS.items():
        con.execute(f"CREATE TEMP TABLE {column} AS {_list_sql(kind, column)}")
    con.execute(f"CREATE TEMP TABLE sure AS {_SURE}")
    con.execute(
        """CREATE TEMP TABLE named AS SELECT party, list_sort(list_distinct(list(system || '=' || value))) AS identifiers,
        list(system || '=' || value) FILTER (verified) AS verified_identifiers FROM identifier_rows GROUP BY party"""
    )
    selected = ", ".join(_column(name, terms) for name in match_schema(entity).names)
    joins = " ".join(f"LEFT JOIN {name} ON {name}.party = p.source_record_id" for name in (*_LISTS.values(), "sure"))
    return (
        con.execute(
            f"""SELECT {selected} FROM ({_parties(con, terms)}) AS p
            {joins}
            LEFT JOIN addresses AS a ON a.party = p.source_record_id
            LEFT JOIN named AS n ON n.party = p.source_record_id
            LEFT JOIN employee_rows AS e ON e.party = p.source_record_id"""
        )
        .to_arrow_table()
        .cast(match_schema(entity))
    )


def _parties(con: duckdb.DuckDBPyConnection, terms: list[str]) -> str:
    """Select one row per record; where a source gives several, a term comes from the first row that has it."""
    reference = "connection_id || '/' || object || '/' || source_key"
    several = con.execute("SELECT count(*) > count(DISTINCT source_record_id) FROM party_rows").fetchone()
    if several and not several[0]:
        return f"SELECT *, {reference} AS source_ref FROM party_rows"
    firsts = "".join(f", arg_min({sql.quote(term)}, row_key) AS {sql.quote(term)}" for term in terms)
    return f"""SELECT source_record_id, any_value({reference}) AS source_ref, bool_and(is_stub) AS is_stub{firsts}
        FROM party_rows GROUP BY source_record_id"""


def _list_sql(kind: str, column: str) -> str:
    """Select the distinct values of a kind by party; most parties have one, which needs no aggregation into a list."""
    return f"""WITH v AS (SELECT party, {_VALUE} AS v FROM points WHERE kind = '{kind}' AND {_VALUE} IS NOT NULL),
        one AS (SELECT party, min(v) AS v, count(*) AS k FROM v GROUP BY party)
        SELECT party, [v] AS {column} FROM one WHERE k = 1 UNION ALL
        SELECT party, list_sort(list_distinct(list(v))) FROM v
        WHERE party IN (SELECT party FROM one WHERE k > 1) GROUP BY party"""


def _column(name: str, terms: list[str]) -> str:
    exprs = {
        "source_record_id": "p.source_record_id",
        "source_ref": "p.source_ref",
        "is_stub": "p.is_stub",
        "role_class": f"CASE WHEN e.party IS NULL THEN '{ROLE_CUSTOMER}' ELSE '{ROLE_EMPLOYEE}' END",
        "identifiers": "coalesce(n.identifiers, [])",
        "verified": "list_concat(coalesce(n.verified_identifiers, []), coalesce(sure.verified_points, []))",
        **{column: f"coalesce({column}.{column}, [])" for column in _LISTS.values()},
        **{term: f"a.{sql.quote(term)}" for term in ADDRESS_TERMS},
    }
    own = f"p.{sql.quote(name)}" if name in terms else "NULL::VARCHAR"
    return f"{exprs.get(name, own)} AS {sql.quote(name)}"
