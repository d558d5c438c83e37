"""Fill the match table from the store's entity tables: bulk reads, then one DuckDB aggregation."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from canonical_model import load_vocabulary
from pipelines.resolve import sql
from pipelines.resolve.duck import connect
from pipelines.resolve.match_view import ADDRESS_TERMS, ROLE_CUSTOMER, ROLE_EMPLOYEE, match_schema
from pipelines.store import identity

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

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
        "point_rows": lambda: _numbered(identity.contact_points(store, tenant_id, ids)),
        "identifier_rows": lambda: identity.party_identifiers(store, tenant_id, ids),
        "employee_rows": lambda: identity.employees(store, tenant_id, ids),
    }
    with ThreadPoolExecutor(max_workers=2) as readers:
        told = dict(zip(reads, readers.map(lambda read: read(), reads.values()), strict=True))
    con = connect(told["party_rows"].num_rows)
    try:
        for name in tuple(told):
            con.register(name, told.pop(name))
        return _aggregate(con, entity, terms)
    finally:
        con.close()


def _numbered(rows: pa.Table) -> pa.Table:
    """Add a number ``n``; given here, it keeps all threads at work where DuckDB's row_number would leave one."""
    return rows.append_column("n", pa.array(np.arange(rows.num_rows, dtype=np.int32)))


def read_match_rows(store: Store, tenant_id: int, entity: str, policy: Policy, ids: pa.Array) -> list[dict[str, Any]]:
    """Return the rows of ``match_<entity>`` of a few records; a test holds them equal to ``read_match_table``."""
    terms = _terms(entity, policy)
    parties = _by_party(identity.parties(store, tenant_id, entity, terms, ids), "source_record_id")
    points = _by_party(identity.contact_points(store, tenant_id, ids), "party")
    numbers = _by_party(identity.party_identifiers(store, tenant_id, ids), "party")
    employees = set(identity.employees(store, tenant_id, ids)["party"].to_pylist())
    empty = dict.fromkeys(match_schema(entity).names)
    return [
        {
            **empty, **_own_terms(rows, terms), **_points_of([each for each in points[sid] if each["valid_to"] is None]),
            "source_record_id": sid, "role_class": ROLE_EMPLOYEE if sid in employees else ROLE_CUSTOMER,
            "identifiers": sorted({_told(each["system"], each["value"]) for each in numbers[sid]} - {None}),
            "verified": _verified(points[sid], numbers[sid]),
        }
        for sid, rows in parties.items()
    ]  # fmt: skip


def _by_party(rows: pa.Table, key: str) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        found[row[key]].append(row)
    return found


def _own_terms(rows: list[dict[str, Any]], terms: list[str]) -> dict[str, Any]:
    """Return what a record says of itself; where a source gives several rows, a term comes from the first that has it."""
    first, ordered = rows[0], sorted(rows, key=lambda row: row["row_key"] or "")
    own = {term: next((row[term] for row in ordered if row[term] is not None), None) for term in terms}
    reference = f"{first['connection_id']}/{first['object']}/{first['source_key']}"
    return {**own, "source_ref": reference, "is_stub": all(row["is_stub"] for row in rows)}


def _points_of(points: list[dict[str, Any]]) -> dict[str, Any]:
    lists = {
        column: sorted({value for each in points if each["kind"] == kind and (value := _value(each)) is not None})
        for kind, column in _LISTS.items()
    }
    addresses = [each for each in points if each["kind"] == "address"]
    ranked = min(addresses, key=_rank, default=dict.fromkeys(ADDRESS_TERMS))
    return {**lists, **{term: ranked[term] for term in ADDRESS_TERMS}}


def _rank(point: dict[str, Any]) -> tuple[int, int, str]:
    rank = 1000 if point["rank"] is None else point["rank"]
    return rank, point["source_record_id"], point["row_key"]


def _value(point: dict[str, Any]) -> str | None:
    value: str | None = point["value"] if point["value_norm"] is None else point["value_norm"]
    return value


def _told(kind: str | None, value: str | None) -> str | None:
    return None if kind is None or value is None else f"{kind}={value}"


def _verified(points: list[dict[str, Any]], numbers: list[dict[str, Any]]) -> list[str]:
    told = [_told(each["system"], each["value"]) for each in numbers if each["verified"]]
    told += [
        _told("website" if each["kind"] == "web" else each["kind"], _value(each))
        for each in points
        if each["verified"] and each["valid_to"] is None
    ]
    return [each for each in told if each is not None]


def _terms(entity: str, policy: Policy) -> list[str]:
    """Terms worth reading: text of one value that the policy does not leave out."""
    terms = load_vocabulary().entity(entity).terms.values()
    return [t.name for t in terms if t.type in _TEXT and not t.multi and t.name not in policy.ignored_terms]


def _aggregate(con: duckdb.DuckDBPyConnection, entity: str, terms: list[str]) -> pa.Table:
    con.execute("CREATE TEMP TABLE points AS SELECT * EXCLUDE (valid_to) FROM point_rows WHERE valid_to IS NULL")
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
