"""What two records say may forbid that they are one party, whatever a third record says; both forms of it agree."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve import deterministic, load_policy
from pipelines.resolve.cannot_link import BORN, BORROWED, GENERATION, UNIQUE, BirthDates, CannotLinks
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.model import MatchModel
from tests.resolve.people import groups, resolve, table

HOME = {"given_name": "Gustav", "family_name": "Kragstad", "street": "248 Elm Road", "postcode": "11109"}
FATHER = {
    **HOME,
    "birth_date": "1957-02-08",
    "emails": "gustav57@mail.example",
    "phones": "+4520000001",
    "identifiers": "crm.id=1",
}
SON = {
    **HOME,
    "birth_date": "1992-07-13",
    "emails": "gustav92@web.example",
    "phones": "+4520000002",
    "identifiers": "shop.id=2",
}
EITHER = {**HOME, "identifiers": ["crm.id=1", "shop.id=2"]}
NAMES = ("Gustav", "Greta", "Gerd")


COUSIN = {**SON, "birth_date": "1962-07-13"}


def _apart(*rows: dict[str, Any], by: str = GENERATION) -> bool:
    """Tell whether the first and the last record are kept apart by a rule of birth dates, in evidence and in the outcome."""
    found = resolve(table(*rows))
    ends = {0, len(rows) - 1}
    said = [
        row["rule"] == by and row["judgement"] == "negative" and {row["left_id"], row["right_id"]} == ends
        for row in found.evidence.to_pylist()
    ]
    together = any({"r0", f"r{len(rows) - 1}"} <= group for group in groups(found))
    assert not (any(said) and together)
    return any(said)


def test_father_and_son_of_one_name_are_two_though_a_record_of_either_lies_between_them() -> None:
    assert _apart(FATHER, EITHER, SON)


@pytest.mark.parametrize(
    "change",
    [
        {"birth_date": "1972-07-13"},
        {"birth_date": "1992-01-01"},
        {"birth_date": "1992"},
        {"emails": FATHER["emails"]},
        {"phones": FATHER["phones"]},
        {"emails": [], "phones": []},
        {"identifiers": ["crm.id=77"]},
        {"socials": "gustav"},
    ],
    ids=["years", "default date", "year alone", "one mailbox", "one phone", "no contact", "identifier", "handle"],
)
def test_what_is_no_contradiction_of_generations(change: dict[str, Any]) -> None:
    assert not _apart(*_between_two(SON, change))


def _between_two(other: dict[str, Any], change: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The father, somebody else with a change, of which identifiers and handles are the father's too, and who may be either."""
    shared = {name: change[name] for name in ("identifiers", "socials") if name in change}
    father, son = {**FATHER, **shared}, {**other, **change}
    if "identifiers" in shared:
        father["identifiers"], son["identifiers"] = (
            ["crm.id=1", *shared["identifiers"]],
            ["shop.id=2", *shared["identifiers"]],
        )
    return father, EITHER, son


def test_two_of_one_name_in_one_home_with_other_dates_mailboxes_and_phones_are_two() -> None:
    assert _apart(FATHER, EITHER, COUSIN, by=BORN)
    assert not _apart(FATHER, EITHER, COUSIN)  # five years are no generation


@pytest.mark.parametrize(
    "change",
    [
        {"birth_date": "1957-02-18"},
        {"birth_date": "1958-02-18"},
        {"birth_date": "1957-08-02"},
        {"birth_date": "1962-01-01"},
        {"birth_date": "1962"},
        {"emails": FATHER["emails"]},
        {"phones": FATHER["phones"]},
        {"emails": []},
        {"phones": []},
        {"identifiers": ["crm.id=77"]},
        {"socials": "gustav"},
    ],
    ids=[
        "one digit", "two digits", "two digits of the day and month", "default date", "year alone", "one mailbox", "one phone",
        "no mailbox", "no phone", "identifier", "handle",
    ],
)  # fmt: skip
def test_birth_dates_separate_only_where_nothing_else_agrees(change: dict[str, Any]) -> None:
    assert not _apart(*_between_two(COUSIN, change), by=BORN)


def test_a_date_of_which_day_and_month_changed_places_may_be_the_same_however_many_digits_differ() -> None:
    father, cousin = {**FATHER, "birth_date": "1957-02-11"}, {**COUSIN, "birth_date": "1957-11-02"}

    assert not _apart(father, EITHER, cousin, by=BORN)
    assert _apart(father, EITHER, {**cousin, "birth_date": "1957-10-30"}, by=BORN)


def test_a_phone_that_the_family_shares_makes_nobody_of_father_and_son_one() -> None:
    phone = "+4520000009"
    mother = {**HOME, "given_name": "Signe", "phones": phone}
    father, son = ({**each, "emails": [], "phones": [each["phones"], phone]} for each in (FATHER, SON))

    assert _apart(father, mother, EITHER, son)


def test_the_policy_says_how_many_years_and_without_it_there_is_no_such_rule(tmp_path: Path) -> None:
    model = resolve(table(FATHER, SON)).model
    policy = load_policy()

    assert BirthDates.of(model, replace(policy, generation_years=None)) is None
    assert BirthDates.of(model, policy) is not None
    text = (Path(load_policy.__code__.co_filename).parent / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "without.yaml").write_text(text.replace("generation_years: 16", ""), encoding="utf-8")
    (tmp_path / "young.yaml").write_text(text.replace("generation_years: 16", "generation_years: 3"), encoding="utf-8")
    assert load_policy(tmp_path / "without.yaml").generation_years is None
    with pytest.raises(FixConfig, match="generation_years"):
        load_policy(tmp_path / "young.yaml")


