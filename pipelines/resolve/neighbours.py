"""What an increment has read of the match index: rows of records, and postings of keys, each once and only if needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve import index
from pipelines.resolve.index import bucket_of, load_rows, postings_of
from pipelines.store import match_index
from pipelines.store.match_blocks import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb
    from numpy.typing import NDArray

    from pipelines.resolve.features import Feature
    from pipelines.resolve.index import Hashes, Ids
    from pipelines.store import Store
    from pipelines.store.match_index import IndexState


_FIRST_BITS = 22
_BUCKETS_AT_ONCE = 20_000


class MissingRow(LookupError):
    """A posting names a record that has no row: it was erased, and the index is to be written anew."""


class Neighbours:
    """The part of an entity's index that is at hand; ``posting`` (h, sid) is a table of the connection."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        store: Store,
        tenant_id: int,
        entity: str,
        state: IndexState,
        features: tuple[Feature, ...],
    ) -> None:
        self.con, self.features, self.bits = con, features, state.bits
        self._store, self._tenant, self._entity = store, tenant_id, entity
        self.rows: dict[int, Line] = {}
        self._asked: set[int] = set()
        self._buckets, self._reached = np.empty(0, np.int64), np.empty(0, np.uint64)
        self._read: list[tuple[Hashes, Ids]] = []
        con.execute("CREATE OR REPLACE TABLE posting (h UBIGINT, sid BIGINT)")

    def fetch(self, ids: Iterable[int]) -> None:
        """Read the rows of these records that were not read before; a record may have none."""
        new = sorted(set(ids) - self._asked)
        if not new:
            return
        self._asked.update(new)
        for line in match_index.rows(self._store, self._tenant, self._entity, new):
            self.rows.setdefault(line.record, line)

    def reach(self, hashes: Hashes) -> None:
        """Bring the postings of these keys into ``posting``; each bucket is read once, and others' stay out of the table."""
        wanted = np.setdiff1d(hashes, self._reached)
        if not len(wanted):
            return
        self._reached = np.union1d(self._reached, wanted)
        buckets = np.setdiff1d(bucket_of(wanted, self.bits), self._buckets)
        self._buckets = np.union1d(self._buckets, buckets)
        for start in range(0, len(buckets), _BUCKETS_AT_ONCE):
            part = pa.array(buckets[start : start + _BUCKETS_AT_ONCE])
            read = match_index.buckets(self._store, self._tenant, self._entity, part)
            self._read.append(postings_of(read["postings"].to_pylist()))
        for h, sid in self._read:
            mine = among(h, wanted)
            self.insert("posting", h[mine], sid[mine])

    def postings(self, numbers: Ids) -> tuple[Hashes, Ids]:
        """Return all postings, as they are in the index, of buckets that were read."""
        chosen = np.zeros(1 << self.bits, np.bool_)
        chosen[numbers] = True
        parts = [(h[mine], sid[mine]) for h, sid in self._read for mine in (chosen[bucket_of(h, self.bits)],)]
        empty = np.empty(0, np.uint64), np.empty(0, np.int64)
        return tuple(np.concatenate([part[at] for part in (empty, *parts)]) for at in (0, 1))  # type: ignore[return-value]

    def insert(self, table: str, h: Hashes, sid: Ids) -> None:
        """Add (h, sid) to a table of the connection."""
        self.con.register("pairs", pa.table({"h": pa.array(h, pa.uint64()), "sid": pa.array(sid, pa.int64())}))
        self.con.execute(f"INSERT INTO {table} SELECT h, sid FROM pairs")
        self.con.unregister("pairs")

    def load(self, ids: Iterable[int], rows: Mapping[int, Line] | None = None) -> list[int]:
        """Create ``norm``, ``held``, ``sound`` and ``numbered`` (rid, sid) of records at hand; return them in their order.

        ``rows`` take the place of the lines at hand.
        """
        wanted, rows = set(ids), self.rows if rows is None else rows
        if wanted - rows.keys():
            raise MissingRow
        order = sorted(wanted, key=lambda sid: rows[sid].ref)
        load_rows(self.con, self.features, [rows[sid] for sid in order])
        numbers = pa.array(np.arange(len(order), dtype=np.int32))
        self.con.register("order_of", pa.table({"rid": numbers, "sid": pa.array(order, pa.int64())}))
        self.con.execute("CREATE OR REPLACE TABLE numbered AS SELECT * FROM order_of")
        self.con.unregister("order_of")
        return order

    def hashes(self, query: str) -> Hashes:
        """Return the single column of a query as an array."""
        return np.asarray(next(iter(self.con.execute(query).fetchnumpy().values())), np.uint64)

    def ids(self, query: str) -> list[int]:
        """Return the single column of a query as record numbers."""
        return [int(row[0]) for row in self.con.execute(query).fetchall()]

    def offer(self, name: str, ids: Iterable[int]) -> None:
        """Create a table ``name`` (sid) of records."""
        self.con.register("offered", pa.table({"sid": pa.array(sorted(ids), pa.int64())}))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT sid FROM offered")
        self.con.unregister("offered")

    def new_rows(self, refs: dict[int, str]) -> dict[int, Line]:
        """Return the lines of the records in ``norm``, ``held`` and ``numbered`` as they would be written."""
        found = self.con.execute(
            f"SELECT sid, features, held FROM ({index.rows_sql(self.features)}) JOIN numbered USING (rid)"
        ).fetchall()
        return {sid: Line(sid, refs[sid], json.loads(features), json.loads(held)) for sid, features, held in found}


def among(hashes: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    """Mark the hashes that are wanted; a table of their first bits leaves few to be looked for exactly."""
    table = np.zeros(1 << _FIRST_BITS, np.bool_)
    shift = np.uint64(64 - _FIRST_BITS)
    table[wanted >> shift] = True
    mask: NDArray[np.bool_] = table[hashes >> shift]
    mask[mask] = np.isin(hashes[mask], wanted)
    return mask
