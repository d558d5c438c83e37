"""Contact points as a pure function: what counts as one, how it is ranked, and a deliverability that only facts move."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pyarrow as pa
import pytest

from pipelines.channels.points import INSTANT, golden_points
from pipelines.channels.policy import load_policy
from pipelines.channels.signals import signals
from tests.channels.hub import at

pytestmark = pytest.mark.slow  # each goes through whole stages

POLICY = load_policy()
_POINT = {
    "entity_id": pa.int64(), "source_record_id": pa.int64(), "row_key": pa.string(), "kind": pa.string(), "network": pa.string(),
    "value": pa.string(), "value_norm": pa.string(), "use": pa.string(), "rank": pa.int64(), "verified": pa.bool_(),
    "deliverable": pa.bool_(), "valid_from": INSTANT, "valid_to": INSTANT, "record_time": INSTANT, "term_times": pa.string(),
    "connection_id": pa.string(), "object": pa.string(), "source_key": pa.string(),
}  # fmt: skip
_EVENT = {
    "entity_id": pa.int64(), "party": pa.int64(), "occurred_at": INSTANT, "direction": pa.string(), "channel": pa.string(),
    "type": pa.string(), "word": pa.string(), "status": pa.string(),
}  # fmt: skip
MAIL = {"kind": "email", "value": "A@x.org", "value_norm": "a@x.org"}


def made(
    points: list[dict[str, Any]], events: list[dict[str, Any]] = (), moved: list[tuple[int, str]] = ()
) -> list[dict[str, Any]]:  # type: ignore[assignment]
    said = [
        {
            "entity_id": 1,
            "source_record_id": 1,
            "row_key": "0",
            "connection_id": "crm",
            "object": "contact",
            "source_key": str(n),
        }
        | each
        for n, each in enumerate(points)
    ]
    told = [{"entity_id": 1, "party": 1, "channel": "email", "type": "email"} | each for each in events]
    happened = signals(pa.Table.from_pylist(told, pa.schema(list(_EVENT.items()))), POLICY)
    keys = pa.table(
        {
            "source_record_id": pa.array([m[0] for m in moved], pa.int64()),
            "row_key": pa.array([m[1] for m in moved], pa.string()),
        }
    )
    return golden_points(
        pa.Table.from_pylist(said, pa.schema(list(_POINT.items()))), happened, keys, POLICY, "person"
    ).to_pylist()


def happened(word: str, day: int, **terms: Any) -> dict[str, Any]:
    return {"word": word, "occurred_at": at(f"2026-03-{day:02d}")} | terms


def judged(*events: dict[str, Any], **terms: Any) -> tuple[float, str]:
    row = made([MAIL | terms], list(events))[0]
    return row["deliverability"], row["state"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], (0.5, "usable")),
        ([happened("DELIVERED", 1)], (0.9, "usable")),
        ([happened("Received Email", 1), happened("Clicked Email", 2)], (1.0, "usable")),
        ([happened("BOUNCE", 1, status="MAILBOX_FULL")], (0.25, "usable")),
        ([happened("DELIVERED", 1), happened("bounced", 2), happened("bounced", 3)], (0.225, "usable")),
        ([happened("bounced", day) for day in range(1, 6)], (0.0156, "undeliverable")),
        ([*(happened("bounced", day) for day in range(1, 6)), happened("OPEN", 6)], (1.0, "usable")),
        ([happened("DELIVERED", 1), happened("BOUNCE", 2, status="UNKNOWN_USER")], (0.0, "undeliverable")),
        ([happened("hard_bounce", 2), happened("delivered", 3)], (0.9, "usable")),
        ([happened("hard_bounce", 2), happened("delivered", 2)], (0.0, "undeliverable")),
        ([happened("hard_bounce", 2), happened("UNBOUNCE", 3)], (0.5, "usable")),
        ([happened("SPAMREPORT", 2), happened("OPEN", 3)], (1.0, "complained")),
        ([happened("Ordered Product", 2)], (0.5, "usable")),
    ],
)
def test_deliverability_follows_what_happened(events: list[dict[str, Any]], expected: tuple[float, str]):
    assert judged(*events) == expected


def test_a_source_that_says_undeliverable_is_outlived_only_by_a_later_success():
    refused = {"deliverable": False, "record_time": at("2026-03-02")}

    assert judged(happened("DELIVERED", 1), **refused) == (0.0, "undeliverable")
    assert judged(happened("DELIVERED", 3), **refused) == (0.9, "usable")
    assert judged(happened("DELIVERED", 3), deliverable=False) == (0.0, "undeliverable")
    timeless = MAIL | {"deliverable": False, "source_record_id": 2}
    assert made([MAIL | refused, timeless], [happened("DELIVERED", 3)])[0]["state"] == "undeliverable"


WORDS = ("DELIVERED", "OPEN", "CLICK", "SENT", "bounced", "hard_bounce", "SPAMREPORT", "UNBOUNCE")


@pytest.mark.parametrize("seed", range(15))
def test_it_stays_within_0_and_1_a_bounce_never_raises_it_and_a_success_never_lowers_it(seed: int):
    rng = random.Random(seed)
    history = [happened(rng.choice(WORDS), day) for day in range(1, rng.randrange(2, 14))]
    terms = {
        "verified": rng.choice([None, True, False]),
        "deliverable": rng.choice([None, False]),
        "record_time": at("2026-03-05"),
    }
    before = judged(*history, **terms)[0]

    assert 0 <= before <= 1
    for word in ("bounced", "hard_bounce"):
        assert judged(*history, happened(word, 20), **terms)[0] <= before
    for word in ("DELIVERED", "OPEN", "CLICK"):
        assert judged(*history, happened(word, 20), **terms)[0] >= before


def test_rank_puts_what_can_be_used_first_then_the_sources_own_order():
    rows = made(
        [
            MAIL | {"value_norm": "ended@x.org", "valid_to": at("2026-01-01"), "rank": 1, "row_key": "a"},
            MAIL | {"value_norm": "third@x.org", "row_key": "b"},
            MAIL | {"value_norm": "second@x.org", "rank": 2, "row_key": "c"},
            MAIL | {"value_norm": "refused@x.org", "deliverable": False, "rank": 1, "row_key": "d"},
            MAIL | {"value_norm": "first@x.org", "verified": True, "rank": 9, "row_key": "e"},
        ]
    )

    assert [row["value_norm"].partition("@")[0] for row in rows] == ["first", "second", "third", "refused", "ended"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]


def test_an_address_is_one_by_its_words_and_a_handle_by_its_network():
    rows = made(
        [
            {"kind": "address", "value": "12 St. James Sq., London", "row_key": "a"},
            {"kind": "address", "value": "12 st james sq  London", "row_key": "b"},
            {"kind": "social", "network": "x", "value": "ada", "row_key": "c"},
            {"kind": "social", "network": "linkedin", "value": "Ada", "row_key": "d"},
            {"kind": "phone", "value": "  ", "row_key": "e"},
        ]
    )

    assert [(row["kind"], row["network"], row["value_norm"]) for row in rows] == [
        ("address", "", "12 st james sq london"), ("social", "x", "ada"), ("social", "linkedin", "ada"),
    ]  # fmt: skip


def test_an_event_counts_only_where_it_is_known_which_contact_point_it_was():
    two = [MAIL | {"row_key": "a"}, MAIL | {"value_norm": "b@x.org", "row_key": "b"}]
    bounce = [happened("hard_bounce", 2)]

    assert [row["state"] for row in made(two, bounce)] == ["usable", "usable"]
    assert made([MAIL | {"record_time": at("2026-03-05")}], bounce, [(1, "0")])[0]["state"] == "usable"
    assert made([MAIL | {"record_time": at("2026-03-01")}], bounce, [(1, "0")])[0]["state"] == "undeliverable"


def test_the_order_of_rows_never_matters():
    points = [
        MAIL | {"row_key": "a", "value": "A@X.org", "source_record_id": 1, "use": "work"},
        MAIL | {"row_key": "a", "value": "a@x.org", "source_record_id": 2, "use": "home"},
        MAIL | {"row_key": "b", "value_norm": "b@x.org", "source_record_id": 2},
    ]
    numbered = [{**each, "source_key": str(n)} for n, each in enumerate(points)]
    results = [made(list(order)) for order in itertools.permutations(numbered)]

    assert all(result == results[0] for result in results)
