"""The match table: one row per source record, generated from the vocabulary (ARCHITECTURE §7).

Whoever fills it (the store, a benchmark directory, a user's CSV), everything after it is one code path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from canonical_model import load_vocabulary
from connectors.sdk.errors import FixConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MATCHED_ENTITIES = ("person", "organization")
ADDRESS_TERMS = ("street", "street_2", "city", "region", "postcode", "country")
LIST_COLUMNS = ("emails", "phones", "websites", "socials", "identifiers", "verified")
ROLE_CUSTOMER, ROLE_EMPLOYEE = "customer", "employee"
_KEYS: Mapping[str, pa.DataType] = {
    "source_record_id": pa.int64(),
    "source_ref": pa.string(),
    "is_stub": pa.bool_(),
    "role_class": pa.string(),
}


def scalar_terms(entity: str) -> tuple[str, ...]:
    """Names of the entity's single-valued terms, in the vocabulary's order."""
    terms = load_vocabulary().entity(entity).terms.values()
    return tuple(term.name for term in terms if not term.multi and not term.is_ref)


def match_schema(entity: str, attributes: Iterable[str] = ()) -> pa.Schema:
    """Return the columns of ``match_<entity>``; ``attributes`` are plain text columns beyond the vocabulary."""
    if entity not in MATCHED_ENTITIES:
        raise FixConfig(
            f"entity {entity!r} is not matched",
            why="only parties have an identity",
            do=f"use one of: {', '.join(MATCHED_ENTITIES)}",
        )
    fields = [pa.field(name, kind) for name, kind in _KEYS.items()]
    known = {*_KEYS, *LIST_COLUMNS, *ADDRESS_TERMS}
    scalars = [name for name in scalar_terms(entity) if name not in known]
    extra = [name for name in attributes if name not in known and name not in scalars]
    fields += [pa.field(name, pa.string()) for name in (*scalars, *ADDRESS_TERMS, *extra)]
    fields += [pa.field(name, pa.list_(pa.string())) for name in LIST_COLUMNS]
    return pa.schema(fields)


def match_table(entity: str, columns: Mapping[str, pa.Array | list[object]]) -> pa.Table:
    """Build a match table from the columns at hand; what is missing is null, list columns are empty."""
    schema = match_schema(entity, [name for name in columns if name not in _KEYS])
    rows = len(next(iter(columns.values())))
    return pa.table([_column(field, columns.get(field.name), rows) for field in schema], schema=schema)


def _column(field: pa.Field, values: pa.Array | list[object] | None, rows: int) -> pa.Array:
    if values is None:
        empty: object = (
            [] if pa.types.is_list(field.type) else {"is_stub": False, "role_class": ROLE_CUSTOMER}.get(field.name)
        )
        return pa.array([empty] * rows, field.type)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
