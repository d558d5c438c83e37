"""From the store's rows to the candidates of ``survive``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import load_vocabulary
from pipelines.golden.policy import ADDRESS
from pipelines.golden.survivorship import CONTACT_SCHEMA, ROLE_SCHEMA, member_schema
from pipelines.store import golden_reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipelines.store import Store
    from pipelines.store.golden_reads import Scope

CONTACT_COLUMNS = ("kind", "rank", "verified", "deliverable", *ADDRESS)
CONTACT_KINDS = ("email", "phone", "address")
_SOURCE_COLUMNS = ("source_ref", "connection", "connector")


class Candidates(NamedTuple):
    """Everything that the golden rows of some entities are chosen from."""

    members: pa.Table
    contacts: pa.Table
    roles: pa.Table

    def between(self, first: pa.Scalar, last: pa.Scalar) -> Candidates:
        """Return the candidates of the entities from ``first`` to ``last``."""
        return Candidates(*(_between(rows, first, last) for rows in self))


def read_candidates(store: Store, scope: Scope, connections: Mapping[str, tuple[str, str]]) -> Candidates:
    """Read members, contact points and roles of the entities in ``scope``."""
    terms = list(load_vocabulary().entity(scope.entity).terms)
    with ThreadPoolExecutor(max_workers=2) as readers:
        played = readers.submit(golden_reads.roles, store, scope)
        points = readers.submit(golden_reads.contacts, store, scope, CONTACT_KINDS, CONTACT_COLUMNS)
        members = golden_reads.members(store, scope, terms)
        contacts, roles = points.result(), played.result()
        sources = _sources(store, scope, members, contacts, connections)
        named = readers.submit(_with_source, contacts, sources)
        told = _with_source(members, sources)
        return Candidates(
            _shaped(told, member_schema(scope.entity)),
            _shaped(named.result(), CONTACT_SCHEMA),
            _shaped(roles, ROLE_SCHEMA),
        )


def named(rows: Iterable[Mapping[str, Any]], connections: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return rows of the store with source_ref as text, connection and connector, as candidates have them."""
    found = []
    for row in rows:
        reference = "/".join(row[name] for name in golden_reads.REFERENCE)
        names = connections.get(row["connection_id"], (row["connection_id"],) * 2)
        found.append({**row, **dict(zip(_SOURCE_COLUMNS, (reference, *names), strict=True))})
    return found


def _sources(
    store: Store, scope: Scope, members: pa.Table, contacts: pa.Table, connections: Mapping[str, tuple[str, str]]
) -> pa.Table:
    """Return source_ref as text (connection, object, key), connection and connector of all source records concerned."""
    columns = ["source_record_id", *golden_reads.REFERENCE]
    rows, asked = members.select(columns), contacts.column("source_record_id")
    others = asked.filter(pc.invert(pc.is_in(asked, rows.column("source_record_id"))))
    if len(others):
        more = golden_reads.references(store, scope.tenant_id, pc.unique(others))
        rows = pa.concat_tables([rows, more.select(columns)])
    coded = rows.column("connection_id").combine_chunks().dictionary_encode()
    known = [connections.get(name, (name, name)) for name in coded.dictionary.to_pylist()]
    reference = pc.binary_join_element_wise(*(rows.column(name) for name in columns[1:]), "/")
    names = [pa.array([pair[place] for pair in known], pa.string()).take(coded.indices) for place in (0, 1)]
    return pa.table([rows.column(0), reference, *names], names=["source_record_id", *_SOURCE_COLUMNS])


def _with_source(rows: pa.Table, sources: pa.Table) -> pa.Table:
    places = pc.index_in(rows.column("source_record_id"), sources.column("source_record_id"))
    for column in _SOURCE_COLUMNS:
        rows = rows.append_column(column, sources.column(column).combine_chunks().take(places))
    return rows


def _between(rows: pa.Table, first: pa.Scalar, last: pa.Scalar) -> pa.Table:
    ids = rows.column("entity_id")
    return rows.filter(pc.and_(pc.greater_equal(ids, first), pc.less_equal(ids, last)))


def _shaped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)
