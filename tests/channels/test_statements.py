"""What several records of one person state: the newest channel and time, and the strictest of hours and numbers."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.channels import statements
from pipelines.channels.policy import load_policy
from pipelines.channels.preferences import PREFERENCE_SCHEMA, Stated, golden_preferences
from pipelines.channels.signals import signals
from tests.channels import by_row
from tests.channels.hub import at
from tests.channels.said import cap, quiet, row, table

POLICY = load_policy()
SILENT = pa.schema([("entity_id", pa.int64()), ("language", pa.string()), ("time_zone", pa.string())])
NO_SIGNALS = signals(pa.table({"word": pa.array([], pa.string())}), POLICY)
DAY = 24 * 60
MANY = settings(max_examples=60, deadline=None)

minutes = st.integers(0, DAY - 1).map(lambda n: f"{n // 60:02d}:{n % 60:02d}")
spans = st.lists(st.tuples(minutes, minutes), max_size=5)
days = st.sampled_from([None, *(f"2026-01-{day:02d}" for day in range(1, 6))])


def made(*said: dict[str, Any], zone: str | None = "Europe/London") -> dict[str, Any]:
    golden = pa.Table.from_pylist([{"entity_id": 1, "time_zone": zone}], SILENT)
    (found,) = golden_preferences(Stated(golden, table(*said)), NO_SIGNALS, POLICY, "person").to_pylist()
    return {name: value for name, value in found.items() if value is not None and name not in ("entity_id", "entity")}


def covered(start: str, end: str) -> set[int]:
    """Every minute of the day in a span, counted one by one."""
    first, last = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (start, end))
    return {
        minute
        for minute in range(DAY)
        if (first <= minute < last if first <= last else minute >= first or minute < last)
    }


def all_covered(found: list[tuple[str, str]]) -> set[int]:
    return {minute for span in found for minute in covered(*span)}


def test_the_newest_statement_of_channel_and_time_counts_whichever_record_makes_it():
    older = [row("channel", 1, preferred_channel="email", stated_at=at("2026-01-01")),
             row("time", 1, time_from="08:00", time_to="10:00", stated_at=at("2026-02-01"))]  # fmt: skip
    newer = [row("channel", 2, preferred_channel="phone", stated_at=at("2026-01-02")),
             row("time", 2, time_from="18:00", time_to="21:00", stated_at=at("2026-01-31"))]  # fmt: skip

    found = made(*older, *newer)

    assert (found["stated_channel"], found["stated_from"], found["stated_to"]) == ("phone", "08:00", "10:00")
    assert not found.keys() & {"answered_channel", "answered_hour", "derived"}


def test_a_statement_without_a_time_is_as_old_as_its_value_and_without_any_time_never_newer():
    dated = row("channel", 1, preferred_channel="email", stated_at=at("2026-01-05"))
    touched = row("channel", 9, preferred_channel="phone", record_time=at("2026-03-01"))
    held = json.dumps({"preferred_channel": "2026-01-04T00:00:00.000000Z"})

    assert made(dated, touched)["stated_channel"] == "phone"
    assert made(dated, touched | {"term_times": held})["stated_channel"] == "email"
    assert made(dated, touched | {"record_time": None})["stated_channel"] == "email"


def test_a_statement_about_one_channel_or_purpose_is_told_with_its_scope_and_not_as_one_about_all():
    found = made(
        row("time", 1, channel="phone", time_from="18:00", time_to="21:00", stated_at=at("2026-01-01")),
        row("channel", 1, purpose="service", preferred_channel="sms"),
        cap(1, 7, channel="email"),
        quiet("12:00", "14:00", channel="phone"),
    )

    assert not found.keys() & {"stated_from", "stated_channel", "max_messages", "quiet_also"}
    assert (found["quiet_from"], found["quiet_to"]) == ("21:00", "08:00")
    assert json.loads(found["stated"]) == [
        {"kind": "channel", "purpose": "service", "preferred_channel": "sms", "source": 1},
        {"kind": "frequency", "channel": "email", "max_messages": 1, "per_days": 7, "source": 1},
        {"kind": "quiet_hours", "channel": "phone", "time_from": "12:00", "time_to": "14:00", "source": 1},
        {"kind": "time", "channel": "phone", "time_from": "18:00", "time_to": "21:00",
         "said_at": "2026-01-01T00:00:00.000000Z", "source": 1},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], [("21:00", "08:00")]),
        ([("20:00", "09:00")], [("20:00", "09:00")]),
        ([("22:00", "06:00")], [("21:00", "08:00")]),
        ([("08:00", "09:30")], [("21:00", "09:30")]),
        ([("12:00", "13:00")], [("21:00", "08:00"), ("12:00", "13:00")]),
        ([("18:00", "00:00"), ("12:00", "12:00")], [("18:00", "08:00")]),
        ([("08:00", "21:00")], [("00:00", "24:00")]),
    ],
)
def test_quiet_hours_are_the_companys_and_the_persons_together(
    own: list[tuple[str, str]], expected: list[tuple[str, str]]
):
    found = made(*(quiet(*span, row_key=str(n)) for n, span in enumerate(own)))
    also = [tuple(span) for span in json.loads(found.get("quiet_also", "[]"))]

    assert [(found["quiet_from"], found["quiet_to"]), *also] == expected


def test_where_the_company_has_no_quiet_hours_the_persons_own_stand_alone():
    own = [statements.read(quiet("12:00", "13:00"))]

    assert statements.quiet_spans(own, ("00:00", "00:00")) == [("12:00", "13:00")]
    assert statements.quiet_spans([], ("00:00", "00:00")) == [("00:00", "00:00")]


def test_without_a_time_zone_nobody_can_say_when_it_is_quiet_but_what_is_stated_stays():
    found = made(quiet("20:00", "09:00"), zone=None)

    assert not found.keys() & {"quiet_from", "quiet_to", "quiet_also"}
    assert json.loads(found["stated"])[0]["time_from"] == "20:00"


def test_the_strictest_number_is_the_fewest_messages_a_day():
    assert [made(*each)["max_messages"] for each in ([cap(3, 7), cap(1, 7)], [cap(1, 7), cap(1, 30)], [cap(2, 14), cap(1, 7)])] == [
        1, 1, 1,
    ]  # fmt: skip
    assert made(cap(1, 7, 1), cap(3, 30, 2))["per_days"] == 30
    assert "max_messages" not in made(cap(None, 7))


@MANY
@given(spans, st.tuples(minutes, minutes))
def test_the_union_of_quiet_hours_holds_every_minute_of_each_and_no_other(
    own: list[tuple[str, str]], company: tuple[str, str]
):
    said = [statements.read(quiet(*span)) for span in own]

    found = statements.quiet_spans(said, company)

    wanted = all_covered([span for span in (company, *own) if span[0] != span[1]])
    got = (
        set(range(DAY))
        if found == [("00:00", "24:00")]
        else all_covered([span for span in found if span[0] != span[1]])
    )
    assert got == wanted
    assert sum(len(covered(*span)) for span in found) in (len(wanted), 0 if found == [company] else DAY)


@MANY
@given(
    st.lists(st.tuples(minutes, minutes, days), max_size=4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30), days), max_size=4),
    st.lists(st.tuples(st.sampled_from(["email", "phone", "sms"]), days), max_size=4),
    st.randoms(use_true_random=False),
)
def test_in_any_order_of_records_the_strictest_holds_and_the_newest_is_preferred(quiets, caps, channels, random):
    def dated(day: str | None) -> Any:
        return None if day is None else at(day)

    rows = [quiet(start, end, n, stated_at=dated(day)) for n, (start, end, day) in enumerate(quiets)]
    rows += [cap(most, per, n, stated_at=dated(day)) for n, (most, per, day) in enumerate(caps)]
    rows += [row("channel", n, preferred_channel=word, stated_at=dated(day)) for n, (word, day) in enumerate(channels)]
    first = made(*rows)
    random.shuffle(rows)
    found = made(*rows)

    assert found == first
    hours = [(found["quiet_from"], found["quiet_to"]), *map(tuple, json.loads(found.get("quiet_also", "[]")))]
    assert hours == [("00:00", "24:00")] or all(
        covered(start, end) <= all_covered(hours) for start, end, _ in quiets if start != end
    )
    assert all(found["max_messages"] * per <= most * found["per_days"] for most, per, _ in caps)
    if channels:
        newest = max(day or "" for _, day in channels)
        assert found["stated_channel"] in [word for word, day in channels if (day or "") == newest]


def test_a_million_who_state_nothing_are_made_column_by_column(monkeypatch: pytest.MonkeyPatch):
    golden = pa.table({"entity_id": [1, 2], "language": ["de", None], "time_zone": ["Europe/Berlin", None]})
    monkeypatch.setattr("pipelines.channels.preferences.query", lambda *_, **__: pytest.fail("a join"))

    found = golden_preferences(Stated(golden, table()), NO_SIGNALS, POLICY, "person")

    assert found.schema == PREFERENCE_SCHEMA
    assert found.column("stated").null_count == found.num_rows == 2


def test_all_at_once_are_what_each_is_by_the_rules_of_statements():
    told = by_row.parties(seed=11, count=1_500)
    words = {"entity_id": [3, 4, 4], "channel": ["email", "phone", "phone"], "occurred_at": [at("2026-01-01")] * 3}
    answered = pa.table({**words, "signal": ["answered"] * 3})
    derived = golden_preferences(Stated(told.golden, table()), answered, POLICY, "person")
    known = {row["entity_id"]: row for row in derived.to_pylist() if row["derived"]}
    answers = {number: {name: row[name] for name in ("answered_channel", "answered_hour", "derived")} for number, row in known.items()}  # fmt: skip

    found = golden_preferences(told, answered, POLICY, "person")

    assert set(answers) == {3, 4}
    assert found.to_pylist() == by_row.preferences(told, answers, POLICY, "person").to_pylist()
    assert found.schema == PREFERENCE_SCHEMA
    for name in ("stated_channel", "stated_from", "quiet_also", "max_messages", "stated"):
        assert 0 < found.column(name).null_count < found.num_rows
    assert pc.sum(pc.is_in(found.column("quiet_to"), pa.array(["24:00"]))).as_py() > 0


def test_what_several_hours_come_to_is_worked_out_once_for_all_who_state_them(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(statements, "quiet_spans", lambda said, company: asked.append(said) or [company])
    rows = [quiet("12:00", "13:00", record=n) | {"entity_id": n} for n in range(1, 40)]
    golden = pa.Table.from_pylist([{"entity_id": n, "time_zone": "Europe/London"} for n in range(1, 60)], SILENT)

    found = golden_preferences(Stated(golden, table(*rows)), NO_SIGNALS, POLICY, "person")

    assert found.num_rows == 59
    assert len(asked) == 2  # those hours, and none
