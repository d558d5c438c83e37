"""Hazards of a world that moves, of cursors and of deletes, seen on plain HTTP."""

from __future__ import annotations

import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from connectors.sdk.testing.simulator import Hazard, HostileVendor
from tests.connectors.sdk.testing.simulator.raw import Raw, ids, vendor

pytestmark = pytest.mark.slow  # each reads a moving list to its end

ALL = list(range(100_001, 100_026))


def _offsets(made: HostileVendor) -> list[list[int]]:
    return [ids(Raw(made).page(offset=at)) for at in (0, 10, 20)]


def _newest(made: HostileVendor) -> str:
    records = [json.loads(one.contents[0]) for one in made.oracle.expected("things").values()]
    return str(max(record["updated"] for record in records))


def test_rows_inserted_at_the_head_push_the_others_down() -> None:
    made = vendor(Hazard("rows_inserted", page=2, count=3), paging="offset")
    assert _offsets(made) == [ALL[:10], ALL[7:17], ALL[17:]]
    new = {key for key, one in made.oracle.expected("things").items() if one.late}
    assert len(new) == 3
    assert new.isdisjoint(map(str, ALL))


def test_rows_deleted_make_the_others_move_up_and_be_passed_by() -> None:
    made = vendor(Hazard("rows_deleted", page=2, count=3), paging="offset")
    assert _offsets(made) == [ALL[:10], ALL[13:23], ALL[23:]]
    truth = made.oracle.expected("things")
    assert [key for key, one in truth.items() if one.deleted] == [str(one) for one in ALL[:3]]
    assert not any(one.late for one in truth.values() if not one.deleted)


@pytest.mark.parametrize("name", ["rows_deleted", "updated_while_paging"])
@pytest.mark.parametrize("cursor", [None, "updated"])
def test_a_record_passed_by_is_missing_and_not_late(name: str, cursor: str | None) -> None:
    """It did not change itself: nothing but reading with care ever brings it."""
    made = vendor(Hazard(name, page=2, count=3), paging="offset", cursor=cursor)
    seen = {str(key) for page in _offsets(made) for key in page}
    held = {key: one.contents[0] for key, one in made.oracle.expected("things").items() if key in seen}
    passed_by = made.oracle.judge("things", held, final=False).missing
    assert len(passed_by) == (0 if (name, cursor) == ("updated_while_paging", None) else 3)


def test_a_record_updated_while_paging_has_new_content_and_a_new_time() -> None:
    made = vendor(Hazard("updated_while_paging", page=2, count=1), cursor="updated")
    before = Raw(made).page()["items"][0]
    pages = list(Raw(made).walk())
    assert pages[-1][-1] == before["id"]
    now = json.loads(made.oracle.expected("things")[str(before["id"])].contents[0])
    assert now["updated"] > before["updated"]
    assert now["note_of_change"]


def test_a_late_commit_lies_behind_the_newest() -> None:
    made = vendor(Hazard("late_commit", count=2, behind=90), cursor="updated")
    newest = _newest(made)
    made.between_reads()
    late = [record for record in _all(made) if record["id"] not in ALL]
    assert [(_at(newest) - _at(record["updated"])).total_seconds() for record in late] == [90, 90]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _all(made: HostileVendor, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Raw(made).get(limit=100_000, **params).json()["items"]
    return found


def test_ties_lie_across_a_page_border_and_more_come_later() -> None:
    made = vendor(Hazard("ties_at_cursor", count=12, later=2), cursor="updated")
    tied = _newest(made)
    assert sum(record["updated"] == tied for record in _all(made)) == 12
    made.between_reads()
    assert sum(record["updated"] == tied for record in _all(made)) == 14
    assert [record["updated"] for record in Raw(made).page()["items"]].count(tied) == 0
    assert len(_all(made, since=tied)) == 14


def test_more_ties_than_the_cap_are_refused_past_it() -> None:
    made = vendor(Hazard("ties_over_cap", count=25_000, cap=10_000), cursor="updated", cap=10_000, page_size=1000)
    made.between_reads()
    since = made.clock.now().strftime("%Y-%m-%dT%H:00:00Z")
    got, after, last = 0, None, None
    for _ in range(11):
        last = Raw(made).get(limit=1000, since=since, **({"after": after} if after else {}))
        if last.status_code != 200:
            break
        got, after = got + len(last.json()["items"]), last.json()["next"]
    assert last is not None
    assert (got, last.status_code) == (10_000, 400)
    assert len({record["updated"] for record in _all(made) if record["id"] not in ALL}) == 1


def test_a_created_only_cursor_does_not_move() -> None:
    made = vendor(Hazard("created_only_cursor", count=2), cursor="created")
    newest = max(record["created"] for record in _all(made))
    made.between_reads()
    assert [record["id"] for record in _all(made) if "note_of_change" in record] == ALL[:2]
    assert max(record["created"] for record in _all(made)) == newest


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_wrong_clock_dates_answers_and_records(minutes: int) -> None:
    made = vendor(Hazard("clock_skew", minutes=minutes), cursor="updated")
    made.between_reads()
    answer = Raw(made).get(limit=100)
    off = (parsedate_to_datetime(answer.headers["date"]) - made.clock.now()).total_seconds()
    assert off == minutes * 60
    new = next(record for record in answer.json()["items"] if record["id"] not in ALL)
    assert round((_at(new["updated"]) - made.clock.now()).total_seconds() / 60) == minutes


def test_a_true_clock_dates_answers_rightly() -> None:
    made = vendor()
    assert parsedate_to_datetime(Raw(made).get(limit=1).headers["date"]) == made.clock.now()


DELETES = {
    "delete_by_absence": ("absence", None, {}),
    "delete_by_endpoint": ("endpoint", "/deletions", {}),
    "delete_by_archived_list": ("archived", "/things", {"archived": "true"}),
}


@pytest.mark.parametrize("name", DELETES)
def test_a_deleted_record_leaves_the_list(name: str) -> None:
    deletes, path, params = DELETES[name]
    made = vendor(Hazard(name, key="100004"), deletes=deletes)
    made.between_reads()
    assert 100_004 not in [one for page in Raw(made).walk() for one in page]
    assert made.oracle.expected("things")["100004"].deleted
    if path is not None:
        named = Raw(made).get(path, limit=10, **params).json()["items"]
        assert [record["id"] for record in named] == [100_004]


def test_a_record_deleted_by_flag_stays_and_says_so() -> None:
    made = vendor(Hazard("delete_by_flag", key="100004"), deletes="flag", cursor="updated")
    made.between_reads()
    gone = [record for record in _all(made) if record["state"] == "deleted"]
    assert [record["id"] for record in gone] == [100_004]
    assert gone[0]["updated"] == _newest(made)


def test_a_single_record_is_gone_from_its_own_address_too() -> None:
    made = vendor(Hazard("delete_by_absence", key="100004"), deletes="confirm")
    assert Raw(made).get("/things/100004").json()["id"] == 100_004
    made.between_reads()
    assert Raw(made).get("/things/100004").status_code == 404
