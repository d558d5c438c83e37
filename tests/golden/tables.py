"""Small Arrow tables for survivorship tests: only what a test is about is written down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.golden.survivorship import CONTACT_SCHEMA, member_schema


def day(text: str) -> datetime:
    """An instant from a date."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def members(*rows: dict[str, Any], entity: str = "person") -> pa.Table:
    """Source records; ``id`` is the source record, ``at`` the day it last changed; all of entity 1 unless said."""
    return pa.Table.from_pylist([_row(row) | {"is_stub": False} | row for row in rows], member_schema(entity))


def contacts(*rows: dict[str, Any]) -> pa.Table:
    """Contact points of source records."""
    return pa.Table.from_pylist([_row(row) | {"row_key": ""} | row for row in rows], CONTACT_SCHEMA)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """What every row needs, by default; its source_ref is ``<connection>/contact/<id>``."""
    number, connection = row.pop("id"), row.get("connection", "crm")
    at = row.pop("at", "2026-01-01")
    return {
        "entity_id": 1,
        "source_record_id": number,
        "source_ref": f"{connection}/contact/{number}",
        "connection": connection,
        "connector": connection,
        "record_time": None if at is None else day(at),
    }
