"""Sums that a path cannot say: amounts inside a line's discounts and a refund's transactions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any


def sum_amounts(allocations: str | None) -> str | None:
    """Return the sum of ``amount`` over a line's discount allocations; ``None`` without a list."""
    items = _items(allocations)
    return None if items is None else _sum(items)


def refunded_amount(transactions: str | None) -> str | None:
    """Return what went back to the buyer: successful refund transactions only; ``0`` for a mere return."""
    items = _items(transactions)
    if items is None:
        return None
    return _sum(item for item in items if item.get("kind") == "refund" and item.get("status") == "success")


def _items(text: str | None) -> list[dict[str, Any]] | None:
    """Read a JSON list of objects, numbers kept exactly."""
    found = None if text is None else json.loads(text, parse_float=Decimal)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else None


def _sum(items: Iterable[dict[str, Any]]) -> str:
    return format(sum((Decimal(str(item.get("amount") or 0)) for item in items), Decimal(0)), "f")
