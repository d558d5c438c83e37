"""A long list of texts as a table of a statement: one bound value, whatever the length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Text, cast, column, func, literal
from sqlalchemy.dialects.postgresql import JSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import TableValuedAlias


def listed(dialect: str, texts: Sequence[str], name: str = "listed") -> TableValuedAlias:
    """Return a table with one column ``value``, a row per text, in their order."""
    packed = msgspec.json.encode(texts).decode()
    value = column("value", Text)
    if dialect == "postgresql":
        return func.json_array_elements_text(cast(literal(packed, Text), JSON)).table_valued(value, name=name)
    return func.json_each(packed).table_valued(value, name=name)
