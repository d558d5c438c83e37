"""The views applications read: ``v1_*``. Generated from the vocabulary and made anew whenever their text changes.

Party references are shown twice: ``<term>_id`` is the golden id reached through the crosswalk, ``<term>_ref`` the
source reference. Other references are shown as ``<term>_record_id`` and ``<term>_ref``. Deleted rows are left out.
``v1_source_<entity>`` shows source rows where ``v1_<entity>`` shows what the hub made of them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select

from canonical_model import Entity, Term, load_vocabulary
from pipelines.store.consent_view import EFFECTIVE_CONSENT, REACHABLE
from pipelines.store.entity_tables import GOLDEN_CONTACT
from pipelines.store.tables import store_info
from pipelines.store.types import SCALE
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "v1_"
_INTERNAL = "effective_consent"
_FIXED = {
    "v1_source_record": """
        SELECT s.tenant_id, s.source_record_id, s.connection_id, c.name AS connection, c.connector, s.object,
               s.source_key, s.connection_id || '/' || s.object || '/' || s.source_key AS source_ref, s.entity,
               s.is_stub, s.deleted_at, s.change_seq
        FROM source_record AS s
        LEFT JOIN connection AS c ON c.tenant_id = s.tenant_id AND c.connection_id = s.connection_id""",
    "v1_crosswalk": """
        SELECT x.tenant_id, x.entity, x.entity_id, x.source_record_id, s.connection_id, c.name AS connection,
               c.connector, s.object, s.source_key,
               s.connection_id || '/' || s.object || '/' || s.source_key AS source_ref, s.is_stub, x.change_seq
        FROM crosswalk AS x
        JOIN source_record AS s ON s.tenant_id = x.tenant_id AND s.source_record_id = x.source_record_id
        LEFT JOIN connection AS c ON c.tenant_id = s.tenant_id AND c.connection_id = s.connection_id""",
    "v1_quarantine": """
        SELECT q.tenant_id, q.quarantine_id, q.stage, q.connection_id, q.stream, q.object, q.source_key, q.reason,
               q.path, q.mapping_version, q.change_seq
        FROM quarantine AS q WHERE q.resolved_seq IS NULL""",
    "v1_relationship": """
        SELECT g.tenant_id, g.from_id, g.from_entity, g.to_id, g.to_entity, g.type, g.role, g.hierarchy, g.valid_from,
               g.valid_to, g.strength, g.sources, g.together, g.is_primary, g.evidence_at, g.told_by, g.conflict,
               g.conflict_with, g.change_seq
        FROM golden_relationship AS g WHERE g.conflict IS NULL OR g.conflict <> 'overruled'""",
    "v1_account_hierarchy": """
        SELECT h.tenant_id, h.hierarchy, h.entity_id AS organization_id, h.parent_id, h.valid_from, h.valid_to, h.strength,
               h.change_seq
        FROM account_hierarchy AS h WHERE h.cut IS NULL""",
    "v1_household": """
        SELECT h.tenant_id, h.household_id, p.family_name, p.street, p.street_2, p.city, p.region, p.postcode, p.country,
               h.members, h.change_seq
        FROM (SELECT m.tenant_id, m.household_id, min(m.person_id) AS first_id, count(*) AS members,
                     max(m.change_seq) AS change_seq FROM household_member AS m GROUP BY m.tenant_id, m.household_id) AS h
        LEFT JOIN golden_person AS p ON p.tenant_id = h.tenant_id AND p.entity_id = h.first_id""",
    "v1_household_member": """
        SELECT m.tenant_id, m.household_id, m.person_id, m.reasons, m.valid_from, m.change_seq
        FROM household_member AS m""",
    "v1_effective_consent": f"SELECT * FROM {_INTERNAL}",
    "v1_reachable": REACHABLE,
    "v1_golden_contact_point": """
        SELECT p.tenant_id, p.entity, p.entity_id, p.kind, p.network, p.value_norm, p.value, p.use, p.rank, p.state,
               p.verified, p.deliverability, p.valid_from, p.valid_to, p.signals, p.sources, p.change_seq
        FROM golden_contact_point AS p""",
    "v1_golden_preference": """
        SELECT p.tenant_id, p.entity, p.entity_id, p.language, p.time_zone, p.quiet_from, p.quiet_to, p.quiet_also,
               p.stated_channel, p.stated_from, p.stated_to, p.max_messages, p.per_days, p.stated,
               p.answered_channel, p.answered_hour, p.derived, p.change_seq
        FROM golden_preference AS p""",
}


@cache
def definitions(dialect: str) -> dict[str, str]:
    """Return the text of every view by name, in the order in which they can be created."""
    views = {_INTERNAL: EFFECTIVE_CONSENT, **_FIXED}
    for entity in load_vocabulary().entities.values():
        build = _golden_view if entity.golden else _source_view
        name = f"{PREFIX}{entity.name}"
        views[f"{PREFIX}source_{entity.name}" if name in _FIXED else name] = build(entity, dialect)
    return views


def names(dialect: str) -> list[str]:
    """Return the names of the views that applications may read."""
    return sorted(name for name in definitions(dialect) if name.startswith(PREFIX))


def are_current(engine: Engine) -> bool:
    """Return whether the store's views were made from the present definitions."""
    with engine.connect() as connection:
        found = connection.execute(select(store_info.c.value).where(store_info.c.name == "views")).scalar()
    return found == _fingerprint(engine.dialect.name)


