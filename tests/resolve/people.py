"""Small match tables: a test writes down only what it is about."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipelines.resolve import load_policy, resolve_table
from pipelines.resolve.engine import Resolution
from pipelines.resolve.match_view import match_table
from pipelines.resolve.model import MatchModel

_LISTS = ("emails", "phones", "websites", "socials", "identifiers", "verified")


def table(*rows: dict[str, Any], entity: str = "person") -> pa.Table:
    """Records ``r0``, ``r1`` …; ``key`` gives another name, lists may be written as one value."""
    full = [_row(number, row) for number, row in enumerate(rows)]
    names = list(dict.fromkeys(name for row in full for name in row))
    return match_table(
        entity, {name: [row.get(name, [] if name in _LISTS else None) for row in full] for name in names}
    )


def _row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    listed = {name: value if isinstance(value, list) else [value] for name, value in row.items() if name in _LISTS}
    plain = {name: value for name, value in row.items() if name not in (*_LISTS, "key")}
    return {
        "source_record_id": number, "source_ref": row.get("key", f"crm/contact/r{number}"),
        "is_stub": False, "role_class": "customer", **plain, **listed,
    }  # fmt: skip


def resolve(records: pa.Table, *, entity: str = "person", model: MatchModel | None = None) -> Resolution:
    """Resolve under the project's own policy."""
    return resolve_table(records, entity, load_policy(), model)


def groups(resolution: Resolution) -> set[frozenset[str]]:
    """The partition as sets of record names."""
    found: dict[int, set[str]] = {}
    for ref, label in zip(resolution.source_refs.to_pylist(), resolution.labels.tolist(), strict=True):
        found.setdefault(label, set()).add(ref.rsplit("/", 1)[1])
    return {frozenset(members) for members in found.values()}


def together(*rows: dict[str, Any], entity: str = "person") -> set[frozenset[str]]:
    """The groups of more than one record."""
    return {group for group in groups(resolve(table(*rows, entity=entity), entity=entity)) if len(group) > 1}
