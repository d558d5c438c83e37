"""Records that could not be read or mapped: kept with their raw payload and the reason until they are resolved."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy import func, select

from pipelines.store.tables import quarantine

if TYPE_CHECKING:
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_GIVEN = ("object", "source_key", "reason", "path", "raw", "parent", "mapping_version", "segment_id", "row_no")
_SAME = """q.tenant_id = s.tenant_id AND q.stage = s.stage AND q.connection_id = s.connection_id AND q.stream = s.stream
           AND q.resolved_seq IS NULL"""


def add(tx: WriteTransaction, stage: str, connection_id: str, stream: str, rows: pa.Table) -> int:
    """Put records into quarantine; returns how many entries are new.

    Columns: reason, and if known object, source_key, path, raw (bytes), parent, mapping_version, segment_id, row_no.
    An open entry of the same record is resolved by the newer one; the same keyless record is not entered twice.
    """
    if rows.num_rows == 0:
        return 0
    unknown = set(rows.column_names) - set(_GIVEN)
    if unknown:
        raise ValueError(f"unknown quarantine columns {sorted(unknown)}; known: {', '.join(_GIVEN)}")
    n = rows.num_rows
    first = tx.allocate("quarantine_id", n)
    rows = rows.append_column("quarantine_id", pa.array(range(first, first + n), pa.int64()))
    rows = rows.append_column("raw_hash", pa.array(_hashes(rows), pa.string()))
    for name, value in (("stage", stage), ("connection_id", connection_id), ("stream", stream)):
        rows = rows.append_column(name, pa.repeat(value, n))
    for name in ("object", "source_key", "path"):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(n, pa.string()))
    return _enter(tx, rows)


def resolve(tx: WriteTransaction, stage: str, connection_id: str, stream: str, keys: pa.Table) -> int:
    """Close the open entries of records that went through now; ``keys`` has object and source_key."""
    if keys.num_rows == 0:
        return 0
    n = keys.num_rows
    columns = {"stage": stage, "connection_id": connection_id, "stream": stream, "tenant_id": tx.tenant_id}
    for name, value in columns.items():
        keys = keys.append_column(name, pa.repeat(value, n))
    staged = tx.bulk.stage(keys, quarantine)
    closed = tx.bulk.run(
        f"""UPDATE quarantine AS q SET resolved_seq = :seq, change_seq = :seq FROM {staged.name} AS s
            WHERE {_SAME} AND q.object = s.object AND q.source_key = s.source_key""",
        seq=tx.change_seq,
    )
    tx.bulk.drop(staged)
    return closed


def open_count(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> int:
    """Return how many entries of a stream are open."""
    q = quarantine.c
    mine = (q.tenant_id == tenant_id, q.connection_id == connection_id, q.stream == stream, q.resolved_seq.is_(None))
    return int(store.read(select(func.count()).select_from(quarantine).where(*mine))[0][0])


def _enter(tx: WriteTransaction, rows: pa.Table) -> int:
    for name, value in tx.change(quarantine).items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    staged = tx.bulk.stage(rows, quarantine)
    tx.bulk.run(
        f"""DELETE FROM {staged.name} AS s WHERE EXISTS (SELECT 1 FROM quarantine AS q WHERE {_SAME}
            AND q.source_key IS NULL AND s.source_key IS NULL AND q.raw_hash = s.raw_hash AND q.reason = s.reason)"""
    )
    tx.bulk.run(
        f"""UPDATE quarantine AS q SET resolved_seq = :seq, change_seq = :seq FROM {staged.name} AS s
            WHERE {_SAME} AND q.source_key = s.source_key AND (q.object = s.object OR s.object IS NULL)""",
        seq=tx.change_seq,
    )
    names = ", ".join(f'"{name}"' for name in staged.columns)
    added = tx.bulk.run(f"INSERT INTO quarantine ({names}) SELECT {names} FROM {staged.name}")
    tx.bulk.drop(staged)
    return added


def _hashes(rows: pa.Table) -> list[str | None]:
    """Tell keyless records apart by content."""
    if "raw" not in rows.column_names:
        return [None] * rows.num_rows
    raws = rows.column("raw").cast(pa.binary()).to_pylist()
    return [None if raw is None else hashlib.sha256(raw).hexdigest()[:32] for raw in raws]
