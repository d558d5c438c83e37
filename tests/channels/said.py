"""Rows of what parties state, as the stage reads them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
NUMBERS = ("entity_id", "source_record_id", "max_messages", "per_days")
TIMES = ("stated_at", "record_time")
TEXTS = (
    "row_key", "kind", "purpose", "channel", "preferred_channel", "time_from", "time_to", "term_times", "connection_id",
    "object", "source_key",
)  # fmt: skip
SCHEMA = pa.schema(
    [(name, pa.int64()) for name in NUMBERS]
    + [(name, INSTANT) for name in TIMES]
    + [(name, pa.string()) for name in TEXTS]
)
NOTHING_STATED = SCHEMA.empty_table()


def row(kind: str, record: int = 1, **terms: Any) -> dict[str, Any]:
    """One row of entity 1, said by record ``crm/contact/<record>``."""
    own = {"entity_id": 1, "source_record_id": record, "row_key": kind, "kind": kind}
    ref = {"connection_id": "crm", "object": "contact", "source_key": str(record)}
    return dict.fromkeys(SCHEMA.names) | own | ref | terms


def quiet(start: str, end: str, record: int = 1, **terms: Any) -> dict[str, Any]:
    """Quiet hours."""
    return row("quiet_hours", record, time_from=start, time_to=end, **terms)


def cap(messages: int | None, days: int | None, record: int = 1, **terms: Any) -> dict[str, Any]:
    """At most so many messages in so many days."""
    return row("frequency", record, max_messages=messages, per_days=days, **terms)


def table(*rows: dict[str, Any]) -> pa.Table:
    """The rows as the stage reads them."""
    return pa.Table.from_pylist(list(rows), SCHEMA)
