"""What a stage says it did: one StageReport per unit of work, one line of ``--json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

EXTRACT_COUNTS = ("read", "loaded", "unchanged", "duplicate", "filtered", "quarantined")


@dataclass(frozen=True)
class StageReport:
    """Counts of one stage over one unit: a connection's stream, or an entity.

    ``counts`` obeys the accounting identity of its stage (ARCHITECTURE §5.2); ``seconds`` is wall time;
    ``error`` holds the message of the error that ended the unit, ``None`` when it ended well; ``exit_code`` is what a
    command ends with if the unit was not ok (2: the configuration or the connector is wrong, else 1).
    """

    stage: str
    connection: str | None = None
    stream: str | None = None
    entity: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    completeness: str | None = None
    seconds: float = 0.0
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 1

    @property
    def ok(self) -> bool:
        """True when the unit ended without error and, for extract, COMPLETE."""
        return self.error is None and self.completeness in (None, "COMPLETE")

    def to_json(self) -> str:
        """One JSON object on one line, keys in a fixed order, absent parts left out."""
        row: dict[str, Any] = {"stage": self.stage}
        for name in ("connection", "stream", "entity"):
            value = getattr(self, name)
            if value is not None:
                row[name] = value
        row.update(self.counts)
        if self.completeness is not None:
            row["completeness"] = self.completeness
        row["seconds"] = round(self.seconds, 3)
        if self.error is not None:
            row["error"] = self.error
        if self.details:
            row["details"] = self.details
        return json.dumps(row, ensure_ascii=False)
