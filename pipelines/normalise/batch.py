"""A mapped part of a stream made ready for one transaction: everything that needs no store is done before it begins.

Pure Arrow and numpy. Rows name their record by its place in the part, and other records by their place in a list of
references; the transaction learns the numbers of both and puts them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.mapping import row_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from canonical_model import Entity, Term

REFS: Final = pa.schema(
    [
        ("connection_id", pa.string()),
        ("object", pa.string()),
        ("source_key", pa.string()),
        ("entity", pa.string()),
        ("is_stub", pa.bool_()),
    ]
)
SYSTEM: Final = "@"
_BETWEEN: Final = "\x00"  # no text that was mapped holds it
_ITSELF: Final = -1
Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Origin:
    """Whose records these are: connection and object of the stream, and which entity each object's records become."""

    connection_id: str
    object: str
    entity: str | None
    owners: Mapping[str, str | None]

    def own_refs(self, keys: pa.ChunkedArray) -> pa.Table:
        """Return the references of the stream's own records."""
        count = len(keys)
        columns = [
            _texts(self.connection_id, count), _texts(self.object, count), keys, _texts(self.entity, count),
            pa.repeat(False, count),
        ]  # fmt: skip
        return pa.table(columns, schema=REFS)


@dataclass(frozen=True)
class Ready:
    """Rows by entity, with ``place`` for their record's id and codes for references; ``refs`` are the other records.

    Code -1 is the record itself; another code's reference is ``refs[where[code]]``.
    """

    rows: Mapping[str, pa.Table]
    refs: pa.Table
    where: Places


def made_ready(
    part: pa.Table, rows: Mapping[str, pa.Table], entities: Iterable[Entity], origin: Origin, mapping_version: int
) -> Ready:
    """Return the rows of each entity, each emit's in the order of the part's records, and the records they refer to."""
    refs = _Refs(origin, part.column("source_key").combine_chunks())
    made = {
        entity.name: _rows(entity, rows.get(entity.name, row_schema(entity).empty_table()), part, refs, mapping_version)
        for entity in entities
    }
    return Ready(made, *refs.distinct())


def _rows(entity: Entity, table: pa.Table, part: pa.Table, refs: _Refs, mapping_version: int) -> pa.Table:
    places = np.searchsorted(part.column("ordinal").to_numpy(), table.column("ordinal").to_numpy())
    at = pa.array(places)
    columns: dict[str, Any] = {"place": at, "row_key": table.column("row_key")}
    for term in entity.terms.values():
        values = table.column(term.name)
        columns[term.name] = refs.code(values, term, places) if term.is_ref else values
    columns["extras"], columns["record_time"] = table.column("extras"), table.column("record_time")
    columns["payload_hash"] = part.column("hash").combine_chunks().take(at)
    columns["mapping_version"] = pa.repeat(pa.scalar(mapping_version, pa.int64()), len(at))
    return pa.table(columns)


class _Refs:
    """Collects the references of a part: each column becomes codes, and all codes count through one list."""

    def __init__(self, origin: Origin, own_keys: pa.Array) -> None:
        self._origin, self._own_keys = origin, own_keys
        self._texts: list[pa.Array] = []
        self._targets: list[str | None] = []

    def code(self, values: pa.ChunkedArray, term: Term, places: Places) -> pa.Array:
        """Return a column of references as codes; an empty ``default: self`` is the record itself too."""
        itself = term.default == "self"
        if values.null_count == len(values):
            return pa.array(np.full(len(values), _ITSELF)) if itself else pa.nulls(len(values), pa.int64())
        objects, keys = _parts(values.combine_chunks())
        own_keys = self._own_keys.take(pa.array(places))
        is_own = pc.fill_null(pc.and_(pc.equal(objects, self._origin.object), pc.equal(keys, own_keys)), False)
        texts = pc.binary_join_element_wise(objects, keys, _BETWEEN)
        coded = pc.if_else(is_own, pa.scalar(None, texts.type), texts).dictionary_encode()
        codes = pc.add(coded.indices.cast(pa.int64()), sum(len(known) for known in self._texts))
        self._texts.append(coded.dictionary)
        self._targets += [term.to or ("person" if term.type == "party_ref" else None)] * len(coded.dictionary)
        codes = pc.if_else(is_own, pa.scalar(_ITSELF, pa.int64()), codes)
        return pc.fill_null(codes, _ITSELF) if itself else codes

    def distinct(self) -> tuple[pa.Table, Places]:
        """Return the references as stubs, by object and key, and for each code the place of its reference there."""
        if not self._texts:
            return REFS.empty_table(), np.empty(0, np.int64)
        coded = pa.concat_arrays(self._texts).dictionary_encode()
        order = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        where = rank[coded.indices.to_numpy()]
        pieces = pc.split_pattern(coded.dictionary.take(pa.array(order)), _BETWEEN, max_splits=1)
        objects, keys = pc.list_element(pieces, 0), pc.list_element(pieces, 1)
        count = len(objects)
        columns = [
            _texts(self._origin.connection_id, count), objects, keys, self._entities(objects, where),
            pa.repeat(True, count),
        ]  # fmt: skip
        return pa.table(columns, schema=REFS), where

    def _entities(self, objects: pa.Array, where: Places) -> pa.Array:
        """Return what each stub will become: what its object's stream makes, else the first of what terms expect."""
        found = pa.table({"place": where, "target": pa.array(self._targets, pa.string())}).group_by("place")
        targets = found.aggregate([("target", "min")]).sort_by("place").column("target_min").combine_chunks()
        coded = objects.dictionary_encode()
        owners = [self._origin.owners.get(name) for name in coded.dictionary.to_pylist()]
        return pc.coalesce(pa.array(owners, pa.string()).take(coded.indices), targets)


def _parts(values: pa.StructArray) -> tuple[pa.Array, pa.Array]:
    """Return object and key of references; a reference by identifier is a record of the object ``@system``."""
    named = {name: pc.struct_field(values, name) for name in ("object", "key", "system", "value")}
    systems = pc.binary_join_element_wise(SYSTEM, named["system"], "")
    return pc.coalesce(named["object"], systems), pc.coalesce(named["key"], named["value"])


def with_ids(entity: Entity, rows: pa.Table, own: Places, refs: Places) -> pa.Table:
    """Return an entity's rows as the store takes them: ``own`` gives each place its id, ``refs`` each code."""
    ids = own[rows.column("place").to_numpy()]
    columns: dict[str, Any] = {"source_record_id": pa.array(ids)}
    for name in rows.column_names[1:]:
        term = entity.terms.get(name)
        is_ref = term is not None and term.is_ref
        columns[name] = _numbers(rows.column(name), ids, refs) if is_ref else rows.column(name)
    return pa.table(columns)


def refers_to_itself(entity: Entity, rows: pa.Table) -> bool:
    """Tell whether no row refers to another record than its own."""
    columns = (rows.column(name) for name, term in entity.terms.items() if term.is_ref)
    return all(column.null_count == len(column) or pc.max(column).as_py() == _ITSELF for column in columns)


def _numbers(codes: pa.ChunkedArray, ids: Places, refs: Places) -> pa.Array:
    missing = codes.is_null().to_numpy()
    plain = codes.fill_null(_ITSELF).to_numpy()
    numbers = ids if not len(refs) else np.where(plain == _ITSELF, ids, refs[np.maximum(plain, 0)])
    return pa.array(numbers, mask=missing if missing.any() else None)


def _texts(value: str | None, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), count)
