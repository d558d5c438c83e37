"""The golden contact points as a pure function: what the sources say and what happened in, ranked points out.

*Deliverability* is a number from 0 to 1: what is best known of the point (the policy's ``answered``, ``delivered``,
``verified``, ``unknown``), halved by each soft bounce since the last success; 0 while a hard bounce, or a source's word
that it is undeliverable, is newer than every success. A source's word without a time is never older than a success. So
a bounce never raises it and a later success never lowers it.

*State*: ``ended`` when every source that has it says so; ``complained`` once somebody there complained of spam;
``undeliverable`` at 0 or after the policy's number of soft bounces; else ``usable``. None of them leaves the record.

*Rank*, within entity and kind: usable points first, then complained, undeliverable, ended; then the higher
deliverability, the source's own order, the more source records, the one that changed last, the text of its reference.

No clock and no order of rows matters. An event counts for a contact point where the party that it names has one point
of that kind; where that point had another value before, only events since its record changed count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.compute import query

if TYPE_CHECKING:
    from pipelines.channels.policy import Policy

INSTANT = pa.timestamp("us", tz="UTC")
POINT_SCHEMA = pa.schema(
    [
        ("entity_id", pa.int64()),
        ("kind", pa.string()),
        ("network", pa.string()),
        ("value_norm", pa.string()),
        ("entity", pa.string()),
        ("value", pa.string()),
        ("use", pa.string()),
        ("rank", pa.int64()),
        ("state", pa.string()),
        ("verified", pa.bool_()),
        ("deliverability", pa.float64()),
        ("valid_from", INSTANT),
        ("valid_to", INSTANT),
        ("signals", pa.string()),
        ("sources", pa.string()),
    ]
)

# E-mail, phone and handle have a normal form of their own; of an address and a web page it is the words, as written.
_SAID = r"""
    SELECT entity_id, source_record_id, row_key, kind, coalesce(network, '') AS network, "value", "use",
           coalesce(value_norm, CASE WHEN kind IN ('address', 'web')
             THEN trim(regexp_replace(lower("value"), '[\s[:punct:]]+', ' ', 'g')) ELSE lower(trim("value")) END) AS norm,
           rank, verified, deliverable, valid_from, valid_to, record_time,
           coalesce(try_cast(json_extract_string(term_times, '$.deliverable') AS TIMESTAMPTZ), record_time) AS judged_at,
           connection_id || '/' || object || '/' || source_key AS ref
    FROM points"""

_GROUPED = """
    SELECT entity_id, kind, network, norm,
           arg_max(coalesce("value", norm), (coalesce(record_time, TIMESTAMPTZ '0001-01-01'), ref)) AS "value",
           arg_max("use", (coalesce(record_time, TIMESTAMPTZ '0001-01-01'), ref)) FILTER ("use" IS NOT NULL) AS "use",
           min(rank) AS said_rank, bool_or(verified) AS verified,
           list_sort(list_distinct(list(source_record_id))) AS said_by,
           min(valid_from) AS valid_from, bool_and(valid_to IS NOT NULL) AS ended, max(valid_to) AS valid_to,
           bool_or(deliverable = false) AS refused,
           bool_or(deliverable = false AND judged_at IS NULL) AS refused_for_good,
           max(judged_at) FILTER (deliverable = false) AS refused_at,
           max(judged_at) FILTER (deliverable = true) AS accepted_at,
           max(record_time) AS changed_at, min(ref) AS ref
    FROM said WHERE norm <> '' GROUP BY ALL"""

_AT_POINT = """
    SELECT s.entity_id, s.kind, p.network, p.norm, s.signal, s.occurred_at
    FROM signals AS s JOIN (
      SELECT source_record_id, kind, any_value(network) AS network, any_value(norm) AS norm,
             max(record_time) FILTER (moved.row_key IS NOT NULL) AS since, bool_or(moved.row_key IS NOT NULL) AS moved
      FROM said LEFT JOIN moved USING (source_record_id, row_key) WHERE norm <> ''
      GROUP BY source_record_id, kind HAVING count(DISTINCT norm) = 1
    ) AS p ON p.source_record_id = s.party AND p.kind = s.kind
    WHERE NOT p.moved OR s.occurred_at >= p.since"""

_HISTORY = """
    SELECT entity_id, kind, network, norm,
           max(occurred_at) FILTER (signal IN ('delivered', 'opened', 'answered', 'cleared')) AS success_at,
           bool_or(signal IN ('opened', 'answered')) AS answered, bool_or(signal = 'delivered') AS delivered,
           max(occurred_at) FILTER (signal = 'hard_bounced') AS hard_at,
           max(occurred_at) FILTER (signal IN ('hard_bounced', 'soft_bounced')) AS bounced_at,
           count(*) FILTER (signal IN ('hard_bounced', 'soft_bounced')) AS bounces,
           max(occurred_at) FILTER (signal = 'complained') AS complained_at,
           list(occurred_at) FILTER (signal = 'soft_bounced') AS soft
    FROM at_point GROUP BY ALL"""

_JUDGED = """
    SELECT g.*, h.* EXCLUDE (entity_id, kind, network, norm),
           greatest(h.success_at, CASE WHEN g.accepted_at IS NOT NULL THEN g.accepted_at END) AS ok_at,
           CASE WHEN coalesce(h.answered, false) THEN $answered
                WHEN coalesce(h.delivered, false) OR g.accepted_at IS NOT NULL THEN $delivered
                WHEN g.verified THEN greatest($verified, $unknown) ELSE $unknown END AS base
    FROM grouped AS g LEFT JOIN history AS h USING (entity_id, kind, network, norm)"""

_SCORED = """
    SELECT *, CASE WHEN refused_for_good OR (refused AND NOT coalesce(ok_at > refused_at, false))
                     OR (hard_at IS NOT NULL AND NOT coalesce(ok_at > hard_at, false)) THEN 0.0
                   ELSE round(base * 0.5 ** softs, 4) END AS deliverability
    FROM (SELECT *, coalesce(len(list_filter(soft, lambda moment: ok_at IS NULL OR moment >= ok_at)), 0) AS softs FROM judged)"""

_POINTS = """
    SELECT entity_id, kind, network, norm AS value_norm, $entity AS entity, "value", "use",
           row_number() OVER (PARTITION BY entity_id, kind ORDER BY
             array_position(['usable', 'complained', 'undeliverable', 'ended'], state), deliverability DESC,
             said_rank NULLS LAST, len(said_by) DESC, changed_at DESC NULLS LAST, ref, network, norm)::BIGINT AS rank,
           state, verified, deliverability::DOUBLE AS deliverability, valid_from, CASE WHEN ended THEN valid_to END AS valid_to,
           CASE WHEN coalesce(ok_at, bounced_at, complained_at) IS NOT NULL THEN to_json({
             bounced_at: strftime(timezone('UTC', bounced_at), '%Y-%m-%dT%H:%M:%S.%fZ'), bounces: coalesce(bounces, 0),
             complained_at: strftime(timezone('UTC', complained_at), '%Y-%m-%dT%H:%M:%S.%fZ'),
             success_at: strftime(timezone('UTC', ok_at), '%Y-%m-%dT%H:%M:%S.%fZ')})::VARCHAR END AS signals,
           replace(said_by::VARCHAR, ' ', '') AS sources
    FROM (SELECT *, CASE WHEN ended THEN 'ended' WHEN complained_at IS NOT NULL THEN 'complained'
                         WHEN deliverability = 0 OR softs >= $soft_bounces THEN 'undeliverable'
                         ELSE 'usable' END AS state FROM scored)
    ORDER BY entity_id, kind, rank"""

_STEPS = {
    "said": _SAID, "grouped": _GROUPED, "at_point": _AT_POINT, "history": _HISTORY, "judged": _JUDGED, "scored": _SCORED,
}  # fmt: skip
_SQL = "WITH " + ", ".join(f"{name} AS ({sql})" for name, sql in _STEPS.items()) + _POINTS


def golden_points(points: pa.Table, signals: pa.Table, moved: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Return one row per entity and distinct contact point, as ``POINT_SCHEMA`` says, ordered by entity, kind, rank.

    ``moved`` names the contact points (source_record_id, row_key) that had another value before.
    """
    params = {**policy.deliverability, "soft_bounces": policy.soft_bounces, "entity": entity}
    return (
        query(_SQL, params, points=points, signals=signals, moved=moved).select(POINT_SCHEMA.names).cast(POINT_SCHEMA)
    )
