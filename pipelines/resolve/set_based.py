"""The steps of an increment as set-based SQL on a connection of its own: for many changed records."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from pipelines.resolve import deterministic, engine, index
from pipelines.resolve.affected import NO_STATS, Affected
from pipelines.resolve.batches import bring
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.ledger import stats_rows
from pipelines.resolve.neighbours import Neighbours, Sieve
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.scoring import prepare, score_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    import duckdb

    from pipelines.resolve.cluster import Ints
    from pipelines.resolve.incremental import Against, Given, Pair
    from pipelines.resolve.index import Hashes
    from pipelines.resolve.neighbours import Part
    from pipelines.store.match_blocks import Line

    Postings = tuple[Hashes, Ints]

NO_POSTINGS = np.empty(0, np.uint64), np.empty(0, np.int64)
_VALUES = 4
"""Values of a record, about: so many buckets are asked for first, and for its keys three times as many."""


class SetBased(Affected):
    """What changed records change, worked out by statements; see ``incremental.Work``."""

    def __init__(self, given: Given) -> None:
        con = connect()
        con.execute("SET preserve_insertion_order = true")
        near = Neighbours(con, given.store, given.tenant_id, given.entity, given.state, given.model.features)
        super().__init__(near, given.store, given.tenant_id, given.entity, given.model, given.policy)
        self._given = given
        self._cursor, self._beside = con.cursor(), ThreadPoolExecutor(max_workers=1)
        self._making: Future[tuple[pa.Table, Ints]] = Future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beside.shutdown()
        self._cursor.close()
        self.con.close()

    @property
    def rows(self) -> dict[int, Line]:
        """The lines at hand, as they are now."""
        return self.near.rows

    def work_out(self, changed: Ints, floor: float) -> None:
        """Work out what the changed records change of others, step by step."""
        given, ids = self._given, changed.tolist()
        reading = self._beside.submit(self.near.read_all_if, _VALUES * len(ids))
        table = read_match_table(given.store, given.tenant_id, given.entity, given.policy, pa.array(changed))
        self.con.register("match", numbered(table))
        features = build_norm(self.con, given.entity, given.policy, given.model.features)
        deterministic.build_held(self.con, features, given.policy)
        self.con.execute(NO_STATS)
        finish_norm(self.con, features, given.policy)
        self.con.execute("CREATE OR REPLACE TABLE numbered AS SELECT rid, source_record_id AS sid FROM match")
        refs = dict(zip(table["source_record_id"].to_pylist(), table["source_ref"].to_pylist(), strict=True))
        self.near.fetch(ids)
        self.take(ids, self.near.new_rows(refs))
        reading.result()
        self.count_values()
        self.move_keys()
        self.score(floor)
        self.link()
        self.stats = stats_rows(self.stats, given.entity)
        self._making = self._beside.submit(self._make_buckets, self._cursor)

    def scored(self) -> list[tuple[int, int, float]]:
        """Return the scored pairs: those with a record that differs, or of a block that crossed the limit."""
        return self.con.execute("SELECT l, r, weight FROM found").fetchall()

    def links(self) -> list[tuple[int, int, str]]:
        """Return the deterministic links among ``linked``."""
        return self.con.execute("SELECT l, r, rule FROM link_found").fetchall()

    def crossing(self) -> set[Pair]:
        """Return the unchanged pairs whose block became usable or unusable."""
        return {(int(a), int(b)) for a, b in self.con.execute("SELECT a, b FROM crossing_pair").fetchall()}

    def fetch(self, ids: Iterable[int]) -> None:
        """Read the lines of these records."""
        self.near.fetch(ids)

    def partition(self, reached: Iterable[int], pairs: set[Pair], links: set[Pair]) -> tuple[Ints, Ints, list[Against]]:
        """Decide these records anew as a full run would; return them, their clusters, and pairs that a rule keeps apart."""
        given = self._given
        self.near.load(reached)
        order = self.near.ids("SELECT sid FROM numbered ORDER BY rid")
        row = {sid: rid for rid, sid in enumerate(order)}
        self._edge_table("pair", pairs, row)
        self._edge_table("link", links, row)
        compiled = compile_model(given.model)
        prepare(self.con, compiled)
        score_pairs(self.con, compiled, "pair", "scored", None)
        records = np.array(order, np.int64)
        labels = engine.partition_of(self.con, given.model, given.policy, given.constraints.over(records))
        against = self.con.execute("SELECT l, r, rule FROM conflict").fetchall()
        return records, labels, [(order[left], order[right], rule) for left, right, rule in against]

    def _edge_table(self, name: str, pairs: set[Pair], row: dict[int, int]) -> None:
        ends = sorted((min(row[a], row[b]), max(row[a], row[b])) for a, b in pairs)
        l, r = zip(*ends, strict=True) if ends else ((), ())  # noqa: E741
        self.con.register("edges", pa.table({"l": pa.array(l, pa.int32()), "r": pa.array(r, pa.int32())}))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT DISTINCT * FROM edges ORDER BY l, r")
        self.con.unregister("edges")

    def buckets(self) -> tuple[pa.Table, Ints]:
        """Return the buckets whose postings moved, and the numbers of those that are empty now."""
        return self._making.result()

    def _make_buckets(self, con: duckdb.DuckDBPyConnection) -> tuple[pa.Table, Ints]:
        """Make the buckets whose postings moved, on a connection of its own: beside what follows, which does not need them."""
        out, put = _moved(con, "FROM moved EXCEPT FROM placed"), _moved(con, "FROM placed EXCEPT FROM moved")
        numbers = np.unique(index.bucket_of(np.concatenate((out[0], put[0])), self.near.bits))
        mine = np.zeros(1 << self.near.bits, np.bool_)
        mine[numbers] = True
        parts = [part.of(mine, self.near.bits) for part in self.near.read]
        gone = same_pairs(con, parts, out)
        rows = [self._rewritten(part, places, put) for part, places in zip(parts, gone, strict=True)]
        buckets = pa.concat_tables([index.bucket_rows(self._given.entity, *NO_POSTINGS, self.near.bits), *rows])
        return buckets, np.setdiff1d(numbers, buckets["bucket"].to_numpy())

    def _rewritten(self, part: Part, gone: Ints, put: Postings) -> pa.Table:
        """Return the buckets of a part without the postings at the places ``gone`` and with those of ``put`` that are theirs."""
        bits = self.near.bits
        new = np.flatnonzero(np.isin(index.bucket_of(put[0], bits), part.buckets))
        hashes, records = np.delete(part.hashes, gone), np.delete(part.records, gone)
        places = np.searchsorted(index.bucket_of(hashes, bits), index.bucket_of(put[0][new], bits), "right")
        hashes, records = np.insert(hashes, places, put[0][new]), np.insert(records, places, put[1][new])
        return index.bucket_rows(self._given.entity, hashes, records, bits)


def _moved(con: duckdb.DuckDBPyConnection, query: str) -> Postings:
    found = con.execute(query).fetchnumpy()
    return np.asarray(found["h"], np.uint64), np.asarray(found["sid"], np.int64)


def same_pairs(con: duckdb.DuckDBPyConnection, parts: Sequence[Part], pairs: Postings) -> list[Ints]:
    """Return for each part the places of its postings that are among ``pairs``."""
    sieve = Sieve(pairs[0])
    doubted = [sieve.places(part.hashes) for part in parts]
    asked = [
        pa.table({"part": np.full(len(at), n), "place": at, "h": part.hashes[at], "sid": part.records[at]})
        for n, (part, at) in enumerate(zip(parts, doubted, strict=True))
    ]
    if not asked:
        return []
    bring(con, "doubted", pa.concat_tables(asked))
    bring(con, "leaving", pa.table({"h": pairs[0], "sid": pairs[1]}))
    found = con.execute("SELECT part, place FROM doubted SEMI JOIN leaving USING (h, sid)").fetchnumpy()
    con.execute("DROP TABLE doubted; DROP TABLE leaving")
    part_of, places = (np.asarray(found[name], np.int64) for name in ("part", "place"))
    return [places[part_of == n] for n in range(len(parts))]
