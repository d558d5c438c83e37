"""Retries, credentials, origins and secrets: what happens around each request."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest

from connectors.sdk.errors import FixConfig, RetryLater, StopStream, UnisonoError
from connectors.sdk.http import Redactor, with_query
from connectors.sdk.protocols import StoredToken
from connectors.sdk.quota import AccountQuota
from connectors.sdk.retry import ATTEMPTS, VendorBusy, retry_after

from .vendor import BASE, SECRET, Answer, Clock, Hub, Vendor, manifest, page

if TYPE_CHECKING:
    from pathlib import Path

NEXT_URL = {"type": "next_url", "next_url_path": "next"}
OAUTH = [
    {
        "when": ["client_id", "client_secret", "refresh_token"],
        "type": "oauth2_refresh_token",
        "token_url": "/token",
    }
]
CLIENT = {
    "client_id": "made-up-client",
    "client_secret": "made-up-client-secret",
    "refresh_token": "made-up-refresh-0",
}
HTML = httpx.Response(200, text="<html>down for maintenance</html>", headers={"content-type": "text/html"})


def _hub(tmp_path: Path, stream: dict[str, Any] | None = None, **head: Any) -> Hub:
    return Hub(manifest(tmp_path, {"paginator": NEXT_URL, **(stream or {})}, **head))


# --- retries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(429), httpx.Response(500), httpx.Response(503), HTML, httpx.ConnectError("refused"),
        httpx.Response(200, content=b'{"items":[{"id":1},{"id"'), httpx.Response(200, content=b""),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.Response(200, content=b'{"items":[]}', headers={"content-length": "500"}), httpx.ReadTimeout("slow"),
    ],
)  # fmt: skip
def test_a_passing_fault_is_asked_again(tmp_path: Path, answer: Answer) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([answer, answer, page([1])]))
    assert hub.keys == ["1"]
    assert len(hub.clock.waits) == 2
    assert hub.clock.waits[1] > 0


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (httpx.Response(500, text="boom"), RetryLater, "status 500: boom"),
        (httpx.ConnectError("refused"), RetryLater, "no answer: refused"),
        (HTML, StopStream, "status 200 but not JSON (text/html"),
        (httpx.Response(200, content=b'{"items":[{"id":1}'), StopStream, "it ends in the middle"),
        (
            httpx.Response(200, content=b"[]", headers={"content-length": "9"}),
            StopStream,
            "2 bytes instead of 9",
        ),
    ],
)
def test_a_lasting_fault_ends_after_bounded_attempts(
    tmp_path: Path, answer: Answer, error: type[UnisonoError], says: str
) -> None:
    hub, vendor = _hub(tmp_path), Vendor(lambda _: answer)
    with pytest.raises(error) as caught:
        hub.read(vendor)
    assert says in str(caught.value)
    assert len(vendor.asked) == ATTEMPTS


@pytest.mark.parametrize("value", ["7", "Fri, 01 May 2026 12:00:07 GMT"])
def test_retry_after_is_obeyed_in_full(tmp_path: Path, value: str) -> None:
    hub = _hub(tmp_path)
    hub.read(Vendor([httpx.Response(429, headers={"retry-after": value}), page([1])]))
    assert sum(hub.clock.waits) == pytest.approx(7)
    assert hub.keys == ["1"]


def test_a_long_retry_after_ends_the_run_instead_of_being_cut_short(tmp_path: Path) -> None:
    hub, vendor = _hub(tmp_path), Vendor([httpx.Response(429, headers={"retry-after": "3600"})])
    with pytest.raises(VendorBusy, match="wait 3600 s") as caught:
        hub.read(vendor)
    assert caught.value.seconds == 3600
    assert isinstance(caught.value, RetryLater)
    assert hub.clock.waits == []


def test_a_past_or_senseless_retry_after_is_no_wait() -> None:
    now = Clock().now()
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, now) == 0
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({}, now) is None


def test_the_quota_holds_in_every_window_and_stops_at_retry_after() -> None:
    clock = Clock()
    quota = AccountQuota(3, 10, clock=clock.monotonic, sleep=clock.sleep)

    async def spend(times: int) -> list[float]:
        sent = []
        for _ in range(times):
            await quota.acquire()
            sent.append(clock.monotonic())
        return sent

    sent = asyncio.run(spend(8))
    assert all(later - earlier >= 10 for earlier, later in zip(sent, sent[3:], strict=False))
    assert 20 <= sent[-1] - sent[0] <= 22
    quota.observe({"retry-after": "60"}, clock.now())
    closed = clock.monotonic()
    assert asyncio.run(spend(1))[0] - closed == pytest.approx(60, abs=0.001)


# --- credentials ---------------------------------------------------------------------------------------------------


def test_a_refused_key_names_the_config_key_and_is_not_retried(tmp_path: Path) -> None:
    hub, vendor = (
        _hub(tmp_path),
        Vendor(lambda _: httpx.Response(401, json={"message": f"bad token {SECRET}"})),
    )
    with pytest.raises(FixConfig, match="check access_token in its config") as caught:
        hub.read(vendor)
    assert len(vendor.asked) == 1
    assert SECRET not in str(caught.value)


def test_no_credentials_at_all_lists_the_ways(tmp_path: Path) -> None:
    hub = _hub(tmp_path, auth=[*OAUTH, {"type": "bearer", "token": "{config.access_token}"}])
    hub.config = {"client_id": "x"}
    with pytest.raises(FixConfig, match=r"client_id \+ client_secret \+ refresh_token, or access_token"):
        hub.read(Vendor([]))


@pytest.mark.parametrize(
    ("auth", "header", "query"),
    [
        ({"type": "bearer", "token": "{config.access_token}"}, {"authorization": f"Bearer {SECRET}"}, {}),
        ({"type": "bearer", "token": "{config.access_token}", "header": "x-auth", "prefix": ""}, {"x-auth": SECRET}, {}),
        ({"type": "api_key", "in": "header", "name": "X-Key", "value": "Key {config.access_token}"}, {"x-key": f"Key {SECRET}"}, {}),
        ({"type": "api_key", "in": "query", "name": "key", "value": "{config.access_token}"}, {}, {"key": SECRET}),
        ({"type": "basic", "username": "me/token", "password": "{config.access_token}"},
         {"authorization": "Basic bWUvdG9rZW46bWFkZS11cC1zZWNyZXQtdG9rZW4="}, {}),
    ],
)  # fmt: skip
def test_each_kind_of_credentials_goes_where_the_vendor_wants_it(
    tmp_path: Path, auth: dict[str, str], header: dict[str, str], query: dict[str, str]
) -> None:
    vendor = Vendor([page([1], next=f"{BASE}/things?p=2"), page([2])])
    _hub(tmp_path, auth=[auth]).read(vendor)
    for request in vendor.asked:
        assert header.items() <= dict(request.headers).items()
        assert query.items() <= dict(request.url.params).items()


class _TokenVendor:
    """Gives rotating single-use refresh tokens; access tokens it forgets are answered 401."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.grants, self.valid = hub, 0, set[str]()
        self.refresh = CLIENT["refresh_token"]
        self.saved_at_use: list[bool] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return self._grant(parse_qs(request.content.decode()))
        token = request.headers["authorization"].removeprefix("Bearer ")
        stored = self.hub.tokens.load("made_up-1")
        self.saved_at_use.append(stored is not None and stored.access_token == token and stored.claimed_until is None)
        return page([1]) if token in self.valid else httpx.Response(401, json={"error": "expired"})

    def _grant(self, form: dict[str, list[str]]) -> httpx.Response:
        if form.get("refresh_token") != [self.refresh] or form["client_secret"] != [CLIENT["client_secret"]]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.grants += 1
        self.refresh = f"made-up-refresh-{self.grants}"
        access = f"made-up-access-{self.grants}"
        self.valid = {access}
        return httpx.Response(200, json={"access_token": access, "refresh_token": self.refresh, "expires_in": 1800})


