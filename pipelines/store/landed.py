"""Landed records enter the store: each key gets its id, and the newest landed row becomes its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.tables import raw_head, source_record

if TYPE_CHECKING:
    from pipelines.store.bulk import Stage
    from pipelines.store.transaction import WriteTransaction

_REF: Final = "t.tenant_id = :tenant_id AND t.connection_id = :connection_id AND t.object = :object"
_SAME: Final = f"{_REF} AND t.source_key = s.source_key"
_TYPED_AS: Final = {"source_key": "cause", "known": "change_seq"}  # columns of raw_head that have their types


def put_heads(
    tx: WriteTransaction, connection_id: str, name: str, heads: pa.Table, *, segment_id: int = 0, read_id: int = 0
) -> None:
    """Make each row the head of its key; keys are distinct.

    ``heads``: source_key, row_no, hash, op, record_time, and ``known`` (the key's id when it was looked up, null for a
    new one) with ``is_stub`` if the caller looked. What was interned since the look-up is found all the same. Rows of
    several segments bring ``segment_id`` and ``last_read`` themselves.
    """
    rows, new, stubs = _numbered(tx, heads)
    if "segment_id" not in heads.column_names:
        rows = _with(rows, segment_id=segment_id, last_read=read_id)
    values = {"connection_id": connection_id, "object": name, **tx.change(source_record)}
    entered = new == rows.num_rows and _enter(tx, rows, values)
    if entered and _enter_heads(tx, rows):
        return
    stage = tx.bulk.stage(rows, raw_head, renamed=_TYPED_AS)
    raced = False
    if new and not entered:
        raced = _add(tx, stage, values) < new
        if raced:
            _find(tx, stage, values)
    if stubs or raced or "known" not in heads.column_names:
        _make_real(tx, stage, values)
    _point(tx, stage)
    tx.bulk.drop(stage)


def _numbered(tx: WriteTransaction, heads: pa.Table) -> tuple[pa.Table, int, int]:
    """Return the rows with an id each (a new one where none is known), how many ids are new, and how many are stubs."""
    looked = "known" in heads.column_names
    known = heads.column("known") if looked else pa.nulls(heads.num_rows, pa.int64())
    new = known.null_count
    ids = known
    if new:
        first = tx.allocate("source_record_id", new)
        unknown = pc.is_null(known).to_numpy(zero_copy_only=False)
        numbers = np.where(unknown, first - 1 + np.cumsum(unknown), pc.fill_null(known, 0).to_numpy())
        ids = pa.array(numbers, pa.int64())
    own = ["segment_id", "last_read"] if "segment_id" in heads.column_names else []
    rows = heads.select(["source_key", "row_no", "hash", "op", "record_time", *own])
    rows = rows.append_column("source_record_id", ids).append_column("known", known)
    stubs = pc.sum(heads.column("is_stub")).as_py() if "is_stub" in heads.column_names else 0
    return rows, new, int(stubs or 0)


def _enter(tx: WriteTransaction, rows: pa.Table, values: dict[str, object]) -> bool:
    """Intern new keys without staging them; False where that is not possible, or some were known after all."""
    records = pa.table({name: rows.column(name) for name in ("source_record_id", "source_key")})
    records = _with(records, is_stub=False, **values)
    key = ("tenant_id", "connection_id", "object", "source_key")
    return bool(tx.bulk.insert_unless_known(source_record, records, key) == rows.num_rows)


def _enter_heads(tx: WriteTransaction, rows: pa.Table) -> bool:
    """Write the heads of records just interned without staging them; False, and nothing is done, where that is not possible."""
    heads = _with(rows.drop_columns(["source_key", "known"]), **tx.change(raw_head))
    return tx.bulk.insert_unless_known(raw_head, heads, ("tenant_id", "source_record_id")) is not None


def _with(rows: pa.Table, **constants: object) -> pa.Table:
    """Return the rows with columns that hold the same in each."""
    for column, value in constants.items():
        rows = rows.append_column(column, pa.repeat(value, rows.num_rows))
    return rows


def _add(tx: WriteTransaction, stage: Stage, values: dict[str, object]) -> int:
    """Intern the keys nobody knew at the look-up; returns how many were still unknown."""
    return tx.bulk.run(
        f"""INSERT INTO source_record
                (tenant_id, source_record_id, connection_id, object, source_key, is_stub, change_seq, actor, cause)
            SELECT :tenant_id, s.source_record_id, :connection_id, :object, s.source_key, 1 = 0,
                :change_seq, :actor, :cause
            FROM {stage.name} AS s WHERE s.known IS NULL
            ON CONFLICT (tenant_id, connection_id, object, source_key) DO NOTHING""",
        **values,
    )


def _find(tx: WriteTransaction, stage: Stage, values: dict[str, object]) -> None:
    """Take the ids that others gave to our keys since the look-up."""
    tx.bulk.run(
        f"UPDATE {stage.name} AS s SET source_record_id = t.source_record_id FROM source_record AS t WHERE {_SAME}",
        **{name: values[name] for name in ("tenant_id", "connection_id", "object")},
    )


def _make_real(tx: WriteTransaction, stage: Stage, values: dict[str, object]) -> None:
    tx.bulk.run(
        f"""UPDATE source_record AS t SET is_stub = (1 = 0), change_seq = :change_seq, actor = :actor, cause = :cause
            FROM {stage.name} AS s WHERE {_SAME} AND t.is_stub""",
        **values,
    )


def _point(tx: WriteTransaction, stage: Stage) -> None:
    columns = (
        "segment_id", "row_no", "hash", "op", "record_time", "mapping_version", "last_read", "change_seq", "actor", "cause",
    )  # fmt: skip
    tx.bulk.run(
        f"""INSERT INTO raw_head (tenant_id, source_record_id, {", ".join(columns)})
            SELECT :tenant_id, s.source_record_id, s.segment_id, s.row_no, s.hash, s.op, s.record_time,
                NULL, s.last_read, :change_seq, :actor, :cause
            FROM {stage.name} AS s WHERE 1 = 1
            ON CONFLICT (tenant_id, source_record_id) DO UPDATE SET
                {", ".join(f"{name} = excluded.{name}" for name in columns)}""",
        **tx.change(raw_head),
    )
