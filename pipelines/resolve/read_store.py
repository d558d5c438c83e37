"""Fill the match table from the store's entity tables: bulk reads, then one DuckDB aggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canonical_model import load_vocabulary
from pipelines.resolve import sql
from pipelines.resolve.engine import connect
from pipelines.resolve.match_view import ADDRESS_TERMS, ROLE_CUSTOMER, ROLE_EMPLOYEE, match_schema
from pipelines.store import identity

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.resolve.rules import Policy
    from pipelines.store import Store

_TEXT = ("text", "code", "country", "date")
_LISTS = {"email": "emails", "phone": "phones", "social": "socials", "web": "websites"}


def read_match_table(store: Store, tenant_id: int, entity: str, policy: Policy) -> pa.Table:
    """Return ``match_<entity>`` of everything live in the store."""
    terms = _terms(entity, policy)
    con = connect()
    try:
        con.register("party_rows", identity.parties(store, tenant_id, entity, terms))
        con.register("point_rows", identity.contact_points(store, tenant_id))
        con.register("identifier_rows", identity.party_identifiers(store, tenant_id))
        con.register("employee_rows", identity.employees(store, tenant_id))
        return _aggregate(con, entity, terms)
    finally:
        con.close()


def _terms(entity: str, policy: Policy) -> list[str]:
    """Terms worth reading: text of one value that the policy does not leave out."""
    terms = load_vocabulary().entity(entity).terms.values()
    return [t.name for t in terms if t.type in _TEXT and not t.multi and t.name not in policy.ignored_terms]


def _aggregate(con: duckdb.DuckDBPyConnection, entity: str, terms: list[str]) -> pa.Table:
    con.execute(
        f"""CREATE TEMP TABLE contacts AS
        SELECT party, {_lists()}, {_first_address()} FROM point_rows WHERE valid_to IS NULL GROUP BY party"""
    )
    con.execute(
        """CREATE TEMP TABLE named AS SELECT party, list_sort(list(DISTINCT system || '=' || value)) AS identifiers,
        list(DISTINCT system || '=' || value) FILTER (verified) AS verified_identifiers
        FROM identifier_rows GROUP BY party"""
    )
    selected = ", ".join(_column(name, terms) for name in match_schema(entity).names)
    firsts = ", ".join(f"arg_min({sql.quote(term)}, row_key) AS {sql.quote(term)}" for term in terms)
    return (
        con.execute(
            f"""WITH one AS (
            SELECT source_record_id, any_value(connection_id || '/' || object || '/' || source_key) AS source_ref,
            bool_and(is_stub) AS is_stub{", " if firsts else ""}{firsts} FROM party_rows GROUP BY source_record_id
        )
        SELECT {selected} FROM one AS p LEFT JOIN contacts AS c ON c.party = p.source_record_id
        LEFT JOIN named AS n ON n.party = p.source_record_id
        LEFT JOIN employee_rows AS e ON e.party = p.source_record_id ORDER BY p.source_ref"""
        )
        .to_arrow_table()
        .cast(match_schema(entity))
    )


def _lists() -> str:
    value = "coalesce(value_norm, value)"
    lists = [
        f"list_sort(list(DISTINCT {value}) FILTER (kind = '{kind}' AND {value} IS NOT NULL)) AS {column}"
        for kind, column in _LISTS.items()
    ]
    named = f"CASE kind WHEN 'web' THEN 'website' ELSE kind END || '=' || {value}"
    sure = f"list(DISTINCT {named}) FILTER (verified) AS verified_points"
    return ", ".join([*lists, sure])


def _first_address() -> str:
    """Return the address that the source ranks first; it is taken whole."""
    fields = ", ".join(f"{sql.quote(name)} := {sql.quote(name)}" for name in ADDRESS_TERMS)
    order = "(coalesce(rank, 1000), source_record_id, row_key)"
    return f"arg_min(struct_pack({fields}), {order}) FILTER (kind = 'address') AS address"


def _column(name: str, terms: list[str]) -> str:
    exprs = {
        "source_record_id": "p.source_record_id",
        "source_ref": "p.source_ref",
        "is_stub": "p.is_stub",
        "role_class": f"CASE WHEN e.party IS NULL THEN '{ROLE_CUSTOMER}' ELSE '{ROLE_EMPLOYEE}' END",
        "identifiers": "coalesce(n.identifiers, [])",
        "verified": "list_concat(coalesce(n.verified_identifiers, []), coalesce(c.verified_points, []))",
        **{column: f"coalesce(c.{column}, [])" for column in _LISTS.values()},
        **{term: f"c.address.{sql.quote(term)}" for term in ADDRESS_TERMS},
    }
    own = f"p.{sql.quote(name)}" if name in terms else "NULL::VARCHAR"
    return f"{exprs.get(name, own)} AS {sql.quote(name)}"
