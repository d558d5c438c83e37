"""Many rows at a time into a SQLite session, by way of a file of their own: no value of them becomes a Python object.

ADBC writes Arrow columns into a new SQLite file without Python's lock, some 60 ns a value, before or within a transaction;
the session attaches the file, and one statement reads it. ADBC brings a SQLite library of its own, and two libraries at
work on one file in one process lose commits: a file is finished and closed by the one before the other opens it, and is
only read from then on.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from adbc_driver_sqlite import dbapi

from connectors.sdk.errors import StoreFull
from pipelines.store.sqlite_rows import parted

if TYPE_CHECKING:
    from collections.abc import Iterator

WORTH_A_FILE = 4_000
"""From so many rows on a file is cheaper than binding them."""
_AT_MOST = 8  # SQLite attaches ten files as it comes
_TABLE = "given"
_PRAGMAS = ("page_size=65536", "journal_mode=OFF", "synchronous=OFF")
"""Large pages are written by fewer calls, a tenth of the time; after a crash nobody reads the file."""


@dataclass(frozen=True)
class RowFile:
    """A file of rows as the store holds them: how many, which columns it has, and as SQL what all rows share."""

    path: Path
    rows: int
    names: tuple[str, ...]
    shared: dict[str, str]


@contextmanager
def row_file(stored: pa.Table) -> Iterator[RowFile | None]:
    """Offer stored columns as a file; ``None`` where all rows are the same, which need none."""
    differing, shared = parted(stored.combine_chunks().to_batches()[0]) if stored.num_rows else ({}, {})
    if not differing:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="unisono-stage-") as folder:
        path = Path(folder) / "rows.db"
        _write(path, pa.table(differing))
        yield RowFile(path, stored.num_rows, tuple(differing), shared)


def _write(path: Path, rows: pa.Table) -> None:
    try:
        with dbapi.connect(f"file:{path}", autocommit=True) as connection, connection.cursor() as cursor:
            for pragma in _PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.adbc_ingest(_TABLE, rows, mode="create")
    except dbapi.Error as error:
        raise StoreFull(
            "rows on their way into the store could not be written to the temporary folder", where=str(path.parent),
            why=str(error).strip(), do="free space there, or set TMPDIR to a folder that has some, then run again",
        ) from error  # fmt: skip


class Attached:
    """The files attached to one session; they are given back when its transaction has ended."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._names: list[str] = []
        self._made = ExitStack()

    def make(self, stored: pa.Table) -> RowFile | None:
        """Write stored columns to a file that is removed with the others; ``None`` if there is no use or no room for it."""
        return self._made.enter_context(row_file(stored)) if len(self._names) < _AT_MOST else None

    def attach(self, file: RowFile) -> tuple[dict[str, str], str] | None:
        """Return as SQL what each column of a file's rows holds, and the table that they are in; ``None`` if there is no room."""
        if len(self._names) >= _AT_MOST:
            return None
        name = f"staged_{len(self._names)}"
        self._driver.execute(f"ATTACH ? AS {name}", (str(file.path),))
        self._names.append(name)
        with suppress(OSError):  # what is open lives on, where the system allows that; a killed process leaves no file
            file.path.unlink()
        return {**{column: f'"{column}"' for column in file.names}, **file.shared}, f"{name}.{_TABLE}"

    def release(self) -> None:
        """Detach and remove the files; no transaction may be open."""
        for name in self._names:
            self._driver.execute(f"DETACH {name}")
        self._names.clear()
        self._made.close()
