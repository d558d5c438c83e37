"""Who is erased, as the store knows it: records, facts about them, ids, and the texts that name nobody else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Table, select, true, union

from canonical_model import load_vocabulary
from pipelines.store.tables import crosswalk, crosswalk_version, metadata, picked, segment, source_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement

    from pipelines.store.store import Store

TELLING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"contact_point": ("value", "value_norm"), "party_identifier": ("value",)}
)
_STAFF_TERMS = frozenset({"assignee", "owner"})  # who works on a fact: it is not about them


@dataclass(frozen=True)
class Reference:
    """A source record by its number and by the vendor's own key."""

    source_record_id: int
    connection_id: str
    object: str
    source_key: str


@dataclass(frozen=True)
class Person:
    """Who is erased: its records, those of facts about it, its ids, ids it once had with others, and what names it.

    ``values`` identify it (addresses, numbers, identifiers); ``needles`` are what is taken out wherever it stands.
    """

    entity: str
    entity_id: int
    own: tuple[Reference, ...]
    other: tuple[Reference, ...]
    ids: tuple[int, ...]
    shared_ids: tuple[int, ...]
    values: frozenset[str]
    needles: frozenset[str]

    @property
    def own_ids(self) -> list[int]:
        """The numbers of its records."""
        return [ref.source_record_id for ref in self.own]

    @property
    def other_ids(self) -> list[int]:
        """The numbers of the records of facts about it."""
        return [ref.source_record_id for ref in self.other]

    def to_json(self) -> str:
        """Return the whole as text."""
        return json.dumps({**asdict(self), "values": sorted(self.values), "needles": sorted(self.needles)})

    @staticmethod
    def from_json(text: str) -> Person:
        """Return what ``to_json`` wrote."""
        data = json.loads(text)
        own, other = (tuple(Reference(**each) for each in data[name]) for name in ("own", "other"))
        return Person(
            data["entity"], data["entity_id"], own, other, tuple(data["ids"]), tuple(data["shared_ids"]),
            frozenset(data["values"]), frozenset(data["needles"]),
        )  # fmt: skip


def members(store: Store, tenant_id: int, entity: str, number: int) -> list[int]:
    """Return the source records of an entity."""
    mine = crosswalk.c.tenant_id == tenant_id, crosswalk.c.entity == entity, crosswalk.c.entity_id == number
    return sorted(row[0] for row in store.read(select(crosswalk.c.source_record_id).where(*mine)))


