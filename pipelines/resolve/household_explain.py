"""Why persons are one household, and why others who have something in common with them are not of it (ADR 0034, 0045).

Everything is worked out anew from what the golden persons say now, by the rules of ``households``; what is stored says who
is a member, since when, and who was.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.errors import FixConfig
from pipelines.resolve.household_reach import reached
from pipelines.resolve.households import MOST, links_of
from pipelines.store import golden_reads, household_reads
from pipelines.store.history_reads import committed_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipelines.resolve.household_reach import Reach
    from pipelines.store import Store

    Row = dict[str, Any]

NAMED = 50
"""Persons of one address that are told one by one; of those beyond it only that there are more."""
HOUSEHOLD, PERSON, ADDRESS = "household", "person", "address"
WHY = {
    "crowd": f"more than {MOST} have it",
    "one_given_name": "all who have it have one given name, so it may be one person's own",
    "family_names_differ": "the family names differ",
    "no_family_name": "a family name is not known",
    "addresses_differ": "the addresses differ",
    "many_neighbours": f"more than {NAMED} have it: those of another name are not told one by one",
    "no_address": "an address is not known, and no family name is in common",
    "too_many": f"who hangs together here are more than {MOST}",
}
_SHOWN = ("person_id", "given_name", "family_name", "address")


def explain_household(store: Store, identity: str | int, *, tenant_id: int = 1) -> Row:
    """Return who is in a household, or in that of a person, by which evidence, what spoke against others, since when.

    ``identity`` is the id of a household (an old one is followed) or of a golden person. Keys: ``household_id`` (null for a
    person who is in none), ``since`` (when it was first known), ``members`` (``reasons``; ``valid_from``: since when the
    address holds; ``known_at``: since when the membership has been known as it is), ``links`` (two members, the rule, what
    they have in common), ``against`` (a member, another person or all the crowd, what they have in common, and why that
    joined nobody), ``left`` (who was a member), ``pending`` (the next sync will decide otherwise: something changed).
    """
    household, person = _asked(store, tenant_id, identity)
    members = household_reads.members_of(store, tenant_id, household) if household else []
    ids = [row["person_id"] for row in members] or [one for one in (person,) if one is not None]
    past = household_reads.left(store, tenant_id, household) if household else []
    near = _Near(store, tenant_id, reached(store, tenant_id, pa.array(sorted(ids), pa.int64())), ids)
    near.name([*(row["person_id"] for row in past), *ids])
    links, times = list(near.links()), _Times(store, tenant_id)
    return {
        "household_id": household,
        "person_id": person,
        "since": times.at(household_reads.minted(store, tenant_id, household)) if household else None,
        "members": [
            {**near.named(row["person_id"]), "reasons": row["reasons"], "valid_from": row["valid_from"],
             "known_at": times.at(row["known_from"])}
            for row in members
        ],
        "links": links,
        "against": list(near.against()),
        "left": [
            {**near.named(row["person_id"]), "known_at": times.at(row["known_from"]), "until": times.at(row["known_to"])}
            for row in past if row["person_id"] not in ids
        ],
        "pending": near.together() != {row["person_id"] for row in members},
    }  # fmt: skip


def _asked(store: Store, tenant_id: int, identity: str | int) -> tuple[int | None, int | None]:
    """Return the household that an id names, and the person that it names."""
    if str(identity).isdigit():
        household = golden_reads.current_id(store, tenant_id, HOUSEHOLD, int(identity))
        if household is not None:
            return household, None
        person = golden_reads.current_id(store, tenant_id, PERSON, int(identity))
        if person is not None:
            rows = household_reads.household_of(store, tenant_id, person)
            return (rows[0]["household_id"] if rows else None), person
    raise FixConfig(
        f"no household and no person has the id '{identity}'",
        do='take an id from `unisono query "SELECT household_id FROM v1_household"`',
    )


@dataclass
class _Times:
    """Instants of commits, each read once."""

    store: Store
    tenant_id: int
    known: dict[int, Any] = field(default_factory=dict)

    def at(self, seq: int | None) -> Any:
        if seq is not None and seq not in self.known:
            self.known[seq] = committed_at(self.store, self.tenant_id, seq)
        return None if seq is None else self.known[seq]


class _Near:
    """Some persons (``own``) and everybody who has something in common with them."""

    def __init__(self, store: Store, tenant_id: int, reach: Reach, own: Iterable[int]) -> None:
        self._store, self._tenant, self._own = store, tenant_id, set(own)
        self._full = self._read_neighbours(reach)
        self._people: dict[int, Row] = {row["person_id"]: row for row in reach.people.to_pylist()}
        self._holders: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in reach.points.to_pylist():
            if row["entity_id"] in self._people:
                self._holders[row["kind"], row["value_norm"]].add(row["entity_id"])
        self._reasons: dict[tuple[int, int], list[str]] = defaultdict(list)
        for row in links_of(reach.people, reach.points).to_pylist():
            if reach.ids & {row["l"], row["r"]}:
                self._reasons[row["l"], row["r"]].append(row["reason"])
        self._namesakes: dict[tuple[str, str], int] = defaultdict(int)
        for row in self._people.values():
            self._namesakes[row["home"], row["family"]] += 1
        self._names: dict[int, Row] = {}
        self.name(self._people)

    def _read_neighbours(self, reach: Reach) -> list[str]:
        """Read who lives at the addresses of these persons; return the addresses where too many do to name them."""
        own = pc.is_in(reach.people.column("person_id"), pa.array(sorted(self._own), pa.int64()))
        places = {row["place"]: row["home"] for row in reach.people.filter(own).to_pylist() if row["place"] is not None}
        full = set()
        for place, home in places.items():
            near = household_reads.neighbours(self._store, self._tenant, place, NAMED + 1)
            reach.read_also(set(near[:NAMED]))
            full |= {home} if len(near) > NAMED else set()
        return sorted(full)

    def name(self, ids: Iterable[int]) -> None:
        """Read how these persons are called and where they live."""
        self._names |= household_reads.shown(self._store, self._tenant, sorted(set(ids) - self._names.keys()))

    def named(self, person: int) -> Row:
        """Return a person as it is shown; one who is gone is a number."""
        return {name: self._names.get(person, {"person_id": person}).get(name) for name in _SHOWN}

    def together(self) -> set[int]:
        """Return who is one household with these persons by what is said now."""
        group, rest = set(self._own), list(self._own)
        while rest:
            one = rest.pop()
            found = {end for pair in self._reasons if one in pair for end in pair} - group
            group |= found
            rest += found
        return group if 1 < len(group) <= MOST and any(set(pair) <= group for pair in self._reasons) else set()

    def links(self) -> Iterator[Row]:
        """Yield what links two of these persons."""
        for (left, right), reasons in sorted(self._reasons.items()):
            if {left, right} <= self._own:
                for reason in sorted(reasons):
                    yield {"left": left, "right": right, "rule": reason, "common": self._common(left, right, reason)}

    def against(self) -> Iterator[Row]:
        """Yield what these persons have in common with others, and why it joined nobody."""
        if self._reasons and not self.together():
            yield {"person": None, "other": None, "kind": None, "value": None, "holders": None, "why": ["too_many"]}
        crowds = [(*crowd, "crowd") for crowd in self._crowds()]
        for kind, value, holders, why in [*crowds, *((ADDRESS, home, None, "many_neighbours") for home in self._full)]:
            yield {"person": None, "other": None, "kind": kind, "value": value, "holders": holders, "why": [why]}
        for one in sorted(self._own & self._people.keys()):
            for other in sorted(self._beside(one) - self._own):
                yield from self._apart(one, other)

    def _crowds(self) -> Iterator[tuple[str, str, int]]:
        yield from household_reads.crowds(self._store, self._tenant, sorted(self._own))
        rows = [self._people[one] for one in sorted(self._own & self._people.keys())]
        for home, family, place in sorted(
            {(row["home"], row["family"], row["place"]) for row in rows if row["family"] and row["place"]}
        ):
            at = household_reads.living_at(self._store, self._tenant, pa.array([place], pa.int64())).num_rows
            if self._namesakes[home, family] > MOST:
                yield ADDRESS, f"{home} {family}", max(at, self._namesakes[home, family])

    def _beside(self, one: int) -> set[int]:
        home = self._people[one]["home"]
        same = {n for n, row in self._people.items() if home is not None and row["home"] == home}
        shared = (holders for holders in self._holders.values() if one in holders and len(holders) <= MOST)
        return set(chain(same, *shared)) - {one}

    def _apart(self, one: int, other: int) -> Iterator[Row]:
        if (min(one, other), max(one, other)) in self._reasons:
            return
        for kind, value, why in self.why_not(one, other):
            if why == ["crowd"]:
                continue  # told once, with its number
            shown = self.named(one)["address"] if kind == ADDRESS else value
            yield {
                "person": one,
                "other": {**self.named(other)},
                "kind": kind,
                "value": shown,
                "holders": None,
                "why": why,
            }

    def why_not(self, one: int, other: int) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each thing that two persons have in common, with what keeps it from joining them."""
        left, right = self._people[one], self._people[other]
        homes = {left["home"], right["home"]}
        family = "no_family_name" if None in (left["family"], right["family"]) else "family_names_differ"
        if len(homes) == 1 and None not in homes:
            namesakes = self._namesakes[left["home"], left["family"]] if _same(left, right, "family") else 0
            why = [] if 0 < namesakes <= MOST else ["crowd" if namesakes else family]
            yield ADDRESS, left["home"], why
        for (kind, value), holders in sorted(self._holders.items()):
            if {one, other} <= holders and len(holders) <= MOST:
                yield kind, value, self._value_why(holders, homes, family, left, right)

    def _value_why(self, holders: set[int], homes: set[Any], family: str, left: Row, right: Row) -> list[str]:
        why = []
        if len({self._people[n]["given"] for n in holders} - {None}) < 2:  # noqa: PLR2004  several
            why.append("one_given_name")
        if None in homes and not _same(left, right, "family"):
            why += ["no_address", family]
        if len(homes - {None}) > 1:
            why.append("addresses_differ")
        return why

    def _common(self, left: int, right: int, reason: str) -> Mapping[str, Any]:
        """Return what two persons have in common for a rule, each part by its name."""
        parts: Row = {}
        for part in reason.split("+"):
            if part == ADDRESS:
                parts[part] = self.named(left)["address"]
            elif part == "name":
                parts[part] = self.named(left)["family_name"]
            else:
                several = (
                    value for (kind, value), holders in self._holders.items()
                    if kind == part and {left, right} <= holders and self._joins(holders)
                )  # fmt: skip
                parts[part] = sorted(several)
        return parts

    def _joins(self, holders: set[int]) -> bool:
        return len(holders) <= MOST and len({self._people[n]["given"] for n in holders} - {None}) > 1


