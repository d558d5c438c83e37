"""What an export reads: golden rows as typed Arrow, those that changed since the last time, and ids that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select

from pipelines.store import golden_reads
from pipelines.store.arrow_in import json_lists
from pipelines.store.entity_tables import GOLDEN_CONTACT
from pipelines.store.tables import entity_id as identity
from pipelines.store.tables import metadata, picked

if TYPE_CHECKING:
    from sqlalchemy import Select

    from pipelines.store.store import Store

_ROWS = 100_000


def key_of(entity: str) -> str:
    """Return the name of the column that identifies an exported row."""
    return f"{entity}_id"


def json_columns(store: Store, entity: str) -> tuple[str, ...]:
    """Return the columns that hold lists: they are exported as JSON."""
    return tuple(term.name for term in store.vocabulary.entities[entity].terms.values() if term.multi)


def golden_rows(store: Store, tenant_id: int, entity: str, *, since: int, upto: int) -> Iterator[pa.Table]:
    """Yield the rows of ``v1_<entity>`` written after ``since`` up to ``upto``, by id, typed; lists as JSON text."""
    table = metadata.tables[f"golden_{entity}"]
    changed = _statement(store, tenant_id, entity).where(table.c.change_seq > since, table.c.change_seq <= upto)
    last: int | None = None
    while True:
        beyond = [] if last is None else [table.c.entity_id > last]
        rows = store.read_arrow(changed.where(*beyond).order_by(table.c.entity_id).limit(_ROWS))
        if rows.num_rows:
            last = rows.column(0)[-1].as_py()
            yield _plain(rows)
        if rows.num_rows < _ROWS:
            return


def shape(store: Store, tenant_id: int, entity: str) -> pa.Schema:
    """Return the columns of an exported table and their types."""
    return _plain(store.read_arrow(_statement(store, tenant_id, entity).limit(0))).schema


def gone_ids(store: Store, tenant_id: int, entity: str, *, linked_since: int, minted_upto: int) -> pa.Array:
    """Return the ids that may have been exported before and have no golden row now: merged away, split or emptied."""
    changed = golden_reads.changed_entity_ids(store, tenant_id, entity, linked_since)
    if not len(changed):
        return changed
    table = metadata.tables[f"golden_{entity}"]
    present = _ids(store, table.c.entity_id, changed, table.c.tenant_id == tenant_id)
    known = _ids(
        store, identity.c.entity_id, changed,
        identity.c.tenant_id == tenant_id, identity.c.entity == entity, identity.c.minted_seq <= minted_upto,
    )  # fmt: skip
    return known.filter(pc.invert(pc.is_in(known, present)))


def _statement(store: Store, tenant_id: int, entity: str) -> Select[Any]:
    table = metadata.tables[f"golden_{entity}"]
    names = [*store.vocabulary.entities[entity].terms, *GOLDEN_CONTACT, "source_count", "is_stub", "change_seq"]
    columns = [table.c.entity_id.label(key_of(entity)), *(table.c[name] for name in names)]
    return select(*columns).where(table.c.tenant_id == tenant_id)


def _ids(store: Store, column: Any, among: pa.Array, *where: Any) -> pa.Array:
    statement = select(column).where(*where, column.in_(select(picked.c.id))).order_by(column)
    return store.read_arrow(statement, ids=among).column(0).combine_chunks()


def _plain(rows: pa.Table) -> pa.Table:
    for place, name in enumerate(rows.column_names):
        if pa.types.is_list(rows.schema.field(place).type):
            rows = rows.set_column(place, name, json_lists(rows.column(place)))
    return rows
