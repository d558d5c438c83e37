"""Reads one dlt resource as pages of ours: the same records, counts, cursor and verdict as the fetch engine gives.

The resource is iterated, never run through dlt's pipeline. Its incremental state is handed in from our cursor and handed
back in the last page, so that it is saved with the read it belongs to. A read that was cut short begins anew from the
last cursor; where rows come in the cursor's order (``sql_database``) it goes on from its last committed segment.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.configuration.container import Container
from dlt.common.json import json as dlt_json
from dlt.common.pipeline import StateInjectableContext

from connectors.sdk import instants
from connectors.sdk.errors import FixConfig
from connectors.sdk.protocols import Completeness, Page, PartitionState, ReadKind
from connectors.sdk.records import RecordReader
from pipelines.dlt_bridge import errors
from pipelines.dlt_bridge.encode import json_rows
from pipelines.dlt_bridge.source import Opened, open_source

if TYPE_CHECKING:
    from connectors.sdk.protocols import ConnectionSettings
    from pipelines.dlt_bridge.declare import DltStream

_ROWS: Final = 1_000
_WHOLE: Final = ""
_NO_ACCESS: Final = (403, 404)
_ORDERED: Final = (int, float, Decimal, str, datetime, date)
_State = dict[str, Any]


async def read_resource(
    stream: DltStream, connection: ConnectionSettings, *, known: PartitionState, full: bool = False
) -> AsyncGenerator[Page, None]:
    """Yield the pages of a stream that dlt fetches; the last one carries completeness and cursor.

    Errors are ours (FixConfig, RetryLater, StopStream); pages yielded before one remain valid. ``known.cursor`` is what
    the last COMPLETE read's last page carried; ``full`` ignores it. An unfinished read of everything is finished first.
    """
    for page in _Reading(stream, connection, known, full=full).pages():
        yield page


class _Beginning(NamedTuple):
    """Where a run begins: dlt's state as text, the kind of read when it is settled, whether a read begins anew."""

    state: str | None
    kind: ReadKind | None = None
    resumed: bool = False
    restarted: bool = False

    @classmethod
    def of(cls, known: PartitionState, *, full: bool) -> _Beginning:
        """Go on with an unfinished read where rows came in order; else begin it anew; else read what changed."""
        unfinished = known.position or known.changes
        kind = None if unfinished is None else ReadKind(unfinished["kind"])
        if unfinished is not None and kind is not None and not (full and kind is ReadKind.INCREMENTAL):
            if unfinished["state"] is not None:
                return cls(unfinished["state"], kind, resumed=True)
            return cls(None if kind is ReadKind.SNAPSHOT else known.cursor, kind, restarted=True)
        return cls(None if full else known.cursor)


