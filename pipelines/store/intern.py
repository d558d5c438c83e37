"""Interning: a source reference (connection, object, key) becomes one ``source_record_id``, for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.store.tables import source_record

if TYPE_CHECKING:
    from pipelines.store.bulk import Bulk, Stage
    from pipelines.store.transaction import WriteTransaction

REF = ("connection_id", "object", "source_key")
_MATCH = "t.tenant_id = :tenant_id AND " + " AND ".join(f't."{c}" = s."{c}"' for c in REF)
_NEW = f"NOT EXISTS (SELECT 1 FROM source_record AS t WHERE {_MATCH})"


def intern_refs(tx: WriteTransaction, bulk: Bulk, refs: pa.Table) -> pa.Table:
    """Return ``refs`` in their order with a ``source_record_id`` column; see WriteTransaction.intern."""
    given = refs.drop_columns(["source_record_id"]) if "source_record_id" in refs.column_names else refs
    if given.num_rows == 0:
        return given.append_column("source_record_id", pa.array([], pa.int64()))
    wanted = given.select([*REF, "entity", "is_stub"])
    wanted = wanted.append_column("ordinal", pa.array(range(wanted.num_rows), pa.int64()))
    stage = bulk.stage(wanted, source_record, renamed={"ordinal": "source_record_id"})
    _add_new(tx, bulk, stage)
    _make_real(tx, bulk, stage)
    ids = _ids(tx, stage)
    bulk.drop(stage)
    return given.append_column("source_record_id", ids)


def _add_new(tx: WriteTransaction, bulk: Bulk, stage: Stage) -> None:
    """Give numbers to new references in order of first appearance; of several rows for one, a real one wins."""
    keys = ", ".join(f's."{c}"' for c in REF)
    grouped = f"""
        SELECT {keys}, min(s.ordinal) AS ordinal, min(CASE WHEN s.is_stub THEN 1 ELSE 0 END) AS stub,
               coalesce(max(CASE WHEN NOT s.is_stub THEN s.entity END), min(s.entity)) AS entity
        FROM {stage.name} AS s WHERE {_NEW} GROUP BY {keys}"""
    fresh = f"fresh_{stage.name}"
    bulk.run(f"CREATE TEMP TABLE {fresh} AS {grouped.replace(':tenant_id', str(tx.tenant_id))}")
    count = bulk.count(fresh)
    if count:
        first = tx.allocate("source_record_id", count)
        bulk.run(
            f"""INSERT INTO source_record (tenant_id, source_record_id, connection_id, object, source_key, entity,
                    is_stub, change_seq, actor, cause)
                SELECT :tenant_id, {first - 1:d} + row_number() OVER (ORDER BY ordinal), connection_id, object,
                    source_key, entity, stub = 1, :change_seq, :actor, :cause FROM {fresh} ORDER BY ordinal""",
            **tx.change(source_record),
        )
    bulk.run(f"DROP TABLE {fresh}")


def _make_real(tx: WriteTransaction, bulk: Bulk, stage: Stage) -> None:
    bulk.run(
        f"""UPDATE source_record AS t SET is_stub = (1 = 0), entity = coalesce(s.entity, t.entity),
                change_seq = :change_seq, actor = :actor, cause = :cause
            FROM {stage.name} AS s WHERE {_MATCH} AND t.is_stub AND NOT s.is_stub""",
        **tx.change(source_record),
    )


def _ids(tx: WriteTransaction, stage: Stage) -> pa.Array:
    sql = f"""SELECT t.source_record_id FROM {stage.name} AS s JOIN source_record AS t
              ON {_MATCH.replace(":tenant_id", str(tx.tenant_id))} ORDER BY s.ordinal"""
    return pa.array([row[0] for row in tx.connection.exec_driver_sql(sql)], pa.int64())
