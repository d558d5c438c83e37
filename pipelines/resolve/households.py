"""Who lives together: a household is a derived party of golden persons, made anew from what the golden records say.

Two persons are of one household where they have the same whole address (house, postcode or place) and

- a family name in common, or
- an e-mail address or phone in common that several given names hold (what one person alone uses joins nobody);

and where no two addresses speak against it, a family name together with such an e-mail address or phone is enough. Groups
beyond ``MOST`` are an institution or a placeholder and join nobody. A household never joins persons, shares no consent and
has no value of its own: it is a set of person ids, each with the reasons and since when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.compute import query
from pipelines.resolve import sql
from pipelines.resolve.edges import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST = 12
"""Persons of one household at most."""
RULES_VERSION = 1
MEMBERS = pa.schema([
    ("person_id", pa.int64()), ("label", pa.int64()), ("reasons", pa.string()), ("valid_from", pa.timestamp("us", tz="UTC")),
])  # fmt: skip

_PLACE = "coalesce(nullif({postcode}, ''), nullif({city}, ''))".format(
    postcode=sql.compact("postcode"), city=sql.text("city")
)
_PEOPLE = f"""
    SELECT entity_id AS person_id, nullif({sql.text("family_name")}, '') AS family,
           nullif({sql.text("given_name")}, '') AS given,
           CASE WHEN regexp_matches(street, '[0-9]') THEN
             {sql.text("street")} || '|' || coalesce({sql.text("street_2")}, '') || '|' || {_PLACE} END AS home,
           try_cast(json_extract_string(provenance, '$.street[2]') AS TIMESTAMPTZ) AS since
    FROM persons WHERE NOT is_stub"""
# An own value joins nobody, nor does one that more people hold than a household has.
_SHARED = f"""
    SELECT kind, value_norm AS held FROM points JOIN people ON people.person_id = points.entity_id
    GROUP BY kind, held HAVING count(DISTINCT person_id) BETWEEN 2 AND {MOST} AND count(DISTINCT given) > 1"""
_LINKS = f"""
    WITH people AS ({_PEOPLE}), shared AS ({_SHARED}),
    family AS (
        SELECT people.*, kind, held FROM people
        JOIN points ON points.entity_id = people.person_id JOIN shared USING (kind) WHERE shared.held = points.value_norm),
    homes AS (
        SELECT home, family FROM people WHERE home IS NOT NULL AND family IS NOT NULL
        GROUP BY ALL HAVING count(*) BETWEEN 2 AND {MOST})
    SELECT DISTINCT a.person_id AS l, b.person_id AS r, 'address+name' AS reason
    FROM homes JOIN people AS a USING (home, family) JOIN people AS b USING (home, family)
    WHERE a.person_id < b.person_id
    UNION SELECT a.person_id, b.person_id, 'address+' || a.kind FROM family AS a JOIN family AS b USING (kind, held)
    WHERE a.person_id < b.person_id AND a.home = b.home
    UNION SELECT a.person_id, b.person_id, 'name+' || a.kind FROM family AS a JOIN family AS b USING (kind, held)
    WHERE a.person_id < b.person_id AND a.family = b.family AND (a.home IS NULL OR b.home IS NULL)
    ORDER BY ALL"""


def households(persons: pa.Table, points: pa.Table) -> pa.Table:
    """Return the members of households (``MEMBERS``), in the order of their ids; who lives alone is not in it.

    ``persons`` are rows of ``golden_person``; ``points`` has entity_id, kind (email or phone) and value_norm. ``label`` is
    the smallest person id of the household. Equal rows give equal households, whatever their order.
    """
    links = query(_LINKS, persons=persons, points=points)
    left, right = (links.column(side).to_numpy() for side in ("l", "r"))
    ids, place = np.unique(np.concatenate((left, right)), return_inverse=True)
    label = ids[components(len(ids), place[: len(left)], place[len(left) :])] if len(ids) else ids
    ids, label = _small(ids, label)
    return query(
        f"""WITH people AS ({_PEOPLE}), ends AS (
            SELECT l AS person_id, reason FROM links UNION SELECT r, reason FROM links),
        reasons AS (SELECT person_id, to_json(list_sort(list(DISTINCT reason)))::VARCHAR AS reasons FROM ends GROUP BY ALL)
        SELECT m.person_id, m.label, reasons, CASE WHEN contains(reasons, 'address') THEN since END AS valid_from
        FROM members AS m JOIN reasons USING (person_id) JOIN people USING (person_id) ORDER BY m.person_id""",
        persons=persons, links=links, members=pa.table({"person_id": ids, "label": label}),
    ).cast(MEMBERS)  # fmt: skip


def _small(ids: Ints, label: Ints) -> tuple[Ints, Ints]:
    """Leave out what grew beyond a household through one member after another."""
    found, counts = np.unique(label, return_counts=True)
    kept = np.isin(label, found[counts <= MOST])
    return ids[kept], label[kept]
