"""What a simulator process remembers, so that after a restart it serves the same records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .blocks import World

if TYPE_CHECKING:
    from pathlib import Path

    from .app import App


class State:
    """What a simulator process must remember to be the same after a restart: its arguments and its advances."""

    def __init__(self, path: Path | None, seed: int, people: int) -> None:
        self._path = path
        self.memory: dict[str, Any] = {"seed": seed, "people": people, "now": _now().isoformat(), "steps": []}
        if path is not None and path.exists():
            self.memory = json.loads(path.read_text(encoding="utf-8"))

    def world(self) -> World:
        """Return the remembered world as it was at first."""
        memory = self.memory
        return World(memory["seed"], memory["people"], now=datetime.fromisoformat(memory["now"]))

    def replay(self, app: App) -> None:
        """Make the remembered changes again."""
        for step in self.memory["steps"]:
            app.advance(step["seed"], step["count"], datetime.fromisoformat(step["at"]))

    def save(self, app: App) -> None:
        """Remember the changes made so far."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({**self.memory, "steps": app.steps}, indent=1)
            part = self._path.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            part.replace(self._path)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
