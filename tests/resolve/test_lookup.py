"""A lookup finds who an increment would link the record with, with the same weights, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.resolve.lookup import Lookup
from pipelines.store import tables
from pipelines.store.digest import digest
from tests.resolve.world import land, people, resolve

if TYPE_CHECKING:
    from sqlalchemy import Table

    from pipelines.store import Store

pytestmark = pytest.mark.slow  # each goes through whole stages

_COUNT, _NEW = 450, 6
_TERMS = ("given_name", "family_name", "birth_date", "street", "city")


def asked(person: dict[str, Any]) -> dict[str, Any]:
    """A person of the test world as the columns of the match table."""
    lists = {f"{kind}s": [person[kind]] if person[kind] else [] for kind in ("email", "phone")}
    postcode = person["postcode"] if person["street"] or person["city"] else None
    sure = [f"email={person['email']}"] if person["email"] and len(person["email"]) % 3 == 0 else []
    number = [f"tax_id={person['identifier']}"] if person["identifier"] else []
    return (
        {name: person[name] for name in _TERMS}
        | lists
        | {"postcode": postcode, "identifiers": number, "verified": sure}
    )


def scored(store: Store) -> dict[tuple[int, int], float]:
    """Weights in the ledger by pair of records."""
    open_ = tables.evidence.c.known_to.is_(None), tables.evidence.c.kind == "scored"
    rows = store.read_arrow(tables.evidence.select().where(*open_)).to_pylist()
    return {pair: row["weight"] for row in rows for pair in (_ends(row), _ends(row)[::-1])}


def pairs(store: Store, table: Table, key: str, value: str) -> dict[Any, Any]:
    """Two columns of a table as a dictionary."""
    rows = store.read_arrow(table.select())
    return dict(zip(rows[key].to_pylist(), rows[value].to_pylist(), strict=True))


def _ends(row: dict[str, Any]) -> tuple[int, int]:
    return row["left_id"], row["right_id"]


@pytest.mark.slow
def test_a_lookup_gives_the_weights_that_an_increment_writes_and_writes_nothing_itself(sqlite_store: Store) -> None:
    world = people(_COUNT + _NEW, seed=5)
    land(sqlite_store, world[:_COUNT])
    resolve(sqlite_store)
    before = digest(sqlite_store)
    with Lookup(sqlite_store) as lookup:
        found = [lookup.resolve_one(asked(person), limit=1000) for person in world[_COUNT:]]
    assert digest(sqlite_store) == before

    compared = 0
    for person, candidates in zip(world[_COUNT:], found, strict=True):
        land(sqlite_store, [person])
        resolve(sqlite_store)
        number = pairs(sqlite_store, tables.source_record, "source_key", "source_record_id")
        weights = scored(sqlite_store)
        for candidate in candidates:
            written = weights.get((number[person["key"]], candidate.source_record_id))
            if written is not None:
                assert candidate.weight == pytest.approx(written, abs=0.001)
                compared += 1
    assert compared >= _NEW // 2


def test_a_record_of_the_store_finds_its_own_entity_first(sqlite_store: Store) -> None:
    world = people(_COUNT, seed=5)
    land(sqlite_store, world)
    resolve(sqlite_store)
    links = pairs(sqlite_store, tables.crosswalk, "source_record_id", "entity_id")
    keys = pairs(sqlite_store, tables.source_record, "source_key", "source_record_id")

    with Lookup(sqlite_store) as lookup:
        known = [person for person in world[:60] if person["email"] and person["phone"]]
        found = [lookup.resolve_one(asked(person)) for person in known]

    first = [candidates[0].entity_id if candidates else None for candidates in found]
    hits = sum(one == links[keys[person["key"]]] for person, one in zip(known, first, strict=True))
    assert hits >= 0.9 * len(known)


_ADA = {"given_name": "ada", "family_name": "lovelace"}
_BEHIND_AN_ADDRESS = [  # who is asked for, who holds the address beside a stub, whether a rule joins the stub
    (_ADA, {"given_name": "ada"}, True),
    (_ADA, {"family_name": "lovelace"}, True),
    (_ADA, {"given_name": "bob"}, False),
    (_ADA, {"family_name": "marley"}, False),
    ({"given_name": "ada"}, {"family_name": "lovelace"}, False),
    ({"given_name": "ada"}, _ADA, False),
]


def test_a_lookup_finds_a_stub_where_an_increment_links_it(sqlite_store: Store) -> None:
    mails = [f"lab{number}@engines.example" for number in range(len(_BEHIND_AN_ADDRESS))]
    for mail, (_, other, _) in zip(mails, _BEHIND_AN_ADDRESS, strict=True):
        land(
            sqlite_store, [{"key": f"{mail} held", "email": mail, **other}, {"key": mail, "email": mail, "stub": True}]
        )
    land(sqlite_store, people(_COUNT))
    resolve(sqlite_store)
    number = pairs(sqlite_store, tables.source_record, "source_key", "source_record_id")
    entity = pairs(sqlite_store, tables.crosswalk, "source_record_id", "entity_id")

    with Lookup(sqlite_store) as lookup:
        found = [
            {one.entity_id for one in lookup.resolve_one({**asked_for, "emails": [mail]}) if one.rule}
            for mail, (asked_for, _, _) in zip(mails, _BEHIND_AN_ADDRESS, strict=True)
        ]
    land(sqlite_store, [{"key": f"{mail} asked", "email": mail, **asked_for}
                        for mail, (asked_for, _, _) in zip(mails, _BEHIND_AN_ADDRESS, strict=True)])  # fmt: skip
    resolve(sqlite_store)
    evidence = sqlite_store.read_arrow(tables.evidence.select().where(tables.evidence.c.known_to.is_(None))).to_pylist()
    linked = {frozenset(_ends(row)) for row in evidence if row["kind"] == "deterministic"}
    later = pairs(sqlite_store, tables.source_record, "source_key", "source_record_id")

    wanted = [joins for _, _, joins in _BEHIND_AN_ADDRESS]
    assert [entity[number[mail]] in entities for mail, entities in zip(mails, found, strict=True)] == wanted
    assert [{later[mail], later[f"{mail} asked"]} in linked for mail in mails] == wanted


def test_a_lookup_does_not_match_whom_a_rule_keeps_apart(sqlite_store: Store) -> None:
    known = {
        "given_name": "gustav",
        "family_name": "kragstad",
        "email": "gustav57@mail.example",
        "identifier": "N1111111",
    }
    land(sqlite_store, [*({**person, "identifier": None} for person in people(_COUNT)), {"key": "known", **known}])
    resolve(sqlite_store)
    mail = {"emails": [known["email"]], "verified": [f"email={known['email']}"]}

    with Lookup(sqlite_store) as lookup:
        found = [
            lookup.resolve_one({**known, **mail, "identifiers": [f"tax_id={number}"]})
            for number in ("N1111111", "N9993337")
        ]

    assert [[one.is_match for one in candidates] for candidates in found] == [[True], [False]]
    assert found[0][0].entity_id == found[1][0].entity_id


def test_someone_nobody_knows_has_no_candidates(sqlite_store: Store) -> None:
    land(sqlite_store, people(_COUNT))
    resolve(sqlite_store)
    stranger = {"given_name": "Zebulon", "family_name": "Quackenbush", "emails": ["zq@nowhere.example"]}

    with Lookup(sqlite_store) as lookup:
        assert lookup.resolve_one(stranger) == []


def test_an_empty_store_has_no_candidates_and_only_parties_can_be_looked_up(sqlite_store: Store) -> None:
    with Lookup(sqlite_store) as lookup:
        assert lookup.resolve_one({"given_name": "Ada"}) == []
    with pytest.raises(FixConfig, match="person, organization"):
        Lookup(sqlite_store, "ticket")
