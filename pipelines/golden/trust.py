"""How far a source is believed, and how that fades as its value ages.

Age is counted from the value's own time to the newest evidence of the same entity: the latest time that any of its source
records or contact points carries. Both come from the data, so the same rows give the same trust on any day (ADR 0024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = 100
"""Trust is compared in hundredths, so that decay is seen."""
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Trust:
    """The trust in one source: ``highest`` for a value of today, down to ``lowest`` by half-lives or in a straight line."""

    highest: int
    lowest: int = 0
    half_life_days: float | None = None
    decay_days: float | None = None

    @staticmethod
    def of(told: int | Mapping[str, float]) -> Trust:
        """Return the trust that a policy file tells: a number, or ``max``, ``min`` and how it decays."""
        if isinstance(told, int):
            return Trust(told)
        return Trust(int(told["max"]), int(told.get("min", 0)), told.get("half_life_days"), told.get("decay_days"))

    @property
    def decays(self) -> bool:
        """True when the age of a value matters."""
        return self.half_life_days is not None or self.decay_days is not None

    def sql(self, age_us: str) -> str:
        """Return the SQL of the trust in hundredths; a value without a time has the lowest."""
        if not self.decays:
            return str(self.highest * PARTS)
        if self.half_life_days is not None:
            kept = f"pow(0.5::DOUBLE, ({age_us}) / {self.half_life_days * _DAY_US!r}::DOUBLE)"
        else:
            kept = f"greatest(1.0::DOUBLE - ({age_us}) / {(self.decay_days or 1) * _DAY_US!r}::DOUBLE, 0.0::DOUBLE)"
        low, span = self.lowest * PARTS, (self.highest - self.lowest) * PARTS
        trust = f"floor({low}.0::DOUBLE + {span}.0::DOUBLE * {kept} + 0.5)::BIGINT"
        return f"CASE WHEN ({age_us}) IS NULL THEN {low} ELSE {trust} END"

    def at(self, age_us: int | None) -> int:
        """Return the trust in hundredths in a value of this age; ``None`` = it has no time."""
        if not self.decays:
            return self.highest * PARTS
        if age_us is None:
            return self.lowest * PARTS
        if self.half_life_days is not None:
            kept = math.pow(0.5, age_us / (self.half_life_days * _DAY_US))
        else:
            kept = max(1.0 - age_us / ((self.decay_days or 1) * _DAY_US), 0.0)
        return math.floor(self.lowest * PARTS + (self.highest - self.lowest) * PARTS * kept + 0.5)
