"""Records that could not be read or mapped: kept with their raw payload and the reason until they are resolved.

An entry is open until it is *mended* (the record went through later), *superseded* (a newer version of the record is bad
too), *gone* (a complete snapshot no longer holds it), *replayed* (it went through under newer rules) or *discarded* by a
steward. Nothing is erased: a resolved entry says when, by whom and why.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import func, select

from pipelines.store.tables import quarantine, read
from pipelines.store.types import instant_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.store.bulk import Stage
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

_GIVEN = (
    "object", "source_key", "reason", "path", "raw", "parent", "mapping_version", "schema_version", "segment_id", "row_no",
)  # fmt: skip
_PLACE = "q.tenant_id = s.tenant_id AND q.stage = s.stage AND q.connection_id = s.connection_id AND q.stream = s.stream"
_SAME = f"{_PLACE} AND q.resolved_seq IS NULL"
_SAME_KEY = "q.source_key = s.source_key AND (q.object = s.object OR s.object IS NULL)"
_SAME_RECORD = f"({_SAME_KEY} OR (q.source_key IS NULL AND s.source_key IS NULL))"
_SAME_FAULT = f"{_SAME_RECORD} AND q.raw_hash = s.raw_hash AND q.reason = s.reason"
_CLOSED = """resolved_seq = :seq, change_seq = :seq, resolution = :resolution, resolution_note = :note,
             resolved_by = :actor, resolved_at = :now"""
MENDED, SUPERSEDED, GONE, REPLAYED, DISCARDED = "mended", "superseded", "gone", "replayed", "discarded"


def add(tx: WriteTransaction, stage: str, connection_id: str, stream: str, rows: pa.Table) -> int:
    """Put records into quarantine; returns how many entries are new.

    Columns: reason, and if known object, source_key, path, raw (bytes), parent, mapping_version, schema_version, segment_id,
    row_no. The segment gives load, read and (where the row has none) the connector's version. An open entry of the same
    record is superseded; the same content met again for the same reason keeps its entry; discarded content stays out.
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
    for name in ("object", "source_key", "path", "schema_version"):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(n, pa.string()))
    for name in ("mapping_version", "segment_id", "row_no"):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(n, pa.int64()))
    for name, value in tx.change(quarantine).items():
        rows = rows.append_column(name, pa.repeat(value, n))
    staged = tx.bulk.stage(rows, quarantine)
    added = _enter(tx, staged)
    tx.bulk.drop(staged)
    return added


def resolve(
    tx: WriteTransaction, stage: str, connection_id: str, stream: str, keys: pa.Table, *, resolution: str = MENDED
) -> int:
    """Close the open entries of records that went through now; ``keys`` has object and source_key."""
    if keys.num_rows == 0 or not has_open(tx, stage, connection_id, stream):
        return 0
    keys = keys.select(["object", "source_key"])
    columns = {"stage": stage, "connection_id": connection_id, "stream": stream, "tenant_id": tx.tenant_id}
    for name, value in columns.items():
        keys = keys.append_column(name, pa.repeat(value, keys.num_rows))
    staged = tx.bulk.stage(keys, quarantine)
    closed = tx.bulk.run(
        f"UPDATE quarantine AS q SET {_CLOSED} FROM {staged.name} AS s "
        f"WHERE {_SAME} AND (q.object = s.object OR q.object IS NULL) AND q.source_key = s.source_key",
        **_closing(tx, resolution),
    )
    tx.bulk.drop(staged)
    return closed


def resolve_met(tx: WriteTransaction, stage: str, connection_id: str, stream: str, ids: pa.Array) -> int:
    """Close the open entries of records met again as they were landed before; ``ids`` are their source_record_ids."""
    if not has_open(tx, stage, connection_id, stream):
        return 0
    with tx.picking(ids):
        return tx.bulk.run(
            f"""UPDATE quarantine AS q SET {_CLOSED} WHERE q.tenant_id = :tenant AND q.stage = :stage
                AND q.connection_id = :connection AND q.stream = :stream AND q.resolved_seq IS NULL AND EXISTS (
                SELECT 1 FROM picked AS p JOIN source_record AS r ON r.tenant_id = :tenant AND r.source_record_id = p.id
                WHERE r.connection_id = q.connection_id AND r.object = q.object AND r.source_key = q.source_key)""",
            tenant=tx.tenant_id, stage=stage, connection=connection_id, stream=stream, **_closing(tx, MENDED),
        )  # fmt: skip


def settle_snapshot(tx: WriteTransaction, connection_id: str, stream: str, partition: str, read_id: int) -> int:
    """Close keyless entries of a partition that a snapshot, now COMPLETE, did not hold any more."""
    return tx.bulk.run(
        f"""UPDATE quarantine AS q SET {_CLOSED} WHERE q.tenant_id = :tenant AND q.connection_id = :connection
            AND q.stream = :stream AND q.stage = 'extract' AND q.source_key IS NULL AND q.resolved_seq IS NULL
            AND q.read_id < :read AND EXISTS (SELECT 1 FROM "{read.name}" AS r WHERE r.tenant_id = q.tenant_id
            AND r.read_id = q.read_id AND r.partition = :partition)""",
        tenant=tx.tenant_id, connection=connection_id, stream=stream, partition=partition, read=read_id, **_closing(tx, GONE),
    )  # fmt: skip


