"""Pairs that may never be one party, whatever their score and whatever a third record says, in SQL and in Python.

- ``unique_identifier``: different values of an identifier system of which a party has one at most. A typing error does not
  separate unless both sides are verified, and neither does a system that the model saw wrong among matches.
- ``generation``: two people born ``generation_years`` or more apart, with other e-mail addresses or other phones and nothing
  personal in common. Father and son of one name live in one home, and average linkage alone would join them by a record
  that tells neither date nor mailbox. A mailbox or phone of the whole family does not count: both may have it. A date that
  says a year alone or the first of January may be a default, and dates that the model saw far apart among matches say
  little: neither separates.
- ``birth_date``: the same of two dates that no typing error makes of each other, however near, where both the e-mail
  addresses and the phones are others: cousins of one name in one home.
- ``borrowed_identifier``: two who share an identifier, born on other days or nobody knows when, whose given names clearly
  differ, and their middle names or genders too. A number typed into the wrong record, or one that a household uses together,
  would make them one.

All are asked of the records of one cluster, and all bind as a person's no does; a person's match stands above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve import sql
from pipelines.resolve.agreement import AnyOf, check
from pipelines.resolve.edges import Edges
from pipelines.resolve.guards import OWN, guard_of
from pipelines.resolve.similarity import damerau_levenshtein

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import duckdb

    from pipelines.resolve.agreement import Row
    from pipelines.resolve.edges import Ints
    from pipelines.resolve.guards import Guard
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy

    Held = Mapping[tuple[str, str], bool]
    """What a record holds: kind and normal form of a value, and whether it is verified."""
    Facts = tuple[Row, Held]
    """A record's row of ``norm`` and what it holds."""
    _Known = tuple[Facts, Mapping[str, Mapping[str, bool]]]

UNIQUE, GENERATION, BORN = "unique_identifier", "generation", "birth_date"
BORROWED = "borrowed_identifier"
RULES = frozenset({UNIQUE, GENERATION, BORN, BORROWED})
"""Rules of deterministic evidence that keeps apart; all others link."""
UNRELIABLE = 0.001
"""Share of the matches in which a unique system's values may differ before only verified ones separate."""
UNRELIABLE_DATES = 0.03
"""The same of birth dates far apart: twice what is assumed before anything is learned."""
UNRELIABLE_DAYS = 0.05
"""The same of birth dates that are more than a typing error apart. At this share a pair of one name in one home is two people
in three of four cases: if one such pair in fifty is, and of the others two in five have other addresses, a third other phones."""
_TYPOS = 2
_MISTYPED = frozenset({"equal", "date edit", "edits"})
_BINDING = "identifier"
"""Values of this kind make one party of two dates, whoever else may hold them."""
_WHOLE, _DEFAULT = 8, "0101"


