"""Survivorship as a pure function: candidates in, golden rows out. Set-based, stateless, no clock.

``members`` holds one row per source record of an entity, ``contacts`` one per contact point of it, ``roles`` one per
part it plays: Arrow tables with the columns of ``member_schema``, ``CONTACT_SCHEMA`` and ``ROLE_SCHEMA``. Row order
never matters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import load_vocabulary
from pipelines.golden.policy import ADDRESS, CONTACT_SOURCES, RECORD, golden_columns
from pipelines.golden.sql import golden_sql

if TYPE_CHECKING:
    from pipelines.golden.policy import Policy

_INSTANT = pa.timestamp("us", tz="UTC")
_KINDS = 64
_TEXTS = pa.list_(pa.string())
_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(38, 6),
    "money": pa.decimal128(38, 6),
    "instant": _INSTANT,
}
_SOURCE = (
    ("entity_id", pa.int64()),
    ("source_record_id", pa.int64()),
    ("source_ref", pa.string()),
    ("connection", pa.string()),
    ("connector", pa.string()),
    ("record_time", _INSTANT),
    ("term_times", pa.string()),
    ("row_key", pa.string()),
)
CONTACT_SCHEMA = pa.schema(
    [
        *_SOURCE,
        ("kind", pa.string()),
        ("value", pa.string()),
        ("rank", pa.int64()),
        ("verified", pa.bool_()),
        ("deliverable", pa.bool_()),
        *((column, pa.string()) for column in ADDRESS),
    ]
)
ROLE_SCHEMA = pa.schema([("entity_id", pa.int64()), ("role", pa.string())])


def member_schema(entity: str) -> pa.Schema:
    """Return the columns of ``members``: who says it, since when, and the entity's terms."""
    terms = load_vocabulary().entity(entity).terms.values()
    columns = [(term.name, _TEXTS if term.multi else _TYPES.get(term.type, pa.string())) for term in terms]
    return pa.schema([*_SOURCE, ("is_stub", pa.bool_()), *columns])


def golden_schema(entity: str) -> pa.Schema:
    """Return the columns of a golden row as ``survive`` makes them."""
    terms = member_schema(entity)
    survived = [
        (name, terms.field(name).type if name in terms.names else pa.string()) for name in golden_columns(entity)
    ]
    rest = [("roles", _TEXTS), ("source_count", pa.int64()), ("is_stub", pa.bool_()), ("provenance", pa.string())]
    return pa.schema([("entity_id", pa.int64()), *survived, *rest])


def survive(
    members: pa.Table, policy: Policy, contacts: pa.Table | None = None, roles: pa.Table | None = None
) -> pa.Table:
    """Return one golden row per ``entity_id`` of ``members``, ordered by it.

    Every value is one that a source record of the entity holds, a group's values are all from the same one, and
    ``provenance`` names record, rule and time of every value. The same rows in any order give the same result.
    """
    given = [members] if contacts is None else [members, contacts]
    with _connection(members, policy, contacts, roles) as connection:
        rows = connection.execute(golden_sql(_told(policy, given), timed=_timed(given))).to_arrow_table()
    return _complete(rows, golden_schema(policy.entity))


def _connection(
    members: pa.Table, policy: Policy, contacts: pa.Table | None, roles: pa.Table | None
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    members, contacts = members.select(member_schema(policy.entity).names), _given(contacts, CONTACT_SCHEMA)
    told = pc.invert(members.column("is_stub"))
    connection.register("members", _ranked(members, told.cast(pa.int64())))
    kinds = contacts.column("kind").combine_chunks().dictionary_encode().indices.cast(pa.int64())
    connection.register("contacts", _ranked(contacts, kinds))
    connection.register("roles", _given(roles, ROLE_SCHEMA))
    return connection


def _told(policy: Policy, given: list[pa.Table]) -> Policy:
    """Return the choices for which there is any candidate: sources fill few terms, and an empty column costs too."""
    filled = {name for rows in given for name in rows.column_names if rows.column(name).null_count < rows.num_rows}
    filled |= CONTACT_SOURCES.keys() - set(ADDRESS) if "value" in filled else set()
    records = given[0].column("source_record_id")
    once = pc.count_distinct(records).as_py() == len(records)
    kept = (choice for choice in policy.choices if filled & {*choice.columns, *choice.compose})
    return replace(policy, choices=tuple(replace(choice, once=once and choice.source == RECORD) for choice in kept))


def _timed(given: list[pa.Table]) -> bool:
    """Tell whether any row knows that one of its terms is older than the row."""
    return any(rows.column("term_times").null_count < rows.num_rows for rows in given)


def _complete(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the columns for which there was no candidate."""
    there = set(rows.column_names)
    columns = [rows.column(f.name).cast(f.type) if f.name in there else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _given(rows: pa.Table | None, schema: pa.Schema) -> pa.Table:
    return schema.empty_table() if rows is None else rows.select(schema.names)


def _ranked(rows: pa.Table, within: pa.ChunkedArray | pa.Array) -> pa.Table:
    """Add ``tie``, the higher the earlier source_ref (then row_key), and whether a row is ``alone`` in its entity (and kind).

    UTC timestamps become plain ones, which need no zone data.
    """
    plain = [pa.field(f.name, pa.timestamp("us") if f.type == _INSTANT else f.type) for f in rows.schema]
    keys = pc.fill_null(rows.column("row_key"), "")
    tie = pc.rank(
        pc.binary_join_element_wise(rows.column("source_ref"), keys, "\n"), sort_keys="descending", tiebreaker="dense"
    )
    group = pc.add(pc.multiply(rows.column("entity_id"), _KINDS), within)
    _, place, count = np.unique(group.to_numpy(), return_inverse=True, return_counts=True)
    alone = pa.array(count[place] == 1)
    return rows.cast(pa.schema(plain)).append_column("tie", tie).append_column("alone", alone)
