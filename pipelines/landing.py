"""The landing: raw payloads as Parquet files, on any fsspec URL.

A file exists for the product only once a committed segment names it. Names carry the writer's fence, so that files
left behind by a killed writer can be told from those of a living one.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.sdk.errors import StoreFailure, StoreFull

SCHEMA = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("source_key", pa.string()),
        ("op", pa.string()),
        ("hash", pa.string()),
        ("record_time", pa.timestamp("us", tz="UTC")),
        ("payload", pa.string()),
        ("parent", pa.string()),
    ]
)
# Only what repeats is worth a dictionary, and nobody asks for a file's minima and maxima: both cost a third of a write.
_FORM: Final[Mapping[str, Any]] = {"compression": "zstd", "use_dictionary": ["op", "parent"], "write_statistics": False}
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Landing:
    """Writes, reads and collects the Parquet files below one URL; file names are relative to it."""

    url: str

    def write(self, folder: Sequence[str], fence: int, table: pa.Table) -> str:
        """Write ``table`` durably and return its name; readers never see a half-written file.

        On a local disk: ``.part``, fsync, rename, fsync of the folder. Elsewhere: one put. Raises StoreFull.
        """
        name = "/".join((*folder, f"{fence:010d}-{uuid.uuid4().hex}.parquet"))
        self.replace(name, table)
        return name

    def replace(self, name: str, table: pa.Table) -> None:
        """Put ``table`` in the place of a file, durably and all at once; its former bytes are given back to the disk.

        Only erasure changes what was landed; call it under the stream's lease.
        """
        try:
            content = _parquet(table)
            if self._local is not None:
                _write_local(self._local / name, content)
            else:
                with self._fs.open(f"{self._root}/{name}", "wb") as sink:
                    _put(sink, content)
        except OSError as why:
            raise _translated(why, f"{self.url}/{name}") from why

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one file's rows in the order they were landed; raise StoreFailure if it cannot be read."""
        try:
            with self._fs.open(f"{self._root}/{name}", "rb") as source:
                return pq.read_table(source, columns=list(columns) if columns else None)
        except (OSError, pa.ArrowInvalid) as why:
            do = "restore the landing from its backup, or run `unisono sync --full` for this connection"
            raise StoreFailure("a landed file cannot be read", where=f"{self.url}/{name}", why=str(why), do=do) from why

    def collect(self, folder: Sequence[str], fence: int, committed: Iterable[str]) -> list[str]:
        """Delete files of ``folder`` that no committed segment names and that an older fence wrote; return them.

        Call it only under the stream's lease: ``fence`` is that lease's.
        """
        keep = set(committed)
        gone = [name for name in self._names(folder) if name not in keep and _fence_of(name) < fence]
        for name in gone:
            self._fs.rm(f"{self._root}/{name}")
        return gone

    @property
    def _local(self) -> Path | None:
        return (
            Path(self.url.removeprefix("file://")) if self.url.startswith("file://") or "://" not in self.url else None
        )

    @property
    def _fs(self) -> Any:
        return fsspec.core.url_to_fs(self.url)[0]

    @property
    def _root(self) -> str:
        return str(fsspec.core.url_to_fs(self.url)[1]).rstrip("/")

    def _names(self, folder: Sequence[str]) -> Iterator[str]:
        place = "/".join((self._root, *folder))
        if not self._fs.exists(place):
            return
        for path in self._fs.ls(place, detail=False):
            yield str(path)[len(self._root) :].lstrip("/")


def _parquet(table: pa.Table) -> memoryview:
    """Return the table as the bytes of a file, made in one go without Python's lock."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_FORM)
    return memoryview(sink.getvalue())


def _put(sink: IO[bytes], content: memoryview) -> None:
    sink.write(content)


def _write_local(path: Path, content: memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as sink:
            _put(sink, content)
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)  # a full disk gets its space back
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _fence_of(name: str) -> int:
    """Return the fence in a file name; a name of somebody else's counts as never collectable."""
    head = name.rsplit("/", 1)[-1].split("-", 1)[0]
    return int(head) if head.isdigit() else 2**62


def _translated(why: OSError, where: str) -> StoreFailure:
    if why.errno in _FULL:
        do = "free space there; the next run goes on where this one stopped"
        return StoreFull("no space left for the landing", where=where, why=str(why), do=do)
    do = "check that the folder exists and can be written, or set another `landing:`"
    return StoreFailure("the landing cannot be written", where=where, why=str(why), do=do)
