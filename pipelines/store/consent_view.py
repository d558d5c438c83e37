"""``effective_consent``: what a golden party's consent acts come to (ARCHITECTURE §6, "Consent is a fact").

One row per golden party and slot (purpose, channel, topic, contact point) that any of its acts names.

- An act covers a slot if its purpose is the same and its channel (``any``), topic (null) and contact point (null) are
  the same or wider.
- A denial that covers the slot holds, unless a grant for the denial's own contact point also covers the slot, is
  authenticated and is newer. An act without ``captured_at`` is never newer, and nothing is newer than it.
- *denied* if a denial holds; else *granted* if a grant covers the slot; else *unknown*.
"""

from __future__ import annotations

_ACTS = """
    SELECT c.tenant_id, x.entity, x.entity_id, c.contact_kind, c.contact_value_norm, c.purpose, c.channel, c.topic,
           c.status, c.captured_at, c.authenticated
    FROM crosswalk AS x JOIN consent AS c ON c.tenant_id = x.tenant_id AND c.party = x.source_record_id
    WHERE c.deleted_at IS NULL"""


def _covers(act: str) -> str:
    return f"""{act}.tenant_id = slot.tenant_id AND {act}.entity_id = slot.entity_id AND {act}.purpose = slot.purpose
        AND ({act}.channel = 'any' OR {act}.channel = slot.channel)
        AND ({act}.topic IS NULL OR {act}.topic = slot.topic)
        AND ({act}.contact_value_norm IS NULL OR {act}.contact_value_norm = slot.contact_value_norm)
        AND ({act}.contact_kind IS NULL OR {act}.contact_kind = slot.contact_kind)"""


_SAME_POINT = """coalesce(g.contact_kind, '') = coalesce(d.contact_kind, '')
        AND coalesce(g.contact_value_norm, '') = coalesce(d.contact_value_norm, '')"""

EFFECTIVE_CONSENT = f"""
    SELECT slot.tenant_id, slot.entity, slot.entity_id, slot.contact_kind, slot.contact_value_norm, slot.purpose,
           slot.channel, slot.topic,
      CASE
        WHEN EXISTS (
          SELECT 1 FROM ({_ACTS}) AS d WHERE d.status = 'denied' AND {_covers("d")}
          AND NOT EXISTS (
            SELECT 1 FROM ({_ACTS}) AS g WHERE g.status = 'granted' AND g.authenticated AND {_covers("g")}
            AND {_SAME_POINT} AND g.captured_at > d.captured_at))
        THEN 'denied'
        WHEN EXISTS (SELECT 1 FROM ({_ACTS}) AS g WHERE g.status = 'granted' AND {_covers("g")})
        THEN 'granted'
        ELSE 'unknown'
      END AS status
    FROM (SELECT DISTINCT tenant_id, entity, entity_id, contact_kind, contact_value_norm, purpose, channel, topic
          FROM ({_ACTS}) AS act) AS slot"""
