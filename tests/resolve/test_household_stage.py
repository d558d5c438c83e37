"""Households in the store: ids are carried over by the rule of persons, history stays, no person is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipelines.resolve import household_stage
from pipelines.resolve.households import MOST, RULES_VERSION
from pipelines.store import Store, household_reads
from pipelines.store import household_open as opened
from pipelines.store.digest import digest
from pipelines.store.tables import golden_contact_point, household_open
from tests.resolve.town import Town, erased, lived_twice, no_point, person, point

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # each goes through whole stages

HOME, OTHER = "12 High Street", "3 Mill Lane"


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


@pytest.mark.parametrize("seed", range(2))
def test_random_histories_give_what_full_runs_give_with_the_same_ids_and_events(
    store: Store, tmp_path: Path, seed: int
) -> None:
    with Store.open(f"sqlite:///{tmp_path}/twin.db") as twin:
        steps = [same for same, _ in lived_twice(Town(store), Town(twin), seed, 8)]

    assert steps == [True] * 8
    assert len(Town(store).events()) > 4
    assert store.read(household_open.select()) == []


def test_a_change_decides_its_neighbours_only(town: Town) -> None:
    town.run()
    town.live("9 Elm Road", *range(1_000, 1_011), family="Holm")
    town.run()
    town.live(OTHER, 104)

    assert town.run().counts["read"] == 3  # who came, and the two whose name and home it has
    assert town.homes()[104] == town.homes()[201]


def test_who_had_something_in_common_with_one_of_a_crowd_is_decided_anew_when_that_one_leaves(town: Town) -> None:
    crowd = range(1_000, 1_000 + MOST + 1)
    town.do(*(person(n, f"P{n}", "Falk", None) for n in crowd), *(point(n, "phone", "0800") for n in crowd))
    town.run()
    before = set(town.homes())
    town.do(no_point(crowd[0], "phone", "0800"))
    town.run()
    shared = set(town.homes()) - before
    town.do(point(crowd[0], "phone", "0800"))
    town.run()
    again = set(town.homes())
    town.do(erased(crowd[0]))
    town.run()

    assert shared == set(crowd[1:])
    assert again == before
    assert set(town.homes()) - before == set(crowd[1:])
    assert [point.entity_id for point in town.store.read(golden_contact_point.select())] == list(crowd[1:])


def test_the_home_that_one_of_a_crowd_left_is_decided_anew(town: Town) -> None:
    crowd = range(1_000, 1_000 + MOST + 1)
    town.live("1 Elm Road", *crowd)
    town.run()
    before = set(town.homes())
    town.live(OTHER, crowd[0], family="Falk")
    town.run()

    assert set(town.homes()) - before == set(crowd[1:])


def test_a_chain_that_was_too_long_is_decided_anew_to_both_its_ends_when_a_link_goes(town: Town) -> None:
    chain = range(1_000, 1_000 + MOST + 1)
    town.do(*(person(n, f"P{n}", "Falk", None) for n in chain))
    town.do(*(point(n, "phone", str(5_000 + link)) for n in chain for link in (n, n + 1)))
    town.run()
    before = town.homes()
    town.do(no_point(chain[5], "phone", str(5_000 + chain[5])))
    town.run()
    parts = [{town.homes()[n] for n in part} for part in (chain[:5], chain[5:])]

    assert set(before) == {101, 102, 103, 201, 202}
    assert [len(part) for part in parts] == [1, 1]
    assert parts[0] != parts[1]


def test_who_comes_to_the_home_of_a_crowd_joins_nobody_there(town: Town) -> None:
    crowd = range(1_000, 1_000 + 2 * MOST)
    town.live("1 Elm Road", *crowd)
    town.do(point(crowd[0], "phone", "55"))
    town.run()
    before = town.homes()
    town.do(person(2_000, f"P{crowd[0]}", "Berg", "1 Elm Road"), point(2_000, "phone", "55"))
    town.run()

    assert town.homes() == before


def test_a_run_that_was_killed_at_its_end_is_repeated(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.run()
    town.live(OTHER, 102, 103)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(household_stage, "_remember", killed)
        with pytest.raises(KeyboardInterrupt):
            town.run()
    town.run()
    increment = town.everything()

    assert town.run(full=True).counts["written"] == 0
    assert town.everything() == increment
    assert {town.homes()[n] for n in (102, 103)} == {town.homes()[201]}


def test_a_full_run_that_was_killed_between_its_commits_is_repeated_whole(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.run()
    monkeypatch.setattr(household_stage, "ROWS_PER_WRITE", 2)
    town.live("1 Elm Road", 101, 102, 103)
    with monkeypatch.context() as patch:
        patch.setattr(opened, "forget", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            town.run(full=True)

    assert town.store.watermark("households", "rules") == 0
    assert town.run().counts["read"] == 6
    assert town.store.watermark("households", "rules") == RULES_VERSION
