"""Random histories of a store: statements, facts, merges and unmerges in any order; the benchmark runs many more."""

from __future__ import annotations

import random
from typing import Any

from pipelines.store import Store
from pipelines.store.digest import digest
from tests.influence.hub import Hub

PEOPLE = [f"crm/p{number}" for number in range(5)]
COMPANIES = [f"crm/Co{number}" for number in range(4)]
TABLES = ("golden_relationship", "account_hierarchy")
_BETWEEN = (
    ("employment", PEOPLE, COMPANIES), ("reports_to", PEOPLE, PEOPLE), ("account_ownership", PEOPLE, COMPANIES),
    ("buying_group", PEOPLE, COMPANIES), ("influence", PEOPLE, PEOPLE), ("hierarchy", COMPANIES, COMPANIES),
)  # fmt: skip


class History:
    """Each step changes the store a little; party number n begins as golden id n."""

    def __init__(self, store: Store, seed: int) -> None:
        self.hub, self.chance, self.retracted = Hub(store), random.Random(seed), False
        for number, key in enumerate(self.parties(), start=1):
            self.hub.record(key)
            self.hub.link(number, key)

    @staticmethod
    def parties() -> list[str]:
        return [*PEOPLE, *COMPANIES]

    def step(self) -> None:
        self.chance.choice(
            (self._say, self._say, self._say, self._meet, self._deal, self._link, self._unlink, self._retract)
        )()

    def settle_links(self) -> None:
        """Give every record its own golden id again: all merges are undone."""
        for number, key in enumerate(self.parties(), start=1):
            self.hub.link(number, key)

    def meaning(self) -> dict[str, str]:
        found = digest(self.hub.store)
        return {name: found[name] for name in TABLES}

    def is_full(self) -> bool:
        """Whether making everything anew changes nothing."""
        before = [self.hub.rows(name) for name in TABLES]
        counts = self.hub.run(full=True)
        quiet = [counts[name] for name in ("written", "removed", "hierarchy_written", "hierarchy_removed")]
        return quiet == [0, 0, 0, 0] and before == [self.hub.rows(name) for name in TABLES]

    def _say(self) -> None:
        told = [self._relation() for _ in range(self.chance.randrange(3))]
        self.hub.say(self.chance.choice([*self.parties(), "desk/told"]), *told, at=self._day())

    def _relation(self) -> tuple[str, str, str, dict[str, Any]]:
        kind, froms, tos = self.chance.choice(_BETWEEN)
        start, end = sorted((self._day(), self._day()))
        terms = {
            name: value for name, value in (("valid_from", start), ("valid_to", end)) if self.chance.random() < 0.4
        }
        return self.chance.choice(froms), self.chance.choice(tos), kind, terms

    def _meet(self) -> None:
        people = self.chance.sample(self.parties(), self.chance.randrange(1, 4))
        self.hub.meeting(f"{self._source()}/m{self.chance.randrange(3)}", *people, at=self._day())

    def _deal(self) -> None:
        pick = self.chance.choice
        terms = {"organization": pick(COMPANIES), "contact": pick(PEOPLE), "owner": pick([None, *PEOPLE])}
        self.hub.fact(f"{self._source()}/d{self.chance.randrange(2)}", "opportunity", at=self._day(), **terms)

    def _link(self) -> None:
        group = self.chance.choice((PEOPLE, COMPANIES))
        key, other = self.chance.sample(group, 2)
        self.hub.link(self.parties().index(other) + 1, key)

    def _unlink(self) -> None:
        self.hub.unlink(self.chance.choice(self.parties()))

    def _retract(self) -> None:
        """Take back what the desk said of others, or put it back."""
        (self.hub.put_back if self.retracted else self.hub.retract)("desk")
        self.retracted = not self.retracted

    def _source(self) -> str:
        return self.chance.choice(("crm", "desk"))

    def _day(self) -> str:
        return f"20{self.chance.randrange(19, 26)}-0{self.chance.randrange(1, 10)}-01"


def check_history(store: Store, seed: int, steps: int) -> None:
    """After any steps, changes only give what everything anew gives; merging and unmerging restores every relation."""
    history = History(store, seed)
    for _ in range(steps):
        history.step()
        if history.chance.random() < 0.6:
            history.hub.run()
    history.settle_links()
    history.hub.run()
    assert history.is_full()

    before, rows = history.meaning(), history.hub.rows()
    for _ in range(3):
        history._link()
        history.hub.run()
    assert history.is_full()
    history.settle_links()
    history.hub.run()
    assert (history.meaning(), history.hub.rows()) == (before, rows)
