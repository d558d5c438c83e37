"""Our engine against every hazard and every way of paging: never a green run with a missing record.

Two runs with time between them. Data that is hardly data ends in quarantine or is kept byte for byte; a credential is
never shown to a foreign origin; a hazard that did not happen fails the test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from connectors.sdk.errors import FixConfig, StopStream
from connectors.sdk.testing.simulator import HAZARDS, Hazard, HostileVendor, Reader, applies
from connectors.sdk.testing.simulator.generic import PAGING
from connectors.sdk.testing.simulator.hazards import FAMILIES
from connectors.sdk.testing.simulator.reader import Endless

if TYPE_CHECKING:
    from connectors.sdk.testing.simulator import ReadResult

SOME: Final = ("cursor", "header_link", "offset")
SMALL: Final[dict[str, dict[str, Any]]] = {
    "ties_over_cap": {"count": 60, "cap": 30},
    "huge_string": {"size": 17_000_000},
    "daily_quota": {"allowed": 1},
}
UNPROVABLE: Final = {"null_list", "foreign_next", "foreign_redirect", "page_loop", "daily_quota", "ties_over_cap"}
NUMBERED: Final = ("page_number", "page_number_bare", "offset", "offset_bare")
NOT_SAID: Final = {
    ("empty_page", "offset"), ("null_end", "header_link"), ("null_end", "last_record_key_bare"),
    *(("duplicate_page", paging) for paging in NUMBERED),
}  # fmt: skip
NEEDS_MORE: Final = {"ties_over_cap"}
FAMILY: Final = {act.name: family for family, acts in FAMILIES.items() for act in acts}


def _words(name: str, paging: str, *, cursor: bool) -> dict[str, Any]:
    words: dict[str, Any] = {"paging": paging}
    if FAMILY[name] == "cursors" or cursor or name == "late_commit":
        words["cursor"] = "created" if name == "created_only_cursor" else "updated"
    if name == "ties_over_cap":
        words["cap"] = 30
    if FAMILY[name] == "tokens":
        words["auth"] = "oauth_refresh"
    if FAMILY[name] == "deletes":
        words["deletes"] = name.removeprefix("delete_by_").removesuffix("_list")
    return words


def _cases(pagings: tuple[str, ...], names: list[str], *, cursor: bool) -> list[Any]:
    found = []
    for name in names:
        for paging in pagings:
            words = _words(name, paging, cursor=cursor)
            if applies(name, HostileVendor.generic(**words)):
                found.append(pytest.param(name, words, id=f"{name}-{paging}{'-cursor' if cursor else ''}"))
    return found


MOVING = [name for name in HAZARDS if FAMILY[name] in ("pages", "moving", "cursors", "deletes")]
OTHERS = [name for name in HAZARDS if name not in MOVING and name != "huge_string"]
FAST = [
    *_cases(tuple(PAGING), MOVING, cursor=False),
    *_cases(SOME, OTHERS, cursor=False),
    *_cases(tuple(PAGING), [name for name in MOVING if FAMILY[name] == "moving"], cursor=True),
]
SLOW = [
    *_cases(tuple(one for one in PAGING if one not in SOME), OTHERS, cursor=False),
    *_cases(SOME, ["huge_string"], cursor=False),
    *_cases(tuple(PAGING), OTHERS, cursor=True),
    *_cases(tuple(PAGING), [name for name in MOVING if FAMILY[name] == "pages"], cursor=True),
]


def _judge(vendor: HostileVendor, reader: Reader, result: ReadResult) -> None:
    found = vendor.oracle.judge("things", reader.held["things"], reader.quarantined["things"], final=False)
    said = f"{result.completeness} {result.error} {result.reasons}: {found}"
    assert not isinstance(result.error, Endless), said
    assert (found.wrong, found.unexpected, found.wrongly_deleted) == ([], [], []), said
    if result.complete:
        assert found.missing == [], said
    assert all(page.wire == len(page.records) + page.filtered for page in result.pages)
    assert not vendor.traffic.foreign()


def _check(name: str, words: dict[str, Any]) -> None:
    vendor = HostileVendor.generic(**words, hazards=[Hazard(name, **SMALL.get(name, {}))])
    reader = Reader(vendor, endless=80)
    first = reader.read("things")
    _judge(vendor, reader, first)
    vendor.between_reads()
    second = reader.read("things")
    _judge(vendor, reader, second)
    vendor.check_fired()
    if name not in UNPROVABLE and (name, words["paging"]) not in NOT_SAID:
        assert (first.complete, second.complete) == (True, True), f"{first.error} {first.reasons} {second.reasons}"
    if name not in NEEDS_MORE and not any(act.endless for act in vendor.plan.acts):
        _converges(vendor, reader, said=(name, words["paging"]) not in NOT_SAID)
    poisoned = {key for key, one in vendor.oracle.expected("things").items() if one.poison}
    apart = {key for key, _, _ in reader.quarantined["things"]}
    assert apart <= {*poisoned, None}


def _converges(vendor: HostileVendor, reader: Reader, *, said: bool) -> None:
    """Once the hazard is over, the next sync has everything; deletes that nothing names are another stage's."""
    vendor.between_reads(24.0)
    result = reader.read("things")
    found = vendor.oracle.judge("things", reader.held["things"], reader.quarantined["things"])
    assert result.complete or (not said and result.error is None), f"{result.error} {result.reasons}"
    assert (found.missing, found.wrong, found.unexpected) == ([], [], []), str(found)


