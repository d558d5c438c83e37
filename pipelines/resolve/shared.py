"""What two records hold in common, and what each deterministic rule makes of it: holders, limits, why it does not link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.resolve.candidates import Names, names_of
from pipelines.resolve.cannot_link import BORN, BORROWED, GENERATION, CannotLinks, unique_values
from pipelines.resolve.deterministic import COMPATIBLE, counted
from pipelines.resolve.similarity import jaro_winkler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.resolve.agreement import Row
    from pipelines.resolve.cannot_link import Facts, Held
    from pipelines.resolve.compared import Compared, Holders, Value
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import LinkRule, Policy


def shared_values(policy: Policy, facts: Compared, left: int, right: int) -> list[dict[str, Any]]:
    """Return a row per rule and value that both records hold: who holds it, the limit, and what speaks against a link.

    ``against`` is empty where the rule links the two, directly or through another record with the value.
    """
    held = facts.held[left], facts.held[right]
    both = sorted(held[0].keys() & held[1].keys())
    return [
        {
            "rule": rule.name, "kind": rule.kind, "value": value[1], "records": facts.holders[value].records,
            "counted": counted(rule.kind), "count": _count(rule, facts.holders[value]), "limit": rule.limit,
            "verified": [held[0][value], held[1][value]],
            "left_out_of_the_score": facts.holders[value].names > policy.shared_value_names,
            "against": list(_against(rule, value, facts, left, right)),
        }
        for value in both for rule in policy.rules if rule.kind == value[0]
    ]  # fmt: skip


def contradictions(model: MatchModel, policy: Policy, facts: Compared, left: int, right: int) -> list[dict[str, Any]]:
    """Return what two records say of which a party has one at most: unique identifiers that differ, birth dates, names."""
    found = []
    for system in sorted(policy.unique_systems):
        values = [_of_system(policy, facts.held[record], system) for record in (left, right)]
        if all(values) and not values[0].keys() & values[1].keys():
            sure = [any(each.values()) for each in values]
            found.append({"system": system, "left": sorted(values[0]), "right": sorted(values[1]), "verified": sure})
    rules = CannotLinks.of(model, policy)
    both = [(facts.rows[record], facts.held[record]) for record in (left, right)]
    rule = rules.between(*both)
    if rules.births is not None and rule in (GENERATION, BORN):
        found.append(_told(rules.births.date, both))
    if rules.names is not None and rule == BORROWED:
        found += [_told(column, both) for column in ("given", *sorted(rules.names.another.columns))]
    return found


def _told(column: str, both: list[Facts]) -> dict[str, Any]:
    """Return what two records say in a column."""
    left, right = ([row[column]] if row[column] is not None else [] for row, _ in both)
    return {"system": column, "left": left, "right": right, "verified": [False, False]}


def _of_system(policy: Policy, held: Held, system: str) -> dict[str, bool]:
    begin = f"{system}="
    return {value.removeprefix(begin): sure for name, value, sure in unique_values(policy, held) if name == system}


def _against(rule: LinkRule, value: Value, facts: Compared, left: int, right: int) -> Iterable[str]:
    count = _count(rule, facts.holders[value])
    if count > rule.limit:
        yield f"{count} {counted(rule.kind)} share the value, the limit is {rule.limit}"
    rows = facts.rows[left], facts.rows[right]
    if _is_by_value(facts.holders[value], rows):
        return  # a stub has nothing but its value: one name behind it is enough
    if rule.verified:
        sides = [side for side, record in (("left", left), ("right", right)) if not facts.held[record][value]]
        if sides:
            yield f"not verified: {' and '.join(sides)}"
    names = names_of(rows[0]), names_of(rows[1])
    if rule.names == "equal" and (names[0][1] is None or names[0][1] != names[1][1]):
        yield "the names are not equal"
    if rule.names == "compatible" and not _compatible(*names):
        yield "the names contradict each other"
    across = rule.kind == "identifier" or (rule.kind == "email" and rule.verified)
    if not across and rows[0]["employee"] != rows[1]["employee"]:
        yield "one is an employee, the other is not"


def _is_by_value(holders: Holders, rows: tuple[Row, Row]) -> bool:
    """Return whether a stub is one of the two, and one name behind the value; a half of that name is nobody's for sure."""
    if not (rows[0]["is_stub"] or rows[1]["is_stub"]):
        return False
    whole = all(row["is_stub"] or names_of(row)[1] is not None for row in rows)
    return holders.names <= 1 or (holders.one and whole)


def _count(rule: LinkRule, holders: Holders) -> int:
    return holders.spellings if counted(rule.kind) == "spellings" else holders.names


def _compatible(left: Names, right: Names) -> bool:
    if left[1] is None or right[1] is None:
        return True
    return (left[0] is not None and left[0] == right[0]) or jaro_winkler(left[1], right[1]) >= COMPATIBLE
