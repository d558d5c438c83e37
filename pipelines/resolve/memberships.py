"""Which records an id once stood for, so that groups that come back take the ids that they had.

Built from spans of links ("this record belonged to that id from one commit until another"). Two groups are the same only
where all their records are: what shares most of them is a matter of votes (``ids.py``).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipelines.resolve.edges import components

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

Span = tuple[int, int, int, int | None]
"""record, id, known_from, known_to; ``known_to`` is ``None`` while the link holds."""
_FOR_EVER = 2**63 - 1


class Period(NamedTuple):
    """From one commit until another an id stood for a group."""

    since: int
    until: int
    entity_id: int


@dataclass(frozen=True)
class Memberships:
    """The spans of some ids; of each id all spans, or a group would seem to have been alone that was not."""

    _ids_of: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _moves: dict[int, list[tuple[int, bool, int]]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def of(spans: Iterable[Span]) -> Memberships:
        """Read the spans, in any order."""
        made = Memberships()
        for record, entity_id, known_from, known_to in spans:
            made._ids_of[record].add(entity_id)
            made._moves[entity_id].append((known_from, True, record))
            if known_to is not None:
                made._moves[entity_id].append((known_to, False, record))
        for moves in made._moves.values():
            moves.sort()
        return made

    def periods(self, group: Collection[int]) -> list[Period]:
        """Return when exactly these records were one, and under which id; in a fixed order."""
        shared = set.intersection(*(self._ids_of.get(record, set()) for record in group))
        return sorted(period for entity_id in shared for period in self._held_by(entity_id, set(group)))

    def _held_by(self, entity_id: int, group: set[int]) -> Iterator[Period]:
        held: set[int] = set()
        since = 0
        for commit, moves in groupby(self._moves[entity_id], key=lambda move: move[0]):
            if held == group:
                yield Period(since, commit, entity_id)
            for _, joins, record in moves:
                (held.add if joins else held.discard)(record)
            since = commit
        if held == group:
            yield Period(since, _FOR_EVER, entity_id)


def come_back(
    groups: Mapping[int, Sequence[int]], past: Memberships, linked: Mapping[int, set[int]], free: set[int]
) -> dict[int, int]:
    """Return the ids that groups take back: those of one moment, at which most of the records were grouped as they are now.

    The newest such moment counts. Groups are looked at together where they have an id in common: one that they came from
    (``linked``), or one of ``free`` that they could take back. What is not placed then is looked at again by itself.
    """
    periods = {n: [one for one in past.periods(group) if one.entity_id in free] for n, group in groups.items()}
    placed: dict[int, int] = {}
    for part in _parts({n: linked[n] | {one.entity_id for one in periods[n]} for n in groups}):
        rest = {n: periods[n] for n in part}
        while then := _best_moment(rest, groups):
            placed |= then
            taken = set(then.values())
            rest = {n: [p for p in of if p.entity_id not in taken] for n, of in rest.items() if n not in then}
    return placed


def _best_moment(periods: Mapping[int, Sequence[Period]], groups: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Return the ids of the moment at which the groups of most records were together, of equal ones the newest."""
    moves = sorted(
        move for n, of in periods.items() for p in of for move in ((p.since, 1, n, p.entity_id), (p.until, 0, n, 0))
    )
    together: dict[int, int] = {}
    best: dict[int, int] = {}
    most = records = 0
    for _, same_moment in groupby(moves, key=lambda move: move[0]):
        for _, begins, n, entity_id in same_moment:
            records += len(groups[n]) if begins else -len(groups[n])
            if begins:
                together[n] = entity_id
            else:
                del together[n]
        if records and records >= most:
            most, best = records, dict(together)
    return best


def _parts(linked: Mapping[int, set[int]]) -> list[list[int]]:
    """Return the groups that hang together by an id, in the order of their first."""
    numbers, ids = list(linked), sorted(set().union(*linked.values()))
    place = {entity_id: len(numbers) + row for row, entity_id in enumerate(ids)}
    pairs = [(row, place[entity_id]) for row, n in enumerate(numbers) for entity_id in linked[n]]
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    label = components(len(numbers) + len(ids), ends[:, 0], ends[:, 1])[: len(numbers)]
    parts: dict[int, list[int]] = defaultdict(list)
    for n, own in zip(numbers, label.tolist(), strict=True):
        parts[own].append(n)
    return list(parts.values())
