"""History: what was known when, and taking back what should not have been.

``as_of`` rebuilds a golden record of an earlier moment. ``retract`` takes a bad source out of matching and golden,
``undo_retraction`` puts it back. Both write ledger rows only; resolve and golden recompute the rest.
"""

from __future__ import annotations

from pipelines.history.retraction import retract, undo_retraction

__all__ = ["retract", "undo_retraction"]
