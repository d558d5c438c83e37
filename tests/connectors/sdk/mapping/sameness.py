"""Whether two engines made the same of a batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from connectors.sdk.mapping import MappedBatch


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Rows in the order of their records and keys; extras as the JSON object that they are: its members have no order."""
    rows = [
        {**row, **({"extras": json.loads(row["extras"])} if row.get("extras") else {})} for row in table.to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["ordinal"], row.get("row_key") or ""))


def content(batch: MappedBatch) -> dict[str, Any]:
    """Everything a batch says."""
    return {
        "read": batch.read,
        "mapped": batch.mapped,
        "deleted": batch.deleted,
        "rows": {entity: rows_of(table) for entity, table in sorted(batch.rows.items())},
        "quarantine": rows_of(batch.quarantine),
        "warnings": dict(batch.warnings),
        "unmapped": dict(batch.unmapped),
        "ignored": dict(batch.ignored),
        "unused": batch.unused,
    }
