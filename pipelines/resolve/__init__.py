"""resolve: source records → an evidence ledger → identity links (ARCHITECTURE §3, step 4; rules in §7)."""

from __future__ import annotations

from pipelines.resolve.bench import bench_identity
from pipelines.resolve.engine import Resolution, resolve_table
from pipelines.resolve.ids import assign_ids
from pipelines.resolve.match_files import match_files
from pipelines.resolve.model import MatchModel
from pipelines.resolve.rules import Policy, load_policy
from pipelines.resolve.stage import run

__all__ = [
    "MatchModel", "Policy", "Resolution", "assign_ids", "bench_identity", "load_policy", "match_files",
    "resolve_table", "run",
]  # fmt: skip
