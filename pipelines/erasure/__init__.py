"""Erasure: destroys what is personal of one golden record everywhere, and remembers by keyed hashes not to let it back in."""

from __future__ import annotations

from pipelines.erasure.stage import erase, finish

__all__ = ["erase", "finish"]
