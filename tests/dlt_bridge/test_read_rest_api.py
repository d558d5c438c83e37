"""dlt's rest_api as a connection: every page lands, only changes come again, credentials stay where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import responses
from responses import matchers

from pipelines.dlt_bridge import http
from pipelines.store import Store
from tests.dlt_bridge.hubs import DltHub, dlt_hub

API = "https://legacy.example/api"
ADA = {"id": 1, "first": "Ada", "last": "L", "email": "ada@x.example", "updated_at": "2026-01-01T00:00:00Z"}
BOB = {"id": 2, "first": "Bob", "last": "M", "email": None, "updated_at": "2026-01-02T00:00:00Z"}
CAT = {"id": 3, "first": "Cat", "last": "N", "email": None, "updated_at": "2026-01-03T00:00:00Z"}


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr(http, "pause", asked.append)
    monkeypatch.setenv("LEGACY_TOKEN", "s3cret")
    return asked


def _hub(folder: Path, store: Store, *, endpoint: dict[str, Any] | None = None, **block: Any) -> DltHub:
    found = {"path": "customers", "data_selector": "items", "paginator": {"type": "json_link", "next_url_path": "next"}}
    resource = {"name": "customers", "primary_key": "id", "endpoint": found if endpoint is None else endpoint}
    config = {
        "client": {"base_url": API, "auth": {"type": "bearer", "token": "${LEGACY_TOKEN}"}},
        "resources": [resource],
    }
    streams = {"customers": {"record_time": "updated_at"}}
    return dlt_hub(folder, store, {"source": "rest_api", "config": config, "streams": streams, **block})


@responses.activate
def test_all_pages_land_with_the_key_of_the_resource(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"items": [ADA, BOB], "next": f"{API}/more"})
    responses.get(f"{API}/more", json={"items": [CAT], "next": None})
    hub = _hub(tmp_path, sqlite_store)

    report, mapped = hub.extract(), hub.normalise()

    assert (report.completeness, report.counts["loaded"], report.counts["read"]) == ("COMPLETE", 3, 3)
    assert hub.landed() == [ADA, BOB, CAT]
    assert responses.calls[1].request.headers["Authorization"] == "Bearer s3cret"
    assert mapped.counts["mapped"] == 3


@responses.activate
def test_the_second_run_asks_for_changes_only_and_ties_come_again(tmp_path: Path, sqlite_store: Store):
    cursor = {"cursor_path": "updated_at", "start_param": "since", "initial_value": "2020-01-01T00:00:00Z"}
    endpoint = {"path": "customers", "data_selector": "items", "paginator": "single_page", "incremental": cursor}
    hub = _hub(tmp_path, sqlite_store, endpoint=endpoint)
    first = matchers.query_param_matcher({"since": "2020-01-01T00:00:00Z"})
    responses.get(f"{API}/customers", json={"items": [ADA, BOB]}, match=[first])
    hub.extract()
    late = {**BOB, "email": "bob@x.example"}
    second = matchers.query_param_matcher({"since": "2026-01-02T00:00:00Z"})
    responses.get(
        f"{API}/customers", json={"items": [ADA, late, {**CAT, "updated_at": BOB["updated_at"]}]}, match=[second]
    )

    report = hub.extract()

    assert report.completeness == "COMPLETE"
    assert report.counts == {"read": 3, "loaded": 2, "unchanged": 0, "duplicate": 0, "filtered": 1, "quarantined": 0}
    assert [row["first"] for row in hub.landed()] == ["Ada", "Bob", "Bob", "Cat"]


@responses.activate
def test_a_refusal_is_waited_out_as_long_as_the_vendor_says(tmp_path: Path, sqlite_store: Store, waits: list[float]):
    responses.get(f"{API}/customers", status=429, headers={"Retry-After": "7"})
    responses.get(f"{API}/customers", json={"items": [ADA], "next": None})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, report.counts["loaded"], waits) == ("COMPLETE", 1, [7.0])


@responses.activate
def test_a_long_wait_ends_the_run_instead_of_sleeping_and_keeps_what_came(
    tmp_path: Path, sqlite_store: Store, waits: list[float]
):
    responses.get(f"{API}/customers", json={"items": [ADA], "next": f"{API}/more"})
    responses.get(f"{API}/more", status=429, headers={"Retry-After": "3600"})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, report.counts["loaded"], waits) == ("PARTIAL", 1, [])
    assert "3600 s" in (report.error or "")


@responses.activate
def test_credentials_are_never_sent_to_a_foreign_origin(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"items": [ADA], "next": "https://evil.example/steal"})
    responses.get("https://evil.example/steal", json={"items": [BOB], "next": None})

    report = _hub(tmp_path, sqlite_store).extract()

    assert [call.request.url for call in responses.calls] == [f"{API}/customers"]
    assert (report.completeness, report.counts["loaded"]) == ("PARTIAL", 1)
    assert "https://evil.example/steal" in (report.error or "")


@responses.activate
def test_a_redirect_to_a_foreign_origin_is_not_followed(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", status=302, headers={"Location": "https://evil.example/steal"})
    responses.get("https://evil.example/steal", json={"items": [BOB], "next": None})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, len(responses.calls)) == ("PARTIAL", 1)


@responses.activate
def test_a_declared_further_origin_may_be_asked(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"items": [ADA], "next": "https://eu.legacy.example/more"})
    responses.get("https://eu.legacy.example/more", json={"items": [BOB], "next": None})

    report = _hub(tmp_path, sqlite_store, origins=["https://eu.legacy.example"]).extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 2)


@responses.activate
def test_paging_that_was_not_recognised_is_unknown_and_does_not_move_the_cursor(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"items": [ADA, BOB], "continues": "abc"})

    report = _hub(tmp_path, sqlite_store, endpoint={"path": "customers", "data_selector": "items"}).extract()

    assert (report.completeness, report.counts["loaded"]) == ("UNKNOWN", 2)
    assert "paginator" in report.details["reason"]


@responses.activate
def test_an_answer_without_the_declared_list_is_not_an_empty_list(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"error": "try later", "items": None, "next": None})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, report.counts["read"]) == ("UNKNOWN", 0)
    assert "'items'" in report.details["reason"]


@responses.activate
def test_a_page_that_links_to_itself_stops_the_stream(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", json={"items": [ADA], "next": f"{API}/loop"})
    responses.get(f"{API}/loop", json={"items": [BOB], "next": f"{API}/loop"})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, len(responses.calls)) == ("PARTIAL", 3)
    assert "circle" in (report.error or "")


@pytest.mark.parametrize(
    ("status", "completeness", "exit_code"),
    [(401, "PARTIAL", 2), (403, "NO_ACCESS", 1), (404, "NO_ACCESS", 1), (400, "PARTIAL", 1), (500, "PARTIAL", 1)],
)
@responses.activate
def test_each_refusal_has_its_class(
    tmp_path: Path, sqlite_store: Store, status: int, completeness: str, exit_code: int
):
    responses.get(f"{API}/customers", status=status, json={"message": "no"})

    report = _hub(tmp_path, sqlite_store).extract()

    assert (report.completeness, report.exit_code) == (completeness, exit_code)
    assert "s3cret" not in str(report)


@responses.activate
def test_numbers_keep_every_digit(tmp_path: Path, sqlite_store: Store):
    body = (
        '{"items": [{"id": 9007199254740993, "amount": 0.12345678901234567890, "updated_at": "2026-01-01T00:00:00Z"}]}'
    )
    responses.get(f"{API}/customers", body=body, content_type="application/json")
    hub = _hub(
        tmp_path, sqlite_store, endpoint={"path": "customers", "data_selector": "items", "paginator": "single_page"}
    )

    hub.extract()

    assert (
        _payload(hub) == '{"amount":0.12345678901234567890,"id":9007199254740993,"updated_at":"2026-01-01T00:00:00Z"}'
    )


@responses.activate
def test_html_with_200_stops_the_stream(tmp_path: Path, sqlite_store: Store):
    responses.get(f"{API}/customers", body="<html>maintenance</html>", content_type="text/html")

    report = _hub(tmp_path, sqlite_store).extract()

    assert report.completeness == "PARTIAL"
    assert report.error


@responses.activate
def test_a_child_resource_is_read_for_each_of_its_parents(tmp_path: Path, sqlite_store: Store):
    resources = [
        {"name": "groups", "primary_key": "id", "endpoint": {"path": "groups", "paginator": "single_page"}},
        {
            "name": "customers", "primary_key": "id",
            "endpoint": {"path": "groups/{resources.groups.id}/customers", "paginator": "single_page"},
        },
    ]  # fmt: skip
    block = {
        "source": "rest_api",
        "config": {"client": {"base_url": API}, "resources": resources},
        "streams": {"customers": {}},
    }
    responses.get(f"{API}/groups", json=[{"id": "a"}, {"id": "b"}])
    responses.get(f"{API}/groups/a/customers", json=[ADA])
    responses.get(f"{API}/groups/b/customers", json=[BOB, CAT])
    hub = dlt_hub(tmp_path, sqlite_store, block)

    report = hub.extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 3)
    assert [row["id"] for row in hub.landed()] == [1, 2, 3]


def test_errors_of_dlt_have_a_place_and_show_no_secret(tmp_path: Path, sqlite_store: Store):
    hub = _hub(tmp_path, sqlite_store, endpoint={"path": "customers", "paginator": {"type": "no_such_thing"}})

    report = hub.extract()

    assert (report.completeness, report.exit_code) == ("PARTIAL", 2)
    assert "s3cret" not in (report.error or "")


def _payload(hub: DltHub) -> str:
    from pipelines.landing import Landing
    from pipelines.store import heads

    (segment, *_) = heads.segments_after(hub.store, "legacy", "customers", 0)
    return str(Landing(hub.config.landing_url).read(segment.files[0]["name"]).column("payload")[0])
