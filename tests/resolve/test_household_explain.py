"""A household is explained: who, by which evidence, since when, and what spoke against others; nothing in common is left unsaid."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve.household_explain import WHY, _Near, explain_household, lines
from pipelines.resolve.household_reach import reached
from pipelines.resolve.households import MOST, links_of
from pipelines.store import Store
from pipelines.store.tables import entity_id
from tests.resolve.town import Chance, Town, no_point, person, point

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.slow  # each goes through whole stages

HOME, OTHER = "12 High Street", "3 Mill Lane"


@pytest.fixture
def town(sqlite_store: Store) -> Town:
    town = Town(sqlite_store)
    town.do(
        person(101, "Ada", "Berg", HOME), person(102, "Bo", "Berg", HOME), person(103, "Cy", "Lind", HOME),
        point(101, "email", "us@a.example"), point(103, "email", "us@a.example"),
        person(104, "Di", "Holm", HOME),
        person(105, "Ed", "Berg", OTHER), point(105, "phone", "30"), point(102, "phone", "30"),
        person(106, "Flo", "Falk", None), point(106, "phone", "30"),
        person(107, "Ada", "Lind", OTHER), point(107, "phone", "31"), point(101, "phone", "31"),
        person(108, "Gil", None, HOME),
    )  # fmt: skip
    known(town, range(101, 109))
    town.run()
    return town


def known(town: Town, numbers: Iterable[int]) -> None:
    ids = pa.array(numbers, pa.int64())
    said = {"entity": "person", "status": "active", "minted_seq": 1}
    rows = {name: pa.repeat(pa.scalar(value), len(ids)) for name, value in said.items()}
    town.do(lambda tx: tx.upsert(entity_id, pa.table({"entity_id": ids, **rows})))


def against(told: dict[str, Any]) -> dict[tuple[int, int, str], list[str]]:
    return {
        (row["person"], row["other"]["person_id"], row["kind"]): row["why"] for row in told["against"] if row["other"]
    }


def test_members_have_reasons_and_times_and_links_name_what_is_in_common(town: Town) -> None:
    told = explain_household(town.store, town.homes()[101])

    assert [(row["person_id"], row["reasons"]) for row in told["members"]] == [
        (101, ["address+email", "address+name"]), (102, ["address+name"]), (103, ["address+email"]),
    ]  # fmt: skip
    assert told["members"][0]["valid_from"].isoformat() == "2024-05-18T00:00:00+00:00"
    assert told["since"] == told["members"][0]["known_at"] is not None
    address = f"{HOME}, 223 50, Lund"
    assert [(row["left"], row["right"], row["rule"], row["common"]) for row in told["links"]] == [
        (101, 102, "address+name", {"address": address, "name": "Berg"}),
        (101, 103, "address+email", {"address": address, "email": ["us@a.example"]}),
    ]
    assert not told["pending"]


def test_what_spoke_against_others_is_said_of_each_thing_in_common(town: Town) -> None:
    told = against(explain_household(town.store, town.homes()[101]))

    assert told[101, 104, "address"] == ["family_names_differ"]
    assert told[101, 108, "address"] == ["no_family_name"]
    assert told[102, 105, "phone"] == ["addresses_differ"]
    assert told[102, 106, "phone"] == ["no_address", "family_names_differ"]
    assert told[101, 107, "phone"] == ["one_given_name", "addresses_differ"]


def test_a_person_in_no_household_is_told_why_not(town: Town) -> None:
    told = explain_household(town.store, 104)

    assert (told["household_id"], told["person_id"], told["members"]) == (None, 104, [])
    assert against(told)[104, 102, "address"] == ["family_names_differ"]
    assert explain_household(town.store, "102")["household_id"] == town.homes()[102]


def test_a_crowd_is_told_with_its_number(town: Town) -> None:
    numbers = range(1_000, 1_000 + 3 * MOST)
    town.do(*(person(n, f"P{n}", "Rice", "1 Elm Road") for n in numbers))
    town.do(*(point(n, "phone", "0800") for n in (*numbers, 101)))
    known(town, numbers)
    town.run()

    kiosk = explain_household(town.store, town.homes()[101])["against"]
    institution = explain_household(town.store, 1_000)["against"]

    assert {"kind": "phone", "value": "0800", "holders": 3 * MOST + 1, "why": ["crowd"]}.items() <= kiosk[0].items()
    assert [(row["kind"], row["holders"]) for row in institution] == [("phone", 3 * MOST + 1), ("address", 3 * MOST)]


def test_who_left_stays_known_and_a_change_not_decided_yet_is_said(town: Town) -> None:
    home = town.homes()[101]
    town.do(person(103, "Cy", "Lind", OTHER))
    before = explain_household(town.store, home)
    town.run()
    after = explain_household(town.store, home)

    assert before["pending"]
    assert not after["pending"]
    assert [row["person_id"] for row in after["left"]] == [103]
    assert against(after)[101, 103, "email"] == ["addresses_differ"]


def test_a_group_that_grew_beyond_a_household_is_told_so(town: Town) -> None:
    chain = range(2_000, 2_000 + MOST + 1)
    town.do(*(person(n, f"P{n}", "Rice", None) for n in chain))
    town.do(*(point(n, "phone", str(3_000 + n // 2)) for n in chain), *(point(n, "phone", str(9_000 + (n + 1) // 2)) for n in chain))  # fmt: skip
    known(town, chain)
    town.run()

    told = explain_household(town.store, chain[3])

    assert chain[3] not in town.homes()
    assert told["household_id"] is None
    assert told["against"][0]["why"] == ["too_many"]


def test_lines_say_all_of_it_in_words(town: Town) -> None:
    town.do(no_point(101, "email", "us@a.example"))
    town.run()
    text = "\n".join(lines(explain_household(town.store, town.homes()[101])))

    assert (
        f"together by address+name: Ada Berg (101) and Bo Berg (102) have address {HOME}, 223 50, Lund, name Berg"
        in text
    )
    assert "joined nobody: phone 30 of Ed Berg (105) and Bo Berg (102): the addresses differ" in text
    assert "was a member: Cy Lind (103), from 20" in text
    assert all(words for words in WHY.values())


def test_an_id_of_nobody_is_refused(town: Town) -> None:
    with pytest.raises(FixConfig, match="no household and no person has the id '9'"):
        explain_household(town.store, 9)


@pytest.mark.parametrize("seed", range(5))
def test_of_two_with_something_in_common_either_a_link_or_a_reason_against_is_told(
    sqlite_store: Store, seed: int
) -> None:
    town = Town(sqlite_store)
    town.do(*Chance(seed).begin())
    everybody = pa.array(range(1, 46), pa.int64())
    reach = reached(sqlite_store, 1, everybody)
    near = _Near(sqlite_store, 1, reach, everybody.to_pylist())
    linked = {(row["l"], row["r"]) for row in links_of(reach.people, reach.points).to_pylist()}

    pairs = (tuple(sorted(pair)) for pair in combinations(reach.people.column("person_id").to_pylist(), 2))
    told = {pair: [why for _, _, why in near.why_not(*pair)] for pair in pairs}

    assert linked
    assert [pair for pair in linked if all(told[pair])] == []
    assert [pair for pair in told if pair not in linked and not all(told[pair])] == []
