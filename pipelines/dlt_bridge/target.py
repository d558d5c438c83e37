"""Where an export goes; needs no dlt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

DELETED: Final = "is_deleted"


@dataclass(frozen=True)
class Target:
    """A dlt destination: its name in dlt, its arguments, and the schema or folder for the tables."""

    destination: str
    dataset: str = "unisono"
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    folder: Path = Path()

    @property
    def is_log(self) -> bool:
        """True where rows cannot be changed in place: what is exported is a log of changes."""
        return self.destination == "filesystem"


@dataclass(frozen=True)
class TableSpec:
    """One table to load into; ``since`` is where the export begins, 0 for all rows."""

    name: str
    key: str
    json_columns: tuple[str, ...]
    since: int
