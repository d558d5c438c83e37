"""Why two records are together or apart: the steps sum to the ledger's score, rules show holders and limits."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from connectors.sdk.errors import FixConfig
from pipelines.resolve.compared import compared
from pipelines.resolve.model import MatchModel
from pipelines.resolve.pair import explain_pair
from pipelines.resolve.rules import load_policy
from pipelines.resolve.waterfall import rounded, waterfall
from pipelines.store import Store, identity, tables
from tests.resolve.world import NOW, land, people, resolve, with_stubs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow  # each goes through whole stages

T = tables.metadata.tables
BIRTH = {"birth_date": "1815-12-10"}
ADA = {"given_name": "ada", "family_name": "lovelace", **BIRTH}


def ledger(store: Store, kind: str) -> list[Any]:
    """The open evidence of a kind."""
    e = T["evidence"].c
    return list(
        store.read(select(T["evidence"]).where(e.kind == kind, e.known_to.is_(None)).order_by(e.left_id, e.right_id))
    )


def decide(store: Store, kind: str, left: str, right: str) -> None:
    """Write what a person decided."""
    row = {"decision_id": 1, "entity": "person", "kind": kind, "left_id": int(left), "right_id": int(right),
           "reason": "asked her", "request_key": kind, "decided_at": NOW}  # fmt: skip
    with store.acquire("steward") as lease, store.write(lease, cause="test", actor="pat") as tx:
        tx.insert_row(T["decision"], row)


def reasons(told: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in told["because"]]


def small(store: Store, *records: dict[str, Any]) -> list[str]:
    """A store of a few people, resolved with the built-in weights; return the numbers of the records."""
    land(store, [{"key": str(number), **record} for number, record in enumerate(records)])
    resolve(store)
    rows = store.read(select(tables.source_record.c.source_key, tables.source_record.c.source_record_id))
    numbers = {row[0]: str(row[1]) for row in rows}
    return [numbers[str(number)] for number in range(len(records))]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Six hundred people under a learned model, with its match index."""
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('pairs') / 'unisono.db'}")
    land(store, people(600))
    resolve(store)
    yield store
    store.close()


def _sums(told: dict[str, Any], weight: float) -> None:
    fall = told["waterfall"]
    assert sum((step["weight"] for step in fall["steps"]), Decimal(0)) == fall["score"] == rounded(weight)
    total = Decimal(0)
    for step in fall["steps"]:
        total += step["weight"]
        assert step["total"] == total
    assert float(fall["score"]) == weight
    assert fall["as_in_ledger"] is True


@pytest.mark.slow  # a real training
def test_every_scored_pair_s_steps_sum_to_the_ledger_to_the_last_digit(indexed: Store) -> None:
    found, known = ledger(indexed, "scored"), identity.active_model(indexed, 1, "person")
    assert known is not None
    model, records = (
        MatchModel.from_json(known[1]),
        sorted({end for row in found for end in (row.left_id, row.right_id)}),
    )
    facts = compared(indexed, 1, "person", model, known[0], load_policy(), records)
    assert len(found) > 200
    for row in found:
        fall = waterfall(model, facts.rows[row.left_id], facts.rows[row.right_id])
        assert sum((step.weight for step in fall.steps), Decimal(0)) == fall.score
        assert float(fall.score) == row.weight
    row = found[0]
    told = explain_pair(indexed, str(row.right_id), str(row.left_id))
    _sums(told, row.weight)
    assert told["left"]["record"] == row.left_id, "the order asked in does not matter"
    named = {step.name for row in found for step in waterfall(model, facts.rows[row.left_id], facts.rows[row.right_id]).steps
             if step.term_frequency}  # fmt: skip
    assert {"given", "family"} <= named, "term frequencies took part"