def _same(left: Row, right: Row, name: str) -> bool:
    return left[name] is not None and left[name] == right[name]


def lines(told: Row) -> Iterator[str]:
    """Yield an explanation as lines for people."""
    names = {row["person_id"]: _person(row) for row in told["members"]}
    if told["household_id"] is None:
        yield f"person {told['person_id']} is in no household"
    else:
        yield f"household {told['household_id']}: {len(told['members'])} persons, known since {_day(told['since'])}"
    for row in told["members"]:
        lived = f", at this address since {_day(row['valid_from'])}" if row["valid_from"] else ""
        yield f"  {_person(row)}: {', '.join(row['reasons'])}{lived}, known since {_day(row['known_at'])}"
    for link in told["links"]:
        common = ", ".join(f"{kind} {_value(value)}" for kind, value in link["common"].items())
        yield f"together by {link['rule']}: {names[link['left']]} and {names[link['right']]} have {common}"
    for row in told["against"]:
        why = "; ".join(WHY[each] for each in row["why"])
        who = ""
        if row["other"] is not None:
            who = f" of {_person(row['other'])} and {names.get(row['person'], row['person'])}"
        counted = f" ({row['holders']} persons)" if row["holders"] else ""
        what = f"{row['kind']} {row['value']}" if row["kind"] else "the group"
        yield f"joined nobody: {what}{who}{counted}: {why}"
    for row in told["left"]:
        yield f"was a member: {_person(row)}, from {_day(row['known_at'])} to {_day(row['until'])}"
    if told["pending"]:
        yield "something changed since: the next sync decides anew"


def _person(row: Row) -> str:
    name = " ".join(row[part] for part in ("given_name", "family_name") if row.get(part))
    return f"{name} ({row['person_id']})" if name else str(row["person_id"])


def _day(at: Any) -> str:
    return "an unknown day" if at is None else str(at.date())


def _value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
