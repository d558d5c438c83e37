"""A vendor that says when to come back is obeyed to the second, by every process, and the stream is run again after that."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.sdk import session as session_module
from connectors.sdk.engine import read_stream
from connectors.sdk.errors import FixConfig
from dagster_project.automation import resumed
from pipelines import extract, stages
from pipelines.extract.quota import account_of
from pipelines.store.connection_health import HealthState, read_deferred, read_health

if TYPE_CHECKING:
    from tests._hub import Hub

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Vendor:
    """Asks to wait an hour once, then answers; remembers when it was asked."""

    def __init__(self) -> None:
        self.now = START
        self.asked: list[datetime] = []
        self.answers = [httpx.Response(429, headers={"retry-after": "3600"})]

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked.append(self.now)
        return self.answers.pop(0) if self.answers else httpx.Response(200, json={"items": []})

    def client(self, *_: Any, **__: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.fixture
def vendor(sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    made = Vendor()
    monkeypatch.setattr(extract, "read_stream", lambda *a, **k: read_stream(*a, sleep=made.sleep, **k))
    monkeypatch.setattr(session_module, "client_factory", made.client)
    monkeypatch.setattr("connectors.sdk.quota.AccountQuota.__init__.__kwdefaults__", _with_sleep(made))
    return made


def _with_sleep(vendor: Vendor) -> dict[str, Any]:
    from connectors.sdk.quota import AccountQuota

    return {**AccountQuota.__init__.__kwdefaults__, "sleep": vendor.sleep}


def context(hub: Hub, vendor: Vendor, stream: str = "people") -> Any:
    from dataclasses import replace

    return replace(hub.context(stream), now=lambda: vendor.now)


def test_an_hour_is_obeyed_exactly_and_by_all_and_the_stream_is_run_again_after_it(
    sqlite_hub: Hub, vendor: Vendor
) -> None:
    opens = START + timedelta(hours=1)

    first = extract.run(context(sqlite_hub, vendor))
    assert (first.completeness, first.exit_code) == ("PARTIAL", 75)
    assert "not before 2026-03-01 13:00:00 UTC" in str(first.error)
    assert [(one.stream, one.not_before) for one in read_deferred(sqlite_hub.store)] == [("people", opens)]
    assert read_health(sqlite_hub.store)[0].state is HealthState.LIMITED

    vendor.now = START + timedelta(minutes=30)
    assert extract.run(context(sqlite_hub, vendor, "notes")).exit_code == 75
    assert vendor.asked == [START]
    assert resumed(sqlite_hub.config, opens - timedelta(seconds=1)) == []

    (request,) = resumed(sqlite_hub.config, opens)
    assert {key.path[-1] for key in request.asset_selection} == {"people", "notes"}

    vendor.now = opens - timedelta(seconds=30)
    again = extract.run(context(sqlite_hub, vendor))
    assert again.completeness == "COMPLETE"
    assert timedelta() <= vendor.asked[1] - opens < timedelta(milliseconds=5)
    assert [one.stream for one in read_deferred(sqlite_hub.store)] == ["notes"]
    assert read_health(sqlite_hub.store)[0].state is HealthState.OK


def test_the_account_is_who_asks_and_where_and_not_the_connections_name(sqlite_hub: Hub) -> None:
    from dataclasses import replace

    one = sqlite_hub.connection.settings("c1")
    assert account_of(one) == account_of(replace(one, name="other", connection_id="c2"))
    assert account_of(one) != account_of(replace(one, config={"token": "another"}))
    assert account_of(one) != account_of(replace(one, base_url="https://eu.toy.example"))
    assert "another" not in account_of(replace(one, config={"token": "another"}))


def test_a_wrong_token_is_said_once_and_the_other_streams_are_not_asked(sqlite_hub: Hub, vendor: Vendor) -> None:
    vendor.answers = [httpx.Response(401)] * 9

    reports = stages._ingest_all(context(sqlite_hub, vendor), sqlite_hub.connection)

    extracts = [report for report in reports if report.stage == "extract"]
    assert [report.error is not None for report in extracts] == [True, False]
    assert [report.exit_code for report in extracts] == [FixConfig.exit_code] * 2
    assert "see toy/people" in extracts[1].details["reason"]
    assert len(vendor.asked) == 1


def test_a_refusal_after_a_stream_was_read_well_concerns_that_stream(sqlite_hub: Hub, vendor: Vendor) -> None:
    vendor.answers = [httpx.Response(200, json={"items": []}), httpx.Response(401)]

    reports = stages._ingest_all(context(sqlite_hub, vendor), sqlite_hub.connection)

    assert [report.completeness for report in reports if report.stage == "extract"] == ["COMPLETE", "PARTIAL"]
    assert len(vendor.asked) == 2
