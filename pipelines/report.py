"""What a stage says it did: one StageReport per unit of work, one line of ``--json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Characters that some readers take for the end of a line; a vendor's field name may hold one.
_LINE_BREAKS = {ord(one): f"\\u{ord(one):04x}" for one in "\x85\u2028\u2029"}
EXTRACT_COUNTS = ("read", "loaded", "unchanged", "duplicate", "filtered", "quarantined")
IDENTITIES = {
    "extract": (("read", EXTRACT_COUNTS[1:]),),
    "normalise": (("read", ("mapped", "quarantined")), ("emitted", ("written", "unchanged"))),
}


def imbalance(stage: str, counts: Mapping[str, int]) -> str | None:
    """Say where a stage's counts break its accounting identity (ARCHITECTURE §5.2); None when every record is there."""
    faults = [
        f"{counts.get(whole, 0)} {whole} are not {' + '.join(f'{counts.get(part, 0)} {part}' for part in parts)}"
        for whole, parts in IDENTITIES.get(stage, ())
        if counts.get(whole, 0) != sum(counts.get(part, 0) for part in parts)
    ]
    return "; ".join(faults) or None


@dataclass(frozen=True)
class StageReport:
    """Counts of one stage over one unit: a connection's stream, or an entity.

    ``counts`` obeys the accounting identity of its stage (ARCHITECTURE §5.2); ``seconds`` is wall time;
    ``error`` holds the message of the error that ended the unit, ``None`` when it ended well; ``exit_code`` is what a
    command ends with if the unit was not ok (2: the configuration or the connector is wrong, 75: the vendor said when to
    come back, else 1). ``stops_connection`` says that the connection's other streams would end the same way.
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
    stops_connection: bool = False

    @property
    def imbalance(self) -> str | None:
        """Where the stage's account broke, in its counts or in a part it gave up for that; None when all is there."""
        given: str | None = self.details.get("unaccounted")
        return given or imbalance(self.stage, self.counts)

    @property
    def ok(self) -> bool:
        """True when the unit ended without error, its account adds up and, for extract, it is COMPLETE."""
        return self.error is None and self.completeness in (None, "COMPLETE") and self.imbalance is None

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
        return json.dumps(row, ensure_ascii=False).translate(_LINE_BREAKS)