class _Reading:
    """One run over one resource."""

    def __init__(self, stream: DltStream, connection: ConnectionSettings, known: PartitionState, *, full: bool) -> None:
        self.stream, self.connection = stream, connection
        self.where = f"connection {connection.name}, stream {stream.name}"
        self._began = _Beginning.of(known, full=full)
        self.state: _State = {} if self._began.state is None else dlt_json.typed_loads(self._began.state)
        self.kind = self._began.kind
        self._restarted = self._began.restarted
        self._rows = 0

    def pages(self) -> Iterator[Page]:
        """Yield what dlt gives, then the verdict."""
        try:
            opened = open_source(
                self.stream, self.connection.config, patience=self.connection.patience_s,
                allow_private=self.connection.allow_private,
            )  # fmt: skip
            yield from self._read(opened)
            yield self._end(opened)
        except Exception as why:
            status = errors.refused_status(why)
            if status in _NO_ACCESS and not self._rows:
                yield self._no_access(status)
                return
            raise errors.translated(why, self.where) from why

    def _read(self, opened: Opened) -> Iterator[Page]:
        reader = RecordReader(self._keyed(opened), instants.zone(self.connection.timezone))
        for items in _batches(self._iterate(opened)):
            raws = json_rows(items)
            self._rows += len(raws)
            records = reader.cut(raws).records
            yield self._page(opened, records, len(raws), position=self._position(opened, items))

    def _iterate(self, opened: Opened) -> Iterator[Any]:
        """Open the resource's iterator on our state; dlt changes that very object as it reads."""
        with Container().injectable_context(StateInjectableContext(state=self.state)):  # type: ignore[arg-type]
            rows = iter(opened.source)
        yield from rows

    def _keyed(self, opened: Opened) -> DltStream:
        if self.stream.key:
            return self.stream
        if not opened.key:
            do = "name the column(s) that identify a record: key:"
            raise FixConfig("neither the declaration nor the source names a key", where=self.where, do=do)
        return replace(self.stream, key=tuple((name,) for name in opened.key))

    def _page(self, opened: Opened, records: Any, wire: int, filtered: int = 0, **more: Any) -> Page:
        restarted, self._restarted = self._restarted, False
        return Page(_WHOLE, self._kind(opened), records, wire, filtered, restarted=restarted, **more)

    def _kind(self, opened: Opened) -> ReadKind:
        """Say whether everything was asked for: only then does what is missing mean something."""
        if self.kind is None:
            some = any(one.initial_value is not None for one in opened.incrementals)
            drops = self.stream.dlt.files is not None and self.stream.dlt.incremental is not None
            self.kind = (
                ReadKind.SNAPSHOT if self._began.state is None and not some and not drops else ReadKind.INCREMENTAL
            )
        return self.kind

    def _filtered(self, opened: Opened) -> int:
        """Return how many rows dlt's incremental has read and left out, since they lie before the cursor."""
        own = [one for one in opened.incrementals if one.resource_name == self.stream.dlt.resource]
        seen = sum(int(one._incremental_metrics["unfiltered_items_count"]) for one in own)  # noqa: SLF001
        return max(0, seen - self._rows)

    def _position(self, opened: Opened, items: list[Any]) -> Mapping[str, Any]:
        """Return where to go on after a kill: the state at the last row, if rows come in the cursor's order."""
        kind = self._kind(opened).value
        own = opened.incrementals
        if self.stream.dlt.source != "sql_database" or not own or own[0].row_order != "asc":
            return {"kind": kind, "state": None}
        last = _highest(items, own[0].cursor_path)
        if last is None:
            return {"kind": kind, "state": self._began.state if self._began.resumed else None}
        return {"kind": kind, "state": dlt_json.typed_dumps(_with_last(self.state, own[0].cursor_path, last))}

    def _end(self, opened: Opened) -> Page:
        filtered = self._filtered(opened)
        doubts = sorted(opened.watch.doubts)
        verdict = Completeness.UNKNOWN if doubts else Completeness.COMPLETE
        return self._page(
            opened, (), filtered, filtered, position=None, cursor=_text(self.state), completeness=verdict,
            reason="; ".join(doubts) or None,
        )  # fmt: skip

    def _no_access(self, status: int | None) -> Page:
        reason = f"{self.where}: status {status} → give the credentials access, or leave the stream out of streams:"
        kind = ReadKind.SNAPSHOT if self._began.state is None else ReadKind.INCREMENTAL
        return Page(_WHOLE, kind, (), 0, completeness=Completeness.NO_ACCESS, reason=reason, restarted=self._restarted)


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield rows in lists of about a page; an Arrow table is a page of its own. What came before an error is yielded."""
    page: list[Any] = []
    try:
        for row in rows:
            alone = isinstance(row, pa.Table | pa.RecordBatch)
            if page and (alone or len(page) >= _ROWS):
                yield page
                page = []
            if alone:
                yield [row]
            else:
                page.append(row)
    except Exception:
        if page:
            yield page
        raise
    if page:
        yield page


def _highest(items: list[Any], column: str) -> Any:
    """Return the highest cursor value of a page, ``None`` when no row has one that can be compared."""
    if isinstance(items[0], pa.Table | pa.RecordBatch):
        return pc.max(items[0].column(column)).as_py() if column in items[0].schema.names else None
    values = [row[column] for row in items if isinstance(row, Mapping) and isinstance(row.get(column), _ORDERED)]
    return max(values, default=None)


def _with_last(state: _State, cursor_path: str, last: Any) -> _State:
    """Return a copy of dlt's state in which the cursor stands at ``last``."""
    changed = copy.deepcopy(state)
    for source in changed.get("sources", {}).values():
        for resource in source.get("resources", {}).values():
            if cursor_path in resource.get("incremental", {}):
                resource["incremental"][cursor_path]["last_value"] = last
    return changed


def _text(state: _State) -> str | None:
    """Return the state as it is stored; ``None`` when the source keeps none."""
    kept = any(
        cursor
        for source in state.get("sources", {}).values()
        for cursor in (source.get("resources") or source).values()
    )
    return dlt_json.typed_dumps({"sources": state["sources"]}) if kept else None
