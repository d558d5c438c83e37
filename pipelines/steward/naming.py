"""How a person names records: ``crm/contact/17`` (connection/object/key), ``r17`` (record number) or ``17`` (golden id)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConfig
from pipelines.store import facts, golden_reads, steward_reads

if TYPE_CHECKING:
    from pipelines.context import StageContext
    from pipelines.store.steward_reads import Record

_RECORD, _GOLDEN = re.compile(r"r(\d+)"), re.compile(r"\d+")
_DO = "name a record as connection/object/key, as r<number>, or a golden id as its number"


def entity_of(context: StageContext) -> str:
    """Return the entity that a decision or a question is about."""
    if context.entity is None:
        raise FixConfig("a decision is about an entity", do="use context.for_entity('person')")
    return context.entity


def one_record(context: StageContext, entity: str, name: str) -> Record:
    """Return the record that a name means; a golden id means its member with the smallest reference.

    Unknown, deleted and foreign records are refused with what to do.
    """
    found = _found(context, entity, name)
    if found is None:
        raise FixConfig(f"there is no {entity} '{name}'", do=_DO)
    if found.deleted:
        raise FixConfig(f"record {found.source_record_id} ({found.source_ref}) is gone", do="decide on what is there")
    if found.entity not in (None, entity):
        raise FixConfig(f"record {found.source_record_id} is a {found.entity}, not a {entity}", do=_DO)
    return found


def golden_id(context: StageContext, entity: str, name: str) -> int:
    """Return the golden id that a name means now; an old id is followed, a record stands for its entity."""
    found = one_record(context, entity, name)
    if found.entity_id is None:
        raise FixConfig(f"record {found.source_record_id} has no golden {entity} yet", do="run `unisono sync` first")
    return found.entity_id


def _found(context: StageContext, entity: str, name: str) -> Record | None:
    store, tenant = context.store, context.tenant_id
    if numbered := _RECORD.fullmatch(name):
        number = int(numbered[1])
        return steward_reads.records(store, tenant, [number]).get(number)
    if _GOLDEN.fullmatch(name):
        current = golden_reads.current_id(store, tenant, entity, int(name))
        return next(iter(steward_reads.members(store, tenant, entity, [current])), None) if current else None
    connection, _, rest = name.partition("/")
    ids = {known: identity for identity, known in facts.connection_names(store, tenant_id=tenant).items()}
    return steward_reads.record_of(store, tenant, f"{ids.get(connection, connection)}/{rest}")
