"""Landing what was replayed: a segment of a load of its own, beside the vendor's reads and without touching their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import and_, select

from pipelines.store import reads
from pipelines.store.landed import put_heads
from pipelines.store.tables import SEGMENT_COUNTS, load, raw_head, read, segment, source_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

KIND = "REPLAY"
_KEYS_AT_ONCE = 5_000


def commit(tx: WriteTransaction, connection_id: str, stream: str, name: str, file: str, heads: pa.Table) -> int:
    """Record a file of replayed records with its heads and return the segment's id.

    ``heads``: source_key, row_no, hash, op, record_time, last_read (the read that met the record first). The stream keeps
    the completeness of its last real load.
    """
    verdict = _last_verdict(tx, connection_id, stream)
    load_id = reads.open_load(tx, connection_id, stream)
    read_id, segment_id = tx.allocate("read_id", 1), tx.allocate("segment_id", 1)
    place = {"connection_id": connection_id, "stream": stream, "partition": ""}
    tx.insert_row(read, {
        "read_id": read_id, "load_id": load_id, **place, "kind": KIND, "status": "finished", "completeness": verdict,
        "resumed": False, "started_seq": tx.change_seq, "finished_seq": tx.change_seq,
    })  # fmt: skip
    n = pc.max(heads.column("row_no")).as_py() + 1
    counts = dict.fromkeys(SEGMENT_COUNTS, 0) | {"wire": n, "loaded": n}
    tx.insert_row(segment, {
        "segment_id": segment_id, "read_id": read_id, "load_id": load_id, **place, "object": name, "records": n,
        "files": [{"name": file, "first": 0, "rows": n}], "fence": tx.fence, "position": None, **counts,
    })  # fmt: skip
    for met in heads.column("last_read").unique().to_pylist():
        mine = heads.filter(pc.equal(heads.column("last_read"), met))
        put_heads(tx, connection_id, name, mine, segment_id=segment_id, read_id=met)
    reads.finish_load(tx, load_id, completeness=verdict)
    return segment_id


def known_heads(
    store: Store, connection_id: str, name: str, keys: Sequence[str], *, tenant_id: int = 1
) -> list[tuple[Any, ...]]:
    """Return source_key, op, hash, record_time, change_seq of what is landed of these keys."""
    record, head = source_record.c, raw_head.c
    same = and_(head.tenant_id == record.tenant_id, head.source_record_id == record.source_record_id)
    mine = (record.tenant_id == tenant_id, record.connection_id == connection_id, record.object == name)
    statement = select(record.source_key, head.op, head.hash, head.record_time, head.change_seq).join_from(
        source_record, raw_head, same
    )
    chunks = [keys[start : start + _KEYS_AT_ONCE] for start in range(0, len(keys), _KEYS_AT_ONCE)]
    return [tuple(row) for chunk in chunks for row in store.read(statement.where(*mine, record.source_key.in_(chunk)))]


def _last_verdict(tx: WriteTransaction, connection_id: str, stream: str) -> str:
    mine = (load.c.tenant_id == tx.tenant_id, load.c.connection_id == connection_id, load.c.stream == stream)
    found = tx.execute(
        select(load.c.completeness).where(*mine, load.c.completeness.is_not(None)).order_by(load.c.load_id.desc())
    ).first()
    return str(found[0]) if found else "UNKNOWN"
