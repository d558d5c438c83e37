"""Which parts of an address another part says already: compared beside it they would count twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from pipelines.resolve.features import Feature

IMPLIED = 0.9
"""So often a part has to follow from another to say nothing of its own."""
_WIDER = (("region", "city"), ("country", "region"), ("country", "city"))


def implied(con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> set[str]:
    """Return the parts of an address that another part says already: who has the city has the country.

    Weights are added up as if comparisons were independent; what follows from another one would count twice.
    """
    names = {feature.column for feature in features}
    pairs = [(wide, narrow) for wide, narrow in _WIDER if {wide, narrow} <= names]
    return {wide for wide, narrow in pairs if _follows(con, wide, narrow) >= IMPLIED}


def _follows(con: duckdb.DuckDBPyConnection, wide: str, narrow: str) -> float:
    """Return how often the most frequent ``wide`` of a ``narrow`` value that several records have is the right one."""
    row = con.execute(
        f"""WITH said AS (SELECT {narrow} AS y, {wide} AS x, count(*) AS n FROM norm
            WHERE {narrow} IS NOT NULL AND {wide} IS NOT NULL GROUP BY ALL),
        one AS (SELECT max(n) AS top, sum(n) AS n FROM said GROUP BY y HAVING sum(n) > 1)
        SELECT sum(top) / sum(n) FROM one"""
    ).fetchone()
    return float(row[0] or 0.0) if row else 0.0
