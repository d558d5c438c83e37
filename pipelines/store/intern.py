"""Interning: a source reference (connection, object, key) becomes one ``source_record_id``, for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.arrow_in import stored_columns
from pipelines.store.tables import source_record

if TYPE_CHECKING:
    from pipelines.store.bulk import Bulk
    from pipelines.store.transaction import WriteTransaction

REF = ("connection_id", "object", "source_key")
_SAME = "t.tenant_id = {tenant:d} AND " + " AND ".join(f't."{c}" = s."{c}"' for c in REF)
Ids = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
_BETWEEN: Final = "\x00"  # no stored text holds it


def intern_refs(tx: WriteTransaction, bulk: Bulk, refs: pa.Table) -> pa.Table:
    """Return ``refs`` in their order with a ``source_record_id`` column; see WriteTransaction.intern.

    Most references are known: they cost one look-up. Only new ones, and stubs that become real, are written.
    """
    given = refs.drop_columns(["source_record_id"]) if "source_record_id" in refs.column_names else refs
    if given.num_rows == 0:
        return given.append_column("source_record_id", pa.array([], pa.int64()))
    wanted = stored_columns(given.select([*REF, "entity"]), source_record, dialect=tx.dialect)
    wanted = wanted.append_column("is_stub", given.column("is_stub"))
    ids, stubs = _known(tx, bulk, wanted.select(REF))
    _make_real(tx, bulk, wanted, ids, stubs)
    new = np.flatnonzero(ids == 0)
    if len(new):
        ids[new] = _added(tx, wanted.take(pa.array(new)))
    return given.append_column("source_record_id", pa.array(ids))


def _known(tx: WriteTransaction, bulk: Bulk, refs: pa.Table) -> tuple[Ids, Flags]:
    """Return each reference's id, 0 where it has none yet, and whether it is a stub so far."""
    if tx.dialect == "sqlite" and all(_is_shared(refs.column(name)) for name in REF[:2]):
        connection_id, name = (refs.column(column)[0].as_py() for column in REF[:2])
        return keyed(bulk, tx.tenant_id, connection_id, name, refs.column("source_key"))
    count = refs.num_rows
    numbered = refs.append_column("ordinal", pa.array(np.arange(count)))
    stage = bulk.stage(numbered, source_record, renamed={"ordinal": "source_record_id"})
    # CROSS JOIN keeps SQLite from reading the whole of source_record for each batch
    sql = f"""SELECT s.ordinal, t.source_record_id, t.is_stub FROM {stage.name} AS s CROSS JOIN source_record AS t
              WHERE {_SAME.format(tenant=tx.tenant_id)}"""
    found = bulk.fetch(sql)
    bulk.drop(stage)
    ids, stubs = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    if found:
        ordinals, numbers, flags = zip(*found, strict=True)
        ids[list(ordinals)] = numbers
        stubs[list(ordinals)] = flags
    return ids, stubs


def keyed(bulk: Bulk, tenant_id: int, connection_id: str, name: str, keys: pa.ChunkedArray) -> tuple[Ids, Flags]:
    """Do the same for the records of one object, on SQLite: keys go in and numbers come out as one value, not row by row."""
    listed = msgspec.json.encode(keys.to_pylist()).decode()
    sql = """SELECT json_group_array(coalesce(2 * t.source_record_id + t.is_stub, 0)) FROM json_each(?1) AS s
             LEFT JOIN source_record AS t ON t.tenant_id = ?2 AND t.connection_id = ?3 AND t.object = ?4
                 AND t.source_key = s.value"""
    found = np.array(msgspec.json.decode(bulk.fetch(sql, listed, tenant_id, connection_id, name)[0][0]), np.int64)
    return found >> 1, (found & 1).astype(np.bool_)


def _is_shared(values: pa.ChunkedArray) -> bool:
    return bool(values[0].is_valid and pc.all(pc.equal(values, values[0])).as_py())


def _added(tx: WriteTransaction, refs: pa.Table) -> Ids:
    """Give numbers to new references in order of first appearance; of several rows for one, a real one wins."""
    key = pc.binary_join_element_wise(*(refs.column(name) for name in REF), _BETWEEN)
    codes = key.combine_chunks().dictionary_encode().indices
    real = pc.if_else(refs.column("is_stub"), pa.scalar(None, pa.string()), refs.column("entity"))
    numbered = refs.append_column("real", real).append_column("code", codes)
    wanted = [*((name, "first") for name in REF), ("is_stub", "min"), ("real", "max"), ("entity", "min")]
    distinct = numbered.group_by("code", use_threads=False).aggregate(wanted).sort_by("code")
    first = tx.allocate("source_record_id", distinct.num_rows)
    rows = {"source_record_id": pa.array(np.arange(first, first + distinct.num_rows))}
    rows |= {name: distinct.column(f"{name}_first") for name in REF}
    rows["entity"] = pc.coalesce(distinct.column("real_max"), distinct.column("entity_min"))
    tx.insert(source_record, pa.table({**rows, "is_stub": distinct.column("is_stub_min")}))
    numbers: Ids = codes.to_numpy().astype(np.int64) + first
    return numbers


def _make_real(tx: WriteTransaction, bulk: Bulk, refs: pa.Table, ids: Ids, stubs: Flags) -> None:
    """Make stubs real whose record is now given itself."""
    rows = np.flatnonzero(stubs & ~refs.column("is_stub").to_numpy())
    if not len(rows):
        return
    entity = refs.column("entity").take(pa.array(rows))
    stage = bulk.stage(pa.table({"source_record_id": pa.array(ids[rows]), "entity": entity}), source_record)
    bulk.run(
        f"""UPDATE source_record AS t SET is_stub = (1 = 0), entity = coalesce(s.entity, t.entity),
                change_seq = :change_seq, actor = :actor, cause = :cause
            FROM {stage.name} AS s WHERE t.tenant_id = :tenant_id AND t.source_record_id = s.source_record_id""",
        **tx.change(source_record),
    )
    bulk.drop(stage)
