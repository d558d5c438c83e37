"""Whom a change of some golden persons can reach: everybody whose household it may make, end or alter (ADR 0045).

Two persons hang together by what they have in common: a value, a home, the household that they are in now. Reached is who
has something in common with one who changed, before or after; then, from one to another, who is linked with one reached or
in one household with one. So nobody outside is linked with anybody inside, neither now nor before: what is decided of those
inside is what a run over everybody decides of them. Of each reached person all who have a value or a home in common are read,
for what they hold decides whether it joins anybody.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve.households import MOST, homes_of, households, links_of, people_of
from pipelines.store import household_reads

if TYPE_CHECKING:
    from pipelines.store import Store


@dataclass
class Reach:
    """Reached persons (``ids``), and the golden rows and points that decide about them.

    ``homes`` are those of the persons who changed, as they are now.
    """

    store: Store
    tenant_id: int
    changed: pa.Array
    homes: pa.Table
    people: pa.Table
    ids: set[int]
    read: int
    _unread: set[int] = field(default_factory=set)
    _points: list[pa.Table] = field(default_factory=list)

    @staticmethod
    def of(store: Store, tenant_id: int, changed: pa.Array) -> Reach:
        """Reach those who changed and who had or have anything in common with them."""
        rows = household_reads.persons(store, tenant_id, changed)
        people = people_of(rows)
        reach = Reach(store, tenant_id, changed, homes_of(people), people, set(changed.to_pylist()), rows.num_rows)
        before = household_reads.homes(store, tenant_id, changed)
        places = pa.concat_tables([before, reach.homes]).column("home")
        reach.ids |= reach._at(changed, places) | reach._sharing(changed)
        return reach

    @property
    def points(self) -> pa.Table:
        """What those who are reached have in common with anybody."""
        return pa.concat_tables(self._points).group_by(["entity_id", "kind", "value_norm"]).aggregate([])

    def found(self) -> pa.Table:
        """Return the households of those reached, as ``households`` does."""
        rows = households(self.people, self.points)
        return rows.filter(pc.is_in(rows.column("person_id"), _array(self.ids)))

    def close(self) -> None:
        """Reach who hangs together with one reached, from one to another."""
        asked, rest = set[int](), self.ids
        while rest:
            ids = _array(rest)
            self._unread |= rest | self._sharing(ids) | self._at(ids, self._homes(ids))
            self._read()
            asked |= rest
            self.ids = asked | self._linked(rest) | self._together(ids)
            rest = self.ids - asked

    def read_also(self, ids: set[int]) -> None:
        """Read persons who are not reached."""
        self._unread |= ids
        self._read()

    def _homes(self, ids: pa.Array) -> pa.ChunkedArray:
        """Return the homes that persons have: where they did not change, those that are kept."""
        kept = household_reads.homes(self.store, self.tenant_id, ids)
        return pa.concat_tables([_without(kept, self.changed), self.homes]).column("home")

    def _at(self, ids: pa.Array, places: pa.ChunkedArray) -> set[int]:
        """Return the others at these homes; where more of them live than a household has persons, some are only read.

        They are enough to see that the home joins nobody.
        """
        at = household_reads.living_at(self.store, self.tenant_id, pc.unique(places))
        known = pa.concat_arrays([ids, self.changed])
        by_home: dict[int, list[int]] = defaultdict(list)
        for person, home in zip(*(column.to_pylist() for column in _without(at, known).columns), strict=True):
            by_home[home].append(person)
        self._unread |= {person for others in by_home.values() if len(others) > MOST for person in others[: MOST + 1]}
        return {person for others in by_home.values() if len(others) <= MOST for person in others}

    def _sharing(self, ids: pa.Array) -> set[int]:
        found = household_reads.points_in_common(self.store, self.tenant_id, ids)
        self._points.append(found)
        return set(found.column("entity_id").to_pylist())

    def _linked(self, rest: set[int]) -> set[int]:
        links = links_of(self.people, self.points)
        ends = zip(links.column("l").to_pylist(), links.column("r").to_pylist(), strict=True)
        return {end for pair in ends if not rest.isdisjoint(pair) for end in pair}

    def _together(self, ids: pa.Array) -> set[int]:
        return set(household_reads.members(self.store, self.tenant_id, ids).column("person_id").to_pylist())

    def _read(self) -> None:
        known = {*self.people.column("person_id").to_pylist(), *self.changed.to_pylist()}
        rows = household_reads.persons(self.store, self.tenant_id, _array(self._unread - known))
        self.read += rows.num_rows
        self.people = pa.concat_tables([self.people, people_of(rows)]) if rows.num_rows else self.people
        self._unread = set()


def reached(store: Store, tenant_id: int, changed: pa.Array) -> Reach:
    """Return whom a change of these persons can reach."""
    reach = Reach.of(store, tenant_id, changed)
    reach.close()
    return reach


def _without(rows: pa.Table, persons: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows.column("person_id"), persons)))


def _array(ids: set[int]) -> pa.Array:
    return pa.array(sorted(ids), pa.int64())
