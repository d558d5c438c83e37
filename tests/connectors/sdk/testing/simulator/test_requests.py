"""Who is let in, what may be asked, and what goes wrong on purpose."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from connectors.sdk.testing.simulator import RateLimit, ServerError
from connectors.sdk.testing.simulator.auth import Doorkeeper
from connectors.sdk.testing.simulator.limits import Window
from connectors.sdk.testing.simulator.message import Request
from connectors.sdk.testing.simulator.shape import build_shape
from tests.connectors.sdk.testing.simulator.toy import Client, served, toy

if TYPE_CHECKING:
    from collections.abc import Iterator

BASIC = {"Authorization": "Basic " + base64.b64encode(b"ada:secret").decode()}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with served() as (client, _):
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer other"},
        {"X-Key": "other"},
        {"Authorization": "Basic !"},
        {"Authorization": "toy-token"},
    ],
)
def test_nobody_is_let_in_without_the_credentials(headers: dict[str, str], client: Client) -> None:
    status, body, _ = client.ask("/toy/all", headers=headers)

    assert (status, body) == (401, {"error": "who are you"})


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer toy-token"}, {"X-Key": "toy-key"}, BASIC])
def test_each_declared_way_in_works(headers: dict[str, str], client: Client) -> None:
    assert client.ask("/toy/all", headers=headers)[0] == 200


def test_a_refresh_token_gives_access_and_is_spent_where_it_rotates(client: Client) -> None:
    form = "grant_type=refresh_token&client_id=id&client_secret=hush&refresh_token="

    _, first, _ = client.ask("/toy/token", form=f"{form}seed")
    again, refused, _ = client.ask("/toy/token", form=f"{form}seed")
    status, _, _ = client.ask("/toy/all", headers={"Authorization": f"Bearer {first['access_token']}"})

    assert (again, refused["error"]) == (400, "invalid_grant")
    assert status == 200
    assert client.ask("/toy/token", form=f"{form}{first['refresh_token']}")[0] == 200


def test_an_access_token_ends_when_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    door = Doorkeeper(build_shape(toy()).auth, lambda: now[0])
    ask = Request("POST", "/token", {}, {}, b"grant_type=client_credentials&client_id=id&client_secret=hush")
    answer = door.token(ask)
    assert answer is not None
    token = answer.body.decode().split('"access_token": "')[1].split('"')[0]
    request = Request("GET", "/all", {}, {"authorization": f"Bearer {token}"})

    assert door.lets_in(request)
    now[0] = 61.0
    assert not door.lets_in(request)


@pytest.mark.parametrize(
    "fields",
    ["client_id=id&client_secret=no&grant_type=client_credentials", "client_id=id&client_secret=hush&grant_type=magic"],
)
def test_a_wrong_client_gets_no_token(fields: str, client: Client) -> None:
    assert client.ask("/toy/token", form=fields)[0] == 400


def test_conditions_order_and_projection_are_honoured(client: Client) -> None:
    everybody = client.ask("/toy/all")[1]["people"]
    blue = client.ask(
        "/toy/expression?filter=and(equals(team,'blue'),after(updated,2025-01-01T00:00:00Z))&sort=-updated"
    )[1]["people"]
    shown = client.ask("/toy/shown?fields=secret,none&with=created")[1]["people"][0]
    plain = client.ask("/toy/shown")[1]["people"][0]

    wanted = [p for p in everybody if p["team"] == "blue" and p["updated"] > "2025"]
    assert [p["id"] for p in blue] == [p["id"] for p in sorted(wanted, key=lambda p: p["updated"], reverse=True)]
    assert (shown["extras"], "created" in shown, "team" in shown) == ({"secret": 1, "none": None}, True, False)
    assert (plain["extras"], "created" in plain) == ({"plain": 2}, False)


@pytest.mark.parametrize("query", ["filter=equals(shoe,1)", "filter=after(team,1)", "sort=shoe"])
def test_an_unknown_field_is_refused_and_the_known_ones_are_named(query: str, client: Client) -> None:
    status, body, _ = client.ask(f"/toy/expression?{query}")

    assert status == 400
    assert "allowed" in body["why"]


def test_items_children_and_unknown_paths(client: Client) -> None:
    key = client.ask("/toy/all")[1]["people"][0]["id"]

    assert client.ask(f"/toy/people/{key}")[1]["person"]["id"] == key
    assert all(note["text"].startswith("note") for note in client.ask(f"/toy/people/{key}/notes")[1]["notes"])
    assert client.ask("/toy/people/none")[:2] == (404, {"missing": "/people/none"})
    assert client.ask("/toy/nothing")[0] == 404
    assert client.ask("/elsewhere")[0] == 404


def test_the_rate_limit_answers_429_and_says_when_to_come_again() -> None:
    with served(limited=True) as (client, _):
        answers = [client.ask("/toy/all") for _ in range(4)]

    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert answers[3][1] == {"slow": "down"}
    assert 1 <= int(answers[3][2]["Retry-After"]) <= 5


def test_a_window_opens_again_as_its_requests_age() -> None:
    now = [0.0]
    limit = build_shape(toy()).limit
    assert limit is not None
    window = Window(limit, lambda: now[0])

    refused = [window.refusal() is not None for _ in range(4)]
    now[0] = 5.0

    assert refused == [False, False, False, True]
    assert window.refusal() is None


def test_hazards_come_at_every_nth_request_with_the_vendors_own_answer() -> None:
    with served(faults=(RateLimit(every=4, burst=2), ServerError(every=3))) as (client, simulator):
        statuses = [client.ask("/toy/all")[0] for _ in range(9)]
        faults = [entry["fault"] for entry in simulator.app.log]

    assert statuses == [200, 200, 500, 429, 429, 200, 200, 429, 429]
    assert faults == [None, None, "server_error", "rate_limit", "rate_limit", None, None, "rate_limit", "rate_limit"]


def test_the_log_names_what_was_asked_and_served(client: Client) -> None:
    client.ask("/toy/number?page=2&limit=5")

    entry = client.ask("/_simulator/log?vendor=toy", headers={})[1][-1]

    assert (entry["path"], entry["query"]) == ("/number", {"page": "2", "limit": "5"})
    assert (entry["status"], entry["stream"], entry["records"]) == (200, "people", 5)
