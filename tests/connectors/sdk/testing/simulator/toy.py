"""A made-up vendor with one endpoint for every paging style, and a client that asks it over real loopback HTTP."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from connectors.sdk.testing.simulator import Fault, Simulator, World, build_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOKEN = {"Authorization": "Bearer toy-token"}
SIZE = {"param": "limit", "default": 10, "max": 50}
MEMBERS = {"people": "people"}


def toy(**changes: Any) -> dict[str, Any]:
    """Return the shape of the made-up vendor as a simulator.yaml would say it."""
    answer = {"people": "$records", "next?": "$next", "next_url?": "$next_url", "more": "$more", "total": "$total"}
    return {
        "vendor": "toy",
        "mount": "/toy",
        "auth": {
            "accept": [
                {"type": "bearer", "tokens": ["toy-token"]},
                {"type": "header", "name": "X-Key", "values": ["toy-key"]},
                {"type": "basic", "users": {"ada": "secret"}},
            ],
            "refused": {"status": 401, "body": {"error": "who are you"}},
            "oauth": {
                "path": "/token",
                "grants": ["refresh_token", "client_credentials"],
                "client_id": "id",
                "client_secret": "hush",
                "refresh_token": "seed",
                "expires_in": 60,
                "rotates": True,
            },
        },
        "limit": {"requests": 3, "seconds": 5, "retry_after": True, "answer": {"status": 429, "body": {"slow": "down"}}},
        "errors": {
            "not_found": {"status": 404, "body": {"missing": "{path}"}},
            "bad_request": {"status": 400, "body": {"why": "{why}"}},
            "server": {"status": 500, "body": {"error": "oops"}},
        },
        "streams": {
            "people": {
                "id": "{number | plus(100) | text}",
                "rows": {"view": "people", "share": 0.5},
                "let": {"team": {"choice": ["red", "blue"]}},
                "change": {"team": {"choice": ["green"]}},
                "record": {
                    "id": "{id}",
                    "team": "{team}",
                    "email?": "{email}",
                    "created": "{created | iso}",
                    "updated": "{updated | iso}",
                    "extras": {"secret": 1, "plain": 2},
                },
            },
            "notes": {
                "id": "{number}",
                "rows": {"of": "people", "count": [0, 4], "within": 30},
                "nested": {"link": "parent", "stream": "people"},
                "change": {},
                "record": {"id": "{id}", "text": "note {place}", "at": "{created | iso}"},
            },
        },
        "endpoints": [
            {"path": "/all", "stream": "people", "answer": {"people": "$records"}},
            {"path": "/key", "stream": "people", "answer": answer, "page": page("token", "after", token="key")},
            {
                "path": "/opaque",
                "stream": "people",
                "answer": answer,
                "order": ["-updated"],
                "page": page("token", "cursor", sticky=True, keep=["limit"]),
                "headers": {"Link": '<{next_url}>; rel="next"'},
                "filters": [{"param": "team", "path": "team", "any": "any"}],
            },
            {"path": "/number", "stream": "people", "answer": answer, "page": page("page", "page")},
            {"path": "/offset", "stream": "people", "answer": answer, "page": page("offset", "offset")},
            {
                "path": "/export",
                "stream": "people",
                "answer": {**answer, "end": "$end", "end_time": "$end_time"},
                "order": ["updated"],
                "page": page("time", "start", path="updated", always_next=True),
            },
            {
                "path": "/search",
                "method": "POST",
                "stream": "people",
                "answer": answer,
                "cap": 40,
                "page": {**page("offset", "after"), "in": "body"},
                "body_filters": {
                    "groups": "groups", "filters": "filters", "name": "name", "operator": "op", "value": "value",
                    "under": "extras", "ops": {"EQ": "eq"},
                },
                "sort": {"body": "sorts", "name": "name", "direction": "direction", "under": "extras"},
            },
            {
                "path": "/expression",
                "stream": "people",
                "answer": answer,
                "expression": {
                    "param": "filter",
                    "fields": {"team": {"path": "team", "ops": {"equals": "eq"}}, "updated": {"path": "updated", "ops": {"after": "gt"}}},
                },
                "sort": {"param": "sort", "fields": {"updated": "updated"}},
            },
            {
                "path": "/shown",
                "stream": "people",
                "answer": answer,
                "hide": ["team"],
                "extra": [{"param": "with", "value": "created", "path": "created"}],
                "project": {"param": "fields", "under": "extras", "always": [], "default": ["plain"]},
            },
            {"path": "/people/{id}", "stream": "people", "item": "id", "answer": {"person": "$record"}},
            {"path": "/people/{id}/notes", "stream": "notes", "parent": "id", "answer": {"notes": "$records"}},
        ],
        **changes,
    }  # fmt: skip


def page(kind: str, param: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "param": param, "size": SIZE, **more}


class Client:
    """Asks with one kept-alive connection; the token is sent unless other headers are given."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.host = parts.netloc
        self._connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)

    def ask(
        self,
        path: str,
        *,
        headers: Mapping[str, str] = TOKEN,
        body: Any = None,
        form: str | None = None,
        method: str | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        path = path.split(self.host, 1)[-1]
        content = form if form is not None else None if body is None else json.dumps(body)
        self._connection.request(
            method or ("GET" if content is None else "POST"), quote(path, "/?&=%:,"), content, dict(headers)
        )
        response = self._connection.getresponse()
        return response.status, json.loads(response.read()), dict(response.headers)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def served(
    *, people: int = 120, limited: bool = False, faults: tuple[Fault, ...] = (), **changes: Any
) -> Iterator[tuple[Client, Simulator]]:
    """Serve the made-up vendor and give a client for it."""
    world = World(people=people, shapes={"toy": build_shape(toy(**changes))})
    simulator = Simulator(world, limited=limited, faults=faults)
    client = Client(simulator.start())
    try:
        yield client, simulator
    finally:
        client.close()
        simulator.stop()
