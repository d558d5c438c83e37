"""Pairs that may never be one party, whatever their score and whatever a third record says, in SQL and in Python.

- ``unique_identifier``: different values of an identifier system of which a party has one at most. A typing error does not
  separate unless both sides are verified, and neither does a system that the model saw wrong among matches.
- ``generation``: two people born ``generation_years`` or more apart, with other e-mail addresses or other phones and nothing
  personal in common. Father and son of one name live in one home, and average linkage alone would join them by a record
  that tells neither date nor mailbox. A mailbox or phone of the whole family does not count: both may have it. A date that
  says a year alone or the first of January may be a default, and dates that the model saw far apart among matches say
  little: neither separates.

Both are asked of the records of one cluster, and both bind as a person's no does; a person's match stands above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve import sql
from pipelines.resolve.edges import Edges
from pipelines.resolve.guards import OWN, guard_of
from pipelines.resolve.similarity import damerau_levenshtein

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import duckdb

    from pipelines.resolve.agreement import AnyOf, Row
    from pipelines.resolve.edges import Ints
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy

    Held = Mapping[tuple[str, str], bool]
    """What a record holds: kind and normal form of a value, and whether it is verified."""
    Facts = tuple[Row, Held]
    """A record's row of ``norm`` and what it holds."""
    _Known = tuple[Facts, Mapping[str, Mapping[str, bool]]]

UNIQUE, GENERATION = "unique_identifier", "generation"
RULES = frozenset({UNIQUE, GENERATION})
"""Rules of deterministic evidence that keeps apart; all others link."""
UNRELIABLE = 0.001
"""Share of the matches in which a unique system's values may differ before only verified ones separate."""
UNRELIABLE_DATES = 0.03
"""The same of birth dates far apart: twice what is assumed before anything is learned."""
_BINDING = "identifier"
"""Values of this kind make one party of two dates, whoever else may hold them."""
_WHOLE, _DEFAULT = 8, "0101"


@dataclass(frozen=True)
class Generation:
    """When two people are a generation apart; ``personal`` is what nevertheless makes them one."""

    years: int
    date: str
    lists: tuple[str, ...]
    personal: AnyOf

    @staticmethod
    def of(model: MatchModel, policy: Policy) -> Generation | None:
        """Return the rule of a model, or ``None``: nothing that it reads is compared, or the policy has none."""
        guard = guard_of(model.features, model.frequencies)
        lists = tuple(column for column in OWN if column in {f.column for f in model.features})
        if policy.generation_years is None or guard is None or not guard.dates or not lists:
            return None
        date = guard.dates[0]
        if _seen_wrong(model).get(date, 0.0) > UNRELIABLE_DATES:
            return None
        return Generation(policy.generation_years, date, lists, guard.personal)

    def dated(self, row: Row) -> bool:
        """Tell whether a record has a whole date and a contact value."""
        date = row[self.date]
        whole = date is not None and len(date) == _WHOLE and not date.endswith(_DEFAULT)
        return whole and any(row[column] is not None for column in self.lists)

    def separates(self, left: Facts, right: Facts) -> bool:
        """Tell whether two dated records are those of two people."""
        (one, held), (other, others) = left, right
        if abs(int(one[self.date][:4]) - int(other[self.date][:4])) < self.years:
            return False
        if not any(_other_values(one, other, column) for column in self.lists):
            return False
        if any(kind == _BINDING for kind, _ in held.keys() & others.keys()):
            return False
        return not self.personal.holds(one, other)

    def make(self, con: duckdb.DuckDBPyConnection) -> None:
        """Add the pairs of clusters in ``label_arrow`` to ``conflict`` that are not in it."""
        dated = f"""SELECT cluster, rid, left({self.date}, 4)::INTEGER AS born,
            {", ".join(self.lists)}, {", ".join(OWN[column] for column in self.lists)}
            FROM norm JOIN label_arrow USING (rid) WHERE length({self.date}) = {_WHOLE}
            AND NOT ends_with({self.date}, '{_DEFAULT}') AND ({" OR ".join(f"{c} IS NOT NULL" for c in self.lists)})"""
        others = " OR ".join(map(_other_values_sql, self.lists))
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE far AS
            WITH dated AS MATERIALIZED ({dated} QUALIFY
                max(born) OVER (PARTITION BY cluster) - min(born) OVER (PARTITION BY cluster) >= {self.years})
            SELECT a.rid AS l, b.rid AS r FROM dated a JOIN dated b USING (cluster)
            WHERE a.rid < b.rid AND abs(a.born - b.born) >= {self.years} AND ({others})"""
        )
        columns = sorted({str(arg) for part in self.personal.parts for arg in part.args if isinstance(arg, str)})
        sides = ", ".join(f'{table}."{c}" AS "{c}_{side}"' for table, side in (("a", "l"), ("b", "r")) for c in columns)
        con.execute(
            f"""INSERT INTO conflict SELECT l, r, '{GENERATION}' FROM (
                SELECT l, r, {sides} FROM far JOIN norm a ON a.rid = l JOIN norm b ON b.rid = r
            ) WHERE NOT {self.personal.sql} AND (l, r) NOT IN (SELECT (l, r) FROM conflict) AND (l, r) NOT IN (
                SELECT (l, r) FROM far JOIN held a ON a.rid = l JOIN held b ON b.rid = r
                AND a.kind = b.kind AND a.value = b.value WHERE a.kind = '{_BINDING}')"""
        )
        con.execute("DROP TABLE far")


@dataclass(frozen=True)
class CannotLinks:
    """What keeps records apart under one model and policy."""

    policy: Policy
    doubted: frozenset[str]
    generation: Generation | None

    @staticmethod
    def of(model: MatchModel, policy: Policy) -> CannotLinks:
        """Return the rules, and which identifier systems the model saw wrong among matches."""
        seen = _seen_wrong(model)
        doubted = {system for system, column in model.systems.items() if seen.get(column, 0.0) > UNRELIABLE}
        return CannotLinks(policy, frozenset(doubted), Generation.of(model, policy))

    def make(self, con: duckdb.DuckDBPyConnection, label: Ints) -> Edges:
        """Create ``conflict`` (l < r, rule) of the pairs inside the clusters of ``label``, and return them."""
        con.register("label_arrow", pa.table({"rid": np.arange(len(label), dtype=np.int32), "cluster": label}))
        con.execute(f"CREATE OR REPLACE TABLE conflict AS {self._unique_sql()}")
        if self.generation is not None:
            self.generation.make(con)
        con.unregister("label_arrow")
        found = con.execute("SELECT l, r FROM conflict ORDER BY l, r").to_arrow_table()
        left, right = (found[name].to_numpy().astype(np.int64) for name in ("l", "r"))
        return Edges(left, right, np.zeros(len(left)))

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
            asked = [place for place in members if known[place][1] or self._dated(records[place][0])]
            for one, other in combinations(sorted(asked), 2):
                rule = self._between(known[one], known[other])
                if rule is not None:
                    found.append((one, other, rule))
        return found

    def _between(self, left: _Known, right: _Known) -> str | None:
        (one, mine), (other, others) = left, right
        if any(self._differ(system, mine[system], others[system]) for system in mine.keys() & others.keys()):
            return UNIQUE
        if self.generation is None or not (self._dated(one[0]) and self._dated(other[0])):
            return None
        return GENERATION if self.generation.separates(one, other) else None

    def _dated(self, row: Row) -> bool:
        return self.generation is not None and self.generation.dated(row)

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
