"""The review queue asks what a person's answer is worth most, and not what a person has answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipelines import steward
from pipelines.steward.queue import ALARM, CONFLICT, MAYBE_SAME, REOPENED, WEAK_LINK, Queue, review
from pipelines.steward.show import show
from pipelines.store import tables
from tests.resolve.test_stage import land
from tests.steward.conftest import ADA, BOB, CAT, Desk

pytestmark = pytest.mark.slow  # each goes through whole stages

T = tables.metadata.tables


def people(desk: Desk, count: int, entities: dict[int, int] | None = None) -> None:
    """Records 1 to ``count``, each an entity of its own unless ``entities`` puts it elsewhere."""
    land(desk.store, *({**ADA, "key": str(n), "email": f"{n}@engines.example"} for n in range(1, count + 1)))
    ids = list(range(1, count + 1))
    held = [(entities or {}).get(n, n) for n in ids]
    with desk.store.acquire("test") as lease, desk.store.write(lease, cause="test") as tx:
        rows = pa.table({"source_record_id": ids, "entity": ["person"] * count, "entity_id": held})
        tx.upsert(tables.crosswalk, rows)


def ledger(desk: Desk, *rows: tuple[int, int, str, str, float | None]) -> None:
    """Open evidence: left, right, kind, judgement, weight."""
    lefts, rights, kinds, judgements, weights = zip(*rows, strict=True)
    with desk.store.acquire("test") as lease, desk.store.write(lease, cause="test") as tx:
        first = tx.allocate("evidence", len(rows))
        columns = {
            "left_id": lefts,
            "right_id": rights,
            "kind": kinds,
            "judgement": judgements,
            "entity": ["person"] * len(rows),
        }
        found = pa.table({name: list(values) for name, values in columns.items()})
        found = found.append_column("weight", pa.array(weights, pa.float64()))
        tx.insert(tables.evidence, found.append_column("evidence_id", pa.array(range(first, first + len(rows)))))


def notes(desk: Desk, about: int, count: int) -> None:
    """Facts about a record."""
    with desk.store.acquire("test") as lease, desk.store.write(lease, cause="test") as tx:
        keys = [str(n) for n in range(count)]
        refs = {"connection_id": ["crm"] * count, "object": ["note"] * count, "source_key": keys}
        ids = tx.intern(pa.table({**refs, "entity": ["interaction"] * count, "is_stub": [False] * count}))[
            "source_record_id"
        ]
        when = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC"))
        rows = {"source_record_id": ids, "row_key": [""] * count, "type": ["note"] * count, "party": [about] * count}
        tx.replace_set(T["interaction"], pa.table({"source_record_id": ids}), pa.table({**rows, "occurred_at": when}))


def asked(queue: Queue) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.kind, one.records) for one in queue.items]


def test_pairs_near_the_threshold_rank_by_error_times_reach(desk: Desk) -> None:
    people(desk, 6)
    ledger(desk, (1, 2, "scored", "unsure", -1.0), (3, 4, "scored", "unsure", 0.5), (5, 6, "scored", "positive", 9.0))
    plain = review(desk.context, share=1.0)
    notes(desk, 2, 20)
    reached = review(desk.context, share=1.0)

    assert asked(plain) == [(MAYBE_SAME, (3, 4)), (MAYBE_SAME, (1, 2))]
    assert asked(reached) == [(MAYBE_SAME, (1, 2)), (MAYBE_SAME, (3, 4))]
    assert reached.items[0].reach == 22
    assert reached.items[0].worth == pytest.approx(22 / 3)


def test_a_cluster_that_hangs_on_one_weak_link_is_asked_about_and_a_well_tied_one_is_not(desk: Desk) -> None:
    people(desk, 7, entities={2: 1, 3: 1, 4: 1, 6: 5, 7: 5})
    ledger(
        desk,
        (1, 2, "scored", "positive", 9.0), (2, 3, "scored", "positive", 2.0), (3, 4, "deterministic", "positive", None),
        (5, 6, "scored", "positive", 9.0), (6, 7, "scored", "positive", 2.0), (5, 7, "scored", "positive", 9.0),
    )  # fmt: skip

    queue = review(desk.context, share=1.0)

    assert asked(queue) == [(WEAK_LINK, (2, 3))]
    assert queue.items[0].error == pytest.approx(0.2)


def test_alarms_ring_for_a_planted_giant_and_for_two_values_of_a_unique_identifier(desk: Desk) -> None:
    people(desk, 30, entities=dict.fromkeys(range(1, 27), 1) | {28: 27})
    ledger(
        desk,
        *((1, n, "deterministic", "positive", None) for n in range(2, 26)), (1, 26, "scored", "positive", 9.0),
        (27, 28, "deterministic", "negative", None), (29, 30, "deterministic", "negative", None),
    )  # fmt: skip

    rung = asked(review(desk.context, share=1.0))
    steward.match(desk.context, "r27", "r28", **desk.look())

    assert rung == [(ALARM, (1, 26)), (ALARM, (27, 28))]
    assert asked(review(desk.context, share=1.0)) == [(ALARM, (1, 26))]


def test_the_queue_is_at_most_its_share_of_the_pairs_and_says_what_it_left_out(desk: Desk) -> None:
    people(desk, 100)
    ledger(
        desk,
        *((n, n + 1, "scored", "positive", 9.0) for n in range(11, 100)),
        *((n, n + 1, "scored", "unsure", n / 10) for n in range(1, 11)),
    )
    queue = review(desk.context)

    assert (queue.pairs, len(queue.items), queue.left_out) == (99, 2, 8)
    assert asked(queue) == [(MAYBE_SAME, (10, 11)), (MAYBE_SAME, (9, 10))]


def test_what_is_answered_is_not_asked_until_the_key_data_change_and_binds_meanwhile(desk: Desk) -> None:
    people(desk, 2)
    ledger(desk, (1, 2, "scored", "unsure", 0.5))
    before = asked(review(desk.context, share=1.0))
    steward.no_match(desk.context, "r1", "r2", **desk.look())
    answered = asked(review(desk.context, share=1.0))
    land(desk.store, {**ADA, "key": "1", "email": "1@ENGINES.example"})
    cosmetic = asked(review(desk.context, share=1.0))
    land(desk.store, {**ADA, "key": "1", "email": "countess@engines.example"})
    changed = review(desk.context, share=1.0)
    steward.no_match(desk.context, "r1", "r2", **desk.look())

    assert before == [(MAYBE_SAME, (1, 2))]
    assert answered == cosmetic == []
    assert asked(changed)[0] == (REOPENED, (1, 2))
    assert changed.items[0].decisions == (1,)
    assert asked(review(desk.context, share=1.0)) == []


def test_contradictions_and_pins_at_odds_are_asked_whatever_the_share(desk: Desk) -> None:
    people(desk, 4)
    ledger(desk, (1, 4, "scored", "unsure", 3.0))
    steward.match(desk.context, "r3", "r4", **desk.look())
    steward.no_match(desk.context, "r3", "r4", **desk.look())
    steward.pin(desk.context, "r1", "given_name", "Augusta", **desk.look())
    steward.pin(desk.context, "r2", "given_name", "Countess", **desk.look())
    apart = asked(review(desk.context, share=0.0))
    with desk.store.acquire("test") as lease, desk.store.write(lease, cause="test") as tx:
        tx.upsert(tables.crosswalk, pa.table({"source_record_id": [2], "entity": ["person"], "entity_id": [1]}))

    assert apart == [(CONFLICT, (3, 4))]
    assert asked(review(desk.context, share=0.0)) == [(CONFLICT, (1, 2)), (CONFLICT, (3, 4))]


def test_a_case_shows_records_evidence_and_decisions_with_the_version_to_decide_on(desk: Desk) -> None:
    land(desk.store, {**ADA, "key": "1"}, {**ADA, "key": "2"}, {**BOB, "key": "3"}, {**CAT, "key": "4"})
    desk.run()
    case = show(desk.context, ["1", "crm/contact/3"])
    steward.no_match(desk.context, "r1", "r3", seen=case.seen, reason="different")

    assert [one.source_ref for one in case.records] == ["crm/contact/1", "crm/contact/2", "crm/contact/3"]
    assert case.facts[1] == {"given_name": ["Ada"], "family_name": ["Lovelace"], "email": ["ada@engines.example"]}
    assert ("deterministic", "verified_email") in [(one["kind"], one["rule"]) for one in case.evidence]
    assert [one.kind for one in show(desk.context, ["r3"]).decisions] == ["no_match"]
