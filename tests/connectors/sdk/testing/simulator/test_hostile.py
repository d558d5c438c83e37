"""The hostile vendor itself: its shapes, its plan, its oracle, and what it makes of a connector's manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.manifest import load_manifest
from connectors.sdk.testing.simulator import HAZARDS, Hazard, HostileVendor, Reader, oracle
from connectors.sdk.testing.simulator.generic import AUTH, CURSORS, PAGING
from connectors.sdk.testing.simulator.shape import CONNECTORS
from connectors.sdk.testing.simulator.traffic import Asked, Traffic
from tests.connectors.sdk.testing.simulator.raw import Raw, vendor

NAMES = sorted(path.parent.name for path in CONNECTORS.glob("*/manifest.yaml"))


def _read_all(made: HostileVendor) -> Reader:
    reader = Reader(made)
    for _ in range(2):
        for stream, spec in made.manifest.streams.items():
            result = reader.read(stream)
            silent = spec.parent is not None and spec.parent.changed_only and not result.pages
            assert result.complete or silent, f"{stream}: {result.error} {result.reasons}"
        made.between_reads()
    return reader


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paging", PAGING)
@pytest.mark.parametrize("cursor", CURSORS)
def test_every_generic_shape_is_read_whole_and_then_by_changes(paging: str, cursor: str) -> None:
    made = HostileVendor.generic(paging=paging, cursor=cursor)
    reader = _read_all(made)
    assert made.oracle.judge("things", reader.held["things"]).ok
    assert len(reader.held["things"]) == 25


@pytest.mark.parametrize("auth", AUTH)
def test_every_way_of_authentication_is_read(auth: str) -> None:
    made = HostileVendor.generic(auth=auth)
    assert _read_all(made).held["things"]


def test_partitions_and_children_each_hold_their_own() -> None:
    made = HostileVendor.generic(partitions=("eu", "us"), children=True)
    reader = _read_all(made)
    assert made.oracle.judge("things", reader.held["things"]).ok
    assert {"eu", "us"} == {asked.query["region"] for asked in made.traffic.requests if asked.stream == "things"}
    counts = [
        sum(key.startswith(f"{parent.key}:") for key in reader.held["things"]) for parent in made.parents("parents")
    ]
    assert counts == [0, 21, 2, 2]


def test_equal_arguments_give_equal_answers() -> None:
    answers = {json.dumps([Raw(vendor(cursor="updated", seed=seed)).page() for _ in range(2)]) for seed in (5, 5)}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("words", "known"),
    [({"paging": "scroll"}, "cursor"), ({"auth": "magic"}, "bearer"), ({"deletes": "never"}, "flag")],
)
def test_an_unknown_word_names_the_known_ones(words: dict[str, Any], known: str) -> None:
    with pytest.raises(ValueError, match=known):
        HostileVendor.generic(**words)


# --- from a manifest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_vendor_derived_from_a_manifest_is_read_by_that_manifest(name: str) -> None:
    made = HostileVendor.of(CONNECTORS / name, page_size=10)
    reader = _read_all(made)
    for stream in made.manifest.streams:
        found = made.oracle.judge(stream, reader.held[stream], reader.quarantined[stream])
        assert found.ok, f"{stream}: {found}"
        assert len(reader.held[stream]) == made.lots[stream].count > 0


def test_a_connector_outside_this_repository_works_from_manifest_and_fixtures(tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    for part in ("manifest.yaml", "fixtures/users"):
        source = CONNECTORS / "acme" / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, _made(folder / part))
    made = HostileVendor.of(folder, streams=["users"], hazards=[Hazard("server_error")])
    reader = Reader(made)
    assert reader.read("users").complete
    records = [json.loads(payload) for payload in reader.held["users"].values() if payload]
    assert len({record["id"] for record in records}) == 250
    fixtures = [json.loads(file.read_text(encoding="utf-8")) for file in (folder / "fixtures/users").glob("*.json")]
    assert {frozenset(record) for record in records} <= {frozenset(one) for one in fixtures if isinstance(one, dict)}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_records_can_be_given_outright() -> None:
    given = [
        json.dumps({"slug": f"s{i}", "title": "T", "rule": None, "made_on": "2026-01-01"}).encode() for i in range(3)
    ]
    made = HostileVendor.of(CONNECTORS / "acme", streams=["segments"], payloads={"segments": given})
    reader = Reader(made)
    assert reader.read("segments").complete
    assert {json.loads(payload)["title"] for payload in reader.held["segments"].values() if payload} == {"T"}
    assert len(reader.held["segments"]) == 3


def test_a_reader_with_another_manifest_meets_the_same_vendor() -> None:
    made = HostileVendor.of(CONNECTORS / "acme", streams=["companies"], page_size=10)
    wrong = load_manifest(CONNECTORS / "acme")
    reader = Reader(made, manifest=wrong)
    assert reader.settings.manifest.streams["companies"].request.page_size == 10
    assert reader.read("companies").complete


def test_what_the_vendor_demands_is_refused_without_it() -> None:
    made = HostileVendor.of(CONNECTORS / "acme", streams=["users"])
    headers = {"Authorization": f"Bearer {made.config.get('access_token', '')}"}
    response = Raw(made).get("/v2/users", headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")
    assert Raw(made).get("/v2/nothing", headers={**headers, "Acme-Version": "1"}).status_code == 404


# --- plan ----------------------------------------------------------------------------------------------------------


def test_a_hazard_that_never_fired_is_named() -> None:
    made = vendor(Hazard("html_200", page=9), Hazard("server_error", page=1))
    Raw(made).get(limit=10)
    assert [hazard.name for hazard in made.plan.unfired()] == ["html_200"]
    with pytest.raises(AssertionError, match="html_200"):
        made.check_fired()


def test_what_fired_says_where_and_the_log_of_requests_too() -> None:
    made = vendor(Hazard("html_200", page=1))
    Raw(made).get(limit=10)
    fired = made.plan.fired[0]
    assert (fired.hazard, fired.stream, fired.page, fired.at) == ("html_200", "things", 1, made.clock.monotonic())
    assert made.traffic.requests[0].hazards == ("html_200",)


@pytest.mark.parametrize(
    ("hazard", "words", "why"),
    [
        (Hazard("earthquake"), {}, "known: page_filtered_short"),
        (Hazard("html_200", colour="red"), {}, "no parameter colour"),
        (Hazard("html_200", stream="nothing"), {}, "no stream 'nothing'"),
        (Hazard("foreign_next"), {"paging": "offset"}, "foreign_next cannot happen to things"),
        (Hazard("ties_at_cursor"), {}, "ties_at_cursor cannot happen"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(hazard: Hazard, words: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HostileVendor.generic(**words, hazards=[hazard])


def test_the_readme_lists_every_hazard() -> None:
    text = (CONNECTORS / "sdk/testing/simulator/README.md").read_text(encoding="utf-8")
    assert [name for name in HAZARDS if f"`{name}`" not in text] == []


# --- oracle --------------------------------------------------------------------------------------------------------


def test_the_oracle_names_each_difference() -> None:
    made = vendor(Hazard("delete_by_flag", key="100001"), deletes="flag")
    held: dict[str, bytes | None] = {key: one.contents[0] for key, one in made.oracle.expected("things").items()}
    assert made.oracle.judge("things", held).ok
    made.between_reads()
    del held["100002"]
    held["100003"] = b'{"id":100003}'
    held["100004"] = None
    held["stranger"] = b"{}"
    found = made.oracle.judge("things", held)
    assert (found.undeleted, found.missing, found.wrong) == (["100001"], ["100002"], ["100003"])
    assert (found.wrongly_deleted, found.unexpected) == (["100004"], ["stranger"])
    assert "1 missing: 100002" in str(found)
    assert not found.ok


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}', False),
        (b'{"a":1.10}', b'{"a":1.1}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":NaN}', b'{"a":NaN}', True),
        (b'{"a":1e400}', b'{"a":Infinity}', False),
    ],
)
def test_contents_are_compared_digit_for_digit(one: bytes, other: bytes, *, same: bool) -> None:
    assert oracle.same(one, other) is same


def test_old_content_is_late_only_as_the_vendor_once_showed_it() -> None:
    made = vendor(Hazard("updated_while_paging", page=2, count=1))
    held: dict[str, bytes | None] = {key: one.contents[0] for key, one in made.oracle.expected("things").items()}
    list(Raw(made).walk())
    assert made.oracle.judge("things", held, final=False).late == ["100001"]
    assert made.oracle.judge("things", held).wrong == ["100001"]
    held["100001"] = b'{"id":100001,"made":"up"}'
    assert made.oracle.judge("things", held, final=False).wrong == ["100001"]


def test_the_rate_is_the_most_in_any_window() -> None:
    traffic = Traffic([Asked(at, "GET", "o", "/", {}, 200) for at in (0, 1, 9.5, 10, 10.5, 11)])
    assert (traffic.peak(1), traffic.peak(2), traffic.peak(11)) == (2, 4, 5)
