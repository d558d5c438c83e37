"""What becomes of single records: the same compiled SQL as a sync, without a store (``unisono map``, fixtures)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from canonical_model import load_vocabulary
from connectors.sdk.mapping.rows import json_rows
from connectors.sdk.mapping.run import BATCH, CompiledStream, MappedBatch, compile_stream
from connectors.sdk.records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from connectors.sdk.catalog import ConnectorFolder
    from connectors.sdk.protocols import RawRecord

_LINES_AT_ONCE: Final = 20_000
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass
class Preview:
    """The outcome of ``map_lines``; ``report`` is complete once ``rows`` has been read to its end."""

    rows: Iterator[dict[str, Any]]
    read: int = 0
    mapped: int = 0
    deleted: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    warnings: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    unused: set[str] | None = None

    @property
    def report(self) -> dict[str, Any]:
        """Counts and reasons: read = mapped + quarantined; unmapped and ignored leaf paths with how often."""
        return {
            "read": self.read,
            "mapped": self.mapped,
            "deleted": self.deleted,
            "quarantined": self.quarantined,
            "warnings": [
                {"path": path, "reason": reason, "count": number}
                for (path, reason), number in sorted(self.warnings.items())
            ],
            "unmapped": dict(sorted(self.unmapped.items())),
            "ignored": dict(sorted(self.ignored.items())),
        }


def map_lines(
    connector: ConnectorFolder,
    stream: str,
    lines: Iterable[str | bytes],
    *,
    timezone: str | None = None,
    default_region: str | None = None,
) -> Preview:
    """Map JSON lines, each a record or ``{"record": …, "parent": …}``; rows come out as ``{"entity", "row"}``.

    A line that cannot be used is reported as quarantined with its number, never dropped.
    """
    compiled = compile_stream(connector.mapping, stream, load_vocabulary())
    zone = ZoneInfo(timezone) if timezone else None
    reader = RecordReader(connector.manifest.streams[stream], zone)
    preview = Preview(rows=iter(()))
    preview.rows = _mapped(preview, compiled, _Source(reader, iter(lines), zone), (timezone, default_region))
    return preview


@dataclass
class _Source:
    reader: RecordReader
    lines: Iterator[str | bytes]
    zone: tzinfo | None
    number: int = 0

    def take(self) -> list[tuple[int, RawRecord]]:
        """Return the next records with their line numbers; blank lines are no records."""
        found = []
        for line in islice(self.lines, _LINES_AT_ONCE):
            self.number += 1
            content = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
            if content.strip():
                found.append((self.number, self._record(content.strip())))
        return found

    def _record(self, content: bytes) -> RawRecord:
        payload, parent = split_line(content)
        return self.reader.cut([payload], parent).records[0]


def split_line(content: bytes) -> tuple[bytes, bytes | None]:
    """Return the bytes of a record and of its parent; a bare record has none."""
    try:
        members = _RAW_OBJECT.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return content, None
    if "record" not in members or not set(members) <= {"record", "parent"} or bytes(members["record"])[:1] != b"{":
        return content, None
    parent = bytes(members["parent"]) if "parent" in members else None
    return bytes(members["record"]), None if parent == b"null" else parent


def _mapped(
    preview: Preview, compiled: CompiledStream, source: _Source, settings: tuple[str | None, str | None]
) -> Iterator[dict[str, Any]]:
    while records := source.take():
        good = [(number, record) for number, record in records if record.problem is None]
        for number, record in records:
            if record.problem is not None:
                preview.quarantined.append(_quarantined(number, record.key, *record.problem))
        preview.read += len(records)
        batch = compiled.run(to_batch(good), timezone=settings[0], default_region=settings[1])
        _count(preview, batch)
        for entity, table in batch.rows.items():
            for row in json_rows(compiled.vocabulary.entities[entity], table):
                yield {"entity": entity, "row": row}
        preview.quarantined.sort(key=lambda item: item["line"])


def to_batch(records: Iterable[tuple[int, RawRecord]]) -> pa.Table:
    """Return records as the batch that ``CompiledStream.run`` takes; the number becomes the ordinal."""
    rows = [
        (record.key, _text(record.payload), _text(record.parent), record.record_time, record.op, number)
        for number, record in records
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(BATCH)
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, BATCH, strict=True)], schema=BATCH)


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")


def _quarantined(line: int, key: str | None, reason: str, path: str) -> dict[str, Any]:
    return {"line": line, "source_key": key, "reason": reason, "path": path}


def _count(preview: Preview, batch: MappedBatch) -> None:
    preview.mapped += batch.mapped
    preview.deleted += len(batch.deleted)
    for row in batch.quarantine.to_pylist():
        preview.quarantined.append(_quarantined(row["ordinal"], row["source_key"], row["reason"], row["path"]))
    preview.warnings.update(batch.warnings)
    preview.unmapped.update(batch.unmapped)
    preview.ignored.update(batch.ignored)
    unused = set(batch.unused)
    preview.unused = unused if preview.unused is None else preview.unused & unused
