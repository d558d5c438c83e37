"""Rewriting landed files: a person's rows are blanked, its texts taken out of others' rows; every row keeps its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.redaction import ERASED, forms, pattern_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pipelines.landing import Landing

BLANKED = "erased"
"""The operation of a row of which nothing is left; no stage reads it."""


@dataclass(frozen=True)
class Rewritten:
    """How many files were read and rewritten, and how many of their rows were blanked and redacted."""

    read: int = 0
    files: int = 0
    blanked: int = 0
    redacted: int = 0

    def __add__(self, other: Rewritten) -> Rewritten:
        return Rewritten(
            self.read + other.read,
            self.files + other.files,
            self.blanked + other.blanked,
            self.redacted + other.redacted,
        )


def rewrite(landing: Landing, name: str, keys: Mapping[str, str], needles: Collection[str]) -> Rewritten:
    """Rewrite one file if it holds rows of ``keys`` (vendor key to surrogate) or any of the texts; else leave it alone.

    Doing it again finds nothing more to do.
    """
    table = landing.read(name)
    mine = pc.is_in(table.column("source_key"), pa.array(list(keys), pa.string()))
    held = pc.and_(pc.invert(mine), pc.or_(*(_holds(table.column(each), needles) for each in ("payload", "parent"))))
    blanked, redacted = (int(pc.sum(mask).as_py() or 0) for mask in (mine, held))
    if not blanked and not redacted:
        return Rewritten(read=1)
    landing.replace(name, _redacted(_blanked(table, mine, keys), held, needles))
    return Rewritten(1, 1, blanked, redacted)


def _blanked(table: pa.Table, mine: pa.ChunkedArray, keys: Mapping[str, str]) -> pa.Table:
    number = int(pc.sum(mine).as_py() or 0)
    surrogates = [keys[key] for key in table.column("source_key").filter(mine).to_pylist()]
    new: dict[str, Sequence[object]] = {
        "source_key": surrogates,
        "op": [BLANKED] * number,
        "hash": [BLANKED] * number,
        "payload": ["{}"] * number,
    }
    for column, values in {**new, "parent": [None] * number, "record_time": [None] * number}.items():
        table = _set(table, column, mine, values)
    return table


def _redacted(table: pa.Table, held: pa.ChunkedArray, needles: Collection[str]) -> pa.Table:
    if not needles:
        return table
    whole, inside = _whole(needles), pattern_of(needles)
    for column in ("payload", "parent"):
        texts = table.column(column).filter(held).to_pylist()
        values = [None if text is None else inside.sub(ERASED, whole.sub("null", text)) for text in texts]
        table = _set(table, column, held, values)
    return table


def _whole(needles: Collection[str]) -> re.Pattern[str]:
    """Return what finds a JSON value, not a member's name, that is all of one of the texts."""
    texts = "|".join(re.escape(form) for needle in needles for form in forms(needle))
    digits = "|".join(re.escape(needle) for needle in needles if needle.isdigit()) or "(?!)"
    return re.compile(rf'"(?:{texts})"(?!\s*:)|(?<![\w."+-])(?:{digits})(?![\w."])', re.IGNORECASE)


def _set(table: pa.Table, column: str, mask: pa.ChunkedArray, values: Sequence[object]) -> pa.Table:
    field = table.schema.field(column)
    whole = table.column(column).combine_chunks()
    new = pc.replace_with_mask(whole, mask.combine_chunks(), pa.array(values, field.type))
    return table.set_column(table.schema.get_field_index(column), field, new)


def _holds(texts: pa.ChunkedArray, needles: Collection[str]) -> pa.ChunkedArray:
    found = pa.chunked_array([pa.repeat(pa.scalar(False), len(texts))])
    for form in sorted({form for needle in needles for form in forms(needle)}):
        found = pc.or_(found, pc.fill_null(pc.match_substring(texts, form, ignore_case=True), False))
    return found
