"""influence: source relationships + links → dated, weighted relations of golden entities and account hierarchies."""

from __future__ import annotations

from pipelines.influence.stage import run

__all__ = ["run"]
