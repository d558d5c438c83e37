"""What a change of some records changes of others: their shared values, their blocks, their pairs and their links.

A statement about a pair depends on the two records, on how many hold a value that they share, and on how large a block
is that finds them. All three are looked at here: values and blocks whose counts cross a limit bring in every record that
has them, and nothing else is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.resolve import blocking, deterministic, sql
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.finish import WITHOUT_SHARED, finish_norm
from pipelines.resolve.index import VALUE_HASH, held_values
from pipelines.resolve.scoring import prepare, score_pairs
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.neighbours import Neighbours
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store
    from pipelines.store.match_blocks import Line

NO_STATS = """CREATE OR REPLACE TABLE identifier_stats (
    kind VARCHAR, value VARCHAR, holders BIGINT, names BIGINT, spellings BIGINT, initials BIGINT)"""
_LINK_LIMIT_NONE = -1


class Affected:
    """The consequences of changed records, worked out step by step on one connection.

    ``old`` and ``new`` are the rows of the changed records before and now; after the steps ``dirty`` are all records
    whose row differs, ``gone`` those that left, ``linked`` those whose deterministic links were decided anew.
    """

    def __init__(
        self, near: Neighbours, store: Store, tenant_id: int, entity: str, model: MatchModel, policy: Policy
    ) -> None:
        self.near, self.con, self.model, self.policy = near, near.con, model, policy
        self._store, self._tenant, self._entity = store, tenant_id, entity
        self.old: dict[int, Line] = {}
        self.dirty: set[int] = set()
        self.gone: set[int] = set()
        self.live: set[int] = set()
        self.linked: set[int] = set()
        self.stats = pa.table({})
        self.stale_stats = pa.table({})
        self._all_known: pa.Table | None = None

    def take(self, changed: Collection[int], new: dict[int, Line]) -> None:
        """Set out from the changed records: what they are now takes the place of what they were."""
        known = {sid: self.near.rows[sid] for sid in changed if sid in self.near.rows}
        self.gone = set(changed) - new.keys()
        self.live = {sid for sid, row in new.items() if sid not in known or row != known[sid]}
        self.old = {sid: row for sid, row in known.items() if sid in self.gone or sid in self.live}
        self.near.drop(self.gone)
        self.near.put({sid: new[sid] for sid in self.live})

    # --- values: how many hold them, and whom that concerns --------------------------------------------------------
    def count_values(self) -> None:
        """Count anew the values that changed records hold or held; records of a value that crossed a limit are redone."""
        self._offer_values()
        self.near.reach(self.near.hashes("SELECT DISTINCT h FROM touched"))
        self.near.offer("changed", self.live | self.gone)
        holders = set(
            self.near.ids(
                "SELECT DISTINCT sid FROM posting SEMI JOIN touched USING (h) WHERE sid NOT IN (FROM changed)"
            )
        )
        self.near.fetch(holders)
        self.near.load(holders | self.live)
        self.con.execute(f"DELETE FROM held WHERE {VALUE_HASH} NOT IN (SELECT h FROM touched)")
        self._build_stats()
        self.con.execute("CREATE OR REPLACE TABLE counted AS SELECT * FROM identifier_stats")
        self.con.execute(
            "CREATE OR REPLACE TABLE holder AS SELECT sid, kind, value FROM held JOIN numbered USING (rid)"
        )
        self._compare_counts()
        self._finish(set(self.near.ids(self._flipped())) - self.live)

    def _build_stats(self) -> None:
        """Count the values in ``held``; the sound of a family name is taken from ``sound`` there, not from ``norm``."""
        self.con.execute("ALTER TABLE norm DROP COLUMN IF EXISTS family_sound")
        deterministic.build_stats(self.con, self.near.features)

    def _offer_values(self) -> None:
        values = {
            value[:2]
            for row in (*self.old.values(), *(self.near.rows[sid] for sid in self.live))
            for value in held_values(row.held)
        }
        kinds, texts = zip(*sorted(values), strict=True) if values else ((), ())
        table = pa.table({"kind": pa.array(kinds, pa.string()), "value": pa.array(texts, pa.string())})
        self.con.register("value_list", table)
        self.con.execute(f"CREATE OR REPLACE TABLE touched AS SELECT kind, value, {VALUE_HASH} AS h FROM value_list")
        self.con.unregister("value_list")

    def _known_stats(self, name: str, values: str) -> None:
        """Create the table ``name`` (kind, value, names, spellings, initials) of what is stored of some values."""
        asked = self.con.execute(
            f"SELECT kind AS system, md5(value) AS value_hash, value FROM {values}"
        ).to_arrow_table()
        known = self._all_known
        if known is None:
            hashes = asked.select(["system", "value_hash"])
            known = match_index.known_stats(self._store, self._tenant, self._entity, hashes)
        if len(asked) > match_index.MANY_VALUES:
            self._all_known = known
        self.con.register("asked_values", asked)
        self.con.register("known_values", known)
        self.con.execute(
            f"""CREATE OR REPLACE TABLE {name} AS SELECT system AS kind, value, records AS holders, names, spellings,
            initials FROM known_values JOIN (SELECT DISTINCT * FROM asked_values) USING (system, value_hash)"""
        )
        self.con.unregister("asked_values")
        self.con.unregister("known_values")

    def _compare_counts(self) -> None:
        """Keep what the statistics table must be told: the values of several names now, and those of one name again."""
        self._known_stats("counted_before", "touched")
        self.stats = self.con.execute(
            f"""SELECT kind, value, holders, names, spellings, initials, names > {self.policy.shared_value_names} AS blocked
            FROM counted ORDER BY kind, value"""
        ).to_arrow_table()
        self.stale_stats = self.con.execute(
            f"""SELECT '{self._entity}' AS entity, kind AS system, md5(value) AS value_hash FROM counted_before b
            ANTI JOIN (FROM counted WHERE names > 1 OR initials > 1) c ON b.kind = c.kind AND b.value = c.value ORDER BY ALL"""
        ).to_arrow_table()

    def _flipped(self) -> str:
        """Select the holders of values of which it changed whether they are compared, or whether one name alone has them."""
        limit = self.policy.shared_value_names
        return f"""SELECT DISTINCT sid FROM holder SEMI JOIN (
            SELECT t.kind, t.value FROM touched t LEFT JOIN counted n USING (kind, value)
            LEFT JOIN counted_before o USING (kind, value) WHERE t.kind IN {sql.literals(WITHOUT_SHARED)} AND (
                (coalesce(n.names, 0) > {limit}) <> (coalesce(o.names, 0) > {limit})
                OR (coalesce(n.initials, 1) > 1) <> (coalesce(o.initials, 1) > 1))) USING (kind, value)"""

    def _finish(self, others: set[int]) -> None:
        """Give the changed records, and others of a value that crossed a limit, their last form; find whose differs."""
        before = {sid: self.near.rows[sid] for sid in others} | self.old
        finished = others | self.live
        self.near.load(finished)
        self.con.execute(
            "CREATE OR REPLACE TABLE other AS SELECT DISTINCT kind, value FROM held ANTI JOIN touched USING (kind, value)"
        )
        self._known_stats("counted_other", "other")
        self.con.execute(
            f"{NO_STATS}; INSERT INTO identifier_stats FROM counted; INSERT INTO identifier_stats FROM counted_other"
        )
        self._unfinish()
        finish_norm(self.con, self.near.features, self.policy)
        rows = self.near.new_rows({sid: self.near.rows[sid].ref for sid in finished})
        self.dirty = {sid for sid, row in rows.items() if sid not in before or row != before[sid]}
        self.old |= {sid: row for sid, row in before.items() if sid in self.dirty}
        self.near.put({sid: row for sid, row in rows.items() if sid in self.dirty})
        self.near.put({sid: self.old[sid] for sid in self.live - self.dirty})

    def _unfinish(self) -> None:
        """Take ``norm`` back to what records say by themselves: all values that they hold, nothing derived."""
        columns = []
        for feature in self.near.features:
            c = sql.quote(feature.column)
            if feature.kind in WITHOUT_SHARED:
                c = f"(SELECT list_sort(list(value)) FROM held h WHERE h.rid = n.rid AND h.kind = '{feature.kind}') AS {c}"
            columns.append(c)
        self.con.execute(
            f"CREATE OR REPLACE TABLE norm AS SELECT rid, is_stub, employee, {', '.join(columns)} FROM norm n"
        )

    # --- blocks: which pairs are looked at -------------------------------------------------------------------------
    def move_keys(self) -> None:
        """Put the records whose row differs under their keys of now; find the blocks that became usable or unusable."""
        self._old_keys()
        self._key_table("new_key", self.dirty)
        self.con.execute("CREATE OR REPLACE TABLE touched_key AS SELECT h FROM new_key UNION SELECT h FROM old_key")
        self.near.reach(self.near.hashes("FROM touched_key"))
        self._count_blocks("block_before")
        self._move_postings()
        self._count_blocks("block_now")
        most = blocking.LARGEST_BLOCK
        self.con.execute(
            f"""CREATE OR REPLACE TABLE crossing AS SELECT h FROM touched_key LEFT JOIN block_before b USING (h)
            LEFT JOIN block_now n USING (h) WHERE (coalesce(b.size, 0) <= {most}) <> (coalesce(n.size, 0) <= {most})"""
        )

    def _old_keys(self) -> None:
        """Create ``old_key`` (h, sid): the blocking keys that the records whose line differs, or that left, had before."""
        lines = [self.old[sid] for sid in sorted(self.old.keys() & (self.dirty | self.gone))]
        self.near.spread(lines, "old_norm", "old_held", first=True)
        self._keys_of("old_key", "old_norm")

    def _key_table(self, name: str, ids: Collection[int]) -> None:
        """Create the table ``name`` (h, sid) of the blocking keys of records at hand."""
        self.near.choose("keyed_sid", ids)
        self._keys_of(name, "(FROM line_norm SEMI JOIN keyed_sid USING (sid))")

    def _keys_of(self, name: str, lines: str) -> None:
        keyed = blocking.keyed_sql(self.model.atoms, self.model.keys, f"(SELECT *, sid AS rid FROM {lines})")
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT key AS h, rid AS sid FROM ({keyed})")

    def _count_blocks(self, name: str) -> None:
        self.con.execute(
            f"""CREATE OR REPLACE TABLE {name} AS SELECT h, count(*) AS size FROM posting
            SEMI JOIN touched_key USING (h) GROUP BY h"""
        )

    def _move_postings(self) -> None:
        """Make ``posting`` say what is now; ``moved`` are the postings of before and ``placed`` those of now."""
        self.near.choose("differing", self.dirty)
        self.near.offer("moving", self.dirty | self.gone)
        self.con.execute(
            f"""CREATE OR REPLACE TABLE placed AS SELECT h, sid FROM new_key UNION ALL
                SELECT {VALUE_HASH} AS h, sid FROM line_held SEMI JOIN differing USING (sid)"""
        )
        self.near.reach(self.near.hashes("SELECT DISTINCT h FROM placed"))
        self.con.execute(
            """CREATE OR REPLACE TABLE moved AS SELECT h, sid FROM posting SEMI JOIN moving USING (sid);
            DELETE FROM posting WHERE sid IN (FROM moving); INSERT INTO posting FROM placed"""
        )

    def score(self, floor: float) -> None:
        """Create ``found`` (l, r, weight by record number): pairs with a record that differs, or of a block that crossed."""
        self._pairs_of_crossing()
        self.con.execute(
            f"""CREATE OR REPLACE TABLE candidate AS SELECT DISTINCT least(k.sid, p.sid) AS a, greatest(k.sid, p.sid) AS b
            FROM new_key k JOIN posting p USING (h) JOIN block_now USING (h)
            WHERE size <= {blocking.LARGEST_BLOCK} AND p.sid <> k.sid
            UNION SELECT a, b FROM crossing_pair WHERE usable"""
        )
        ends = self.near.ids("SELECT DISTINCT unnest([a, b]) FROM candidate")
        self.near.fetch(ends)
        self.near.load(ends)
        self.con.execute(
            """CREATE OR REPLACE TABLE pair AS SELECT least(x.rid, y.rid) AS l, greatest(x.rid, y.rid) AS r FROM candidate
            JOIN numbered x ON x.sid = a JOIN numbered y ON y.sid = b"""
        )
        compiled = compile_model(self.model)
        prepare(self.con, compiled)
        score_pairs(self.con, compiled, "pair", "scored", floor)
        self.con.execute(
            """CREATE OR REPLACE TABLE found AS SELECT x.sid AS l, y.sid AS r, weight FROM scored
            JOIN numbered x ON x.rid = l JOIN numbered y ON y.rid = r"""
        )

    def _pairs_of_crossing(self) -> None:
        """Create ``crossing_pair`` (a, b, usable): unchanged pairs of blocks that crossed, and whether any block finds them."""
        self.con.execute(
            """CREATE OR REPLACE TABLE crossing_pair AS WITH kept AS (
                SELECT h, sid FROM posting SEMI JOIN crossing USING (h) ANTI JOIN differing USING (sid))
            SELECT DISTINCT x.sid AS a, y.sid AS b, false AS usable FROM kept x JOIN kept y ON x.h = y.h AND x.sid < y.sid"""
        )
        members = self.near.ids("SELECT DISTINCT unnest([a, b]) FROM crossing_pair")
        if not members:
            return
        self.near.fetch(members)
        self._key_table("member_key", members)
        self.con.execute(
            """CREATE OR REPLACE TABLE shared_key AS SELECT a, b, x.h FROM crossing_pair
            JOIN member_key x ON x.sid = a JOIN member_key y ON y.sid = b AND y.h = x.h"""
        )
        self.near.reach(self.near.hashes("SELECT DISTINCT h FROM shared_key"))
        self.con.execute(
            f"""CREATE OR REPLACE TABLE crossing_pair AS SELECT a, b, s.a IS NOT NULL AS usable FROM crossing_pair
            LEFT JOIN (SELECT DISTINCT a, b FROM shared_key SEMI JOIN (
                SELECT h FROM posting GROUP BY h HAVING count(*) <= {blocking.LARGEST_BLOCK}) USING (h)) s USING (a, b)"""
        )

    # --- links: which pairs need no score --------------------------------------------------------------------------
    def link(self) -> None:
        """Create ``link_found`` (l, r, rule): the links among ``linked``, the holders of values that changed and may link."""
        saturated = self._saturated()
        self.linked = self.live | set(
            self.near.ids(
                f"""SELECT DISTINCT sid FROM holder SEMI JOIN (
                    SELECT t.kind, t.value FROM touched t LEFT JOIN counted c USING (kind, value)
                    LEFT JOIN counted_before b USING (kind, value)
                    WHERE NOT ({saturated.format("c")} AND {saturated.format("b")})) USING (kind, value)"""
            )
        )
        self.near.choose("linked", self.linked)
        self.con.execute(
            f"""CREATE OR REPLACE TABLE all_values AS SELECT DISTINCT kind, value, {VALUE_HASH} AS h
            FROM line_held SEMI JOIN linked USING (sid)"""
        )
        self.con.execute(
            "CREATE OR REPLACE TABLE other AS SELECT kind, value FROM all_values ANTI JOIN touched USING (kind, value)"
        )
        self._known_stats("counted_other", "other")
        self.con.execute(
            f"""CREATE OR REPLACE TABLE linking AS SELECT v.* FROM all_values v LEFT JOIN
            (FROM counted UNION ALL FROM counted_other) s USING (kind, value) WHERE NOT {saturated.format("s")}"""
        )
        self.near.reach(self.near.hashes("SELECT h FROM linking"))
        holders = set(self.near.ids("SELECT DISTINCT sid FROM posting SEMI JOIN linking USING (h)"))
        self.near.fetch(holders)
        self.near.load(holders | self.linked)
        self.con.execute("DELETE FROM held WHERE (kind, value) NOT IN (SELECT (kind, value) FROM linking)")
        self._build_stats()
        deterministic.build_links(self.con, self.policy)
        self.con.execute(
            """CREATE OR REPLACE TABLE link_found AS SELECT x.sid AS l, y.sid AS r, rule FROM link
            JOIN numbered x ON x.rid = l JOIN numbered y ON y.rid = r
            WHERE x.sid IN (FROM linked) AND y.sid IN (FROM linked)"""
        )

    def _saturated(self) -> str:
        """Return the condition that so many names hold a value that no rule links by it, whoever comes or goes."""
        cases = []
        for kind in deterministic.KINDS:
            most = max((rule.limit for rule in self.policy.rules if rule.kind == kind), default=_LINK_LIMIT_NONE)
            cases.append(f"WHEN '{kind}' THEN coalesce({{0}}.{deterministic.counted(kind)}, 0) > {most}")
        return f"(CASE kind {' '.join(cases)} END)"