@dataclass(frozen=True)
class BirthDates:
    """When birth dates tell two people apart; ``personal`` is what nevertheless makes them one.

    ``alike`` holds for dates that may be one and the same, mistyped; None where only a generation separates.
    """

    years: int
    date: str
    lists: tuple[str, ...]
    personal: AnyOf
    alike: AnyOf | None

    @staticmethod
    def of(model: MatchModel, policy: Policy) -> BirthDates | None:
        """Return the rules of a model, or ``None``: nothing that they read is compared, or the policy has none."""
        guard = guard_of(model.features, model.frequencies)
        lists = tuple(column for column in OWN if column in {f.column for f in model.features})
        if policy.generation_years is None or guard is None or not guard.dates or not lists:
            return None
        date = guard.dates[0]
        if _seen_wrong(model).get(date, 0.0) > UNRELIABLE_DATES:
            return None
        mistyped = AnyOf((check("edits", date, _TYPOS), check("date turned", date)))
        whole = len(lists) == len(OWN) and _seen_apart(model, date) <= UNRELIABLE_DAYS
        return BirthDates(policy.generation_years, date, lists, guard.personal, mistyped if whole else None)

    def dated(self, row: Row) -> bool:
        """Tell whether a record has a whole date and a contact value."""
        date = row[self.date]
        whole = date is not None and len(date) == _WHOLE and not date.endswith(_DEFAULT)
        return whole and any(row[column] is not None for column in self.lists)

    def separates(self, left: Facts, right: Facts) -> str | None:
        """Return the rule by which two dated records are those of two people, if one is."""
        (one, held), (other, others) = left, right
        rule = self._rule(one, other)
        if rule is None or _share_identifier(held, others):
            return None
        return None if self.personal.holds(one, other) else rule

    def _rule(self, one: Row, other: Row) -> str | None:
        apart = [_other_values(one, other, column) for column in self.lists]
        if any(apart) and abs(int(one[self.date][:4]) - int(other[self.date][:4])) >= self.years:
            return GENERATION
        return BORN if self.alike is not None and all(apart) and not self.alike.holds(one, other) else None

    def make(self, con: duckdb.DuckDBPyConnection) -> None:
        """Add the pairs of clusters in ``label_arrow`` to ``conflict`` that are not in it."""
        dated = f"""SELECT cluster, rid, {self.date} AS born,
            {", ".join(self.lists)}, {", ".join(OWN[column] for column in self.lists)}
            FROM norm JOIN label_arrow USING (rid) WHERE length({self.date}) = {_WHOLE}
            AND NOT ends_with({self.date}, '{_DEFAULT}') AND ({" OR ".join(f"{c} IS NOT NULL" for c in self.lists)})"""
        others = [_other_values_sql(column) for column in self.lists]
        born = f"WHEN {' AND '.join(others)} THEN '{BORN}'" if self.alike is not None else ""
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE far AS
            WITH dated AS MATERIALIZED ({dated} QUALIFY
                max(born) OVER (PARTITION BY cluster) <> min(born) OVER (PARTITION BY cluster))
            SELECT a.rid AS l, b.rid AS r, CASE
                WHEN abs(left(a.born, 4)::INTEGER - left(b.born, 4)::INTEGER) >= {self.years} AND ({" OR ".join(others)})
                THEN '{GENERATION}' {born} END AS rule
            FROM dated a JOIN dated b USING (cluster) WHERE a.rid < b.rid AND a.born <> b.born AND rule IS NOT NULL"""
        )
        tests = [self.personal, *([self.alike] if self.alike is not None else [])]
        sides = _sides({column for test in tests for column in test.columns})
        mistyped = f"AND NOT (rule = '{BORN}' AND {self.alike.sql})" if self.alike is not None else ""
        con.execute(
            f"""INSERT INTO conflict SELECT l, r, rule FROM (
                SELECT l, r, rule, {sides} FROM far JOIN norm a ON a.rid = l JOIN norm b ON b.rid = r
            ) WHERE NOT {self.personal.sql} {mistyped} AND (l, r) NOT IN (SELECT (l, r) FROM conflict) AND (l, r) NOT IN (
                SELECT (l, r) FROM far JOIN held a ON a.rid = l JOIN held b ON b.rid = r
                AND a.kind = b.kind AND a.value = b.value WHERE a.kind = '{_BINDING}')"""
        )
        con.execute("DROP TABLE far")


@dataclass(frozen=True)
class CannotLinks:
    """What keeps records apart under one model and policy."""

    policy: Policy
    doubted: frozenset[str]
    births: BirthDates | None
    names: Guard | None

    @staticmethod
    def of(model: MatchModel, policy: Policy) -> CannotLinks:
        """Return the rules, and which identifier systems the model saw wrong among matches."""
        seen = _seen_wrong(model)
        doubted = {system for system, column in model.systems.items() if seen.get(column, 0.0) > UNRELIABLE}
        guard = guard_of(model.features, model.frequencies)
        names = guard if guard is not None and guard.another.parts else None
        return CannotLinks(policy, frozenset(doubted), BirthDates.of(model, policy), names)

    def make(self, con: duckdb.DuckDBPyConnection, label: Ints) -> Edges:
        """Create ``conflict`` (l < r, rule) of the pairs inside the clusters of ``label``, and return them."""
        con.register("label_arrow", pa.table({"rid": np.arange(len(label), dtype=np.int32), "cluster": label}))
        con.execute(f"CREATE OR REPLACE TABLE conflict AS {self._unique_sql()}")
        if self.births is not None:
            self.births.make(con)
        if self.names is not None:
            self._make_borrowed(con, self.names)
        con.unregister("label_arrow")
        found = con.execute("SELECT l, r FROM conflict ORDER BY l, r").to_arrow_table()
        left, right = (found[name].to_numpy().astype(np.int64) for name in ("l", "r"))
        return Edges(left, right, np.zeros(len(left)))

    def _make_borrowed(self, con: duckdb.DuckDBPyConnection, names: Guard) -> None:
        """Add the pairs that share an identifier and have the names of two people to ``conflict``, if they are not in it."""
        con.execute(
            f"""INSERT INTO conflict WITH named AS MATERIALIZED (
                SELECT rid, cluster, value FROM held JOIN label_arrow USING (rid) JOIN norm USING (rid)
                WHERE kind = '{_BINDING}' AND given IS NOT NULL
                QUALIFY min(given) OVER (PARTITION BY cluster, value) <> max(given) OVER (PARTITION BY cluster, value)
            ), pair AS (SELECT DISTINCT a.rid AS l, b.rid AS r FROM named a JOIN named b USING (cluster, value)
                WHERE a.rid < b.rid)
            SELECT l, r, '{BORROWED}' FROM (
                SELECT l, r, {_sides(names.name_columns)} FROM pair JOIN norm a ON a.rid = l JOIN norm b ON b.rid = r
            ) WHERE {names.other_person_sql} AND (l, r) NOT IN (SELECT (l, r) FROM conflict)"""
        )

    def _unique_sql(self) -> str:
        return f"""WITH one AS (
            SELECT cluster, rid, split_part(value, '=', 1) AS system, list(value) AS all_values, min(value) AS value,
            bool_or(verified) AS sure FROM held JOIN label_arrow USING (rid) WHERE kind = 'identifier'
            AND split_part(value, '=', 1) IN {sql.literals(self.policy.unique_systems)} GROUP BY ALL
        )
        SELECT DISTINCT a.rid AS l, b.rid AS r, '{UNIQUE}' AS rule FROM one a JOIN one b USING (cluster, system)
        WHERE a.rid < b.rid AND NOT list_has_any(a.all_values, b.all_values) AND ((a.sure AND b.sure) OR (
            damerau_levenshtein(a.value, b.value) > {self.policy.typos}
            AND system NOT IN {sql.literals(tuple(sorted(self.doubted)))}))"""

    def between(self, left: Facts, right: Facts) -> str | None:
        """Return the rule that keeps two records apart, if one does."""
        return self._between((left, self._unique(left)), (right, self._unique(right)))

    def among(self, records: Sequence[Facts], clusters: Iterable[Sequence[int]]) -> list[tuple[int, int, str]]:
        """Return the pairs (by place, ascending) inside clusters that are kept apart, each with its rule."""
        known = [(facts, self._unique(facts)) for facts in records]
        found = []
        for members in clusters:
            asked = [place for place in members if known[place][1] or self._asked(records[place])]
            for one, other in combinations(sorted(asked), 2):
                rule = self._between(known[one], known[other])
                if rule is not None:
                    found.append((one, other, rule))
        return found

    def _between(self, left: _Known, right: _Known) -> str | None:
        (one, mine), (other, others) = left, right
        if any(self._differ(system, mine[system], others[system]) for system in mine.keys() & others.keys()):
            return UNIQUE
        if self.births is not None and self._dated(one[0]) and self._dated(other[0]):
            rule = self.births.separates(one, other)
            if rule is not None:
                return rule
        if self.names is None or not _share_identifier(one[1], other[1]):
            return None
        return BORROWED if self.names.other_person(one[0], other[0]) else None

    def _asked(self, facts: Facts) -> bool:
        """Tell whether a record has a date or an identifier that may keep it apart from another."""
        return self._dated(facts[0]) or (self.names is not None and any(kind == _BINDING for kind, _ in facts[1]))

    def _dated(self, row: Row) -> bool:
        return self.births is not None and self.births.dated(row)

    def _unique(self, facts: Facts) -> dict[str, dict[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        for system, value, sure in unique_values(self.policy, facts[1]):
            found.setdefault(system, {})[value] = sure
        return found

    def _differ(self, system: str, mine: Mapping[str, bool], others: Mapping[str, bool]) -> bool:
        """Tell whether two records' values of one system (each verified or not) are those of two parties."""
        if mine.keys() & others.keys():
            return False
        if any(mine.values()) and any(others.values()):
            return True
        return system not in self.doubted and damerau_levenshtein(min(mine), min(others)) > self.policy.typos