def drop_all(connection: Connection) -> None:
    """Drop every view of this module, so that tables can be altered."""
    found = [name for name in inspect(connection).get_view_names() if name.startswith(PREFIX) or name == _INTERNAL]
    for name in sorted(found, key=lambda each: each == _INTERNAL):
        connection.exec_driver_sql(f'DROP VIEW "{name}"')


def create_all(connection: Connection) -> None:
    """Create every view and note their fingerprint."""
    dialect = connection.dialect.name
    for name, text in definitions(dialect).items():
        connection.exec_driver_sql(
            f'CREATE VIEW "{name}" AS {text}'.replace("%", "%%" if dialect == "postgresql" else "%")
        )
    row = {"tenant_id": 1, "name": "views", "value": _fingerprint(dialect)}
    connection.execute(insert_on_conflict(dialect, store_info, row, update=lambda new: {"value": new.value}))


def _fingerprint(dialect: str) -> str:
    return hashlib.sha256("\n".join(map(str, definitions(dialect).items())).encode()).hexdigest()


def _golden_view(entity: Entity, dialect: str) -> str:
    columns = ["t.tenant_id", f"t.entity_id AS {entity.name}_id"]
    columns += [_value(term, dialect) for term in entity.terms.values()]
    columns += [f"t.{name}" for name in (*GOLDEN_CONTACT, "source_count", "is_stub", "change_seq")]
    return f'SELECT {", ".join(columns)} FROM "golden_{entity.name}" AS t'


def _source_view(entity: Entity, dialect: str) -> str:
    joins = [_join("source_record", "own", "source_record_id")]
    columns = ["t.tenant_id", "t.source_record_id", "t.row_key", "own.connection_id", f"{_ref('own')} AS source_ref"]
    for number, term in enumerate(entity.terms.values()):
        columns += list(_shown(term, number, dialect))
        joins += list(_joins(term, number))
    columns += ["t.extras", "t.record_time", "t.change_seq"]
    return f'SELECT {", ".join(columns)} FROM "{entity.name}" AS t {" ".join(joins)} WHERE t.deleted_at IS NULL'


def _shown(term: Term, number: int, dialect: str) -> Iterator[str]:
    if not term.is_ref:
        yield _value(term, dialect)
        return
    if term.type == "party_ref":
        yield f'x{number}.entity_id AS "{term.name}_id"'
    else:
        yield f't."{term.name}" AS "{term.name}_record_id"'
    yield f'{_ref(f"s{number}")} AS "{term.name}_ref"'


def _joins(term: Term, number: int) -> Iterator[str]:
    if term.type == "party_ref":
        yield _join("crosswalk", f"x{number}", term.name)
    if term.is_ref:
        yield _join("source_record", f"s{number}", term.name)


def _join(table: str, alias: str, term: str) -> str:
    same = f'{alias}.tenant_id = t.tenant_id AND {alias}.source_record_id = t."{term}"'
    return f"LEFT JOIN {table} AS {alias} ON {same}"


def _value(term: Term, dialect: str) -> str:
    if term.type not in ("money", "decimal") or dialect != "sqlite":
        return f't."{term.name}"'
    name, unit = f't."{term.name}"', 10**SCALE
    sign = f"CASE WHEN {name} < 0 THEN '-' ELSE '' END"
    digits = f"printf('%d.%0{SCALE}d', abs({name}) / {unit}, abs({name}) % {unit})"
    return f'CASE WHEN {name} IS NOT NULL THEN {sign} || {digits} END AS "{term.name}"'


def _ref(alias: str) -> str:
    return f"{alias}.connection_id || '/' || {alias}.object || '/' || {alias}.source_key"