def test_dates_that_the_model_saw_apart_among_matches_do_not_separate() -> None:
    model = resolve(table(FATHER, SON)).model

    def rules(**shares: float) -> BirthDates | None:
        """The rules under a model that learned in what shares of the matches dates differ so."""
        learned = tuple(
            replace(
                item,
                origin="learned",
                levels=tuple((level, shares.get(level.label.replace(" ", "_"), 0.0), u) for level, _, u in item.levels),
            )
            if item.name == "birth_date"
            else item
            for item in model.comparisons
        )
        return BirthDates.of(replace(model, comparisons=learned), load_policy())

    assert rules(equal=0.969, **{"else": 0.031}) is None
    near = rules(equal=0.949, same_year=0.02, within_ten_years=0.031)
    assert near is not None
    assert near.alike is None  # a generation still separates
    sure = rules(equal=0.5, one_edit_or_turned=0.31, **{"2_edits": 0.14}, same_year=0.02, within_ten_years=0.03)
    assert sure is not None
    assert sure.alike is not None


def test_without_both_mailboxes_and_phones_only_a_generation_separates() -> None:
    model = resolve(table(*({**each, "phones": []} for each in (FATHER, SON)))).model
    features = tuple(feature for feature in model.features if feature.kind != "phone")
    found = BirthDates.of(replace(model, features=features), load_policy())

    assert found is not None
    assert found.alike is None


WORKER = {
    "given_name": "William",
    "middle_name": "H",
    "family_name": "Ray",
    "gender": "Male",
    "identifiers": "national_id=105970880",
}
WIFE = {**WORKER, "given_name": "Anna", "middle_name": "M", "gender": "Female"}


def test_a_number_that_two_people_use_makes_nobody_of_them() -> None:
    assert _apart(WORKER, WIFE, by=BORROWED)
    assert _apart(WORKER, {**WIFE, "middle_name": None}, by=BORROWED)
    assert _apart(WORKER, {**WIFE, "gender": None}, by=BORROWED)


@pytest.mark.parametrize(
    "change",
    [
        {"given_name": "Bill"},
        {"given_name": None},
        {"middle_name": "Henry", "gender": "m"},
        {"middle_name": None, "gender": "unknown"},
        {"birth_date": "1984-03-02"},
    ],
    ids=["short form", "no name", "one middle name", "nothing more", "born on one day"],
)
def test_what_leaves_a_number_that_two_share_one_person_s(change: dict[str, Any]) -> None:
    born = {"birth_date": "1984-03-02"}
    found = resolve(table({**WORKER, **born}, {**WIFE, **change}))

    assert len(groups(found)) == 1
    assert not any(row["rule"] == BORROWED for row in found.evidence.to_pylist())


@pytest.mark.parametrize("seed", range(4))
def test_statements_and_python_keep_the_same_pairs_apart(seed: int) -> None:
    rng, policy = random.Random(seed), load_policy()
    rows = [_record(rng) for _ in range(240)]
    model = resolve(table(*rows[:60])).model
    con = connect()
    try:
        clusters = np.array([rng.randrange(12) for _ in rows], np.int64)
        found, facts = _statements(con, model, table(*rows), clusters)
    finally:
        con.close()

    members = [np.flatnonzero(clusters == own).tolist() for own in np.unique(clusters)]
    among = CannotLinks.of(model, policy).among(facts, members)

    assert sorted(among) == found
    assert {rule for *_, rule in found} == {UNIQUE, GENERATION, BORN, BORROWED}
    rules = CannotLinks.of(model, policy)
    assert {rules.between(facts[one], facts[other]) for one, other, _ in found[:40]} <= {
        UNIQUE,
        GENERATION,
        BORN,
        BORROWED,
    }


def _record(rng: random.Random) -> dict[str, Any]:
    """A record of one of a few people in a few homes, with values that others hold too."""
    born = f"{rng.choice((1950, 1955, 1966, 1971, 1982))}-{rng.choice(('01-01', '02-08', '07-13'))}"
    return {
        "given_name": rng.choice(NAMES), "middle_name": rng.choice((None, None, "K", "Karl", "M")),
        "gender": rng.choice((None, "m", "Female")), "family_name": "Kragstad", "birth_date": rng.choice((born, born, born[:4], None)),
        "emails": rng.sample([f"{name}{n}@mail.example".lower() for name in NAMES for n in range(4)], rng.randrange(3)),
        "phones": rng.sample([f"+452000{n:04d}" for n in range(3)], 1) + rng.sample([f"+452001{n:04d}" for n in range(200)], rng.randrange(3)),
        "identifiers": rng.choice(([], [], [], ["crm.id=1"], ["national_id=AB123456C"], ["national_id=ZX987654D"],
                                   ["crm.id=1", "national_id=AB123456C"], ["crm.id=1", "national_id=ZX987654D"])),
        "socials": rng.choice(([], [], [], ["x/gk"])),
    }  # fmt: skip


def _statements(con: Any, model: MatchModel, records: Any, clusters: Any) -> tuple[list[Any], list[Any]]:
    """What the statements find, by record number, and the rows and values of the records in that order."""
    policy = load_policy()
    con.register("match", numbered(records))
    features = build_norm(con, "person", policy, model.features)
    deterministic.build_values(con, features, policy)
    finish_norm(con, features, policy)
    CannotLinks.of(model, policy).make(con, clusters)
    found = con.execute("SELECT l, r, rule FROM conflict ORDER BY ALL").fetchall()
    rows = con.execute("SELECT * FROM norm ORDER BY rid").to_arrow_table().to_pylist()
    held: list[dict[Any, bool]] = [{} for _ in rows]
    for rid, kind, value, sure in con.execute("SELECT rid, kind, value, verified FROM held").fetchall():
        held[rid][kind, value] = sure
    return found, list(zip(rows, held, strict=True))
