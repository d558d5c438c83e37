"""Mapping a part of a stream: all of normalise that needs no store, in this process or in one of its own.

Writing rows holds Python's lock again and again, so that a mapper in a thread beside it and the writer wait for each other:
together they take longer than the slower of the two. A load of many records is mapped by a child process, which is given
parts and returns what is to be written; a small one is not worth the child's start. Both run the same function.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from canonical_model import load_vocabulary
from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.errors import FixConnector, StopStream
from connectors.sdk.mapping import BATCH, CompiledStream, MappedBatch, compile_stream
from pipelines.normalise.batch import REFS, Origin, Ready, made_ready

if TYPE_CHECKING:
    from types import TracebackType

    from canonical_model import Entity

WORTH_A_PROCESS: Final = 50_000
"""From so many rows on the start of a process, a second or two, is worth it."""
READ: Final = [*BATCH.names, "hash"]
"""The columns of a part that mapping reads."""


class Made(NamedTuple):
    """What a part became: the account of it without its rows, and the rows ready to be written."""

    mapped: MappedBatch
    ready: Ready


@dataclass(frozen=True)
class MapTask:
    """What mapping a stream of a connection needs to know; plain values, so that another process can be told."""

    folder: Path
    stream: str
    origin: Origin
    timezone: str | None
    region: str | None

    @cached_property
    def _connector(self) -> ConnectorFolder:
        return ConnectorFolder(self.folder)

    @cached_property
    def _compiled(self) -> CompiledStream:
        """The stream's mapping as SQL; a run that finds nothing new never pays for it."""
        return compile_stream(self._connector.mapping, self.stream, load_vocabulary())

    @cached_property
    def _entities(self) -> list[Entity]:
        vocabulary = load_vocabulary()
        return [vocabulary.entity(name) for name in self._connector.mapping.entities(self.stream)]

    def prepare(self, part: pa.Table) -> Made:
        """Do all that needs no store: the mapped rows are handed over ready to be written."""
        if part.num_rows == 0:
            return Made(MappedBatch(0, 0, {}, part), Ready({}, REFS.empty_table(), np.empty(0, np.int64)))
        mapped = self._compiled.run(part.select(BATCH.names), timezone=self.timezone, default_region=self.region)
        self._check(part, mapped)
        ready = made_ready(part, mapped.rows, self._entities, self.origin, self._connector.mapping.version)
        return Made(replace(mapped, rows={}), ready)

    def _check(self, part: pa.Table, mapped: MappedBatch) -> None:
        if mapped.read == part.num_rows and mapped.mapped + mapped.quarantine.num_rows == mapped.read:
            return
        out = f"{mapped.mapped} mapped, {mapped.quarantine.num_rows} bad"
        raise FixConnector(
            f"the mapping of {self.stream} lost count: {part.num_rows} in, {out}",
            where=str(self.folder / "mapping.yaml"),
            do="report this with the mapping: it is a fault of the compiler",
        )


class Mapper:
    """Maps parts one after another, beside the caller; a context manager."""

    def __init__(self, task: MapTask) -> None:
        self._task = task
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._child: subprocess.Popen[bytes] | None = None

    def submit(self, part: pa.Table) -> Future[Made]:
        """Return what will be made of the part."""
        return self._thread.submit(self._map, part)

    def alone(self) -> Self:
        """Map in a process of its own from now on."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "pipelines.normalise._map_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            send(self._child.stdin, replace(self._task))  # a copy has nothing compiled
        return self

    def _map(self, part: pa.Table) -> Made:
        return self._task.prepare(part) if self._child is None else self._told(self._child, part)

    def _told(self, child: subprocess.Popen[bytes], part: pa.Table) -> Made:
        try:
            send(child.stdin, _packed(part.select(READ)))
            answer = receive(child.stdout)
        except (OSError, EOFError) as why:
            what = f"the process that maps {self._task.stream} ended with {child.wait()}"
            do = "see what it printed and whether memory ran out, then run again: nothing of this part was written"
            raise StopStream(what, where=self._task.origin.connection_id, why=str(why), do=do) from why
        if isinstance(answer, Exception):
            raise answer
        made: Made = answer
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and kind is not None:
            self._child.kill()  # what it is at is not wanted any more
        self._thread.shutdown()
        if self._child is not None:
            with self._child as child, suppress(BrokenPipeError):
                assert child.stdin is not None
                child.stdin.close()


def send(pipe: IO[bytes] | None, message: Any) -> None:
    """Write one message."""
    assert pipe is not None
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def receive(pipe: IO[bytes] | None) -> Any:
    """Read one message; EOFError when the other side is gone."""
    assert pipe is not None
    return pickle.load(pipe)  # noqa: S301  written by this program's own process


def _packed(part: pa.Table) -> bytes:
    """Return the part's own rows: a pickled slice would bring all that it was cut from."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, part.schema) as writer:
        writer.write_table(part)
    whole: bytes = sink.getvalue().to_pybytes()
    return whole
