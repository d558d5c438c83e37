"""What data stewards do: a review queue, decisions that bind for ever, undo (`unisono review`, `decide`, `undo`, `decisions`).

Not a stage: the door for people. It reads the tables that the stages meet in and writes only the table ``decision``.
"""

from __future__ import annotations

from pipelines.steward.actions import Outcome, match, no_match, pin, split, undo, unpin, unsure
from pipelines.steward.conflict import Conflict

__all__ = ["Conflict", "Outcome", "match", "no_match", "pin", "split", "undo", "unpin", "unsure"]