def _share_identifier(held: Held, others: Held) -> bool:
    return any(kind == _BINDING for kind, _ in held.keys() & others.keys())


def _sides(columns: Iterable[str]) -> str:
    """Select columns of ``a`` and ``b`` under the names by which tests read the two sides."""
    named = sorted(columns)
    return ", ".join(f'{table}."{c}" AS "{c}_{side}"' for table, side in (("a", "l"), ("b", "r")) for c in named)


def _other_values(one: Row, other: Row, column: str) -> bool:
    """Tell whether both have such values and none in common, or none of those that one given name alone holds."""
    mine, theirs = one[column], other[column]
    if mine is None or theirs is None:
        return False
    return None not in (one[OWN[column]], other[OWN[column]]) or not set(mine) & set(theirs)


def _other_values_sql(column: str) -> str:
    own = f"a.{OWN[column]} IS NOT NULL AND b.{OWN[column]} IS NOT NULL"
    return (
        f"(a.{column} IS NOT NULL AND b.{column} IS NOT NULL AND ({own} OR NOT list_has_any(a.{column}, b.{column})))"
    )


def unique_values(policy: Policy, held: Held) -> Iterator[tuple[str, str, bool]]:
    """Yield the values (``system=value``) that a record holds of the systems of which a party has one at most."""
    for (kind, value), sure in held.items():
        system = value.split("=", 1)[0]
        if kind == "identifier" and system in policy.unique_systems:
            yield system, value, sure


def _seen_wrong(model: MatchModel) -> dict[str, float]:
    """Return in what share of the matches each comparison that was learned agrees in nothing."""
    return {item.name: item.levels[-1][1] for item in model.comparisons if item.origin == "learned"}


def _seen_apart(model: MatchModel, date: str) -> float:
    """Return in what share of the matches dates are more than a typing error apart."""
    learned = [item for item in model.comparisons if item.name == date and item.origin == "learned"]
    return sum(
        m for item in learned for level, m, _ in item.levels if level.check is None or level.check.name not in _MISTYPED
    )
