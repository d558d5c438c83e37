"""What YAML cannot say about Acme: pure functions of texts, each used by name in mapping.yaml."""

from __future__ import annotations

import json

REGULAR_FROM = 3


def stage_of(orders: str | None, created: str | None) -> str | None:
    """Return the lifecycle stage: a customer has bought, a regular has bought three times."""
    if orders is None:
        return "lead" if created is not None else None
    count = int(orders)
    if count == 0:
        return "lead"
    return "regular" if count >= REGULAR_FROM else "customer"


def head_office(offices: str | None) -> str | None:
    """Return the name of the office marked as head office."""
    found = json.loads(offices) if offices is not None else []
    return next((office["name"] for office in found if office.get("head")), None)
