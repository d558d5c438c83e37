"""The vendors of the kill trials: a small world over real HTTP, with rotating tokens and a count of what was served."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from connectors.sdk.testing.simulator import Simulator, World, demo_connections
from connectors.sdk.testing.simulator.message import Response, answer_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.sdk.testing.simulator.message import Request
    from connectors.sdk.testing.simulator.shape import Shape

SEED, PEOPLE, CHANGES = 7, 60, 40
PAGE_RECORDS = 3
LATER = datetime.fromisoformat("2026-02-01T08:00:00+00:00")
STREAMS = {
    "hubspot": ["contacts"],
    "klaviyo": ["campaigns"],
    "zendesk": ["users", "tickets", "ticket_comments"],
}
ROTATING = "zendesk"
USES = 7  # requests that one access token is good for: every run renews it several times
_TOKEN_PATH = "/oauth/tokens"
_CHANNEL = re.compile(r"messages\.channel,'(\w+)'")
_TICKET = re.compile(r"/tickets/([^/]+)/comments")
Place = tuple[str, str, str]


@dataclass
class Authority:
    """Zendesk's tokens: a refresh token is good for one use, a second use ends its family, an access token for USES."""

    live: str = ""
    access: str = ""
    left: int = 0
    family: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)
    grants: int = 0
    refused: list[str] = field(default_factory=list)

    def authorise(self) -> str:
        """Return the first refresh token of a new family, as a person's consent gives it."""
        self.live, self.access = _made_up("refresh"), ""
        self.family = {self.live}
        return self.live

    def token(self, form: dict[str, list[str]]) -> Response:
        """Answer the token endpoint."""
        shown = form.get("refresh_token", [""])[0]
        if shown != self.live:
            self.refused.append("spent" if shown in self.spent else "unknown")
            if shown in self.spent:
                self.live = self.access = ""
            return Response(400, b'{"error": "invalid_grant"}')
        self.spent.add(shown)
        self.grants += 1
        self.live, self.access, self.left = _made_up("refresh"), _made_up("access"), USES
        self.family.add(self.live)
        answer = {"access_token": self.access, "refresh_token": self.live, "token_type": "bearer", "expires_in": 1800}
        return Response(200, json.dumps(answer).encode())

    def lets_in(self, request: Request) -> bool:
        """Return whether the access token shown is the newest and not used up."""
        shown = request.headers.get("authorization", "").partition(" ")[2]
        if not self.access or shown != self.access or self.left == 0:
            return False
        self.left -= 1
        return True


def _made_up(kind: str) -> str:
    return f"{kind}-{os.urandom(9).hex()}"


@dataclass
class Gate:
    """Stands before every vendor: keeps zendesk's tokens and counts the records each partition was served."""

    authority: Authority = field(default_factory=Authority)
    served: Counter[Place] = field(default_factory=Counter)
    requests: int = 0

    def __call__(self, shape: Shape, request: Request, proceed: Callable[[Request], Response]) -> Response:
        """Answer for the token endpoint and for refused tokens; else count what the vendor answers."""
        self.requests += 1
        if shape.vendor == ROTATING:
            if request.path == _TOKEN_PATH:
                return self.authority.token(parse_qs(request.content.decode()))
            if not self.authority.lets_in(request):
                return answer_with(shape.auth.refused)
            request = replace(request, headers={**request.headers, "authorization": "Bearer demo-zendesk-access"})
        answer = proceed(request)
        if answer.records:
            self.served[shape.vendor, answer.stream or "", _partition(request)] += answer.records
        return answer


def _partition(request: Request) -> str:
    """Return the name that our engine gives to the partition a request is for."""
    if found := _CHANNEL.search(request.param("filter") or ""):
        return f"channel={found[1]}"
    if found := _TICKET.search(request.path):
        return f"tickets={found[1]}"
    return ""


@dataclass
class Vendors:
    """One state of the world, served; ``begin`` forgets the last trial."""

    base_url: str
    gate: Gate

    def begin(self) -> str:
        """Begin a trial: nothing served, a new family of tokens; return its seed."""
        self.gate.authority, self.gate.served, self.gate.requests = Authority(), Counter(), 0
        return self.gate.authority.authorise()

    def connections(self) -> list[dict[str, Any]]:
        """Return the connections of unisono.yaml; the refresh token is the environment's."""
        mine = {row["name"]: row for row in demo_connections(self.base_url) if row["name"] in STREAMS}
        for name, row in mine.items():
            row |= {"streams": STREAMS[name], "limits": {"requests": 100_000, "per_seconds": 1}}
        secret = {"client_id": "demo-client", "client_secret": "demo-secret", "refresh_token": "${KILL_REFRESH_TOKEN}"}
        mine[ROTATING]["config"] = secret
        return list(mine.values())


@contextmanager
def served(*, later: bool) -> Iterator[Vendors]:
    """Serve the world as it is at first, or after some of its records changed and others came."""
    gate = Gate()
    simulator = Simulator(World(seed=SEED, people=PEOPLE), faults=(gate,))
    with simulator as base_url:
        if later:
            simulator.app.advance(SEED, CHANGES, LATER)
        yield Vendors(base_url, gate)