@pytest.mark.parametrize(("name", "words"), FAST)
def test_no_green_run_lacks_a_record(name: str, words: dict[str, Any]) -> None:
    _check(name, words)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), SLOW)
def test_no_green_run_lacks_a_record_whatever_the_paging(name: str, words: dict[str, Any]) -> None:
    _check(name, words)


EXACT = ("nan", "huge_number", "big_integer", "lone_surrogate", "nul", "duplicate_keys", "deep_json", "null_key")


@pytest.mark.parametrize("name", EXACT)
def test_odd_data_ends_in_quarantine_or_is_kept_byte_for_byte(name: str) -> None:
    vendor = HostileVendor.generic(hazards=[Hazard(name, key="100003")])
    reader = Reader(vendor)
    assert reader.read("things").complete
    sent = vendor.oracle.expected("things")["100003"].contents[0]
    held = reader.held["things"].get("100003")
    apart = [payload for _, _, payload in reader.quarantined["things"]]
    assert (held, apart) in ((sent, []), (None, [sent]))


@pytest.mark.parametrize("minutes", [10, -10])
@pytest.mark.parametrize("of", ["date", "values", "both"])
def test_a_wrong_clock_never_moves_the_cursor_past_a_record(minutes: int, of: str) -> None:
    hazard = Hazard("clock_skew", minutes=minutes, of=of)
    vendor = HostileVendor.generic(cursor="updated", hazards=[hazard])
    reader = Reader(vendor)
    for _ in range(4):
        assert reader.read("things").complete
        vendor.between_reads(hours=0.1)
    assert reader.read("things").complete
    assert vendor.oracle.judge("things", reader.held["things"]).ok


@pytest.mark.parametrize("cursor", ["updated", "updated_exclusive", "updated_unsorted", "integer"])
def test_records_of_one_time_all_come_whenever_they_were_written(cursor: str) -> None:
    vendor = HostileVendor.generic(cursor=cursor, hazards=[Hazard("ties_at_cursor", times=0)])
    reader = Reader(vendor)
    for _ in range(3):
        assert reader.read("things").complete
        vendor.between_reads()
    assert reader.read("things").complete
    assert vendor.oracle.judge("things", reader.held["things"]).ok
    assert len(reader.held["things"]) == 31


def test_more_ties_than_the_cap_are_read_by_key_where_the_vendor_filters_by_key() -> None:
    hazard = Hazard("ties_over_cap", count=250, cap=100)
    vendor = HostileVendor.generic(cursor="updated_keyset", cap=100, hazards=[hazard])
    reader = Reader(vendor)
    assert reader.read("things").complete
    vendor.between_reads()
    vendor.clock.advance(600)
    assert reader.read("things").complete
    assert vendor.oracle.judge("things", reader.held["things"]).ok
    assert len(reader.held["things"]) == 275


