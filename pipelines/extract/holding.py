"""Deletes of live records wait until their load has ended: then the fuse is asked once for all of them.

A delete waits when the record was live before the read that brings it began. One of a record that was never landed, or
that came in this very read, takes nothing away and is landed like any other row; so a long list of deletes on a first
sync is no alarm. What a read is told by its id survives a kill, and so does every delete that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.sdk.protocols import Records
from pipelines.store import held
from pipelines.store.held import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectors.sdk.protocols import RawRecord
    from pipelines.store import Store
    from pipelines.store.heads import Known
    from pipelines.store.reads import OpenRead

_Place = tuple[str, str]
_SCHEMA = pa.schema(
    [
        ("source_record_id", pa.int64()),
        ("row_no", pa.int64()),
        ("hash", pa.string()),
        ("record_time", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass
class Waiting:
    """The held rows of one segment: all of its file, where those of a part lie, and what waits once they are committed.

    ``revived`` are records whose delete is void, since something newer of them came.
    """

    rows: Records = field(default_factory=Records)
    places: dict[_Place, tuple[int, int]] = field(default_factory=dict)
    tables: dict[_Place, pa.Table] = field(default_factory=dict)
    revived: list[int] = field(default_factory=list)
    after: dict[str, Held] = field(default_factory=dict)


class Holding:
    """The deletes of one stream that wait, kept up with each segment; use it under the stream's lease."""

    def __init__(self, store: Store, connection_id: str, stream: str, *, tenant_id: int) -> None:
        self._waiting = held.known(store, connection_id, stream, tenant_id=tenant_id)

    def of(self, key: str) -> Held | None:
        """Return the delete of a record that waits."""
        return self._waiting.get(key)

    def must_wait(self, key: str, known: Known | None, opened: OpenRead) -> bool:
        """Return whether a delete takes something away: the record was live before the read began."""
        if key in self._waiting:
            return True
        if known is None or known.op != "upsert":
            return False
        return opened.first_new_id is None or known.source_record_id < opened.first_new_id

    def sort(
        self, parts: Mapping[_Place, Records], known: Mapping[str, Known], reads: Mapping[_Place, OpenRead],
        last_op: Callable[[str], str | None],
    ) -> Waiting:  # fmt: skip
        """Say what of a segment's held rows waits; ``last_op`` is the last thing the segment said of a key."""
        found = Waiting()
        newest: dict[str, tuple[_Place, int, RawRecord]] = {}
        for place, records in parts.items():
            first = len(found.rows)
            found.places[place] = (first, len(records))
            newest.update({str(one.key): (place, first + at, one) for at, one in enumerate(records)})
            found.rows.extend(records)
        here = {key: row for key, row in newest.items() if last_op(key) == "delete"}
        for place in parts:
            mine = [(known[key].source_record_id, at, one) for key, (where, at, one) in here.items() if where == place]
            found.tables[place] = _table(mine)
        for key, (place, _, one) in here.items():
            identity, read_id = known[key].source_record_id, reads[place].read_id
            found.after[key] = Held(identity, str(one.hash), one.record_time, read_id)
        back = {key for key in (*self._waiting, *newest) if last_op(key) == "upsert"}
        found.revived = [known[key].source_record_id for key in sorted(back)]
        return found

    def committed(self, done: Waiting) -> None:
        """Take over what a committed segment left waiting."""
        gone = set(done.revived)
        kept = (
            {key: one for key, one in self._waiting.items() if one.source_record_id not in gone}
            if gone
            else self._waiting
        )
        self._waiting = kept | done.after


def _table(rows: list[tuple[int, int, RawRecord]]) -> pa.Table:
    columns = [
        [identity for identity, _, _ in rows], [at for _, at, _ in rows], [one.hash for _, _, one in rows],
        [one.record_time for _, _, one in rows],
    ]  # fmt: skip
    return pa.table(
        [pa.array(values, kind) for values, kind in zip(columns, _SCHEMA.types, strict=True)], schema=_SCHEMA
    )
