"""Preferences: what is stated and what is derived stand apart, and too little or a draw is no preference."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipelines.channels.policy import load_policy
from pipelines.channels.preferences import Stated, golden_preferences
from tests.channels.hub import at
from tests.channels.said import NOTHING_STATED
from tests.channels.test_points import INSTANT

POLICY = load_policy()


def made(stated: list[dict[str, Any]], answers: list[tuple[str, str]] = ()) -> list[dict[str, Any]]:  # type: ignore[assignment]
    said = pa.schema([("entity_id", pa.int64()), ("language", pa.string()), ("time_zone", pa.string())])
    told = pa.schema(
        [("entity_id", pa.int64()), ("channel", pa.string()), ("signal", pa.string()), ("occurred_at", INSTANT)]
    )
    rows = [{"entity_id": 1, "channel": c, "signal": "answered", "occurred_at": at(when)} for c, when in answers]
    everybody = Stated(pa.Table.from_pylist(stated, said), NOTHING_STATED)
    found = golden_preferences(everybody, pa.Table.from_pylist(rows, told), POLICY, "person").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


MORNINGS = [
    ("email", "2026-07-01T07:10"),
    ("email", "2026-07-02T07:50"),
    ("sms", "2026-07-03T15:00"),
    ("email", "2026-12-01T08:30"),
]


def test_the_channel_answered_and_the_hour_of_the_persons_own_clock_are_derived_with_their_counts():
    row = made([{"entity_id": 1, "time_zone": "Europe/London", "language": "en-GB"}], MORNINGS)[0]

    assert (row["answered_channel"], row["answered_hour"]) == ("email", 8)
    assert row["derived"] == '{"answers":{"email":3,"sms":1},"hours":{"08":3,"16":1}}'
    assert (row["language"], row["quiet_from"], row["quiet_to"]) == ("en-GB", "21:00", "08:00")


def test_without_a_time_zone_there_is_no_hour_and_there_are_no_quiet_hours_to_keep():
    row = made([{"entity_id": 1, "time_zone": "Middle/Earth"}], MORNINGS)[0]

    assert row["answered_channel"] == "email"
    assert not row.keys() & {"answered_hour", "quiet_from", "quiet_to"}


@pytest.mark.parametrize(
    "answers", [MORNINGS[:2], [*MORNINGS[:2], *[("sms", "2026-07-03T15:00")] * 2]], ids=["few", "draw"]
)
def test_too_few_answers_or_a_draw_are_no_preference(answers: list[tuple[str, str]]):
    assert "answered_channel" not in made([], answers)[0]


def test_people_of_whom_nothing_is_known_have_no_row():
    assert made([]) == []
    assert [row["entity_id"] for row in made([{"entity_id": 2, "language": "de"}], MORNINGS)] == [1, 2]
