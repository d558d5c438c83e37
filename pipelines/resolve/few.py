"""The steps of an increment of few records, in Python: what ``set_based`` does by statements, without their planning.

Every rule is the one that all records go through: normal forms are the model's expressions, scores the compiled scorer's,
links those of ``few_links``, what keeps apart ``cannot_link``. A test holds the two ways to the same outcome. Where a change
turns out to concern many (a value of hundreds, a large block that opens) it is left to the statements.
"""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve import blocking
from pipelines.resolve.few_links import Count, links_among
from pipelines.resolve.few_records import Records, TooMany, pair_of
from pipelines.resolve.finish import WITHOUT_SHARED
from pipelines.resolve.index import bucket_rows, held_values
from pipelines.resolve.normal_form import value_hash
from pipelines.resolve.postings import Postings
from pipelines.resolve.read_store import read_match_rows
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pipelines.resolve.cluster import Ints
    from pipelines.resolve.few_links import Value
    from pipelines.resolve.incremental import Given, Pair
    from pipelines.store.match_blocks import Line

MOST_HOLDERS = 300
MOST_PAIRS = 800
_STATS = pa.schema(
    [("entity", pa.string()), ("system", pa.string()), ("value_hash", pa.string()), ("records", pa.int64()),
     ("names", pa.int64()), ("blocked", pa.bool_()), ("spellings", pa.int64()), ("initials", pa.int64())]
)  # fmt: skip
_NOBODY = Count(0, 0, 0, 0)


