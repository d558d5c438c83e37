"""Stable ids: a pure function from a partition and what was before to the new crosswalk and the id events.

An entity keeps the id with which it shares most members, ties go to the older id. An id without a cluster was merged
into the one that took most of its members, or is retired with its last record; it comes back when its members part.
Where entities part or meet, groups of records that were entities before take back the ids of that time (``memberships.py``):
so merges, splits and retractions that are undone, the last one first, end in the ids from before them. Other parts of an
entity leave its id to the members whose first id it was: the rest came by a merge and have their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.memberships import Memberships, come_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Remember = Callable[[Sequence[int]], Memberships]
    Members = Mapping[int, list[tuple[int, int]]]

ACTIVE, MERGED, RETIRED = "active", "merged", "retired"
MINTED, MERGED_INTO, SPLIT_FROM, REACTIVATED, RETIRE = "minted", "merged_into", "split_from", "reactivated", "retired"
_NO_HOMES: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True)
class IdEvent:
    """What happened to an id: ``other_id`` is what it was merged into or split from."""

    kind: str
    entity_id: int
    other_id: int | None = None


@dataclass(frozen=True)
class Assignment:
    """The crosswalk (``entity_ids`` beside the partition's records) and what became of ids, in a fixed order.

    ``fresh`` are the ids minted for records that never had one: of a first run they are all, so they are kept as numbers.
    """

    entity_ids: Ints
    placed: tuple[IdEvent, ...]
    fresh: Ints
    gone: tuple[int, ...] = ()
    next_id: int = 1

    @property
    def events(self) -> tuple[IdEvent, ...]:
        """All events, in a fixed order."""
        return (*self.placed, *(IdEvent(MINTED, int(entity_id)) for entity_id in self.fresh))

    def counts(self) -> dict[str, int]:
        """Return how many events of each kind there are."""
        counted = Counter(event.kind for event in self.placed) + Counter({MINTED: len(self.fresh)})
        return dict(sorted(counted.items()))


def nothing_before(_records: Sequence[int]) -> Memberships:
    """Remember nothing: there was no entity before."""
    return Memberships()


@dataclass(frozen=True)
class _Before:
    """The live ids of records that are gone, inactive ids and first id of each record, and who was together when."""

    removed: Mapping[int, int]
    former: Mapping[int, Iterable[int]]
    homes: Mapping[int, int]
    remember: Remember


@dataclass
class _Book:
    """Decisions so far: cluster to id, and events."""

    next_id: int
    id_of: dict[int, int] = field(default_factory=dict)
    events: list[IdEvent] = field(default_factory=list)


def assign_ids(
    records: Ints,
    labels: Ints,
    crosswalk: Mapping[int, int],
    former: Mapping[int, Iterable[int]],
    next_id: int,
    homes: Mapping[int, int] = _NO_HOMES,
    remember: Remember = nothing_before,
) -> Assignment:
    """Return the ids of a partition (``labels`` beside ``records``, both in source_ref order).

    ``crosswalk`` is the live id of each record before, ``former`` the inactive ids it once had, ``next_id`` the first
    number not yet given, ``homes`` the first id of records that have had several, ``remember`` returns all spans of all ids
    that some records ever had. Nothing changed gives the same crosswalk and no events.
    """
    _, cluster = np.unique(labels, return_inverse=True)
    before = ids_before(records, crosswalk)
    sizes, held = np.bincount(cluster), Counter(crosswalk.values())
    low, high = _extremes(cluster, before, len(sizes))
    settled = (low == high) & (low > 0) & (sizes == np.array([held.get(int(e), 0) for e in low], np.int64))
    known = set(records.tolist()) if crosswalk else set()
    ids = np.where(settled, low, 0)
    touched = ~settled
    old = (
        np.array([bool(former.get(int(r))) for r in records], np.bool_) if former else np.zeros(len(records), np.bool_)
    )
    fresh = touched & (high == 0) & (np.bincount(cluster, old, len(sizes)) == 0)
    members = _members(cluster, before, records, touched & ~fresh)
    book = _Book(next_id)
    removed = {r: e for r, e in crosswalk.items() if r not in known}
    lost = _place(book, members, _Before(removed, former, homes, remember), set(ids[settled].tolist()))
    for number, entity_id in book.id_of.items():
        ids[number] = entity_id
    first = np.flatnonzero(fresh)[np.argsort(_first_row(cluster, len(sizes))[fresh], kind="stable")]
    ids[first] = np.arange(book.next_id, book.next_id + len(first))
    gone = tuple(sorted(r for r in crosswalk if r not in known))
    return Assignment(ids[cluster], (*book.events, *lost), ids[first], gone, book.next_id + len(first))


def ids_before(records: Ints, crosswalk: Mapping[int, int]) -> Ints:
    """Return the live id that each record had before; 0 = none."""
    if not crosswalk:
        return np.zeros(len(records), np.int64)
    return np.fromiter((crosswalk.get(record, 0) for record in records.tolist()), np.int64, len(records))


def _extremes(cluster: Ints, before: Ints, size: int) -> tuple[Ints, Ints]:
    low, high = np.full(size, np.iinfo(np.int64).max), np.zeros(size, np.int64)
    np.minimum.at(low, cluster, before)
    np.maximum.at(high, cluster, before)
    return low, high


def _first_row(cluster: Ints, size: int) -> Ints:
    first = np.full(size, len(cluster), np.int64)
    np.minimum.at(first, cluster, np.arange(len(cluster)))
    return first


def _members(cluster: Ints, before: Ints, records: Ints, chosen: NDArray[np.bool_]) -> dict[int, list[tuple[int, int]]]:
    """(record, earlier id) of each chosen cluster, clusters in the order of their first record."""
    members: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in np.flatnonzero(chosen[cluster]):
        members[int(cluster[row])].append((int(records[row]), int(before[row])))
    return members


def _place(book: _Book, members: Members, before: _Before, settled: set[int]) -> list[IdEvent]:
    shared = {number: Counter(e for _, e in rows if e) for number, rows in members.items()}
    spread = Counter(e for counts in shared.values() for e in counts)
    for number, counts in shared.items():
        if len(counts) == 1 and spread[next(iter(counts))] == 1:
            book.id_of[number] = next(iter(counts))
    book.id_of |= _returned(book, members, before, set(spread))
    _vote(book, members, before, shared, {e for e, parts in spread.items() if parts > 1})
    minted = [number for number in members if number not in book.id_of]
    for number in minted:
        book.id_of[number] = book.next_id
        book.events.append(IdEvent(MINTED, book.next_id))
        book.next_id += 1
    back = sorted(members.keys() - minted - {n for n in members if book.id_of[n] in spread})
    book.events += [IdEvent(REACTIVATED, book.id_of[number]) for number in back]
    in_use = settled | set(book.id_of.values())
    for number in sorted((*back, *minted)):
        sources = [e for e in shared[number] if e in in_use]
        book.events += [IdEvent(SPLIT_FROM, book.id_of[number], e) for e in sorted(sources)]
    return _lost(book, shared, set(before.removed.values()), in_use)


def _returned(book: _Book, members: Members, before: _Before, live: set[int]) -> dict[int, int]:
    """Return the ids of the clusters that were entities before; an entity that only won or lost records is not asked."""
    groups = {n: [record for record, _ in rows] for n, rows in members.items() if n not in book.id_of}
    if not groups:
        return {}
    records = [record for group in groups.values() for record in group]
    inactive = {e for record in records for e in before.former.get(record, ())}
    linked = {n: {e for _, e in members[n] if e} for n in groups}
    free = (live | inactive) - set(book.id_of.values())
    return come_back(groups, before.remember(records), linked, free)


def _vote(book: _Book, members: Members, before: _Before, shared: Mapping[int, Counter[int]], parted: set[int]) -> None:
    """Give the clusters that are left the live id of most of their members, else an inactive one, else what is left."""
    homes, former = before.homes, before.former
    native = {n: Counter(e for r, e in rows if e and homes.get(r, e) == e) for n, rows in members.items()}
    _claim(book, {n: Counter({e: native[n][e] if e in parted else c for e, c in shared[n].items()}) for n in members})
    waiting = {number: rows for number, rows in members.items() if number not in book.id_of}
    back = {n: Counter(e for r, _ in rows for e in former.get(r, ())) for n, rows in waiting.items()}
    own = {
        n: Counter(e for r, _ in rows for e in former.get(r, ()) if homes.get(r) == e) for n, rows in waiting.items()
    }
    _claim(book, back, own)
    _claim(book, {number: shared[number] for number in waiting})


def _claim(book: _Book, shared: Mapping[int, Counter[int]], first: Mapping[int, Counter[int]] | None = None) -> None:
    """Give ids to clusters: most shared members first, then the older id, then the earlier cluster.

    With ``first``, those are asked before all: how many members have their first id in it.
    """
    votes = ((n, e, count) for n, counts in shared.items() for e, count in counts.items() if count)
    claims = sorted((-(first[n][e] if first else 0), -count, e, n) for n, e, count in votes)
    taken = set(book.id_of.values())
    for _, _, entity_id, number in claims:
        if entity_id not in taken and number not in book.id_of:
            book.id_of[number] = entity_id
            taken.add(entity_id)


def _lost(book: _Book, shared: Mapping[int, Counter[int]], emptied: set[int], in_use: set[int]) -> list[IdEvent]:
    """Ids that no cluster has any more: merged into the heir of most of their members, or retired."""
    heirs: dict[int, tuple[int, int]] = {}
    for number, counts in shared.items():
        for entity_id, count in counts.items():
            if entity_id not in in_use:
                claim = (-count, book.id_of[number])
                heirs[entity_id] = min(heirs.get(entity_id, claim), claim)
    merged = [IdEvent(MERGED_INTO, e, heir) for e, (_, heir) in sorted(heirs.items())]
    return merged + [IdEvent(RETIRE, e) for e in sorted(emptied - in_use - heirs.keys())]