@pytest.mark.slow  # a real training
def test_the_index_and_a_full_reading_give_the_same_explanation(
    indexed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [
        (row.left_id, row.right_id) for kind in ("scored", "deterministic") for row in ledger(indexed, kind)[::150]
    ]
    quick = [explain_pair(indexed, str(left), str(right)) for left, right in wanted]
    monkeypatch.setattr("pipelines.resolve.compared.match_index.state", lambda *_: None)
    whole = [explain_pair(indexed, str(left), str(right)) for left, right in wanted]
    assert quick == whole
    assert any(each["records"] > 1 for told in quick for each in told["shared"])


@pytest.mark.slow  # a real training
def test_every_two_records_of_a_person_are_explained_by_a_link_or_a_way(indexed: Store) -> None:
    rows = indexed.read(select(T["crosswalk"].c.entity_id, T["crosswalk"].c.source_record_id))
    members: dict[int, list[int]] = {}
    for entity, record in rows:
        members.setdefault(entity, []).append(record)
    largest = sorted(members.values(), key=len)[-2:]
    for records in largest:
        for other in records[1:4]:
            told = explain_pair(indexed, str(records[0]), str(other))
            assert told["together"]
            assert reasons(told)
            assert {step["left"] for step in told["path"]} | {step["right"] for step in told["path"]} >= {
                told["left"]["source_ref"], told["right"]["source_ref"],
            }  # fmt: skip


def test_nothing_is_said_against_a_stub_s_pair_where_a_rule_links_it_and_only_there(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(sqlite_store, with_stubs(people(560)))
    resolve(sqlite_store)
    linked = {
        (row.left_id, row.right_id) for row in ledger(sqlite_store, "deterministic") if row.judgement == "positive"
    }
    root = _components(linked)
    mails = sqlite_store.read(select(T["contact_point"].c.value_norm, T["contact_point"].c.source_record_id,
                                     tables.source_record.c.is_stub).join_from(
        T["contact_point"], tables.source_record,
        T["contact_point"].c.source_record_id == tables.source_record.c.source_record_id,
    ).where(T["contact_point"].c.kind == "email"))  # fmt: skip
    pairs = [
        (stub[1], other[1])
        for stub in mails for other in mails
        if stub[2] and not other[2] and stub[0] == other[0]
    ][:60]  # fmt: skip

    told = [explain_pair(sqlite_store, str(stub), str(other)) for stub, other in pairs]
    monkeypatch.setattr("pipelines.resolve.compared.match_index.state", lambda *_: None)
    whole = [explain_pair(sqlite_store, str(stub), str(other)) for stub, other in pairs[::8]]

    free = [any(each["against"] == [] for each in one["shared"]) for one in told]
    direct = [(min(pair), max(pair)) in linked for pair in pairs]
    assert all(root(stub) == root(other) for (stub, other), one in zip(pairs, free, strict=True) if one)
    assert all(one for one, link in zip(free, direct, strict=True) if link)
    assert sum(direct) > 5
    assert not all(free)
    assert whole == told[::8]


def _components(edges: set[tuple[int, int]]) -> Callable[[int], int]:
    above: dict[int, int] = {}

    def root(record: int) -> int:
        while (parent := above.get(record, record)) != record:
            record = parent
        return record

    for left, right in edges:
        above[root(left)] = root(right)
    return root


def test_the_built_in_weights_sum_too(sqlite_store: Store) -> None:
    one, other, _ = small(
        sqlite_store,
        {**ADA, "email": "a@x.example", "phone": "4712345678"},
        {**ADA, "email": "ada@y.example", "phone": "4712345678"},
        {"given_name": "bob", "family_name": "abel"},
    )
    (row,) = ledger(sqlite_store, "scored")
    told = explain_pair(sqlite_store, one, other)
    _sums(told, row.weight)
    assert reasons(told)[-1] == "score"
    assert told["waterfall"]["steps"][0]["name"] == "prior"
    json.dumps(told, default=str)


def test_a_rule_shows_its_value_its_holders_and_its_limit(sqlite_store: Store) -> None:
    mail = "ada@x.examplex"  # its length makes it verified
    one, other, third = small(sqlite_store, *({**ADA, "email": f"{mail}a"},) * 2, {**ADA, "email": f"{mail}a"})
    told = explain_pair(sqlite_store, one, other)
    assert reasons(told)[0] == "rule"
    rule = next(each for each in told["shared"] if each["rule"] == "verified_email")
    assert (rule["records"], rule["counted"], rule["count"], rule["limit"]) == (3, "names", 1, 3)
    assert (rule["verified"], rule["against"]) == ([True, True], [])
    assert explain_pair(sqlite_store, other, third)["together"], "both hang on the first of the three"


def test_a_value_of_too_many_names_says_so(sqlite_store: Store) -> None:
    names = ("ada", "bob", "carla", "dmitri", "eve", "farid", "grace")
    records = [{"given_name": name, "family_name": f"{name}son", "phone": "4711000001"} for name in names]
    one, other, *_ = small(sqlite_store, *records)
    told = explain_pair(sqlite_store, one, other)
    assert not told["together"]
    (rule,) = told["shared"]
    assert rule["records"] == 7
    assert "7 spellings share the value, the limit is 5" in rule["against"]
    assert rule["left_out_of_the_score"] is True
    assert "threshold" in reasons(told)


def test_two_without_a_direct_link_are_explained_by_the_way_between_them(sqlite_store: Store) -> None:
    one, middle, other = small(
        sqlite_store,
        {"given_name": "ada", "family_name": "lovelace", "identifier": "N1"},
        {"given_name": "ada", "family_name": "lovelace", "identifier": "N1", "email": "ada@mail.example"},
        {"given_name": "a", "family_name": "lovelace", "email": "ada@mail.example"},
    )
    told = explain_pair(sqlite_store, one, other)
    assert told["together"], "the test is about a chain"
    assert len(told["path"]) == 2
    assert {told["path"][0]["left_id"], told["path"][0]["right_id"]} == {int(one), int(middle)}
    assert told["path"][0]["rule"] == "identifier"
    assert told["because"] == [
        {"reason": "path", "through": ["crm/contact/0", "crm/contact/1", "crm/contact/2"], "steps": 2}
    ]


def test_the_guard_says_what_it_holds_a_pair_down_for(sqlite_store: Store) -> None:
    home = {
        "family_name": "abel",
        "street": "4 abel road",
        "city": "leeds",
        "postcode": "0001",
        "email": "abel@family.example",
    }
    one, other = small(sqlite_store, {"given_name": "ada", **home}, {"given_name": "hugo", **home})
    told = explain_pair(sqlite_store, one, other)
    assert not told["together"]
    guard = next(each for each in told["because"] if each["reason"] == "guard")
    assert guard["why"] == "refused: given names clearly differ and nothing personal agrees"
    assert guard["weight"] < 0
    assert told["waterfall"]["score"] == -12


def test_people_a_generation_apart_are_named(sqlite_store: Store) -> None:
    home = {"given_name": "gustav", "family_name": "kragstad", "street": "248 elm road", "identifier": None}
    father = {**home, "birth_date": "1957-02-08", "email": "gustav57@mail.example", "phone": "4520000001"}
    son = {**home, "birth_date": "1992-07-13", "email": "gustav92@web.example", "phone": "4520000002"}
    one, other = small(sqlite_store, father, son)

    told = explain_pair(sqlite_store, one, other)

    assert not told["together"]
    assert told["contradictions"] == [
        {"system": "birth_date", "left": ["19570208"], "right": ["19920713"], "verified": [False, False]}
    ]


def test_people_who_use_one_number_are_named(sqlite_store: Store) -> None:
    same = {"family_name": "ray", "identifier": "N1055970880"}
    one, other = small(
        sqlite_store,
        {**same, "given_name": "anna", "middle_name": "m", "gender": "female"},
        {**same, "given_name": "william", "middle_name": "h", "gender": "male"},
    )

    told = explain_pair(sqlite_store, one, other)

    assert not told["together"]
    assert [(each["system"], each["left"], each["right"]) for each in told["contradictions"]] == [
        ("given", ["anna"], ["william"]), ("gender", ["female"], ["male"]), ("middle", ["m"], ["h"]),
    ]  # fmt: skip


def test_identifiers_that_differ_are_named(sqlite_store: Store) -> None:
    same = {**ADA, "email": "ada@mail.example"}
    one, other = small(sqlite_store, {**same, "identifier": "N1111111"}, {**same, "identifier": "N9993337"})
    told = explain_pair(sqlite_store, one, other)
    assert not told["together"]
    assert told["contradictions"] == [
        {"system": "tax_id", "left": ["n1111111"], "right": ["n9993337"], "verified": [False, False]}
    ]
    assert told["because"][0]["reason"] == "negative"
    assert told["because"][0]["rule"] == "unique_identifier"


@pytest.mark.parametrize(("kind", "together"), [("match", True), ("no_match", False)])
def test_a_person_s_decision_comes_first(sqlite_store: Store, kind: str, together: bool) -> None:
    one, other = small(sqlite_store, {**ADA, "email": "ada@mail.example"}, {**ADA, "email": "ada@mail.example"})
    decide(sqlite_store, kind, one, other)
    resolve(sqlite_store)
    told = explain_pair(sqlite_store, one, other)
    assert told["together"] is together
    assert told["because"][0]["decision"] == kind
    assert told["because"][0]["made"] == [{"decision_id": 1, "by": "pat", "reason": "asked her"}]


def test_records_are_named_by_number_or_reference_and_unknown_ones_are_refused(sqlite_store: Store) -> None:
    one, other = small(sqlite_store, ADA, {"given_name": "bob", "family_name": "abel"})
    assert explain_pair(sqlite_store, "crm/contact/0", "crm/contact/1") == explain_pair(sqlite_store, one, other)
    for wrong in ("999", "crm/contact/9", "nobody"):
        with pytest.raises(FixConfig, match=f"no source record '{wrong}'"):
            explain_pair(sqlite_store, one, wrong)
    with pytest.raises(FixConfig, match="are one record"):
        explain_pair(sqlite_store, one, "crm/contact/0")
