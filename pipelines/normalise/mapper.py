"""Mapping a stream's landed rows: all of normalise that needs no store, in this process or in one of its own.

Writing rows holds Python's lock again and again, so that a mapper in a thread beside it and the writer wait for each other:
together they take longer than the slower of the two. A load of many records is mapped by a child process, which is told
which rows and returns what is to be written; a small one is not worth the child's start. Both run the same function.
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
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import load_vocabulary
from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.errors import FixConnector, StopStream
from connectors.sdk.mapping import BATCH, CompiledStream, MappedBatch, compile_stream
from pipelines.landing import Landing
from pipelines.normalise import parts
from pipelines.normalise.batch import Origin, Ready, made_ready
from pipelines.normalise.parts import Piece, in_rounds, read_piece, together
from pipelines.normalise.rows import quarantine_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from canonical_model import Entity
    from connectors.sdk.mapping.spark_run import SparkStream
    from pipelines.spark.settings import SparkSettings

WORTH_A_PROCESS: Final = 50_000
"""From so many rows on the start of a process, a second or two, is worth it."""
TOLD: Final = ["ordinal", "source_key", "op", "record_time", "segment_id", "row_no"]
"""What whoever writes a part has to know of its records; their payloads stay where they were mapped."""


class Made(NamedTuple):
    """What a part became: its records, the account without its rows, the rows ready to be written, and quarantine."""

    told: pa.Table
    mapped: MappedBatch
    ready: Ready
    bad: pa.Table


@dataclass(frozen=True)
class MapTask:
    """What mapping a stream of a connection needs to know; another process is told a ``plain`` copy."""

    connector: ConnectorFolder
    stream: str
    origin: Origin
    timezone: str | None
    region: str | None
    landing_url: str
    spark: SparkSettings | None = None

    @cached_property
    def _compiled(self) -> CompiledStream | SparkStream:
        """The stream's mapping as SQL; a run that finds nothing new never pays for it."""
        compiled = compile_stream(self.connector.mapping, self.stream, load_vocabulary())
        if self.spark is None:
            return compiled
        from connectors.sdk.mapping.spark_run import SparkStream  # noqa: PLC0415  only who asks for Spark pays

        return SparkStream(compiled, self.connector.mapping, self.spark.session())

    @cached_property
    def _entities(self) -> list[Entity]:
        vocabulary = load_vocabulary()
        return [vocabulary.entity(name) for name in self.connector.mapping.entities(self.stream)]

    def plain(self) -> MapTask:
        """Return the task with nothing loaded or compiled, which another process is told."""
        return replace(self, connector=replace(self.connector))

    def map_pieces(self, pieces: Sequence[Piece]) -> list[Made]:
        """Read landed rows and map them, in the parts that one transaction takes each."""
        landing = Landing(self.landing_url)
        return self.map_rows(together([read_piece(landing, piece) for piece in pieces]))

    def map_rows(self, batch: pa.Table) -> list[Made]:
        """Do all with these rows that needs no store."""
        return [made for part in in_rounds(batch) for made in self._mapped(part)]

    def _mapped(self, part: pa.Table) -> Iterator[Made]:
        mapped = self._compiled.run(part.select(BATCH.names), timezone=self.timezone, default_region=self.region)
        self._check(part, mapped)
        for rows, account in cut(part, mapped, parts.BATCH_ROWS):
            yield self._made(rows, account)

    def _made(self, part: pa.Table, mapped: MappedBatch) -> Made:
        version = self.connector.mapping.version
        ready = made_ready(part, mapped.rows, self._entities, self.origin, version)
        bad = quarantine_rows(part, mapped.quarantine, self.origin.object, version)
        return Made(part.select(TOLD), replace(mapped, rows={}), ready, bad)

    def _check(self, part: pa.Table, mapped: MappedBatch) -> None:
        if mapped.read == part.num_rows and mapped.mapped + mapped.quarantine.num_rows == mapped.read:
            return
        out = f"{mapped.mapped} mapped, {mapped.quarantine.num_rows} bad"
        raise FixConnector(
            f"the mapping of {self.stream} lost count: {part.num_rows} in, {out}",
            where=str(self.connector.path / "mapping.yaml"),
            do="report this with the mapping: it is a fault of the compiler",
        )


def cut(part: pa.Table, mapped: MappedBatch, most: int) -> Iterator[tuple[pa.Table, MappedBatch]]:
    """Yield the records of a part, at most so many at a time, each with its share of what was mapped.

    What is counted by path is said once, with the first of them.
    """
    if part.num_rows <= most:
        yield part, mapped
        return
    for start in range(0, part.num_rows, most):
        some = part.slice(start, most)
        first, last = (some.column("ordinal")[place] for place in (0, -1))
        bad = _between(mapped.quarantine, first, last)
        account = replace(
            mapped,
            read=some.num_rows,
            mapped=some.num_rows - bad.num_rows,
            rows={name: _between(table, first, last) for name, table in mapped.rows.items()},
            quarantine=bad,
        )
        yield some, account if start == 0 else replace(account, warnings={}, unmapped={}, ignored={})


def _between(rows: pa.Table, first: pa.Scalar, last: pa.Scalar) -> pa.Table:
    ordinals = rows.column("ordinal")
    return rows.filter(pc.and_(pc.greater_equal(ordinals, first), pc.less_equal(ordinals, last)))


class Mapper:
    """Maps batches one after another, beside the caller; a context manager."""

    def __init__(self, task: MapTask) -> None:
        self._task = task
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._child: subprocess.Popen[bytes] | None = None

    def submit(self, pieces: Sequence[Piece]) -> Future[list[Made]]:
        """Return what will be made of these landed rows, part by part."""
        return self._thread.submit(self._map, pieces)

    def alone(self) -> Self:
        """Map in a process of its own from now on."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "pipelines.normalise._map_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            send(self._child.stdin, self._task.plain())
        return self

    def _map(self, pieces: Sequence[Piece]) -> list[Made]:
        return self._task.map_pieces(pieces) if self._child is None else self._told(self._child, pieces)

    def _told(self, child: subprocess.Popen[bytes], pieces: Sequence[Piece]) -> list[Made]:
        try:
            send(child.stdin, pieces)
            answer = receive(child.stdout)
        except (OSError, EOFError) as why:
            what = f"the process that maps {self._task.stream} ended with {child.wait()}"
            do = "see what it printed and whether memory ran out, then run again: nothing of this part was written"
            raise StopStream(what, where=self._task.origin.connection_id, why=str(why), do=do) from why
        if isinstance(answer, Exception):
            raise answer
        made: list[Made] = answer
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
