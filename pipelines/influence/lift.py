"""From statements of sources to relations of golden entities, set-based: one query over Arrow tables.

told      what sources say: relationships, and the owner and the contact that an opportunity names
lifted    both ends as golden ids; a golden kind; what has no golden end, no length or one end only is counted, not kept
said      with the span of time; an open end is closed by an end that another source states later than it spoke
spans     spans of one relation that overlap or touch become one; an undated statement supports the last of them
met       facts that name both ends
weighed   with strength

A statement without dates says that a relation is known, not when: it decides dates only where nothing else does, and it
opens the last span again when it was made after that span's end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pipelines.compute import query
from pipelines.influence import rules

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "from_id, to_id, kind, role_key, hierarchy"
_OPENING, _END = "TIMESTAMPTZ '-infinity'", "TIMESTAMPTZ 'infinity'"

_TOLD = """
    SELECT source_record_id AS s, connection_id AS c, concat_ws('/', connection_id, object, source_key, row_key) AS ref,
           from_party, to_party, type, hierarchy, role, CAST(strength AS DOUBLE) AS stated, is_primary, valid_from AS f,
           valid_to AS t, coalesce(record_time, valid_from) AS moment
    FROM statements
    UNION ALL
    SELECT source_record_id, connection_id, concat_ws('/', connection_id, object, source_key, 'owner'), owner, organization,
           'account_team', NULL, 'opportunity_owner', NULL, NULL, created_at, NULL, coalesce(record_time, created_at)
    FROM deals WHERE owner IS NOT NULL
    UNION ALL
    SELECT source_record_id, connection_id, concat_ws('/', connection_id, object, source_key, 'contact'), contact, organization,
           'buying_group', NULL, 'opportunity_contact', NULL, NULL, created_at, NULL, coalesce(record_time, created_at)
    FROM deals WHERE contact IS NOT NULL"""

_PLACED = """
    SELECT told.* EXCLUDE (from_party, to_party), a.entity_id AS from_id, a.entity AS from_entity, b.entity_id AS to_id,
           b.entity AS to_entity
    FROM told LEFT JOIN links AS a ON a.source_record_id = from_party
              LEFT JOIN links AS b ON b.source_record_id = to_party"""

_FATE = """
    SELECT *, CASE WHEN from_id IS NULL OR to_id IS NULL THEN 'orphan' WHEN from_id = to_id THEN 'self'
                   WHEN t <= f THEN 'backwards' ELSE 'kept' END AS fate
    FROM placed"""

_LIFTED = f"""
    SELECT * EXCLUDE (hierarchy, kind),
           kind, CASE WHEN kind = 'parent' THEN coalesce(hierarchy, '{rules.DEFAULT_HIERARCHY}') ELSE '' END AS hierarchy,
           CASE WHEN kind IN ({rules.names(by_role=True)}) THEN coalesce(lower(trim(role)), '') ELSE '' END AS role_key,
           CASE WHEN kind IN ({rules.names(subject_is_to=True)}) THEN to_id ELSE from_id END AS subject_id,
           f IS NULL AND t IS NULL AS undated
    FROM (SELECT *, {rules.kind_sql()} AS kind FROM fated WHERE fate = 'kept')"""

_NUMBERED = f"SELECT *, dense_rank() OVER (ORDER BY {_KEY}) AS k FROM lifted"

_SAID = f"""
    SELECT n.*, coalesce(n.f, {_OPENING}) AS lo,
           coalesce(n.t, (SELECT min(e.t) FROM ends AS e WHERE e.k = n.k AND e.t > coalesce(n.f, {_OPENING})
                          AND e.t >= n.moment), {_END}) AS hi
    FROM numbered AS n WHERE NOT n.undated"""

_BEGINS = """
    SELECT *, CASE WHEN lo <= max(hi) OVER (PARTITION BY k ORDER BY lo, hi, ref, s
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS begins
    FROM said"""

_ISLANDS = """
    SELECT * EXCLUDE (begins), sum(begins) OVER (PARTITION BY k ORDER BY lo, hi, ref, s ROWS UNBOUNDED PRECEDING) AS span
    FROM begun
    UNION ALL BY NAME
    SELECT n.*, NULL::TIMESTAMPTZ AS lo, NULL::TIMESTAMPTZ AS hi, coalesce(l.span, 1) AS span
    FROM numbered AS n LEFT JOIN (SELECT k, sum(begins) AS span FROM begun GROUP BY k) AS l USING (k) WHERE n.undated"""

# Nearly all relations have one teller: DISTINCT aggregates would cost more than the rest of the query.
_TELLERS = "CASE WHEN min(s) = max(s) THEN concat('[', min(s), ']') ELSE to_json(list_sort(list_distinct(list(s))))::VARCHAR END"
_SPANS = f"""
    SELECT k, span, any_value(from_id) AS from_id, any_value(to_id) AS to_id, any_value(kind) AS kind,
           any_value(hierarchy) AS hierarchy, any_value(subject_id) AS subject_id,
           any_value(from_entity) AS from_entity, any_value(to_entity) AS to_entity,
           coalesce(arg_max(role, (coalesce(moment, {_OPENING}), ref)), '') AS spoken, any_value(role_key) AS role_key,
           min(f) AS valid_from, max(moment) AS evidence_at, max(hi) AS ends, bool_and(undated) AS undated,
           max(moment) FILTER (undated) AS repeated_at, bool_or(undated AND moment IS NULL) AS repeated,
           CASE WHEN min(c) = max(c) THEN 1 ELSE len(list_distinct(list(c))) END AS sources,
           arg_max(stated, (coalesce(moment, {_OPENING}), ref)) AS stated,
           bool_or(is_primary) AS is_primary, {_TELLERS} AS told_by,
           min(ref) AS first_ref
    FROM islands GROUP BY k, span"""

_CLOSED = f"""
    SELECT * EXCLUDE (ends, undated, repeated_at, repeated, spoken, role_key),
           CASE WHEN undated OR ends = {_END} OR repeated OR coalesce(repeated_at > ends, false) THEN NULL
                ELSE ends END AS valid_to,
           CASE WHEN kind IN ({rules.names(by_role=True)}) THEN role_key ELSE spoken END AS role
    FROM spans"""

_PRESENT = """
    SELECT fact, entity_id AS g, max(moment) AS moment FROM encounters JOIN links ON source_record_id = record GROUP BY fact, g"""
_MEETINGS = f"SELECT fact FROM present GROUP BY fact HAVING count(*) BETWEEN 2 AND {rules.CROWD}"
_MET = """
    SELECT a.g AS one, b.g AS other, count(*) AS n, max(greatest(a.moment, b.moment)) AS last
    FROM present AS a JOIN present AS b ON a.fact = b.fact AND a.g < b.g
    WHERE a.fact IN (SELECT fact FROM meetings)
      AND (a.g, b.g) IN (SELECT (least(from_id, to_id), greatest(from_id, to_id)) FROM closed)
    GROUP BY a.g, b.g"""

_SEEN = """
    SELECT closed.*, coalesce(n, 0) AS together, greatest(evidence_at, last) AS seen_at
    FROM closed LEFT JOIN met ON one = least(from_id, to_id) AND other = greatest(from_id, to_id)"""

_AGE = "greatest(0, epoch(max(seen_at) OVER (PARTITION BY subject_id)) - epoch(least(seen_at, valid_to))) / 86400.0"
_WEIGHED = f"""
    SELECT * EXCLUDE (stated, seen_at, age),
           round({rules.SAID} * CASE WHEN stated IS NULL THEN 1 - pow(0.5, sources) ELSE least(1, greatest(0, stated)) END
                 + {rules.RECENCY} * CASE WHEN seen_at IS NULL THEN {rules.UNKNOWN_RECENCY}
                                          ELSE pow(0.5, age / {rules.HALF_LIFE_DAYS}) END
                 + {rules.TOGETHER} * together / (together + {rules.MEETINGS_FOR_HALF}), 4) AS strength
    FROM (SELECT *, {_AGE} AS age FROM seen)"""

_STEPS = {
    "told": _TOLD, "placed": _PLACED, "fated": _FATE, "lifted": _LIFTED, "numbered": _NUMBERED,
    "ends": "SELECT DISTINCT k, t FROM numbered WHERE t IS NOT NULL", "said": _SAID, "begun": _BEGINS,
    "islands": _ISLANDS, "spans": _SPANS, "closed": _CLOSED, "present": _PRESENT, "meetings": _MEETINGS, "met": _MET,
    "seen": _SEEN, "weighed": _WEIGHED,
}  # fmt: skip

_COLUMNS = (
    "from_id", "to_id", "kind AS type", "role", "hierarchy", "CAST(span AS BIGINT) AS span", "subject_id", "from_entity",
    "to_entity", "valid_from", "valid_to", "evidence_at", "CAST(strength AS DOUBLE) AS strength",
    "CAST(sources AS BIGINT) AS sources", "together",
    "is_primary", "told_by", "first_ref",
)  # fmt: skip
_RIVALS = (
    f"kind IN ({rules.names(single=True)}) AND min(other) OVER rival <> max(other) OVER rival AS contested "
    "FROM (SELECT *, CASE WHEN subject_id = to_id THEN from_id ELSE to_id END AS other FROM weighed) "
    "WINDOW rival AS (PARTITION BY subject_id, kind, hierarchy) "
)


class Told(NamedTuple):
    """What the relations of some subjects are made of; ``links`` knows every record named in the others."""

    statements: pa.Table
    deals: pa.Table
    links: pa.Table
    encounters: pa.Table


def lift(told: Told) -> pa.Table:
    """Return one row per relation and span; ``contested`` marks those whose subject can have only one such relation."""
    steps = ", ".join(f"{name} AS MATERIALIZED ({text})" for name, text in _STEPS.items())
    order = "ORDER BY from_id, to_id"
    return query(f"WITH {steps} SELECT {', '.join(_COLUMNS)}, {_RIVALS} {order}", **told._asdict())


def account(told: Told) -> Mapping[str, int]:
    """Return how many statements were read, and how many of them have no golden end, one end only, or no length."""
    steps = ", ".join(f"{name} AS ({_STEPS[name]})" for name in ("told", "placed", "fated"))
    rows = query(f"WITH {steps} SELECT fate, count(*) AS n FROM fated GROUP BY fate", **told._asdict()).to_pylist()
    found = {row["fate"]: int(row["n"]) for row in rows}
    names = {"kept": "lifted", "orphan": "orphans", "self": "self_relations", "backwards": "backwards"}
    return {"read": sum(found.values()), **{name: found.get(fate, 0) for fate, name in names.items()}}
