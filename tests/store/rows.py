"""Rows for the store's tests."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.store import Store, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

T = tables.metadata.tables
DAY = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")


@contextmanager
def writing(store: Store, scope: str = "master/test"):
    with store.acquire(scope) as lease, store.write(lease, cause="test") as tx:
        yield tx


def refs(
    *keys: str, connection: str = "crm", name: str = "contact", entity: str = "person", stub: bool = False
) -> pa.Table:
    n = len(keys)
    columns = [[connection] * n, [name] * n, list(keys), [entity] * n, [stub] * n]
    return pa.table(columns, names=["connection_id", "object", "source_key", "entity", "is_stub"])


def intern(store: Store, *keys: str, **options: Any) -> list[int]:
    with writing(store) as tx:
        return tx.intern(refs(*keys, **options)).column("source_record_id").to_pylist()


def people(ids: Sequence[int], names: Sequence[str], *, hashes: Sequence[str] | None = None) -> pa.Table:
    return pa.table(
        {
            "source_record_id": pa.array(ids, pa.int64()),
            "row_key": [""] * len(ids),
            "full_name": pa.array(names, pa.string()),
            "record_time": pa.array([DAY] * len(ids), INSTANT),
            "payload_hash": pa.array(hashes or names, pa.string()),
            "mapping_version": pa.array([1] * len(ids), pa.int64()),
        }
    )