def ids_of(store: Store, tenant_id: int, number: int, records: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the ids that only these records ever had, and those that they once had with others."""
    ids = pa.array(records, pa.int64())
    x, v = crosswalk.c, crosswalk_version.c
    held = store.read_arrow(
        select(v.entity_id).where(v.tenant_id == tenant_id, v.source_record_id.in_(select(picked.c.id))).distinct(),
        ids=ids,
    )
    every = sorted({number, *held.column(0).to_pylist()})
    others = store.read_arrow(
        union(
            select(x.entity_id).where(
                x.tenant_id == tenant_id, x.entity_id.in_(every), x.source_record_id.not_in(records)
            ),
            select(v.entity_id).where(
                v.tenant_id == tenant_id, v.entity_id.in_(every), v.source_record_id.not_in(records)
            ),
        )
    )
    shared = set(others.column(0).to_pylist())
    return [each for each in every if each not in shared or each == number], sorted(shared - {number})


def about(store: Store, tenant_id: int, records: Sequence[int]) -> list[int]:
    """Return the source records of facts that are about these parties: tickets they opened, orders, messages, answers."""
    parts = [
        select(table.c.source_record_id).where(table.c.tenant_id == tenant_id, table.c[term].in_(select(picked.c.id)))
        for table, terms in _fact_tables()
        for term in terms
    ]
    found = store.read_arrow(union(*parts), ids=pa.array(records, pa.int64()))
    parties = select(source_record.c.source_record_id).where(
        source_record.c.tenant_id == tenant_id, source_record.c.entity.in_(("person", "organization")),
        source_record.c.source_record_id.in_(select(picked.c.id)),
    )  # fmt: skip
    ids = found.column(0).combine_chunks()
    return sorted(set(ids.to_pylist()) - set(store.read_arrow(parties, ids=ids).column(0).to_pylist()) - set(records))


def stubs_of(store: Store, tenant_id: int, values: Collection[str]) -> list[int]:
    """Return the stub records that a reference by one of these values made."""
    record = source_record.c
    mine = record.tenant_id == tenant_id, record.object.like("@%"), record.source_key.in_(sorted(values))
    return [row[0] for row in store.read(select(record.source_record_id).where(*mine))]


def references(store: Store, tenant_id: int, records: Sequence[int]) -> list[Reference]:
    """Return the vendor's keys of source records."""
    record = source_record.c
    columns = (record.source_record_id, record.connection_id, record.object, record.source_key)
    mine = record.tenant_id == tenant_id, record.source_record_id.in_(select(picked.c.id))
    rows = store.read_arrow(select(*columns).where(*mine), ids=pa.array(records, pa.int64()))
    return [Reference(*row.values()) for row in rows.to_pylist()]


def texts(store: Store, tenant_id: int, entity: str, records: Sequence[int]) -> tuple[set[str], set[str]]:
    """Return the identifying values (addresses, numbers, identifiers) and the whole names that the records ever gave."""
    values: set[str] = set()
    for name, columns in TELLING.items():
        for table in (metadata.tables[name], metadata.tables[f"{name}_version"]):
            words = table.c.kind != "address" if "kind" in table.c else true()
            rows = _rows_of(store, tenant_id, table, table.c.party, columns, records, words)
            values |= {row[column] for row in rows for column in columns if row[column]}
    names: set[str] = set()
    for table in (metadata.tables[entity], metadata.tables[f"{entity}_version"]):
        known = [name for name in ("full_name", "given_name", "family_name", "name") if name in table.c]
        for row in _rows_of(store, tenant_id, table, table.c.source_record_id, known, records, true()):
            parts = [row[name] for name in ("given_name", "family_name") if row.get(name)]
            names |= {" ".join(parts)} if len(parts) > 1 else set()
            names |= {row[name] for name in ("full_name", "name", "family_name") if row.get(name)}
    return values, names


def _rows_of(
    store: Store, tenant_id: int, table: Table, key: Column[Any], columns: Sequence[str], records: Sequence[int],
    more: ColumnElement[bool],
) -> list[dict[str, Any]]:  # fmt: skip
    mine = table.c.tenant_id == tenant_id, key.in_(select(picked.c.id)), more
    statement = select(*(table.c[column] for column in columns)).where(*mine)
    rows: list[dict[str, Any]] = store.read_arrow(statement, ids=pa.array(records, pa.int64())).to_pylist()
    return rows


def shared_values(store: Store, tenant_id: int, values: Collection[str], records: Sequence[int]) -> set[str]:
    """Return those values that live records of others hold too: they stay where others gave them."""
    shared: set[str] = set()
    for name, columns in TELLING.items():
        table = metadata.tables[name]
        for column in columns:
            mine = table.c.tenant_id == tenant_id, table.c[column].in_(sorted(values)), table.c.deleted_at.is_(None)
            rows = store.read(select(table.c[column], table.c.party).where(*mine))
            shared |= {row[0] for row in rows if row[1] not in set(records)}
    return shared


def shared_names(store: Store, tenant_id: int, entity: str, names: Collection[str], records: Sequence[int]) -> set[str]:
    """Return those names that live records of others bear too."""
    table = metadata.tables[entity]
    shared: set[str] = set()
    for column in (table.c[name] for name in ("full_name", "family_name", "name") if name in table.c):
        mine = table.c.tenant_id == tenant_id, column.in_(sorted(names)), table.c.deleted_at.is_(None)
        shared |= {
            row[0] for row in store.read(select(column, table.c.source_record_id).where(*mine)) if row[1] not in records
        }
    return shared


def segment_files(store: Store, tenant_id: int) -> list[tuple[str, str, str, list[str]]]:
    """Return connection_id, stream, object and file names of every committed segment that has files."""
    s = segment.c
    rows = store.read(select(s.connection_id, s.stream, s.object, s.files).where(s.tenant_id == tenant_id))
    return [(row[0], row[1], row[2], [file["name"] for file in row[3]]) for row in rows if row[3]]


def _fact_tables() -> Iterator[tuple[Table, list[str]]]:
    """Yield the tables of facts and their versions, with the references that say whom a fact is about."""
    for entity in load_vocabulary().entities.values():
        terms = [t.name for t in entity.terms.values() if t.type == "party_ref" and t.name not in _STAFF_TERMS]
        if entity.kind in ("fact", "event") and terms:
            for name in (entity.name, f"{entity.name}_version"):
                yield metadata.tables[name], terms
