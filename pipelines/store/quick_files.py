"""SQLite files of another library, made quick for one process: a commit does not wait for the disk, nor does a close.

Dagster commits every event by itself and closes the file after it. A commit waits for the disk; to close the last
connection of a file in WAL mode writes all of it back, which waits again. The files stay whole whatever happens; a power
cut may cost what was committed last. It is for what can be made again, such as a demo's history, and never for the store.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

_QUICK = "synchronous = NORMAL"


class QuickFiles:
    """Makes SQLAlchemy's new connections to the SQLite files below a folder quick, and to no others, until closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._open: dict[Path, sqlite3.Connection] = {}
        event.listen(Engine, "connect", self._connected)

    def close(self) -> None:
        """Leave new connections as they are, and write back what is still to be written back."""
        event.remove(Engine, "connect", self._connected)
        for held in self._open.values():
            held.close()
        self._open.clear()

    def _connected(self, connection: Any, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        name = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
        file = Path(name).resolve()
        if name and file.is_relative_to(self._folder):
            connection.execute(f"PRAGMA {_QUICK}")
            self._hold(file)

    def _hold(self, file: Path) -> None:
        """Keep a connection of our own, so that no other one is the last; it counts once it has read in WAL mode."""
        held = self._open.get(file)
        if held is None:
            held = self._open[file] = sqlite3.connect(file, check_same_thread=False)
            held.execute(f"PRAGMA {_QUICK}")
        held.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