@pytest.fixture
def oauth(tmp_path: Path) -> tuple[Hub, _TokenVendor]:
    hub = _hub(tmp_path, auth=OAUTH)
    hub.config = CLIENT
    return hub, _TokenVendor(hub)


def test_rotated_tokens_are_saved_before_they_are_used(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    assert vendor.saved_at_use == [True]
    stored = hub.tokens.load("made_up-1")
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == ("made-up-access-1", "made-up-refresh-1")


def test_stored_tokens_serve_the_next_run_until_shortly_before_they_expire(
    oauth: tuple[Hub, _TokenVendor],
) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    hub.read(Vendor(vendor))
    assert vendor.grants == 1
    hub.clock.at += timedelta(seconds=1750)
    hub.read(Vendor(vendor))
    assert vendor.grants == 2
    assert all(vendor.saved_at_use)


def test_a_401_refreshes_once_and_goes_on(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    vendor.valid.clear()
    hub.read(Vendor(vendor))
    assert hub.keys == ["1"]
    assert vendor.grants == 2


def test_a_401_after_the_refresh_is_the_users_to_fix(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth

    def never(request: httpx.Request) -> httpx.Response:
        return vendor(request) if request.url.path == "/token" else httpx.Response(401, json={})

    with pytest.raises(FixConfig, match="client_id, client_secret, refresh_token"):
        hub.read(Vendor(never))
    assert vendor.grants == 3


def test_a_401_inside_the_retries_refreshes_too(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    vendor.valid.clear()
    faults = iter([httpx.Response(503), httpx.Response(429, headers={"retry-after": "30"})])
    hub.read(Vendor(lambda request: next(faults, None) or vendor(request)))
    assert hub.keys == ["1"]


def test_a_refused_refresh_names_the_keys_and_no_secret(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    vendor.refresh = "another"
    with pytest.raises(FixConfig, match="invalid_grant") as caught:
        hub.read(Vendor(vendor))
    assert "refresh_token" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (CLIENT["client_secret"], CLIENT["refresh_token"]))
    stored = hub.tokens.load("made_up-1")
    assert stored is not None
    assert stored.claimed_until is None


def test_new_credentials_in_the_config_outrank_the_stored_tokens(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    vendor.refresh, vendor.valid = "made-up-refresh-new", set()
    hub.config = {**CLIENT, "refresh_token": "made-up-refresh-new"}
    hub.read(Vendor(vendor))
    assert hub.keys == ["1"]


def test_who_finds_a_claim_waits_for_the_winners_tokens(oauth: tuple[Hub, _TokenVendor]) -> None:
    hub, vendor = oauth
    hub.read(Vendor(vendor))
    stored = hub.tokens.load("made_up-1")
    assert stored is not None
    claim = replace(
        stored,
        version=stored.version + 1,
        expires_at=None,
        claimed_until=hub.clock.at + timedelta(seconds=60),
    )
    assert hub.tokens.save(replace(claim, access_token=None), stored.version)
    vendor.valid = {"made-up-access-other"}
    waiting = hub.clock.sleep

    async def winner(seconds: float) -> None:
        if len(hub.clock.waits) == 2:
            token = StoredToken(
                "made_up-1", claim.version + 1, claim.seed, "made-up-access-other", "made-up-refresh-other"
            )
            hub.tokens.save(token, claim.version)
        await waiting(seconds)

    hub.clock.sleep = winner  # type: ignore[method-assign]
    hub.read(Vendor(vendor))
    assert hub.keys == ["1"]
    assert vendor.grants == 1


def test_client_credentials_go_as_basic_when_asked(tmp_path: Path) -> None:
    auth = {
        "type": "oauth2_client_credentials", "when": ["client_id", "client_secret"], "token_url": "/oauth/token",
        "client_in": "basic", "scope": "read", "token_params": {"account_id": "7"},
    }  # fmt: skip
    hub = _hub(tmp_path, auth=[auth])
    hub.config = CLIENT
    forms: list[tuple[str, dict[str, list[str]]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/oauth/token":
            return page([1])
        forms.append((request.headers["authorization"], parse_qs(request.content.decode())))
        return httpx.Response(200, json={"access_token": "made-up-access"})

    hub.read(Vendor(answer))
    form = {"grant_type": ["client_credentials"], "scope": ["read"], "account_id": ["7"]}
    assert forms == [("Basic bWFkZS11cC1jbGllbnQ6bWFkZS11cC1jbGllbnQtc2VjcmV0", form)]


# --- origins and secrets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/things", "http://api.vendor.example/things", "https://api.vendor.example:8443/x", "//evil.example/x",
     "https://api.vendor.example@evil.example/x"],
)  # fmt: skip
def test_a_next_link_to_a_foreign_origin_is_not_followed(tmp_path: Path, url: str) -> None:
    hub, vendor = _hub(tmp_path), Vendor(lambda _: page([1], next=url))
    with pytest.raises(StopStream, match="not an origin of this connection"):
        hub.read(vendor)
    assert len(vendor.asked) == 1


def test_a_redirect_to_a_foreign_origin_is_not_followed(tmp_path: Path) -> None:
    hub, vendor = (
        _hub(tmp_path),
        Vendor(lambda _: httpx.Response(302, headers={"location": "https://evil.example/"})),
    )
    with pytest.raises(StopStream, match=r"a redirect leads to https://evil\.example:443"):
        hub.read(vendor)
    assert len(vendor.asked) == 1


def test_a_redirect_inside_the_origins_is_followed_with_credentials(tmp_path: Path) -> None:
    hub = _hub(tmp_path, origins=["https://eu.vendor.example"])
    vendor = Vendor([httpx.Response(307, headers={"location": "https://eu.vendor.example/things"}), page([1])])
    hub.read(vendor)
    assert vendor.asked[1].headers["authorization"] == f"Bearer {SECRET}"


def test_redirects_without_end_stop(tmp_path: Path) -> None:
    with pytest.raises(StopStream, match="too many redirects"):
        _hub(tmp_path).read(Vendor(lambda _: httpx.Response(302, headers={"location": "/things"})))


def test_a_token_url_on_a_foreign_origin_gets_no_secret(tmp_path: Path) -> None:
    hub = _hub(tmp_path, auth=[{**OAUTH[0], "token_url": "https://login.evil.example/token"}])
    hub.config, vendor = CLIENT, Vendor([])
    with pytest.raises(StopStream, match=r"token_url leads to https://login\.evil\.example"):
        hub.read(vendor)
    assert vendor.asked == []


@pytest.mark.parametrize("echo", [SECRET, SECRET.replace("-", "%2D"), "bWFkZS11cC1zZWNyZXQtdG9rZW4"])
def test_no_secret_is_in_any_error_or_log(tmp_path: Path, echo: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    auth = [{"type": "api_key", "in": "query", "name": "key", "value": "{config.access_token}"}]
    secret = SECRET if "%" not in echo else "made up/secret"
    for answer in (
        httpx.Response(400, text=f"you sent {secret}"), httpx.Response(500, text=secret), httpx.ConnectError(f"to ?key={secret}"),
        httpx.Response(200, text=f"<p>{secret}"), httpx.Response(302, headers={"location": f"https://evil.example/?key={secret}"}),
        httpx.Response(200, json={"x": secret}), page([1], next=f"https://evil.example/{secret}"),
    ):  # fmt: skip
        hub = _hub(tmp_path, auth=auth)
        hub.config = {"access_token": secret}
        with pytest.raises(UnisonoError) as caught:
            hub.read(Vendor([answer] * ATTEMPTS))
        assert secret not in str(caught.value)
    assert secret not in caplog.text


def test_the_redactor_knows_encoded_forms() -> None:
    redact = Redactor(["s p/c+ret"])
    assert redact("a s p/c+ret b s%20p%2Fc%2Bret c cyBwL2MrcmV0 d") == "a *** b *** c *** d"
    assert Redactor(["abc", ""])("abc") == "abc"


def test_query_parameters_join_and_replace() -> None:
    assert with_query("https://a.example/x?b=1&c=2", [("b", "3 4")]) == "https://a.example/x?c=2&b=3%204"
    assert with_query("https://a.example/x?b=1", []) == "https://a.example/x?b=1"


def test_an_answer_beyond_the_size_cap_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sdk.http.Wire.__init__.__kwdefaults__", {"max_bytes": 10, "max_seconds": 60})
    with pytest.raises(StopStream, match="larger than"):
        _hub(tmp_path).read(Vendor([page([1, 2, 3])]))
