"""What earlier runs left of a stream whose cursor is not ours to read: the state of the last finished read counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.protocols import PartitionState
from pipelines.store import reads

if TYPE_CHECKING:
    from pipelines.store import Store

_WHOLE = ""


def opaque_state(store: Store, connection_id: str, stream: str, *, tenant_id: int = 1) -> PartitionState:
    """Return the cursor of the last COMPLETE read, and where unfinished reads stand: of everything, of changes."""
    rows = reads.partitions(store, connection_id, stream, only=[_WHOLE], tenant_id=tenant_id)
    finished = sorted((row for row in rows if row.cursor is not None), key=lambda row: row.complete_read_id or 0)
    unfinished = {row.kind == "INCREMENTAL": row.position for row in rows if row.open_read_id is not None}
    return PartitionState(
        partition=_WHOLE,
        cursor=finished[-1].cursor if finished else None,
        position=unfinished.get(False),
        changes=unfinished.get(True),
    )