@pytest.mark.slow
@pytest.mark.parametrize(("cursor", "complete"), [("updated", False), ("updated_keyset", True)])
def test_25000_records_at_one_timestamp_under_a_cap_of_10000(cursor: str, *, complete: bool) -> None:
    vendor = HostileVendor.generic(
        cursor=cursor, cap=10_000, page_size=500, records=500, hazards=[Hazard("ties_over_cap")]
    )
    reader = Reader(vendor)
    assert reader.read("things").complete
    vendor.between_reads()
    vendor.clock.advance(600)
    result = reader.read("things")
    found = vendor.oracle.judge("things", reader.held["things"])
    assert (result.complete, found.ok) == (complete, complete)
    assert complete or any("cap" in reason or "10000" in reason for reason in result.reasons)


@pytest.mark.parametrize("kind", ["seconds", "date", "absent"])
def test_a_wait_the_vendor_asks_for_is_obeyed(kind: str) -> None:
    vendor = HostileVendor.generic(hazards=[Hazard("too_many_requests", retry_after=kind, wait=7)])
    assert Reader(vendor).read("things").complete
    assert len(vendor.traffic.refused()) == 1 or kind == "absent"


def test_a_huge_wait_ends_the_run_and_the_next_one_goes_on_where_it_stood() -> None:
    vendor = HostileVendor.generic(hazards=[Hazard("too_many_requests", page=2, retry_after="huge")])
    reader = Reader(vendor)
    first = reader.read("things")
    assert (getattr(first.error, "seconds", None), len(first.keys)) == (3600, 10)
    vendor.clock.advance(3600)
    second = reader.read("things")
    assert (second.complete, len(second.keys)) == (True, 15)
    assert vendor.oracle.judge("things", reader.held["things"]).ok


def test_hazards_together() -> None:
    names = ("empty_page", "duplicate_page", "server_error", "truncated_json", "nan", "big_integer", "expired_token")
    hazards = [Hazard(name) for name in names]
    vendor = HostileVendor.generic(auth="oauth_refresh", records=45, hazards=hazards)
    reader = Reader(vendor)
    assert reader.read("things").complete
    vendor.check_fired()
    assert vendor.oracle.judge("things", reader.held["things"], reader.quarantined["things"]).ok


WIRED = [
    Hazard("page_filtered_short"),
    *(Hazard(name) for name in FAMILY if FAMILY[name] == "wire" and name != "stall"),
    Hazard("wrong_content_length", by=-10),
    Hazard("stall", seconds=0.05),
]


@pytest.mark.parametrize("hazard", WIRED, ids=lambda hazard: f"{hazard.name}-{hazard.parameters}")
def test_the_same_over_real_http_with_the_products_own_client(hazard: Hazard) -> None:
    vendor = HostileVendor.generic(hazards=[hazard])
    with vendor.served() as base_url:
        assert Reader(vendor, base_url=base_url).read("things").complete
        reader = Reader(vendor, base_url=base_url)
        assert reader.read("things").complete
    vendor.check_fired()
    assert vendor.oracle.judge("things", reader.held["things"]).ok


@pytest.mark.parametrize("name", ["foreign_next", "foreign_redirect"])
def test_over_real_http_no_foreign_origin_is_ever_asked(name: str) -> None:
    vendor = HostileVendor.generic(paging="next_url", hazards=[Hazard(name)])
    with vendor.served() as base_url:
        result = Reader(vendor, base_url=base_url).read("things")
    assert isinstance(result.error, StopStream)
    vendor.check_fired()
    assert vendor.traffic.foreign() == []


def test_a_token_that_cannot_be_renewed_ends_the_run_with_the_users_own_error() -> None:
    vendor = HostileVendor.generic(auth="bearer", hazards=[Hazard("expired_token", page=2)])
    result = Reader(vendor).read("things")
    assert isinstance(result.error, FixConfig)
    assert len(result.keys) == 10
