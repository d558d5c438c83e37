"""channels: how each golden party can be reached, and how it likes to be (ADR 0026).

What it may be told is not kept here: consent stays acts, and ``v1_effective_consent`` and ``v1_reachable`` say what they
come to (pipelines/store/consent_view.py).
"""

from __future__ import annotations

from pipelines.channels.policy import Policy, load_policy
from pipelines.channels.stage import run

__all__ = ["Policy", "load_policy", "run"]
