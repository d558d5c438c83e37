"""Golden persons who move about in a store, and a chance that moves them: what the tests of households are made of."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.context import StageContext
from pipelines.resolve import household_stage
from pipelines.store import erasures, household_open, household_reads
from pipelines.store.tables import entity_id, golden_contact_point, household_home, id_event, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.report import StageReport
    from pipelines.store import Store, WriteTransaction

    Act = Callable[[WriteTransaction], object]

PERSON = metadata.tables["golden_person"]
MEMBERS = metadata.tables["household_member"]
PAST = metadata.tables["household_member_version"]
POINT_KEY = ("entity_id", "kind", "network", "value_norm")


def person(number: int, given: str | None, family: str | None, street: str | None, **other: Any) -> Act:
    """Write one golden person."""
    since = f"2024-05-{1 + number % 28:02d}T00:00:00.000000Z"
    row = {"entity_id": number, "given_name": given, "family_name": family, "street": street, "street_2": None,
           "city": "Lund", "postcode": "223 50", "is_stub": False, "source_count": 1,
           "provenance": json.dumps({"street": [number, "recency", since]})} | other  # fmt: skip
    text = dict.fromkeys(("given_name", "family_name", "street", "street_2", "city", "postcode"), pa.string())
    columns = {name: pa.array([value], text.get(name)) for name, value in row.items()}
    return lambda tx: tx.upsert(PERSON, pa.table(columns))


def gone(number: int) -> Act:
    """Take one golden person away; its points are taken away later, or not at all."""
    return lambda tx: tx.delete(PERSON, pa.table({"entity_id": [number]}))


def point(number: int, kind: str, value: str, state: str = "usable") -> Act:
    """Write one golden contact point of a person."""
    row = {"entity_id": number, "kind": kind, "network": "", "value_norm": value, "entity": "person", "value": value,
           "rank": 1, "state": state, "deliverability": 1.0, "sources": "[]"}  # fmt: skip
    return lambda tx: tx.upsert(golden_contact_point, pa.table({name: [each] for name, each in row.items()}))


def no_point(number: int, kind: str, value: str) -> Act:
    """Take one golden contact point away, as the channels stage does."""
    keys = pa.table({name: [each] for name, each in zip(POINT_KEY, (number, kind, "", value), strict=True)})
    return lambda tx: household_open.drop_points(tx, keys)


def erased(number: int) -> Act:
    """Destroy a person's golden rows, as an erasure does."""
    return lambda tx: erasures._destroy_golden(tx, "person", [number])


class Town:
    """A store whose golden persons move about."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, *, full: bool = False) -> StageReport:
        return household_stage.run(self.context(full=full))

    def context(self, *, full: bool = False) -> StageContext:
        config: Any = SimpleNamespace()
        return StageContext(config=config, store=self.store, now=lambda: datetime(2026, 6, 1, tzinfo=UTC), full=full)

    def live(self, street: str | None, *numbers: int, family: str = "Berg") -> None:
        self.do(*(person(number, f"P{number}", family, street) for number in numbers))

    def vanish(self, *numbers: int) -> None:
        self.do(*map(gone, numbers))

    def do(self, *acts: Act) -> None:
        context = self.context()
        with self.store.acquire("test", now=context.now) as lease, self.store.write(lease, cause="test") as tx:
            for act in acts:
                act(tx)

    def homes(self) -> dict[int, int]:
        rows = household_reads.members(self.store, 1).to_pylist()
        return {row["person_id"]: row["household_id"] for row in rows}

    def events(self) -> list[tuple[str, int, int | None]]:
        row = id_event.c
        found = self.store.read(id_event.select().where(row.entity == "household").order_by(row.id_event_id))
        return [(each.kind, each.entity_id, each.other_id) for each in found]

    def everything(self) -> dict[str, list[Any]]:
        """Return what the stage has ever written, but for the numbers of the transactions."""
        ids = self.store.read(
            entity_id.select().where(entity_id.c.entity == "household").order_by(entity_id.c.entity_id)
        )
        read = self.store.read
        said = ("person_id", "household_id", "reasons", "valid_from")
        rows = {
            "members": read(MEMBERS.select().order_by(MEMBERS.c.person_id)),
            "past": read(PAST.select().order_by(PAST.c.person_id, PAST.c.known_from)),
        }
        told = {name: [tuple(getattr(row, each) for each in said) for row in found] for name, found in rows.items()}
        homes = read(household_home.select().order_by(household_home.c.person_id))
        return {
            **told,
            "ids": [(row.entity_id, row.status, row.current_id) for row in ids],
            "events": self.events(),
            "homes": [(row.person_id, row.home) for row in homes],
        }


class Chance:
    """Random acts among few homes, names, addresses and numbers, so that crowds come and go."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._people = self._random.choice((12, 30, 45))
        self._homes = [None, *(f"{n} High Street" for n in range(1, 1 + self._random.choice((3, 12))))]
        self._families = [None, *("Berg", "Lind", "Holm")[: self._random.choice((2, 3))]]
        self._values = [("email", "us@a.example"), ("phone", "30"), *(("phone", str(n)) for n in range(31, 38))]
        self._values = self._values[: self._random.choice((3, 6, 9))]

    def begin(self) -> Iterator[Act]:
        """Yield the acts that people the town."""
        for number in range(1, self._people + 1):
            yield self._moved(number)
            yield point(number, *self._random.choice(self._values))

    def acts(self) -> Iterator[Act]:
        """Yield what happens between two runs."""
        for _ in range(self._random.choice((1, 2, 4, 8))):
            number, value = self._random.randint(1, self._people), self._random.choice(self._values)
            state = self._random.choice(("usable", "usable", "ended"))
            yield from self._random.choice((
                [self._moved(number)], [self._moved(number)], [gone(number)], [erased(number)], [point(number, *value, state)],
                [point(number, *value)], [no_point(number, *value)], self._merged(number, value),
                [gone(number), *(no_point(number, *each) for each in self._values)],
            ))  # fmt: skip

    def _moved(self, number: int) -> Act:
        choice = self._random.choice
        stub = self._random.random() < 0.05
        return person(
            number, choice(("Ada", "Bo", "Cy", None)), choice(self._families), choice(self._homes), is_stub=stub
        )

    def _merged(self, number: int, value: tuple[str, str]) -> list[Act]:
        other = self._random.randint(1, self._people)
        return [gone(other), no_point(other, *value), self._moved(number), point(number, *value)]


def lived_twice(town: Town, twin: Town, seed: int, steps: int) -> Iterator[tuple[bool, int]]:
    """Let the same happen to both, one brought up to date by increments, one by full runs; yield whether they are the same.

    Beside it, how many persons the increment read.
    """
    chance = Chance(seed)
    beginning = list(chance.begin())
    for each in (town, twin):
        each.do(*beginning)
        each.run(full=True)
    for _ in range(steps):
        acts = list(chance.acts())
        for each in (town, twin):
            each.do(*acts)
        read = town.run().counts["read"]
        twin.run(full=True)
        yield town.everything() == twin.everything(), read
