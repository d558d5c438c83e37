"""``effective_consent`` and ``v1_reachable``: what consent acts come to (ARCHITECTURE §6, "Consent is a fact"; ADR 0026).

``effective_consent`` has one row per golden party and slot (purpose, channel, topic, contact point) that an act of one
of its source records names, or that somebody's refusal of a contact point it has names.

- An act covers a slot if its purpose is the same and its channel (``any``), topic (null) and contact point (null) are
  the same or wider.
- A denial that covers the slot holds, unless a grant for the denial's own contact point also covers the slot, is
  authenticated and is newer. An act without ``captured_at`` is never newer, and nothing is newer than it.
- A denial of a contact point binds it wherever it appears: at every golden party, whoever refused, also a source record
  that is linked to nobody. Only a grant of the party concerned, or of the one who refused, takes it back.
- *denied* if a denial holds; else *granted* if a grant of the party itself covers the slot; else *unknown*.

``v1_reachable`` asks the same of every golden contact point, on each channel that reaches its kind. Both are views over
the acts themselves: an act counts from the moment it is committed, and who is merged with whom is only a link.
"""

from __future__ import annotations

_WAYS = " UNION ALL ".join(
    f"SELECT '{kind}' AS kind, '{channel}' AS channel"
    for kind, channel in (
        ("email", "email"), ("phone", "phone"), ("phone", "sms"), ("phone", "whatsapp"), ("address", "post"),
    )
)  # fmt: skip


def _own(act: str, *, of: str = "slot") -> str:
    """FROM … WHERE: the live acts of a golden party's source records. CROSS JOIN makes SQLite start from the party."""
    party = f"x{act}.tenant_id = {of}.tenant_id AND x{act}.entity_id = {of}.entity_id AND " if of else ""
    return f"""FROM crosswalk AS x{act} CROSS JOIN consent AS {act}
          WHERE {party}{act}.tenant_id = x{act}.tenant_id AND {act}.party = x{act}.source_record_id
          AND {act}.deleted_at IS NULL"""


def _anyones(act: str, point: str) -> str:
    """FROM … WHERE: the live acts about a contact point, whoever's, with the golden party of who acted if there is one."""
    return f"""FROM consent AS {act} LEFT JOIN crosswalk AS x{act}
          ON x{act}.tenant_id = {act}.tenant_id AND x{act}.source_record_id = {act}.party
          WHERE {act}.tenant_id = {point}.tenant_id AND {act}.contact_value_norm = {point}.contact_value_norm
          AND {act}.deleted_at IS NULL"""


def _covers(act: str) -> str:
    return f"""{act}.purpose = slot.purpose AND ({act}.channel = 'any' OR {act}.channel = slot.channel)
        AND ({act}.topic IS NULL OR {act}.topic = slot.topic)
        AND ({act}.contact_value_norm = slot.contact_value_norm
             OR ({act}.contact_value_norm IS NULL
                 AND ({act}.contact_kind IS NULL OR {act}.contact_kind = slot.contact_kind)))"""


def _lifts(grant: str, denial: str) -> str:
    """A grant outlives a denial: authenticated, newer, for the denial's own contact point, and it covers the slot."""
    return f"""{grant}.status = 'granted' AND {grant}.authenticated AND {_covers(grant)}
        AND coalesce({grant}.contact_kind, '') = coalesce({denial}.contact_kind, '')
        AND coalesce({grant}.contact_value_norm, '') = coalesce({denial}.contact_value_norm, '')
        AND {grant}.captured_at > {denial}.captured_at"""


_OWN_DENIAL = f"""EXISTS (
      SELECT 1 {_own("d")} AND d.status = 'denied' AND {_covers("d")}
      AND NOT EXISTS (SELECT 1 {_own("g")} AND {_lifts("g", "d")}))"""

# Who refused is known by the source record, and by its golden party where it has one.
_DENIAL_OF_THE_POINT = f"""EXISTS (
      SELECT 1 {_anyones("d", "slot")} AND d.status = 'denied' AND {_covers("d")}
      AND NOT EXISTS (
        SELECT 1 {_anyones("g", "d")} AND {_lifts("g", "d")}
        AND (xg.entity_id = slot.entity_id OR xg.entity_id = xd.entity_id OR g.party = d.party)))"""

_GRANT = f"EXISTS (SELECT 1 {_own('g')} AND g.status = 'granted' AND {_covers('g')})"

_STATUS = f"""CASE WHEN {_OWN_DENIAL} OR {_DENIAL_OF_THE_POINT} THEN 'denied'
      WHEN {_GRANT} THEN 'granted' ELSE 'unknown' END"""

# DISTINCT over UNION ALL, not UNION: SQLite hands a condition on the party down through the one, not through the other.
_SLOTS = f"""
    SELECT DISTINCT * FROM (
    SELECT xa.tenant_id, xa.entity, xa.entity_id, a.contact_kind, a.contact_value_norm, a.purpose, a.channel, a.topic
    {_own("a", of="")}
    UNION ALL
    SELECT p.tenant_id, p.entity, p.entity_id, d.contact_kind, d.contact_value_norm, d.purpose, d.channel, d.topic
    FROM golden_contact_point AS p CROSS JOIN consent AS d
    WHERE d.tenant_id = p.tenant_id AND d.contact_value_norm = p.value_norm AND d.status = 'denied'
      AND d.deleted_at IS NULL) AS named"""

EFFECTIVE_CONSENT = f"""
    SELECT slot.tenant_id, slot.entity, slot.entity_id, slot.contact_kind, slot.contact_value_norm, slot.purpose,
           slot.channel, slot.topic, {_STATUS} AS status
    FROM ({_SLOTS}) AS slot"""

_REACH_SLOTS = f"""
    SELECT DISTINCT p.tenant_id, p.entity_id, p.kind AS contact_kind, p.network, p.value_norm AS contact_value_norm,
           way.channel, s.purpose, s.topic
    FROM golden_contact_point AS p CROSS JOIN ({_WAYS}) AS way CROSS JOIN crosswalk AS xs CROSS JOIN consent AS s
    WHERE way.kind = p.kind AND xs.tenant_id = p.tenant_id AND xs.entity_id = p.entity_id
      AND s.tenant_id = xs.tenant_id AND s.party = xs.source_record_id AND s.deleted_at IS NULL
      AND (s.contact_value_norm = p.value_norm
           OR (s.contact_value_norm IS NULL AND (s.contact_kind IS NULL OR s.contact_kind = p.kind)))
      AND (s.channel = 'any' OR s.channel = way.channel)"""

REACHABLE = f"""
    SELECT p.tenant_id, p.entity, p.entity_id, asked.purpose, asked.channel, asked.topic, p.kind, p.value_norm, p.value,
           p.use, p.rank, p.state, p.verified, p.deliverability, asked.status AS consent,
           (asked.status = 'granted' AND p.state = 'usable') AS may_contact
    FROM (SELECT slot.tenant_id, slot.entity_id, slot.contact_kind, slot.network, slot.contact_value_norm,
                 slot.channel, slot.purpose, slot.topic, {_STATUS} AS status
          FROM ({_REACH_SLOTS}) AS slot) AS asked
    CROSS JOIN golden_contact_point AS p WHERE p.tenant_id = asked.tenant_id AND p.entity_id = asked.entity_id
      AND p.kind = asked.contact_kind AND p.network = asked.network AND p.value_norm = asked.contact_value_norm"""
