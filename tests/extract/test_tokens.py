"""One refresher, saved before use, sealed at rest; a family that is lost is flagged once and never asked for again."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest

from connectors.sdk.errors import FixConfig
from connectors.sdk.memory import MemoryTokens
from connectors.sdk.oauth import NeedsReauth
from connectors.sdk.paging import Request
from connectors.sdk.protocols import StoredToken
from connectors.sdk.quota import AccountQuota
from connectors.sdk.session import Session
from pipelines.extract.tokens import StoreTokens, tokens_for
from pipelines.store.connection_health import read_events
from pipelines.store.control_state import load_token, save_token
from pipelines.store.owner import Owner
from pipelines.store.sealing import Sealer, new_key
from tests.benchmarks.bench_rotation import CONNECTION, Authority, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipelines.store import Store

pytestmark = pytest.mark.slow  # processes are started and waited for

BASE = "https://rotating.example"
DEAD = Owner(Owner.current().host, Owner.current().boot_id, 2**22 + 1, "1")


class Killed(BaseException):
    """A process ends here: nothing it would have done later happens."""


class Mortal(StoreTokens):
    """Tokens of a process that dies at a chosen save of fresh tokens, before it is durable; the dead save nothing.

    Its claim is then that of a process which is gone, as it is when a real one is killed.
    """

    dies_at: Callable[[], bool] = staticmethod(lambda: False)
    dead = False

    def save(self, token: StoredToken, expected_version: int) -> bool:
        if self.dead:
            return False
        fresh = token.claimed_until is None and not token.presented and token.reauth is None
        if fresh and self.dies_at():
            self.dead = True
            bury(self._store)
            raise Killed
        return super().save(token, expected_version)


def bury(store: Store) -> None:
    """Let the claim that is held now be a dead process's."""
    found = load_token(store, CONNECTION)
    assert found is not None
    value = {**found.value, "claimed_by": asdict(DEAD)}
    assert save_token(store, CONNECTION, value, expected_version=found.version)


class Vendor:
    """The authority of the benchmark behind httpx's mock transport."""

    def __init__(self, uses: int = 1_000_000) -> None:
        self.authority = Authority(uses=uses)
        self.asked: list[str] = []
        self.busy: list[httpx.Response] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path == "/token":
            status, answer = self.authority.token(parse_qs(request.content.decode()))
        elif self.busy:
            return self.busy.pop(0)
        else:
            status, answer = self.authority.things(request.headers["authorization"].rpartition(" ")[2])
        return httpx.Response(status, json=answer)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer.of(new_key())


def session(folder: Path, vendor: Vendor, tokens: Any, clock: Clock, seed: str) -> Session:
    quota = AccountQuota(clock=lambda: clock.now().timestamp(), sleep=clock.sleep)
    return Session(
        settings(folder, BASE, seed),
        tokens=tokens,
        quota=quota,
        now=clock.now,
        factory=vendor.client,
        sleep=clock.sleep,
    )


async def fetch(one: Session, times: int = 1) -> None:
    async with one:
        for _ in range(times):
            await one.fetch(Request("GET", f"{BASE}/things"))


def run(folder: Path, vendor: Vendor, tokens: Any, clock: Clock, seed: str, times: int = 1) -> None:
    asyncio.run(fetch(session(folder, vendor, tokens, clock, seed), times))


def test_a_crash_between_grant_and_save_is_flagged_exactly_once_and_the_vendor_is_left_alone(
    tmp_path: Path, sqlite_store: Store, sealer: Sealer
) -> None:
    vendor, clock = Vendor(), Clock()
    seed = vendor.authority.seed()
    first = Mortal(sqlite_store, sealer)
    first.dies_at = lambda: True
    with pytest.raises(Killed):
        run(tmp_path, vendor, first, clock, seed)

    for _ in range(3):
        with pytest.raises(NeedsReauth, match="a process ended between"):
            run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, seed)

    assert (vendor.authority.grants, vendor.authority.invalid) == (1, 1)
    assert [kind for _, kind, _ in read_events(sqlite_store)] == ["needs re-auth"]


def test_a_new_seed_begins_a_new_family_and_works(tmp_path: Path, sqlite_store: Store, sealer: Sealer) -> None:
    vendor, clock, tokens = Vendor(), Clock(), StoreTokens(sqlite_store, sealer)
    with pytest.raises(NeedsReauth):
        run(tmp_path, vendor, tokens, clock, "revoked-seed")

    run(tmp_path, vendor, tokens, clock, vendor.authority.seed())

    assert vendor.authority.served == 1
    assert [kind for _, kind, _ in read_events(sqlite_store)] == ["needs re-auth", "authorised"]


