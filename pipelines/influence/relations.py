"""Golden relations of some subjects: lifted from what sources say, then settled where only one can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.influence.lift import Told, lift
from pipelines.influence.settle import FIRST, Piece, Span, settle

_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("from_id", pa.int64()), ("to_id", pa.int64()), ("type", pa.string()), ("role", pa.string()),
        ("hierarchy", pa.string()), ("span", pa.int64()), ("subject_id", pa.int64()), ("from_entity", pa.string()),
        ("to_entity", pa.string()), ("valid_from", _INSTANT), ("valid_to", _INSTANT), ("evidence_at", _INSTANT),
        ("strength", pa.float64()), ("sources", pa.int64()), ("together", pa.int64()), ("is_primary", pa.bool_()),
        ("told_by", pa.string()), ("conflict", pa.string()), ("conflict_with", pa.int64()),
    ]
)  # fmt: skip
KEY = ("from_id", "to_id", "type", "role", "hierarchy", "span")


def relations(told: Told) -> pa.Table:
    """Return the rows of ``golden_relationship`` that follow from what was told."""
    rows = lift(told)
    contested = rows.filter(rows.column("contested"))
    alone = rows.filter(pc.invert(rows.column("contested"))).drop_columns(["contested", "first_ref"])
    none = pa.nulls(alone.num_rows)
    alone = alone.append_column("conflict", none).append_column("conflict_with", none).select(SCHEMA.names).cast(SCHEMA)
    settled = pa.Table.from_pylist(list(_settled(contested.to_pylist())), SCHEMA)
    return pa.concat_tables([alone, settled])


def _settled(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["subject_id"], row["type"], row["hierarchy"]].append(row)
    for group in groups.values():
        pieces = settle([_span(number, row) for number, row in enumerate(group)])
        yield from _numbered(_piece_row(group, piece) for piece in pieces)


def _span(number: int, row: dict[str, Any]) -> Span:
    return Span(
        number, _other(row), row["valid_from"], row["valid_to"], row["evidence_at"], row["strength"], row["sources"],
        row["first_ref"],
    )  # fmt: skip


def _piece_row(group: list[dict[str, Any]], piece: Piece) -> dict[str, Any]:
    dates = {"valid_from": piece.valid_from, "valid_to": piece.valid_to, "conflict": piece.conflict}
    return group[piece.row] | dates | {"conflict_with": None if piece.rival is None else _other(group[piece.rival])}


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Number the spans of each relation anew, in the order of time."""
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in sorted(rows, key=lambda row: (row["valid_from"] or FIRST, row["span"])):
        key = row["from_id"], row["to_id"]
        counts[key] += 1
        yield {name: row[name] for name in SCHEMA.names} | {"span": counts[key]}


def _other(row: dict[str, Any]) -> int:
    other: int = row["from_id"] if row["subject_id"] == row["to_id"] else row["to_id"]
    return other
