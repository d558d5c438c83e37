"""The Arrow form of canonical rows, and their JSON form (one spelling for each value)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canonical_model import Entity, Term

INSTANT: Final = pa.timestamp("us", "UTC")
REFERENCE: Final = pa.struct([(name, pa.string()) for name in ("object", "key", "system", "value")])
_HEAD: Final = [("source_key", pa.string()), ("row_key", pa.string()), ("record_time", INSTANT)]
_TYPES: Final = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "instant": INSTANT,
    "decimal": pa.decimal128(38, 6),
    "money": pa.decimal128(38, 6),
}


def arrow_type(term: Term) -> pa.DataType:
    """Return the Arrow type that a term's column has everywhere."""
    if term.is_ref:
        return REFERENCE
    made = _TYPES.get(term.type, pa.string())
    return pa.list_(made) if term.multi else made


@cache
def row_schema(entity: Entity) -> pa.Schema:
    """Return the columns of an entity's rows: keys, record time, every term, extras, the record's ordinal."""
    terms = [(term.name, arrow_type(term)) for term in entity.terms.values()]
    return pa.schema([*_HEAD, *terms, ("extras", pa.string()), ("ordinal", pa.int64())])


QUARANTINE: Final = pa.schema(
    [("source_key", pa.string()), ("ordinal", pa.int64()), ("reason", pa.string()), ("path", pa.string())]
)


def json_rows(entity: Entity, table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows in canonical JSON form: keys, the terms that are not null in the vocabulary's order, extras."""
    for row in table.to_pylist():
        made: dict[str, Any] = {"source_key": row["source_key"]} | (
            {"row_key": row["row_key"]} if row["row_key"] else {}
        )
        for term in entity.terms.values():
            if row[term.name] is not None:
                made[term.name] = json_value(term, row[term.name])
        if row["extras"] is not None:
            made["extras"] = dict(sorted(json.loads(row["extras"]).items()))
        yield made


def json_value(term: Term, value: Any) -> Any:
    """Return one value in canonical JSON form."""
    if term.is_ref:
        return {name: part for name, part in value.items() if part is not None}
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, Decimal):
        return decimal_text(value)
    return json.loads(value) if term.type == "json" else value


def decimal_text(value: Decimal) -> str:
    """Return plain notation without needless zeros: ``12.5``, ``100``, ``0``."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
