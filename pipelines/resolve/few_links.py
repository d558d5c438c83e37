"""Links without a score among few records: ``deterministic`` for the records at hand, in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.resolve.candidates import Names, is_one_name, names_of
from pipelines.resolve.deterministic import COMPATIBLE, counted, stays_in_role
from pipelines.resolve.similarity import jaro_winkler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pipelines.resolve.rules import LinkRule, Policy

Value = tuple[str, str]
"""Kind and normal form of a value."""


@dataclass(frozen=True)
class Party:
    """A record as rules see it: its place in the order of source_ref, its names, and what it holds (verified or not)."""

    ref: str
    is_stub: bool
    employee: bool
    names: Names
    held: Mapping[Value, bool]

    @staticmethod
    def of(ref: str, row: Mapping[str, Any], held: Iterable[tuple[str, str, bool]]) -> Party:
        """Return the party of a whole row of ``norm``."""
        values = {(kind, value): sure for kind, value, sure in held}
        return Party(ref, bool(row["is_stub"]), bool(row["employee"]), names_of(row), values)


@dataclass(frozen=True)
class Count:
    """How many records hold a value, and how many coarse names, whole names and initials are among them."""

    records: int
    names: int
    spellings: int
    initials: int

    @staticmethod
    def of(holders: Collection[Party]) -> Count:
        """Count the holders of one value."""
        names = (len({party.names[place] for party in holders} - {None}) for place in range(3))
        return Count(len(holders), *names)

    def of_rule(self, kind: str) -> int:
        """Return the count that the limits of rules for a kind are about."""
        return self.spellings if counted(kind) == "spellings" else self.names


def links_among(policy: Policy, parties: Mapping[int, Party], values: Iterable[Value]) -> dict[tuple[int, int], str]:
    """Return the links by these values, of which all holders are at hand: first and later record, and the first rule."""
    claims: dict[tuple[int, int], tuple[int, str]] = {}
    for value in values:
        holders = sorted((sid for sid in parties if value in parties[sid].held), key=lambda sid: parties[sid].ref)
        if len(holders) < 2:  # noqa: PLR2004  a value links two records
            continue
        count = Count.of([parties[sid] for sid in holders])
        for rule in policy.rules:
            if rule.kind == value[0] and count.of_rule(rule.kind) <= rule.limit:
                for pair in _star_edges(rule, value, parties, holders, count):
                    claims[pair] = min(claims.get(pair, (rule.priority, rule.name)), (rule.priority, rule.name))
    return {pair: name for pair, (_, name) in claims.items()}


def _star_edges(
    rule: LinkRule, value: Value, parties: Mapping[int, Party], holders: Sequence[int], count: Count
) -> Iterable[tuple[int, int]]:
    groups: dict[object, list[int]] = {}
    for sid in holders:
        party = parties[sid]
        if rule.names == "equal":
            if party.names[1] is not None:
                groups.setdefault(party.names[1], []).append(sid)
        elif party.held[value] or not rule.verified:
            groups.setdefault(None, []).append(sid)
    stars = list(groups.values())
    stubs = {sid for sid in holders if parties[sid].is_stub}
    if stubs and count.names <= 1:
        stars.append(list(holders))
    elif stubs and is_one_name([parties[sid].names for sid in holders]):
        stars.append([sid for sid in holders if sid in stubs or parties[sid].names[1] is not None])
    for centre, *others in stars:
        yield from ((centre, other) for other in others if _agree(rule, parties[centre], parties[other]))


def _agree(rule: LinkRule, one: Party, other: Party) -> bool:
    if stays_in_role(rule) and one.employee != other.employee:
        return False
    coarse, whole = one.names[0], one.names[1]
    if rule.names != "compatible" or whole is None or other.names[1] is None:
        return True
    same = coarse is not None and coarse == other.names[0]
    return same or jaro_winkler(whole, other.names[1]) >= COMPATIBLE
