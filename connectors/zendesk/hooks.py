"""What zendesk's mapping cannot say in YAML."""

from __future__ import annotations


def message_direction(
    public: str | None, author: str | None, requester: str | None, assignee: str | None
) -> str | None:
    """Return which way a comment went; null where the author is neither the requester nor the assignee."""
    if public == "false":
        return "internal"
    if author is None:
        return None
    return "inbound" if author == requester else "outbound" if author == assignee else None
