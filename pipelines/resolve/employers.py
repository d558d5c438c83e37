"""Whom somebody works for: the organisation that a record names, or else the one whose domain the e-mail address has.

One vendor asks for the company, another has only the address of the desk there: ``ada@kestrelsecurity.example`` and "Kestrel
Security Ltd." say the same. The domain of a mail provider says nothing. The well-known ones stand in the policy; what else is
one is told by how many have it, when a model is learned, and stays in the model with the rest of what it compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.resolve import sql

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.rules import Policy

FREQUENT = 0.005
"""Share of the records from which on a domain is a mail provider's: few companies are so large a part of anybody's customers."""
LEAST_FREQUENT = 20
_DOTTED = "( [a-z]){2,4}$"
"""What the normal form leaves of ``S.A.`` and its like."""
_REGISTERED = "([^.]+)[.](?:(?:ac|co|com|edu|gob|gov|gv|ne|net|or|org)[.])?[^.]+$"
"""The word that a company registered: ``acme`` of ``mail.acme.com`` and of ``acme.co.uk``."""


def employer(con: duckdb.DuckDBPyConnection, policy: Policy, *, mailed: bool) -> str:
    """Return the SQL of a person's employer over ``match``: letters and digits of its name; NULL where nothing tells.

    ``mailed``: there are e-mail addresses to look at.
    """
    name = sql.text("organization_name")
    words = sql.without_legal_form(f"regexp_replace({name}, '{_DOTTED}', '')")
    named = f"coalesce(nullif(array_to_string({words}, ''), ''), replace({name}, ' ', ''))"
    if placeholders := [word.replace(" ", "") for word in policy.placeholders.get("text", ())]:
        named = f"(list_filter([{named}], lambda n: n NOT IN {sql.literals(placeholders)}))[1]"  # computed once, as no CASE is
    return f"coalesce({named}, {_by_domain([*policy.mail_providers, *_frequent(con)])})" if mailed else named


def _frequent(con: duckdb.DuckDBPyConnection) -> list[str]:
    rows = con.execute("SELECT count(*) FROM match").fetchone() or (0,)
    most = max(LEAST_FREQUENT, int(FREQUENT * rows[0]))
    found = con.execute(
        f"""SELECT {_domain("e")} AS domain FROM (SELECT unnest(emails) AS e FROM match) GROUP BY domain
        HAVING count(*) > {most} ORDER BY domain"""
    ).fetchall()
    return [row[0] for row in found if row[0]]


def _by_domain(providers: list[str]) -> str:
    domains = f"list_transform(emails, lambda e: {_domain('e')})"
    own = f"list_filter({domains}, lambda d: d NOT IN {sql.literals(providers)})"
    return f"nullif(regexp_replace(regexp_extract(({own})[1], '{_REGISTERED}', 1), '[^a-z0-9]+', '', 'g'), '')"


def _domain(address: str) -> str:
    return f"split_part(lower({address}), '@', 2)"
