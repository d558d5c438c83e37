"""What a pair counts for in the partition: its score, then rules and people's words, step by step to the sum.

The partition takes a score for no more than ``CLIP``, a rule's link for ``CERTAIN`` in its place, and what must never be one
for ``FORBIDDEN`` (``cluster.refined``). A person's match joins whole clusters whatever the sum is.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.resolve.cluster import CERTAIN, CLIP, FORBIDDEN
from pipelines.resolve.waterfall import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.store.pair_reads import Edge

_KEPT_APART = ("negative", "conflict")


def counted(score: Decimal | None, direct: Sequence[Edge]) -> dict[str, Any]:
    """Return ``total`` and the ``steps`` that sum to it exactly: each with name, why, weight and the total after it.

    ``score`` is the pair's own, ``None`` where it has none; ``direct`` the evidence about the pair that holds.
    """
    sum_ = _Sum()
    if score is None:
        sum_.to(-CLIP, "no score", "a pair that cannot be compared counts as strangers")
    else:
        sum_.add(score, "score", "what the values say; see the waterfall")
        if abs(score) > rounded(CLIP):
            sum_.to(CLIP if score > 0 else -CLIP, "limit", f"no score counts for more than {CLIP:g} either way")
    said = [edge for edge in direct if edge.kind == "steward"]
    rules = [edge for edge in direct if edge.kind == "deterministic"]
    loose = [edge for edge in said if edge.judgement in ("unsure", *_KEPT_APART)]
    for edge in rules:
        if edge.judgement == "positive" and not loose:
            sum_.to(CERTAIN, _name(edge), "a rule links them")
        elif edge.judgement == "positive":
            sum_.add(Decimal(0), _name(edge), "a rule would link them; a person's word takes that away")
    if any(edge.judgement == "unsure" for edge in said):
        sum_.to(0.0, "unsure", "a person is unsure: neither for nor against")
    for edge in (*rules, *said):
        if edge.judgement in _KEPT_APART:
            sum_.to(FORBIDDEN, _name(edge), "they must not be one")
        elif edge in said and edge.judgement == "positive":
            sum_.add(Decimal(0), _name(edge), "a person's word: it joins them whatever the sum is")
    return {"total": sum_.total, "steps": sum_.steps}


def _name(edge: Edge) -> str:
    return edge.rule or edge.kind


class _Sum:
    """Adds steps up, each with the total after it."""

    def __init__(self) -> None:
        self.total = Decimal("0.000")
        self.steps = list[dict[str, Any]]()

    def add(self, weight: Decimal, name: str, why: str) -> None:
        """Add a weight."""
        self.total += weight
        self.steps.append({"name": name, "why": why, "weight": weight, "total": self.total})

    def to(self, total: float, name: str, why: str) -> None:
        """Take the total to where the partition puts it."""
        self.add(rounded(total) - self.total, name, why)
