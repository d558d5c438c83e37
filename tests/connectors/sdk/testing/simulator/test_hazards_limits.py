"""Hazards of limits, tokens and notices, seen on plain HTTP."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from connectors.sdk.testing.simulator import Hazard, HostileVendor
from tests.connectors.sdk.testing.simulator.raw import Raw, vendor


@pytest.mark.parametrize(("kind", "wait"), [("seconds", 2), ("date", 2), ("absent", 2), ("huge", 3600)])
def test_too_many_requests_until_the_wait_is_over(kind: str, wait: int) -> None:
    made = vendor(Hazard("too_many_requests", page=1, retry_after=kind))
    raw, clock = Raw(made), made.clock
    refused = raw.get(limit=10)
    assert refused.status_code == 429
    told = refused.headers.get("retry-after")
    if kind == "absent":
        assert told is None
    elif kind == "date":
        assert 2 <= (parsedate_to_datetime(str(told)) - clock.now()).total_seconds() <= 3
    else:
        assert int(str(told)) == wait
    clock.advance(wait - 0.5)
    assert raw.get(limit=10).status_code == 429
    clock.advance(1.5)
    assert raw.get(limit=10).status_code == 200
    assert len(made.traffic.refused()) == 2


def test_a_daily_quota_opens_again_at_midnight() -> None:
    made = vendor(Hazard("daily_quota", allowed=2))
    raw = Raw(made)
    assert [raw.get(limit=10).status_code for _ in range(3)] == [200, 200, 429]
    refused = raw.get(limit=10)
    midnight = datetime(2026, 5, 2, tzinfo=UTC)
    assert int(refused.headers["retry-after"]) == (midnight - made.clock.now()).total_seconds()
    made.clock.advance(float(refused.headers["retry-after"]))
    assert raw.get(limit=10).status_code == 200


def test_a_burst_of_server_errors() -> None:
    raw = Raw(vendor(Hazard("server_error", page=1, status=502, times=3)))
    assert [raw.get(limit=10).status_code for _ in range(4)] == [502, 502, 502, 200]


def test_a_vendors_own_limit_is_kept_over_any_window() -> None:
    made = vendor(limit=(3, 10))
    raw = Raw(made)
    assert [raw.get(limit=10).status_code for _ in range(4)] == [200, 200, 200, 429]
    made.clock.advance(10)
    assert raw.get(limit=10).status_code == 200
    assert (made.traffic.peak(10), made.traffic.peak(11)) == (4, 5)


def test_an_access_token_that_expires_is_refused_from_then_on() -> None:
    made = vendor(Hazard("expired_token", page=2))
    raw = Raw(made)
    after = raw.page()["next"]
    assert raw.get(limit=10, after=after).status_code == 401
    assert raw.get(limit=10).status_code == 401


def _granted(raw: Raw, refresh: str) -> tuple[int, Any]:
    form = {
        "grant_type": "refresh_token", "refresh_token": refresh,
        "client_id": "made-up-client-id", "client_secret": "made-up-client-secret",
    }  # fmt: skip
    response = raw.send("POST", f"{raw.vendor.base_url}/oauth/token", data=form)
    return response.status_code, response.json()


def test_an_old_refresh_token_revokes_the_whole_family() -> None:
    made = vendor(Hazard("rotating_refresh"), auth="oauth_refresh")
    raw = Raw(made)
    _, first = _granted(raw, "made-up-refresh-token")
    _, second = _granted(raw, first["refresh_token"])
    bearer = {"Authorization": f"Bearer {second['access_token']}"}
    assert (second["expires_in"], raw.get(headers=bearer).status_code) == (60, 200)

    assert _granted(raw, first["refresh_token"])[1]["error"] == "invalid_grant"

    assert raw.get(headers=bearer).status_code == 401
    assert _granted(raw, second["refresh_token"])[0] == 400
    assert [firing.detail for firing in made.plan.fired] == ["issued", "issued", "reused", "unknown"]


def test_an_access_token_lives_as_long_as_it_says() -> None:
    made = vendor(Hazard("rotating_refresh"), auth="oauth_refresh")
    _, granted = _granted(Raw(made), "made-up-refresh-token")
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    made.clock.advance(61)
    assert Raw(made).get(headers=bearer).status_code == 401


WAYS = {
    "none": ({}, {}),
    "bearer": ({"Authorization": "Bearer made-up-access-token"}, {}),
    "api_key_header": ({"X-Key": "made-up-api-key"}, {}),
    "api_key_query": ({}, {"key": "made-up-api-key"}),
    "basic": ({"Authorization": "Basic " + base64.b64encode(b"made-up-username:made-up-password").decode()}, {}),
}


@pytest.mark.parametrize("auth", WAYS)
def test_only_the_right_credentials_are_let_in_and_the_log_names_what_was_presented(auth: str) -> None:
    made = HostileVendor.generic(auth=auth)
    headers, params = WAYS[auth]
    assert Raw(made).get(headers=headers, **params).status_code == 200
    assert Raw(made).get(headers={}).status_code == (200 if auth == "none" else 401)
    presented = made.traffic.presented()["https://api.vendor.example"]
    assert len(presented) == (0 if auth == "none" else 1)


def test_notices_stand_on_every_answer() -> None:
    made = vendor(Hazard("sunset", days=30), Hazard("deprecation"), Hazard("version_warning"), paging="header_link")
    headers = Raw(made).get(limit=10).headers
    assert (parsedate_to_datetime(headers["sunset"]) - made.clock.now()).days == 30
    assert int(headers["deprecation"].removeprefix("@")) < made.clock.monotonic()
    assert headers["warning"].startswith("299 ")
    assert 'rel="next"' in headers["link"]
    assert 'rel="sunset"' in headers["link"]
    made.check_fired()
