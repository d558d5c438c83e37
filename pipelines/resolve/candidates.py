"""What a lookup knows of one record: its row, its values, its names, and which rules speak for or against a pair.

The Python form of what ``deterministic`` says in SQL, for the few records around one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.resolve.deterministic import BEGINNING, COMPATIBLE, counted, stays_in_role
from pipelines.resolve.index import held_values
from pipelines.resolve.similarity import jaro_winkler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pipelines.resolve.cannot_link import Facts
    from pipelines.resolve.normal_form import NormalForm
    from pipelines.resolve.rules import LinkRule, Policy
    from pipelines.store.match_blocks import Line

Names = tuple[str | None, str | None, str | None]
"""Coarse name, whole name and initial of a record."""


@dataclass
class Value:
    """A value that the record holds, and how many names would share it with the record."""

    kind: str
    value: str
    verified: bool
    hash: int
    column: str
    names: int = 0
    spellings: int = 0
    initials: int = 0

    @property
    def md5(self) -> str:
        """The name under which the statistics have the value."""
        return hashlib.md5(self.value.encode(), usedforsecurity=False).hexdigest()

    def count(self, holders: Sequence[Names]) -> None:
        """Take the counts from the names of all holders."""
        self.names, self.spellings, self.initials = (
            len({each[place] for each in holders} - {None}) for place in range(3)
        )

    def at_least(self, stored: tuple[int, int, int] | None) -> None:
        """Take the stored counts (names, spellings, initials) where they are higher."""
        if stored:
            self.names, self.spellings, self.initials = (
                max(pair) for pair in zip((self.names, self.spellings, self.initials), stored, strict=True)
            )


@dataclass(frozen=True)
class Holder:
    """A record of the index: its row of ``norm`` and the values that it holds."""

    row: dict[str, Any]
    values: Sequence[Value] = field(default_factory=tuple)

    @property
    def facts(self) -> Facts:
        """The record as rules that keep apart see it."""
        return self.row, {(value.kind, value.value): value.verified for value in self.values}


def decode(form: NormalForm, line: Line) -> Holder:
    """Return a record as the index holds it."""
    values = [Value(kind, value, sure, 0, "") for kind, value, sure in held_values(line.held)]
    return Holder(form.row(line), values)


def names_of(row: Mapping[str, Any]) -> Names:
    """Return coarse name, whole name and initial: what ``deterministic`` counts names by."""
    given, family = row.get("given"), row.get("family")
    if "given" in row and "family" in row:
        coarse = (given or "")[:1] + (row.get("family_sound") or "")[:2]
        whole = _sorted_words(f"{given} {family}") if given is not None and family is not None else None
        return coarse or None, whole, given[:BEGINNING] if given is not None else None
    org = row.get("org")
    return org[:4] if org is not None else None, row.get("org_words"), given[:BEGINNING] if given is not None else None


def is_one_name(names: Collection[Names]) -> bool:
    """Tell whether all these may be one name: one whole name, and beside it only halves of it.

    The coarse form of a given name alone is a letter, that of a family name two.
    """
    halves = {coarse for coarse, whole, _ in names if coarse is not None and whole is None}
    wholes = {coarse for coarse, whole, _ in names if coarse is not None and whole is not None}
    if len(halves | wholes) <= 1:
        return True
    return len(wholes) == 1 and all(_is_half(half, key) for key in wholes for half in halves)


def _is_half(half: str, key: str) -> bool:
    return half == key or (key.startswith(half) if len(half) == 1 else key.endswith(half))


def _sorted_words(text: str) -> str:
    return " ".join(sorted(set(text.split(" ")), key=str.encode))


def rule_between(
    policy: Policy,
    me: Mapping[str, Any],
    values: Iterable[Value],
    holding: Iterable[Sequence[int]],
    known: Mapping[int, Holder],
) -> dict[int, str]:
    """Return the first rule that links the record with each of the holders of its values."""
    found: dict[int, tuple[int, str]] = {}
    for value, sids in zip(values, holding, strict=True):
        holders = {sid: known[sid] for sid in sids if sid in known}
        star = _star(me, value, holders, whole=len(holders) == len(sids))
        for rule in policy.rules:
            if rule.kind == value.kind and getattr(value, counted(rule.kind)) <= rule.limit:
                for sid, holder in holders.items():
                    if _links(rule, me, value, holder, stub=sid in star):
                        claim = (rule.priority, rule.name)
                        found[sid] = min(found.get(sid, claim), claim)
    return {sid: name for sid, (_, name) in found.items()}


def _star(me: Mapping[str, Any], value: Value, holders: Mapping[int, Holder], *, whole: bool) -> Collection[int]:
    """Return the holders that a stub among them joins with the record: all of one name, or those that are no half of it.

    ``whole`` says that these are all the holders there are.
    """
    stubs = {sid for sid, holder in holders.items() if holder.row["is_stub"]}
    if not stubs or value.names <= 1:
        return holders if stubs else ()
    names = {sid: names_of(holder.row) for sid, holder in holders.items()}
    mine = names_of(me)
    if mine[1] is None or not whole or not is_one_name([mine, *names.values()]):
        return ()
    return {sid for sid in holders if sid in stubs or names[sid][1] is not None}


def _links(rule: LinkRule, me: Mapping[str, Any], value: Value, holder: Holder, *, stub: bool) -> bool:
    """Tell whether a rule links the record with one holder of the value."""
    (coarse, whole, _), (other_coarse, other_whole, _) = names_of(me), names_of(holder.row)
    if stays_in_role(rule) and me["employee"] != holder.row["employee"]:
        return False
    if rule.names == "equal":
        return stub or (whole is not None and whole == other_whole)
    sure = any(each.verified for each in holder.values if (each.kind, each.value) == (value.kind, value.value))
    if rule.verified and not (stub or (value.verified and sure)):
        return False
    if rule.names != "compatible" or whole is None or other_whole is None:
        return True
    return coarse == other_coarse or jaro_winkler(whole, other_whole) >= COMPATIBLE
