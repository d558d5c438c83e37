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

    def beginnings(self, entity_id: int) -> set[int]:
        """Return the commits at which an id came to stand for the records that it stands for now; also those long ago."""
        held: set[int] = set()
        for _, joins, record in self._moves[entity_id]:
            (held.add if joins else held.discard)(record)
        return {period.since for period in self._held_by(entity_id, held)}

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

    Of several such moments it is the one from which the entities that the groups come from (``linked``) arose, so that the
    change is the way back; then the newest. Groups are looked at together where they have an id in common: one that they
    come from, or one of ``free`` that they could take back. What is not placed then is looked at again by itself.
    """
    periods = {n: [one for one in past.periods(group) if one.entity_id in free] for n, group in groups.items()}
    arose = {n: set().union(*(past.beginnings(entity_id) for entity_id in linked[n])) for n in groups}
    placed: dict[int, int] = {}
    for part in _parts({n: linked[n] | {one.entity_id for one in periods[n]} for n in groups}):
        rest = {n: [(p, len(groups[n]), p.until in arose[n]) for p in periods[n]] for n in part}
        while then := _best_moment(rest):
            placed |= then
            taken = set(then.values())
            rest = {n: [one for one in of if one[0].entity_id not in taken] for n, of in rest.items() if n not in then}
    return placed


def _best_moment(periods: Mapping[int, Sequence[tuple[Period, int, bool]]]) -> dict[int, int]:
    """Return the ids of the moment at which the groups of most records were together; see ``come_back``.

    Beside each period of a group: how many records the group has, and whether the way back leads to the period.
    """
    moves = sorted(
        (at, begins, n, p.entity_id, size, size * back)
        for n, of in periods.items()
        for p, size, back in of
        for at, begins in ((p.since, True), (p.until, False))
    )
    together: dict[int, int] = {}
    best: dict[int, int] = {}
    records, on_the_way, most = 0, 0, (1, 0)
    for _, same_moment in groupby(moves, key=lambda move: move[0]):
        for _, begins, n, entity_id, size, back in same_moment:
            records, on_the_way = (records + size, on_the_way + back) if begins else (records - size, on_the_way - back)
            if begins:
                together[n] = entity_id
            else:
                del together[n]
        if (records, on_the_way) >= most:
            most, best = (records, on_the_way), dict(together)
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
