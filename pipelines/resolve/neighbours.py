"""What an increment has read of the match index: lines of records, and postings of keys, each once and only if needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.resolve import index
from pipelines.resolve.batches import bring, in_batches
from pipelines.resolve.features import add_sounds
from pipelines.resolve.finish import derived_sql, short_forms
from pipelines.resolve.index import HELD, bucket_of, held_table, in_buckets, line_table, postings_of
from pipelines.store import match_index
from pipelines.store.match_blocks import Line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import duckdb
    from numpy.typing import NDArray

    from pipelines.resolve.features import Feature
    from pipelines.resolve.index import Hashes, Ids
    from pipelines.store import Store
    from pipelines.store.match_index import IndexState


_SIEVE_BITS = 22
_SIEVE_MASK = np.uint64((1 << _SIEVE_BITS) - 1)
_SIEVE_SHIFT = np.uint64(64 - _SIEVE_BITS)
_BUCKETS_AT_ONCE = 20_000
_WORTH_ALL = 8
_ROWS = 4_000
"""Rows of a batch that one thread of DuckDB is given."""


class MissingRow(LookupError):
    """A posting names a record that has no row: it was erased, and the index is to be written anew."""


class Part(NamedTuple):
    """Buckets that were read together, and all their postings."""

    buckets: Ids
    hashes: Hashes
    records: Ids

    def of(self, wanted: NDArray[np.bool_], bits: int) -> Part:
        """Return those of its buckets that are marked, in the order of their numbers."""
        mine = np.flatnonzero(wanted[bucket_of(self.hashes, bits)])
        hashes, records = self.hashes[mine], self.records[mine]
        numbers = bucket_of(hashes, bits)
        if (numbers[1:] < numbers[:-1]).any():  # a store gives them in any order, mostly in this one
            order, _ = in_buckets(hashes, bits)
            hashes, records = hashes[order], records[order]
        return Part(self.buckets[wanted[self.buckets]], hashes, records)


class Neighbours:
    """The part of an entity's index that is at hand.

    ``read`` are the buckets read so far. Tables of the connection: ``posting`` (h, sid); ``line_norm`` (sid, ref and the
    columns of ``norm``) and ``line_held`` (sid, kind, value, verified) of the lines at hand, once ``bring`` was called.
    """

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
        self._blocks = match_index.Blocks(store, tenant_id, entity)
        self.rows: dict[int, Line] = {}
        self._asked: set[int] = set()
        self._there: set[int] = set()
        self._fresh: set[int] = set()
        self._buckets, self._reached = np.empty(0, np.int64), np.empty(0, np.uint64)
        self.read: list[Part] = []
        con.execute("CREATE OR REPLACE TABLE posting (h UBIGINT, sid BIGINT)")
        con.execute("CREATE OR REPLACE TABLE sound (family VARCHAR, family_sound VARCHAR)")

    # --- lines -----------------------------------------------------------------------------------------------------
    def fetch(self, ids: Iterable[int]) -> None:
        """Read the lines of these records that were not read before; a record may have none."""
        new = set(ids) - self._asked
        if not new:
            return
        self._asked |= new
        for line in self._blocks.lines(sorted(new)):
            if line.record not in self.rows:
                self.rows[line.record] = line
                self._fresh.add(line.record)

    def put(self, lines: Mapping[int, Line]) -> None:
        """Let these lines take the place of the ones at hand."""
        self.rows |= lines
        self._fresh |= lines.keys()

    def drop(self, ids: Iterable[int]) -> None:
        """Forget the lines of records that left."""
        for sid in ids:
            self.rows.pop(sid, None)
            self._fresh.add(sid)

    def bring(self) -> None:
        """Make ``line_norm`` and ``line_held`` say what the lines at hand say."""
        if not self._fresh and self._there:
            return
        known = self._fresh & self._there
        if known:
            self.offer("replaced", known)
            self.con.execute("DELETE FROM line_norm WHERE sid IN (FROM replaced)")
            self.con.execute("DELETE FROM line_held WHERE sid IN (FROM replaced)")
        lines = [self.rows[sid] for sid in sorted(self._fresh) if sid in self.rows]
        first = not self._there
        self.spread(lines, "line_norm", "line_held", first=first)
        self._there |= self._fresh
        self._fresh = set()

    def spread(self, lines: Sequence[Line], norm: str, held: str, *, first: bool) -> None:
        """Add lines to two tables like ``line_norm`` and ``line_held``, which are made if these are the ``first``."""
        self.con.register("lines", in_batches(line_table(self.features, lines), _ROWS))
        self.con.register("texts", in_batches(held_table(lines), _ROWS))
        add_sounds(self.con, self.features, "lines")
        into = "CREATE OR REPLACE TABLE {} AS" if first else "INSERT INTO {} BY NAME"
        with short_forms(self.con):
            self.con.execute(f"{into.format(norm)} {derived_sql(self.features, 'lines')}")
        self.con.execute(f"{into.format(held)} SELECT sid, {HELD} FROM texts")
        self.con.unregister("lines")
        self.con.unregister("texts")

    def load(self, ids: Iterable[int]) -> None:
        """Create ``norm``, ``held`` and ``numbered`` (rid, sid) of records at hand, numbered in the order of source_ref."""
        self.choose("chosen", ids)
        self.con.execute(
            """CREATE OR REPLACE TABLE numbered AS SELECT (row_number() OVER (ORDER BY ref) - 1)::INTEGER AS rid, sid
            FROM line_norm SEMI JOIN chosen USING (sid)"""
        )
        self.con.execute(
            """CREATE OR REPLACE TABLE norm AS SELECT n.rid, l.* EXCLUDE (sid, ref)
            FROM line_norm l JOIN numbered n ON n.sid = l.sid"""
        )
        self.con.execute(
            "CREATE OR REPLACE TABLE held AS SELECT rid, kind, value, verified FROM line_held JOIN numbered USING (sid)"
        )

    def choose(self, name: str, ids: Iterable[int]) -> None:
        """Create a table ``name`` (sid) of records at hand, whose lines are in ``line_norm`` and ``line_held`` then."""
        wanted = set(ids)
        if wanted - self.rows.keys():
            raise MissingRow
        self.bring()
        self.offer(name, wanted)

    def new_rows(self, refs: Mapping[int, str]) -> dict[int, Line]:
        """Return the lines of the records in ``norm``, ``held`` and ``numbered`` as they would be written."""
        found = self.con.execute(
            f"SELECT sid, features, held FROM ({index.rows_sql(self.features)}) JOIN numbered USING (rid)"
        ).fetchall()
        return {sid: Line(sid, refs[sid], json.loads(features), json.loads(held)) for sid, features, held in found}

    # --- postings --------------------------------------------------------------------------------------------------
    def reach(self, hashes: Hashes) -> None:
        """Bring the postings of these keys into ``posting``; each bucket is read once, and others' stay out of the table."""
        wanted = np.setdiff1d(hashes, self._reached)
        if not len(wanted):
            return
        self._reached = np.union1d(self._reached, wanted)
        self._read_buckets(np.setdiff1d(bucket_of(wanted, self.bits), self._buckets))
        bring(self.con, "wanted", pa.table({"h": wanted}))
        sieve = Sieve(wanted)
        places = [sieve.places(part.hashes) for part in self.read]
        h, sid = (
            np.concatenate([getattr(part, of)[at] for part, at in zip(self.read, places, strict=True)])
            for of in ("hashes", "records")
        )
        bring(self.con, "perhaps", pa.table({"h": h, "sid": sid}))
        self.con.execute("INSERT INTO posting SELECT h, sid FROM perhaps SEMI JOIN wanted USING (h)")

    def read_all_if(self, expected: int) -> None:
        """Read all buckets at once where one in some is expected to be asked for: the others will be, too."""
        if expected * _WORTH_ALL > 1 << self.bits:
            self._read_buckets(np.arange(1 << self.bits, dtype=np.int64))

    def _read_buckets(self, buckets: Ids) -> None:
        self._buckets = np.union1d(self._buckets, buckets)
        for start in range(0, len(buckets), _BUCKETS_AT_ONCE):
            part = buckets[start : start + _BUCKETS_AT_ONCE]
            found = match_index.bucket_postings(self._store, self._tenant, self._entity, part)
            self.read.append(Part(part, *postings_of(found)))

    # --- the connection --------------------------------------------------------------------------------------------
    def hashes(self, query: str) -> Hashes:
        """Return the single column of a query as an array."""
        return np.asarray(next(iter(self.con.execute(query).fetchnumpy().values())), np.uint64)

    def ids(self, query: str) -> list[int]:
        """Return the single column of a query as record numbers."""
        found: list[int] = next(iter(self.con.execute(query).fetchnumpy().values())).tolist()
        return found

    def offer(self, name: str, ids: Collection[int]) -> None:
        """Create a table ``name`` (sid) of records."""
        self.con.register("offered", pa.table({"sid": pa.array(sorted(ids), pa.int64())}))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT sid FROM offered")
        self.con.unregister("offered")


class Sieve:
    """Marks wanted hashes among very many, by two parts of their bits: of others it marks one in some hundred by chance."""

    def __init__(self, wanted: Hashes) -> None:
        self._first, self._last = np.zeros(1 << _SIEVE_BITS, np.bool_), np.zeros(1 << _SIEVE_BITS, np.bool_)
        self._first[wanted >> _SIEVE_SHIFT] = True
        self._last[wanted & _SIEVE_MASK] = True

    def places(self, hashes: Hashes) -> Ids:
        """Return the places of the hashes that are marked."""
        found = np.flatnonzero(self._first[hashes >> _SIEVE_SHIFT])
        both: Ids = found[self._last[hashes[found] & _SIEVE_MASK]]
        return both