class Few(Records):
    """What few changed records change; see ``incremental.Work``."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self._postings = Postings(given.store, given.tenant_id, given.entity, given.state.bits)
        self.old: dict[int, Line] = {}
        self.dirty: set[int] = set()
        self.gone: set[int] = set()
        self.live: set[int] = set()
        self.linked: set[int] = set()
        self.stats, self.stale_stats = pa.table({}), pa.table({})
        self._counted: dict[Value, Count] = {}
        self._before: dict[Value, Count] = {}
        self._touched: dict[Value, list[int]] = {}
        self._scored: list[tuple[int, int, float]] = []
        self._crossing: set[Pair] = set()
        self._links: list[tuple[int, int, str]] = []

    # --- what is asked afterwards ----------------------------------------------------------------------------------
    def scored(self) -> list[tuple[int, int, float]]:
        """Return the scored pairs: those with a record that differs, or of a block that crossed the limit."""
        return self._scored

    def links(self) -> list[tuple[int, int, str]]:
        """Return the deterministic links among ``linked``."""
        return self._links

    def crossing(self) -> set[Pair]:
        """Return the unchanged pairs that blocks find now and did not before, or the other way round."""
        return self._crossing

    def buckets(self) -> tuple[pa.Table, Ints]:
        """Return the buckets whose postings moved, and the numbers of those that are empty now."""
        numbers, hashes, records = self._postings.moved()
        rows = bucket_rows(self._given.entity, hashes, records, self._given.state.bits)
        return rows, np.setdiff1d(numbers, rows["bucket"].to_numpy())

    # --- the steps -------------------------------------------------------------------------------------------------
    def work_out(self, changed: Ints, floor: float) -> None:
        """Work out what the changed records change of others, step by step."""
        given = self._given
        records = read_match_rows(given.store, given.tenant_id, given.entity, given.policy, pa.array(changed))
        if not all(self._form.fits(record) for record in records):
            raise TooMany
        new = {}
        for record in records:
            row, held = self._form.said(record)
            sid = record["source_record_id"]
            new[sid] = self._form.line(sid, record["source_ref"], row, held)
        self.fetch(changed.tolist())
        self._take(changed.tolist(), new)
        self._count_values()
        self._score(*self._move_keys(), floor)
        self._link()

    def _take(self, changed: Collection[int], new: Mapping[int, Line]) -> None:
        known = {sid: self.rows[sid] for sid in changed if sid in self.rows}
        self.gone = set(changed) - new.keys()
        self.live = {sid for sid, line in new.items() if line != known.get(sid)}
        self.old = {sid: line for sid, line in known.items() if sid in self.gone or sid in self.live}
        for sid in self.gone:
            self.rows.pop(sid, None)
        self.rows.update({sid: new[sid] for sid in self.live})

    def _count_values(self) -> None:
        """Count anew the values that changed records hold or held; records of a value that crossed a limit are redone."""
        lines = [*self.old.values(), *(self.rows[sid] for sid in self.live)]
        touched = {value[:2] for line in lines for value in held_values(line.held)}
        holders = self._holders(touched, but=self.live | self.gone)
        self.fetch({sid for sids in holders.values() for sid in sids})
        for value, sids in holders.items():
            parties = [self._party(sid) for sid in (*sids, *self.live)]
            holding = [party for party in parties if value in party.held]
            if len(holding) > 1:
                self._counted[value] = Count.of(holding)
        self._before = self._stored(touched)
        self._tell_stats()
        flipped = {
            sid for value in touched if value[0] in WITHOUT_SHARED and self._flipped(value) for sid in holders[value]
        }
        self._finish(flipped, touched)
        self._touched = holders

    def _holders(self, values: Collection[Value], but: Collection[int] = ()) -> dict[Value, list[int]]:
        hashes = {value: value_hash(*value) for value in values}
        self._postings.reach(hashes.values())
        found = {value: [sid for sid in self._postings.of(h) if sid not in but] for value, h in hashes.items()}
        if sum(map(len, found.values())) > MOST_HOLDERS:
            raise TooMany
        return found

    def _stored(self, values: Collection[Value]) -> dict[Value, Count]:
        named = {(kind, _md5(value)): (kind, value) for kind, value in values}
        given = self._given
        read = match_index.stats_of(given.store, given.tenant_id, given.entity, list(named))
        return {named[key]: Count(*counts) for key, counts in read.items()}

    def _tell_stats(self) -> None:
        """Keep what the statistics table must be told: the values of several names now, and those of one name again."""
        entity, limit = self._given.entity, self._given.policy.shared_value_names
        kept = {value: n for value, n in self._counted.items() if n.names > 1 or n.initials > 1}
        rows = sorted(
            (entity, kind, _md5(value), n.records, n.names, n.names > limit, n.spellings, n.initials)
            for (kind, value), n in kept.items()
        )
        self.stats = pa.Table.from_pylist([dict(zip(_STATS.names, row, strict=True)) for row in rows], _STATS)
        stale = sorted((entity, kind, _md5(value)) for kind, value in self._before.keys() - kept.keys())
        keys = pa.schema(list(_STATS)[:3])
        self.stale_stats = pa.Table.from_pylist([dict(zip(keys.names, row, strict=True)) for row in stale], keys)

    def _flipped(self, value: Value) -> bool:
        limit = self._given.policy.shared_value_names
        now, before = self._counted.get(value, _NOBODY), self._before.get(value, _NOBODY)
        return (now.names > limit) != (before.names > limit) or (now.initials > 1) != (before.initials > 1)

    def _finish(self, others: set[int], touched: Collection[Value]) -> None:
        """Give the changed records, and others of a value that crossed a limit, their last form; find whose differs."""
        finished = others | self.live
        before = {sid: self.rows[sid] for sid in others} | self.old
        held = {sid: held_values(self.rows[sid].held) for sid in finished}
        other = {value[:2] for values in held.values() for value in values} - set(touched)
        counts = self._counted | self._stored(other)
        shared = {value: (count.names, count.initials) for value, count in counts.items()}
        for sid in finished:
            line = self.rows[sid]
            row = dict(zip(self._form.names, line.features, strict=True))
            new = self._form.line(sid, line.ref, self._form.reduced(row, held[sid], shared), held[sid])
            self.rows[sid] = before.get(sid, new) if new == before.get(sid) else new
            if new != before.get(sid):
                self.dirty.add(sid)
        self.old |= {sid: line for sid, line in before.items() if sid in self.dirty}

    def _keys(self, line: Line) -> set[int]:
        return set(self._form.keys(self._form.row(line)))

    def _move_keys(self) -> tuple[dict[int, set[int]], set[int]]:
        """Put the records whose line differs under their keys of now; return these, and all keys of now and before."""
        old_keys = {sid: self._keys(line) for sid, line in self.old.items() if sid in self.dirty or sid in self.gone}
        new_keys = {sid: set(self._form.keys(self._row(sid))) for sid in self.dirty}
        touched = {key for keys in (*old_keys.values(), *new_keys.values()) for key in keys}
        self._postings.reach(touched)
        for sid in self.dirty | self.gone:
            before = old_keys.get(sid, set()) | _value_hashes(self.old.get(sid))
            now = new_keys.get(sid, set()) | _value_hashes(self.rows.get(sid))
            self._postings.move(sid, before, now)
        return new_keys, touched

    def _score(self, new_keys: Mapping[int, set[int]], touched: set[int], floor: float) -> None:
        """Score the pairs with a record that differs, and the unchanged pairs of blocks that became usable."""
        most = blocking.LARGEST_BLOCK
        pairs = {
            pair_of(sid, other)
            for sid, mine in new_keys.items()
            for key in mine
            if self._postings.size(key) <= most
            for other in self._postings.of(key)
            if other != sid
        }
        for key in touched:
            if (self._postings.size(key) <= most) != (self._postings.size_before(key) <= most):
                pairs |= self._crossed(key)
        if len(pairs) > MOST_PAIRS:
            raise TooMany
        self.fetch({end for pair in pairs for end in pair})
        for a, b in pairs:
            weight = self._weight(a, b)
            if weight is not None and weight >= floor:
                self._scored.append((*self._ordered(a, b), weight))

    def _crossed(self, key: int) -> set[Pair]:
        """Return the pairs of a block that crossed the limit which some block finds now and none found before.

        Those that no block finds any more are among ``crossing`` too.
        """
        kept = [sid for sid in self._postings.of(key) if sid not in self.dirty]
        self.fetch(kept)
        keys = {sid: set(self._form.keys(self._row(sid))) for sid in kept}
        self._postings.reach({k for one, other in combinations(kept, 2) for k in keys[one] & keys[other]})
        found = set()
        for one, other in combinations(kept, 2):
            now, before = self._usable(keys[one] & keys[other])
            if now != before:
                self._crossing.add(pair_of(one, other))
            if now and not before:
                found.add(pair_of(one, other))
        return found

    def _usable(self, keys: Collection[int]) -> tuple[bool, bool]:
        most = blocking.LARGEST_BLOCK
        now = any(self._postings.size(key) <= most for key in keys)
        return now, any(self._postings.size_before(key) <= most for key in keys)

    def _link(self) -> None:
        """Find the links among ``linked``, the holders of values that changed and may link."""
        moving = {
            sid
            for value, sids in self._touched.items()
            if not (self._saturated(value, self._counted) and self._saturated(value, self._before))
            for sid in (*sids, *self._live_with(value))
        }
        self.linked = self.live | moving
        self.fetch(self.linked)
        values = {value for sid in self.linked for value in self._party(sid).held}
        counts = self._counted | self._stored(values - self._touched.keys())
        linking = {value for value in values if not self._saturated(value, counts)}
        holders = self._holders(linking)
        self.fetch({sid for sids in holders.values() for sid in sids})
        parties = {sid: self._party(sid) for sids in holders.values() for sid in sids}
        found = links_among(self._given.policy, parties, sorted(linking))
        self._links = [(a, b, rule) for (a, b), rule in found.items() if a in self.linked and b in self.linked]

    def _live_with(self, value: Value) -> list[int]:
        return [sid for sid in self.live if value in self._party(sid).held]

    def _saturated(self, value: Value, counts: Mapping[Value, Count]) -> bool:
        """Tell whether so many names hold a value that no rule links by it, whoever comes or goes."""
        most = max((rule.limit for rule in self._given.policy.rules if rule.kind == value[0]), default=-1)
        return counts.get(value, _NOBODY).of_rule(value[0]) > most


def _md5(value: str) -> str:
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


def _value_hashes(line: Line | None) -> set[int]:
    return {value_hash(kind, value) for kind, value, _ in held_values(line.held)} if line is not None else set()
