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
import pyarrow.compute as pc

from pipelines.compute import query
from pipelines.resolve import sql
from pipelines.resolve.edges import components
from pipelines.store.household_open import HOUSEHOLD_MOST
from pipelines.store.household_reads import FAMILY_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST = HOUSEHOLD_MOST
"""Persons of one household at most."""
RULES_VERSION = 3
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
# A place is 40 bits of the home and 23 of the family name (0: none), so that one index finds both the name and the neighbours.
_PLACED = f"""
    SELECT *, CASE WHEN home IS NOT NULL THEN (((md5_number_lower(home) >> 24) << {FAMILY_BITS})
           | CASE WHEN family IS NULL THEN 0 ELSE 1 + md5_number_lower(family) % {2**FAMILY_BITS - 1} END)::BIGINT END AS place
    FROM ({_PEOPLE})"""
# An own value joins nobody, nor does one that more people hold than a household has.
_SHARED = f"""
    SELECT kind, value_norm AS held FROM points JOIN people ON people.person_id = points.entity_id
    GROUP BY kind, held HAVING count(DISTINCT person_id) BETWEEN 2 AND {MOST} AND count(DISTINCT given) > 1"""
_LINKS = f"""
    WITH shared AS ({_SHARED}),
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


def people_of(persons: pa.Table) -> pa.Table:
    """Return golden persons (``persons`` are rows of ``golden_person``) as they are compared; stubs are nobody.

    Columns: person_id, family, given, home, since, and place: a hash of home and family name, by which they are found.
    """
    return query(_PLACED, persons=persons)


def households(people: pa.Table, points: pa.Table) -> pa.Table:
    """Return the members of households (``MEMBERS``), in the order of their ids; who lives alone is not in it.

    ``people`` are as ``people_of`` returns them; ``points`` has entity_id, kind (email or phone) and value_norm. ``label`` is
    the smallest person id of the household. Equal rows give equal households, whatever their order.
    """
    links = links_of(people, points)
    left, right = (links.column(side).to_numpy() for side in ("l", "r"))
    ids, place = np.unique(np.concatenate((left, right)), return_inverse=True)
    label = ids[components(len(ids), place[: len(left)], place[len(left) :])] if len(ids) else ids
    ids, label = _small(ids, label)
    return query(
        """WITH ends AS (SELECT l AS person_id, reason FROM links UNION SELECT r, reason FROM links),
        reasons AS (SELECT person_id, to_json(list_sort(list(DISTINCT reason)))::VARCHAR AS reasons FROM ends GROUP BY ALL)
        SELECT m.person_id, m.label, reasons, CASE WHEN contains(reasons, 'address') THEN since END AS valid_from
        FROM members AS m JOIN reasons USING (person_id) JOIN people USING (person_id) ORDER BY m.person_id""",
        people=people, links=links, members=pa.table({"person_id": ids, "label": label}),
    ).cast(MEMBERS)  # fmt: skip


def links_of(people: pa.Table, points: pa.Table) -> pa.Table:
    """Return who is linked with whom (l < r) and for which reason; in a fixed order."""
    return query(_LINKS, people=people, points=points)


def homes_of(people: pa.Table) -> pa.Table:
    """Return person_id and home (the hash of it and of the family name) of those who have a home."""
    homes = people.select(["person_id", "place"]).rename_columns(["person_id", "home"])
    return homes.filter(pc.is_valid(homes.column("home")))


def _small(ids: Ints, label: Ints) -> tuple[Ints, Ints]:
    """Leave out what grew beyond a household through one member after another."""
    found, counts = np.unique(label, return_counts=True)
    kept = np.isin(label, found[counts <= MOST])
    return ids[kept], label[kept]
