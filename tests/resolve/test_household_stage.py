"""Households in the store: ids are carried over by the rule of persons, history stays, no person is touched."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pipelines.context import StageContext
from pipelines.report import StageReport
from pipelines.resolve.household_stage import run
from pipelines.store import Store, household_reads
from pipelines.store.digest import digest
from pipelines.store.tables import golden_contact_point, id_event, metadata

pytestmark = pytest.mark.slow  # each goes through whole stages

PERSON = metadata.tables["golden_person"]
HOME, OTHER = "12 High Street", "3 Mill Lane"


class Town:
    """A store whose golden persons move about."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def run(self, *, full: bool = False) -> StageReport:
        return run(self.context(full=full))

    def context(self, *, full: bool = False) -> StageContext:
        config: Any = SimpleNamespace()
        return StageContext(config=config, store=self.store, now=lambda: datetime(2026, 6, 1, tzinfo=UTC), full=full)

    def live(self, street: str | None, *numbers: int, family: str = "Berg") -> None:
        n = len(numbers)
        text = {
            "given_name": [f"P{number}" for number in numbers],
            "family_name": [family] * n,
            "postcode": ["223 50"] * n,
        }
        columns = {name: pa.array(values, pa.string()) for name, values in {**text, "street": [street] * n}.items()}
        ids, counts = pa.array(numbers, pa.int64()), pa.array([1] * n, pa.int64())
        rows = pa.table({"entity_id": ids, **columns, "source_count": counts, "is_stub": pa.array([False] * n)})
        self._write(lambda tx: tx.upsert(PERSON, rows))

    def vanish(self, *numbers: int) -> None:
        self._write(lambda tx: tx.delete(PERSON, pa.table({"entity_id": pa.array(numbers, pa.int64())})))

    def homes(self) -> dict[int, int]:
        rows = household_reads.members(self.store, 1).to_pylist()
        return {row["person_id"]: row["household_id"] for row in rows}

    def events(self) -> list[tuple[str, int, int | None]]:
        row = id_event.c
        found = self.store.read(id_event.select().where(row.entity == "household").order_by(row.id_event_id))
        return [(each.kind, each.entity_id, each.other_id) for each in found]

    def _write(self, act: Any) -> None:
        context = self.context()
        with self.store.acquire("test", now=context.now) as lease, self.store.write(lease, cause="test") as tx:
            act(tx)


@pytest.fixture
def town(store: Store) -> Town:
    town = Town(store)
    town.live(HOME, 101, 102, 103)
    town.live(OTHER, 201, 202)
    town.live(OTHER, 301, family="Lind")
    return town


def test_members_are_written_once_and_who_lives_alone_is_in_none(town: Town) -> None:
    first, again = town.run(), town.run(full=True)

    assert set(town.homes()) == {101, 102, 103, 201, 202}
    assert len(set(town.homes().values())) == 2
    assert (first.counts["households"], first.counts["written"]) == (2, 5)
    assert (again.counts["written"], again.counts["unchanged"], again.counts["removed"]) == (0, 5, 0)
    assert [kind for kind, _, _ in town.events()] == ["minted", "minted"]


def test_nothing_changed_reads_nothing(town: Town) -> None:
    town.run()

    assert town.run().counts["read"] == 0


def test_a_household_keeps_its_id_while_members_come_and_go(town: Town) -> None:
    town.run()
    home = town.homes()[101]
    town.live(OTHER, 103)
    town.live(HOME, 104)
    town.run()

    assert {n for n, household in town.homes().items() if household == home} == {101, 102, 104}
    assert town.homes()[103] == town.homes()[201]
    assert len(town.events()) == 2


def test_a_household_that_came_back_has_its_first_id_again(town: Town) -> None:
    town.run()
    before, meaning = town.homes(), digest(town.store)["household_member"]
    town.live(HOME, 201, 202)
    town.run()
    joined = town.homes()
    town.live(OTHER, 201, 202)
    town.run()

    assert set(joined.values()) == {before[101]}
    assert town.homes() == before
    assert digest(town.store)["household_member"] == meaning
    assert [kind for kind, _, _ in town.events()[2:]] == ["merged_into", "reactivated", "split_from"]


def test_the_last_one_leaves_no_household_behind(town: Town) -> None:
    town.run()
    gone = town.homes()[201]
    town.vanish(201)
    report = town.run()

    assert report.counts["removed"] == 2
    assert 202 not in town.homes()
    assert town.events()[-1] == ("retired", gone, None)


def test_an_increment_gives_what_a_full_run_gives(town: Town) -> None:
    town.run()
    town.live(OTHER, 102)
    town.run()
    increment = town.homes()

    assert town.run(full=True).counts["written"] == 0
    assert town.homes() == increment


def test_a_household_is_explained_and_seen(town: Town) -> None:
    town.run()
    members = household_reads.household_of(town.store, 1, 102)
    rows = town.store.query("SELECT household_id, family_name, street, members FROM v1_household ORDER BY household_id")

    assert [(row["person_id"], row["reasons"]) for row in members] == [(n, ["address+name"]) for n in (101, 102, 103)]
    assert [row[1:] for row in rows.rows] == [("Berg", HOME, 3), ("Berg", OTHER, 2)]
    assert household_reads.household_of(town.store, 1, 301) == []


def test_persons_and_contact_points_are_left_as_they_are(town: Town) -> None:
    before = digest(town.store)
    town.run()
    after = digest(town.store)

    assert {name for name in after if after[name] != before[name]} == {"household_member"}
    assert town.store.read(golden_contact_point.select()) == []