def test_a_seed_that_has_a_family_is_never_shown_again(tmp_path: Path, sqlite_store: Store, sealer: Sealer) -> None:
    vendor, clock = Vendor(), Clock()
    seed = vendor.authority.seed()
    for _ in range(5):
        run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, seed)
        clock.at += timedelta(hours=2)

    assert (vendor.authority.grants, vendor.authority.invalid) == (5, 0)


def test_a_process_that_died_before_it_asked_costs_nothing(tmp_path: Path, sqlite_store: Store, sealer: Sealer) -> None:
    vendor, clock, tokens = Vendor(), Clock(), Mortal(sqlite_store, sealer)
    seed = vendor.authority.seed()
    run(tmp_path, vendor, tokens, clock, seed)
    stored = tokens.load(CONNECTION)
    assert stored is not None
    claim = replace(stored, version=stored.version + 1, claimed_until=clock.at + timedelta(hours=9), presented=True)
    assert tokens.save(claim, stored.version)
    bury(sqlite_store)
    clock.at += timedelta(hours=2)

    run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, seed)

    assert (vendor.authority.invalid, vendor.authority.served) == (0, 2)


def test_a_token_that_expires_while_a_429_is_waited_for_is_renewed_and_not_presented_dead(
    tmp_path: Path, sqlite_store: Store, sealer: Sealer
) -> None:
    vendor, clock = Vendor(), Clock()
    vendor.authority.life = 90.0
    vendor.busy = [httpx.Response(429, headers={"retry-after": "100"})]

    run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, vendor.authority.seed())

    assert vendor.asked == ["/token", "/things", "/token", "/things"]
    assert (vendor.authority.served, vendor.authority.grants) == (1, 2)


def test_short_lives_are_renewed_a_tenth_ahead_and_not_before_each_request(
    tmp_path: Path, sqlite_store: Store, sealer: Sealer
) -> None:
    vendor, clock = Vendor(), Clock()
    vendor.authority.life = 30.0
    seed = vendor.authority.seed()
    for _ in range(9):
        run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, seed)
        clock.at += timedelta(seconds=3)

    assert vendor.authority.grants == 1
    clock.at += timedelta(seconds=1)
    run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), clock, seed)
    assert vendor.authority.grants == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_workers_that_share_a_connection_never_get_an_unexplained_invalid_grant(
    tmp_path: Path, sqlite_store: Store, sealer: Sealer, seed: int
) -> None:
    vendor, clock, chance = Vendor(uses=5), Clock(), random.Random(seed)
    state = {"seed": vendor.authority.seed(), "crashes": 0, "reauths": 0}

    def dies() -> bool:
        died = chance.random() < 0.1
        state["crashes"] += died
        return died

    async def worker() -> None:
        while vendor.authority.grants < 40:
            tokens = Mortal(sqlite_store, sealer)
            tokens.dies_at = dies
            mine = state["seed"]
            try:
                await fetch(session(tmp_path, vendor, tokens, clock, mine), 6)
            except Killed:
                continue
            except FixConfig:
                if state["seed"] == mine:
                    state["seed"], state["reauths"] = vendor.authority.seed(), state["reauths"] + 1

    async def all_of_them() -> None:
        await asyncio.gather(*(worker() for _ in range(4)))

    asyncio.run(all_of_them())
    events = [kind for _, kind, _ in read_events(sqlite_store)]
    assert state["crashes"] > 0
    assert vendor.authority.invalid == events.count("needs re-auth") == state["reauths"]
    assert vendor.authority.invalid <= state["crashes"]


def test_nothing_of_a_token_is_readable_in_the_store(tmp_path: Path, sqlite_store: Store, sealer: Sealer) -> None:
    vendor = Vendor()
    run(tmp_path, vendor, StoreTokens(sqlite_store, sealer), Clock(), vendor.authority.seed())

    stored = load_token(sqlite_store, CONNECTION)

    assert stored is not None
    text = json.dumps(stored.value)
    assert "refresh-" not in text
    assert "access-" not in text


def test_a_connection_on_refresh_tokens_without_a_key_says_how_to_make_one(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    monkeypatch.delenv("UNISONO_KEY", raising=False)
    monkeypatch.setattr(keyring, "get_password", lambda *_: None)
    connection = settings(tmp_path, BASE, "seed")
    with pytest.raises(FixConfig, match="unisono key new"):
        tokens_for(sqlite_store, connection, now=Clock().now)
    static = replace(connection, manifest=replace(connection.manifest, auth=()))
    assert isinstance(tokens_for(sqlite_store, static, now=Clock().now), MemoryTokens)
    monkeypatch.setenv("UNISONO_KEY", new_key())
    assert isinstance(tokens_for(sqlite_store, connection, now=Clock().now), StoreTokens)
