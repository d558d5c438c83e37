"""golden: links + survivorship policy → golden records with the origin of every cell (ARCHITECTURE §3, step 5)."""

from __future__ import annotations

from pipelines.golden.policy import Policy, load_policy
from pipelines.golden.stage import run
from pipelines.golden.survivorship import survive

__all__ = ["Policy", "load_policy", "run", "survive"]