def close(tx: WriteTransaction, ids: Sequence[int], resolution: str, note: str | None = None) -> int:
    """Close these entries if they are open; returns how many were."""
    return sum(
        tx.bulk.run(
            f"UPDATE quarantine SET {_CLOSED} WHERE tenant_id = :tenant AND quarantine_id = :id AND resolved_seq IS NULL",
            tenant=tx.tenant_id, id=identity, **_closing(tx, resolution, note),
        )
        for identity in ids
    )  # fmt: skip


def relabel(tx: WriteTransaction, ids: Sequence[int], resolution: str) -> int:
    """Close these entries, or say of closed ones that this is how they ended; discarded ones stay discarded."""
    return sum(
        tx.bulk.run(
            f"""UPDATE quarantine SET {_CLOSED} WHERE tenant_id = :tenant AND quarantine_id = :id
                AND (resolution IS NULL OR resolution <> '{DISCARDED}')""",
            tenant=tx.tenant_id, id=identity, **_closing(tx, resolution),
        )
        for identity in ids
    )  # fmt: skip


def discard(tx: WriteTransaction, ids: Sequence[int], note: str) -> int:
    """Give entries up, with who and why; the same content never comes back, and the entry stays to be seen."""
    return close(tx, ids, DISCARDED, note)


def open_count(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> int:
    """Return how many entries of a stream are open."""
    q = quarantine.c
    mine = (q.tenant_id == tenant_id, q.connection_id == connection_id, q.stream == stream, q.resolved_seq.is_(None))
    return int(store.read(select(func.count()).select_from(quarantine).where(*mine))[0][0])


def _enter(tx: WriteTransaction, staged: Stage) -> int:
    """Move staged rows in: first what is no news goes, then what they replace is closed."""
    name = staged.name
    tx.bulk.run(
        f"""DELETE FROM {name} AS s WHERE EXISTS (SELECT 1 FROM {name} AS q WHERE q.quarantine_id > s.quarantine_id
            AND ({_SAME_KEY} OR (q.source_key IS NULL AND s.source_key IS NULL AND q.raw_hash = s.raw_hash
            AND q.reason = s.reason)))"""
    )
    tx.bulk.run(
        f"""DELETE FROM {name} AS s WHERE EXISTS (SELECT 1 FROM quarantine AS q WHERE {_PLACE}
            AND q.resolution = '{DISCARDED}' AND q.raw_hash = s.raw_hash AND {_SAME_RECORD})"""
    )
    tx.bulk.run(
        f"""UPDATE quarantine AS q SET segment_id = coalesce(s.segment_id, q.segment_id), row_no = coalesce(s.row_no, q.row_no),
            mapping_version = s.mapping_version, read_id = coalesce({_of_segment("read_id")}, q.read_id)
            FROM {name} AS s WHERE {_SAME} AND {_SAME_FAULT}"""
    )
    tx.bulk.run(f"DELETE FROM {name} AS s WHERE EXISTS (SELECT 1 FROM quarantine AS q WHERE {_SAME} AND {_SAME_FAULT})")
    tx.bulk.run(
        f"UPDATE quarantine AS q SET {_CLOSED} FROM {name} AS s WHERE {_SAME} AND {_SAME_KEY}",
        **_closing(tx, SUPERSEDED),
    )
    names = ", ".join(f'"{column}"' for column in staged.columns if column != "schema_version")
    version = """coalesce(s.schema_version, (SELECT l.connector_version FROM segment AS g JOIN "load" AS l
                 ON l.tenant_id = g.tenant_id AND l.load_id = g.load_id
                 WHERE g.tenant_id = s.tenant_id AND g.segment_id = s.segment_id))"""
    return tx.bulk.run(
        f"""INSERT INTO quarantine ({names}, schema_version, load_id, read_id, entered_at)
            SELECT {names}, {version}, {_of_segment("load_id")}, {_of_segment("read_id")}, {_stamp(tx)} FROM {name} AS s""",
        now=_now(tx),
    )


def _of_segment(column: str) -> str:
    return f"(SELECT g.{column} FROM segment AS g WHERE g.tenant_id = s.tenant_id AND g.segment_id = s.segment_id)"


def has_open(tx: WriteTransaction, stage: str, connection_id: str, stream: str) -> bool:
    """Return whether a stream has any open entry of a stage."""
    q = quarantine.c
    mine = (q.tenant_id == tx.tenant_id, q.connection_id == connection_id, q.stream == stream, q.stage == stage)
    return tx.execute(select(q.quarantine_id).where(*mine, q.resolved_seq.is_(None)).limit(1)).first() is not None


def _closing(tx: WriteTransaction, resolution: str, note: str | None = None) -> dict[str, Any]:
    return {"seq": tx.change_seq, "resolution": resolution, "note": note, "actor": tx.actor, "now": _now(tx)}


def _now(tx: WriteTransaction) -> Any:
    """Return this transaction's clock as raw SQL takes it."""
    return instant_text(tx.now()) if tx.dialect == "sqlite" else tx.now()


def _stamp(tx: WriteTransaction) -> str:
    return ":now" if tx.dialect == "sqlite" else "CAST(:now AS timestamptz)"


def _hashes(rows: pa.Table) -> list[str | None]:
    """Tell keyless records apart by content."""
    if "raw" not in rows.column_names:
        return [None] * rows.num_rows
    raws = rows.column("raw").cast(pa.binary()).to_pylist()
    return [None if raw is None else hashlib.sha256(raw).hexdigest()[:32] for raw in raws]
