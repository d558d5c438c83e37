"""Decisions bind for ever, are undone without a trace in the data, and never win over what was not seen."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines import steward
from pipelines.store import decisions, digest, erasures, tables
from tests.resolve.test_stage import land
from tests.steward.conftest import ADA, BOB, CAT, NOW, Desk

pytestmark = pytest.mark.slow  # each goes through whole stages

T = tables.metadata.tables


def gone(desk: Desk, record: int) -> None:
    """The source deletes a record."""
    with desk.store.acquire("ingest/test") as lease, desk.store.write(lease, cause="test") as tx:
        parents = pa.table({"source_record_id": pa.array([record], pa.int64())})
        none = {"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())}
        tx.replace_set(T["person"], parents, pa.table(none))


def rows(desk: Desk, name: str, *columns: str) -> list[tuple]:
    found = desk.store.read_arrow(T[name].select())
    return sorted(zip(*(found[column].to_pylist() for column in columns), strict=True), key=str)


def test_a_match_makes_two_clusters_one_and_its_undo_leaves_no_trace(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"}, {**BOB, "key": "3"})
    desk.run()
    desk.survive()
    before, meaning = desk.crosswalk(), digest(desk.store)

    made = steward.match(desk.context, "r1", "r2", **desk.look())
    desk.run()
    together, decided = desk.crosswalk(), digest(desk.store)
    steward.undo(desk.context, made.decision.decision_id, **desk.look())
    desk.run()
    desk.survive()

    assert len(set(together.values())) == 1
    assert desk.crosswalk() == before
    assert digest(desk.store) == meaning
    assert {name for name in meaning if decided[name] != meaning[name]} >= {"decision", "crosswalk", "evidence"}


def test_a_no_match_holds_through_full_runs_deletes_and_changed_data(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**ADA, "key": "2"}, {**BOB, "key": "3"})
    desk.run()
    steward.no_match(desk.context, "crm/contact/1", "crm/contact/2", **desk.look())
    desk.run()
    apart = desk.crosswalk()
    gone(desk, 2)
    desk.run()
    land(desk.store, {**ADA, "key": "2"}, {**ADA, "key": "4"})
    desk.run(full=True)
    after = desk.crosswalk()

    assert apart[1] != apart[2]
    assert after[1] != after[2]
    assert after[2] == apart[2]
    assert ("steward", "no_match", "negative", 1, 2) in rows(
        desk, "evidence", "kind", "rule", "judgement", "left_id", "right_id"
    )


@pytest.mark.slow
def test_unsure_only_takes_the_automatic_link_away(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**ADA, "key": "2"})
    desk.run()
    steward.unsure(desk.context, "r1", "r2", **desk.look())
    desk.run()
    parted = desk.crosswalk()
    steward.match(desk.context, "r1", "r2", **desk.look())
    desk.run()

    assert parted[1] != parted[2]
    assert len(set(desk.crosswalk().values())) == 1


@pytest.mark.slow
def test_a_split_binds_in_both_directions(desk: Desk) -> None:
    land(desk.store, *({**ADA, "key": str(n)} for n in range(1, 4)), {**CAT, "key": "4"})
    desk.run()
    steward.split(desk.context, [["r1", "r4"], ["r2", "r3"]], **desk.look())
    desk.run()
    links = desk.crosswalk()

    assert links[1] == links[4] != links[2] == links[3]


def test_contradicting_decisions_keep_apart_and_are_told(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"}, {**CAT, "key": "3"})
    desk.run()
    steward.match(desk.context, "r1", "r2", **desk.look())
    steward.match(desk.context, "r2", "r3", **desk.look())
    made = steward.no_match(desk.context, "r1", "r3", **desk.look())
    report = desk.run()
    apart = desk.crosswalk()
    steward.undo(desk.context, made.decision.decision_id, **desk.look())
    resolved = desk.run()

    assert [(one.apart, one.together, one.records) for one in made.contradictions] == [((3,), (1, 2), (1, 2, 3))]
    assert report.details["conflicts"] == [{"kept_apart": (1, 2, 3), "decisions": (1, 2, 3)}]
    assert len(set(apart.values())) == 3
    assert "conflicts" not in resolved.details
    assert len(set(desk.crosswalk().values())) == 1


def test_a_stale_write_is_a_conflict_that_says_what_changed(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    seen = desk.seen
    land(desk.store, {**BOB, "email": "robert@engines.example", "key": "2"})
    with pytest.raises(steward.Conflict) as data:
        steward.match(desk.context, "r1", "r2", seen=seen, reason="both")
    seen = desk.seen
    steward.no_match(desk.context, "r1", "r2", **desk.look())
    with pytest.raises(steward.Conflict) as other:
        steward.match(desk.context, "r1", "r2", seen=seen, reason="both")

    assert any(told.startswith("record 2: a contact point changed") for told in data.value.changes)
    assert other.value.changes == ("decision 1 (no_match) was made by user:eve",)
    assert [one.kind for one in decisions.listed(desk.store, 1, closed=True)] == ["no_match"]


def test_a_member_that_joined_unseen_is_a_conflict(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    desk.run()
    seen = desk.seen
    land(desk.store, {**ADA, "key": "3"})
    desk.run()

    with pytest.raises(steward.Conflict, match="record 3 came to 1"):
        steward.match(desk.context, "r1", "r2", seen=seen, reason="both")


def test_a_request_repeated_is_carried_out_once(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"}, {**CAT, "key": "3"})
    desk.run()
    look = desk.look()
    first = steward.match(desk.context, "1", "2", **look)
    desk.run()
    again = steward.match(desk.context, "1", "2", **look)
    undone = [steward.undo(desk.context, 1, seen=desk.seen, reason="no", request_key="u") for _ in range(2)]

    assert (first.repeated, again.repeated) == (False, True)
    assert first.decision.decision_id == again.decision.decision_id
    assert [one.repeated for one in undone] == [False, True]
    assert len(decisions.listed(desk.store, 1, closed=True)) == 1
    steward.match(desk.context, "r1", "r2", **desk.look(), request_key="k")
    with pytest.raises(FixConfig, match="'k' was used for decision 2"):
        steward.match(desk.context, "r1", "r3", **desk.look(), request_key="k")


def test_what_was_undone_is_not_taken_for_done(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    look = desk.look()
    steward.match(desk.context, "r1", "r2", **look)
    steward.undo(desk.context, 1, **desk.look())

    with pytest.raises(steward.Conflict, match="decision 1 .match. was closed by user:eve"):
        steward.match(desk.context, "r1", "r2", **look)


def test_every_action_says_who_when_and_why_even_when_taken_back(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    steward.match(desk.context, "r1", "r2", **desk.look())
    steward.undo(desk.at(NOW + timedelta(days=1)).context, 1, seen=desk.seen, reason="wrong Bob")
    (one,) = decisions.listed(desk.store, 1, closed=True)

    assert (one.actor, one.decided_at, one.reason) == ("user:eve", NOW, "looked at both")
    assert (one.closed_by, one.closed_at, one.closed_why) == ("user:eve", NOW + timedelta(days=1), "wrong Bob")
    with pytest.raises(FixConfig, match="needs a reason"):
        steward.match(desk.context, "r1", "r2", seen=desk.seen, reason=" ")


def test_undo_of_a_replacement_brings_back_what_it_replaced(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"})
    steward.pin(desk.context, "r1", "given_name", "Augusta", **desk.look())
    second = steward.pin(desk.context, "r1", "given_name", "Countess", **desk.look())
    pinned = [one.value for one in decisions.listed(desk.store, 1)]
    steward.undo(desk.context, second.decision.decision_id, **desk.look())
    back = decisions.listed(desk.store, 1)

    assert pinned == ["Countess"]
    assert [(one.value, one.actor, one.decided_at) for one in back] == [("Augusta", "user:eve", NOW)]


def test_a_pin_wins_until_it_expires_or_is_taken_off(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"})
    desk.run()
    desk.survive()
    until = NOW + timedelta(days=30)
    steward.pin(desk.context, "1", "given_name", "Augusta", expires_at=until, **desk.look())
    desk.survive()
    pinned = rows(desk, "golden_person", "given_name")
    desk.at(until).survive()
    expired = rows(desk, "golden_person", "given_name")
    steward.pin(desk.context, "1", "given_name", "Augusta", **desk.look())
    look = desk.look()
    off = [steward.unpin(desk.context, "1", "given_name", **look).repeated for _ in range(2)]
    desk.survive()

    assert pinned == [("Augusta",)]
    assert off == [False, True]
    assert expired == rows(desk, "golden_person", "given_name") == [("Ada",)]


def test_a_pin_of_another_type_is_refused(sqlite_desk: Desk) -> None:
    land(sqlite_desk.store, {**ADA, "key": "1"})
    wrong = {
        "birth_date": ("1815-02-30", "10 December"),
        "created_at": ("today",),
        "tags": ("vip",),
        "given_name": (7, ""),
    }

    for term, values in wrong.items():
        for value in values:
            with pytest.raises(FixConfig, match=f"is no value of person.{term}"):
                steward.pin(sqlite_desk.context, "r1", term, value, **sqlite_desk.look())


def test_what_cannot_be_meant_is_refused(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    past = {"expires_at": datetime(2026, 1, 1, tzinfo=UTC), **desk.look()}

    for message, act in (
        ("are one record", lambda: steward.match(desk.context, "r1", "crm/contact/1", **desk.look())),
        ("there is no person 'r99'", lambda: steward.match(desk.context, "r1", "r99", **desk.look())),
        ("two groups", lambda: steward.split(desk.context, [["r1"], ["r1", "r2"]], **desk.look())),
        ("no attribute 'given_nam'", lambda: steward.pin(desk.context, "r1", "given_nam", "A", **desk.look())),
        ("would never count", lambda: steward.pin(desk.context, "r1", "given_name", "A", **past)),
        ("no pin on 'given_name'", lambda: steward.unpin(desk.context, "r1", "given_name", **desk.look())),
        ("there is no decision 9", lambda: steward.undo(desk.context, 9, **desk.look())),
    ):
        with pytest.raises(FixConfig, match=message):
            act()
    assert decisions.listed(desk.store, 1, closed=True) == []


def test_two_stewards_at_once_both_write_or_one_is_told(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    look, ends = desk.look(), []

    def act(verb: object) -> None:
        try:
            ends.append(verb(desk.context, "r1", "r2", **look).decision.kind)
        except steward.Conflict as conflict:
            ends.append(conflict.changes)

    threads = [threading.Thread(target=act, args=(verb,)) for verb in (steward.match, steward.no_match)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (kept,) = decisions.listed(desk.store, 1)

    assert sorted(map(str, ends)) == sorted([kept.kind, str((f"decision 1 ({kept.kind}) was made by user:eve",))])


@pytest.mark.slow
def test_a_full_run_after_each_decision_gives_the_same(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    land(
        desk.store,
        *({**ADA, "key": f"{n}"} for n in range(3)),
        {**BOB, "key": "3"},
        {**BOB, "key": "4"},
        {**CAT, "key": "5"},
    )
    desk.run()
    acts = (
        lambda: steward.match(desk.context, "r1", "r4", **desk.look()),
        lambda: steward.no_match(desk.context, "r2", "r5", **desk.look()),
        lambda: steward.split(desk.context, [["r1", "r3"], ["r4", "r6"]], **desk.look()),
        lambda: steward.undo(desk.context, 1, **desk.look()),
        lambda: steward.unsure(desk.context, "r2", "r3", **desk.look()),
        lambda: steward.undo(desk.context, 3, **desk.look()),
    )
    seen = []
    for act in acts:
        act()
        desk.run()
        links, meaning = desk.crosswalk(), digest(desk.store)
        desk.run(full=True)
        seen.append(tuple(links.values()))

        assert desk.crosswalk() == links
        assert digest(desk.store) == meaning
    assert len(set(seen)) >= 4


@pytest.mark.slow
def test_decisions_bind_under_a_new_model(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    land(desk.store, {**ADA, "key": "1"}, {**ADA, "key": "2"}, {**BOB, "key": "3"})
    desk.run()
    steward.no_match(desk.context, "r1", "r2", **desk.look())
    steward.match(desk.context, "r2", "r3", **desk.look())
    desk.run()
    land(desk.store, *({**CAT, "key": f"c{n}"} for n in range(5)))
    desk.run()
    links = desk.crosswalk()

    assert len(rows(desk, "match_model", "model_id")) == 2
    assert links[1] != links[2] == links[3]


def test_erasure_forgets_what_people_wrote_of_a_record_and_the_hash_of_its_key_data(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**BOB, "key": "2"}, {**CAT, "key": "3"})
    steward.split(desk.context, [["r1"], ["r2", "r3"]], seen=desk.seen, reason="Ada is not Bob")
    steward.match(desk.context, "r2", "r3", seen=desk.seen, reason="Cat is Bob")
    with desk.store.acquire("test") as lease, desk.store.write(lease, cause="erase") as tx:
        erasures._forget(tx, [1], [])
    split, match = decisions.listed(desk.store, 1, closed=True)

    assert (split.reason, split.key_hash, split.is_open) == (None, None, True)
    assert match.reason == "Cat is Bob"
