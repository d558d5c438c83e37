"""A vendor account's limits hold in every window, whoever asks; what the vendor says is believed; what it allows is used."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sdk.buckets import Ask, Bucket, MemoryLedger, State, day_end, settle
from connectors.sdk.quota import AccountQuota
from connectors.sdk.ratelimits import FAMILIES, HeaderRule, Seen, read_headers
from connectors.sdk.retry import VendorBusy
from connectors.sdk.specs import Daily, Limits, RequestClass

from .vendor import Clock
from .virtual_time import clock, run

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SEARCH = RequestClass("search", "/objects/*/search", "POST", 5, 1.0)


def quota_of(at: Clock, limits: Limits, **options: Any) -> AccountQuota:
    return AccountQuota.of(limits, clock=at.monotonic, sleep=at.sleep, **options)


async def spend(quota: AccountQuota, at: Clock, times: int, method: str = "GET", path: str = "/things") -> list[float]:
    sent = []
    for _ in range(times):
        await quota.acquire(method, path)
        sent.append(at.monotonic())
    return sent


class RollingVendor:
    """Refuses what is above ``allowed`` in any window; requests need a random while to arrive and to come back."""

    def __init__(self, allowed: int, window: float, seed: int) -> None:
        self.allowed, self.window, self.chance = allowed, window, random.Random(seed)
        self.taken: deque[float] = deque()
        self.accepted, self.refused = 0, 0

    async def ask(self) -> int:
        await asyncio.sleep(self.chance.uniform(0.005, 0.04))
        now = asyncio.get_running_loop().time()
        while self.taken and self.taken[0] <= now - self.window:
            self.taken.popleft()
        full = len(self.taken) >= self.allowed
        if not full:
            self.taken.append(now)
        self.accepted, self.refused = self.accepted + (not full), self.refused + full
        await asyncio.sleep(self.chance.uniform(0.005, 0.04))
        return 429 if full else 200


async def stream(quota: AccountQuota, vendor: RollingVendor, until: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await quota.acquire()
        if loop.time() < until:
            quota.observe({}, datetime.fromtimestamp(clock(), UTC), status=await vendor.ask())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_streams_use_nine_tenths_of_what_is_allowed_and_are_hardly_ever_refused(seed: int) -> None:
    vendor, ledger, limits = RollingVendor(100, 10.0, seed), MemoryLedger(), Limits(requests=100, per_seconds=10)

    async def all_of_them() -> None:
        quotas = [AccountQuota.of(limits, ledger=ledger, account="crm", clock=clock) for _ in range(8)]
        await asyncio.gather(*(stream(quota, vendor, 60.0) for quota in quotas))

    run(all_of_them())
    assert vendor.accepted >= 0.9 * 600
    assert vendor.refused <= 0.01 * vendor.accepted


def test_a_class_has_a_limit_of_its_own_beside_the_accounts() -> None:
    at, limits = Clock(), Limits(requests=100, per_seconds=10, classes=(SEARCH,))
    quota = quota_of(at, limits)
    searches = asyncio.run(spend(quota, at, 11, "POST", "/objects/contacts/search"))
    assert all(later - earlier >= 1 for earlier, later in zip(searches, searches[5:], strict=False))
    assert asyncio.run(spend(quota, at, 80))[-1] == at.monotonic()
    assert quota._ledger.states["", "default"].used >= 91


def test_a_separate_class_takes_nothing_from_the_account() -> None:
    at = Clock()
    apart = RequestClass("export", "/export", None, 2, 60.0, separate=True)
    quota = quota_of(at, Limits(requests=3, per_seconds=60, classes=(apart,)))
    assert set(asyncio.run(spend(quota, at, 2, path="/export"))) == {at.monotonic()}
    assert set(asyncio.run(spend(quota, at, 3))) == {at.monotonic()}


def test_retry_after_closes_the_class_that_was_refused_and_not_the_others() -> None:
    at = Clock()
    quota = quota_of(at, Limits(classes=(RequestClass("exports", "/incremental/*"),)))
    quota.observe({"retry-after": "50"}, at.now(), status=429, path="/incremental/users")
    began = at.monotonic()
    assert asyncio.run(spend(quota, at, 1, path="/comments")) == [began]
    assert asyncio.run(spend(quota, at, 1, path="/incremental/orgs"))[0] == pytest.approx(began + 50, abs=0.001)


def test_all_who_share_the_account_heed_one_ones_retry_after() -> None:
    at, ledger = Clock(), MemoryLedger()
    one, other = (quota_of(at, Limits(), ledger=ledger, account="crm") for _ in range(2))
    one.observe({"retry-after": "30"}, at.now(), status=429)
    began = at.monotonic()
    assert asyncio.run(spend(other, at, 1))[0] == pytest.approx(began + 30, abs=0.001)


def test_a_wait_beyond_patience_names_the_instant_instead_of_sleeping() -> None:
    at = Clock()
    quota = quota_of(at, Limits(), patience=120)
    quota.observe({"retry-after": "3600"}, at.now(), status=429)
    with pytest.raises(VendorBusy, match="not before 2026-05-01 13:00:00 UTC") as caught:
        asyncio.run(spend(quota, at, 1))
    assert (at.waits, caught.value.exit_code) == ([], 75)


def test_the_days_budget_is_kept_to_our_share_until_the_vendors_midnight() -> None:
    at = Clock()
    quota = quota_of(at, Limits(daily=Daily(10, share=0.5, resets_at="00:00", timezone="Europe/Berlin")))
    asyncio.run(spend(quota, at, 5))
    with pytest.raises(VendorBusy, match="daily budget is used up") as caught:
        asyncio.run(spend(quota, at, 1))
    assert caught.value.not_before == datetime(2026, 5, 1, 22, tzinfo=UTC)


def test_a_day_ends_at_the_vendors_hour_in_summer_and_winter() -> None:
    daily = Daily(1, resets_at="03:00", timezone="America/New_York")
    assert datetime.fromtimestamp(day_end(daily, NOW.timestamp()), UTC) == datetime(2026, 5, 2, 7, tzinfo=UTC)
    winter = datetime(2026, 1, 1, 2, tzinfo=UTC).timestamp()
    assert datetime.fromtimestamp(day_end(daily, winter), UTC) == datetime(2026, 1, 1, 8, tzinfo=UTC)


def test_what_others_take_of_the_account_is_seen_in_the_headers() -> None:
    at = Clock()
    quota = quota_of(at, Limits(requests=100, per_seconds=10))
    asyncio.run(spend(quota, at, 1))
    quota.observe({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "40"}, at.now())
    began = at.monotonic()
    sent = asyncio.run(spend(quota, at, 6))
    assert sum(one < began + 40 for one in sent) <= 4
    assert sent[-1] >= began + 40


def test_the_plans_own_limit_replaces_the_manifests_number() -> None:
    at = Clock()
    rule = HeaderRule(remaining="x-left", limit="x-max")
    quota = quota_of(at, Limits(requests=10, per_seconds=10, headers=(rule,)))
    asyncio.run(spend(quota, at, 1))
    quota.observe({"x-left": "39", "x-max": "40"}, at.now())
    began = at.monotonic()
    assert set(asyncio.run(spend(quota, at, 39))) == {began}


def test_permits_of_a_process_that_died_come_back_by_themselves() -> None:
    bucket = Bucket("default", 10, 10.0)
    state, grant = settle(State(), Ask(bucket, 10), 0.0)
    assert grant.permits == 10
    assert settle(state, Ask(bucket, 1), 5.0)[1].wait > 0
    assert settle(state, Ask(bucket, 10), grant.until)[1].permits == 10


def test_permits_not_used_go_back() -> None:
    bucket = Bucket("default", 10, 10.0)
    state, grant = settle(State(), Ask(bucket, 8), 0.0)
    state, again = settle(state, Ask(bucket, 10, returned=((grant.until, 6),)), 1.0)
    assert again.permits == 8


def test_a_state_survives_the_store() -> None:
    state, _ = settle(State(), Ask(Bucket("default", 10, 10.0), 3, closed_until=0.5), 1.0)
    assert State.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    ("rule", "headers", "seen"),
    [
        (FAMILIES[0], {"ratelimit-remaining": "12", "ratelimit-reset": "30"}, (12, None, 130.0)),
        (FAMILIES[1], {"ratelimit": "limit=240; remaining=239; reset=2"}, (239, None, 102.0)),
        (FAMILIES[2], {"ratelimit": '"default";r=50;t=30'}, (50, None, 130.0)),
        (FAMILIES[3], {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1777636800"}, (0, None, 1777636800.0)),
        (FAMILIES[3], {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1777636800000"}, (1, None, 1777636800.0)),
        (FAMILIES[3], {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "Fri, 01 May 2026 12:00:00 GMT"}, (5, None, 1777636800.0)),
        (HeaderRule(used_of="x-shopify-shop-api-call-limit"), {"x-shopify-shop-api-call-limit": "32/80"}, (48, 80, None)),
        (HeaderRule(remaining="zendesk-ratelimit-tickets-index[remaining]", reset="zendesk-ratelimit-tickets-index[resets]"),
         {"zendesk-ratelimit-tickets-index": "total=100; remaining=99; resets=41"}, (99, None, 141.0)),
        (HeaderRule(remaining="left", reset="ms", reset_unit="milliseconds"), {"left": "9", "ms": "2500"}, (9, None, 102.5)),
    ],
)  # fmt: skip
def test_every_familys_headers_are_read(rule: HeaderRule, headers: dict[str, str], seen: tuple[Any, ...]) -> None:
    (found,) = read_headers((rule,), headers, 100.0)
    assert (found.remaining, found.limit, found.resets_at) == seen


@pytest.mark.parametrize("value", ["-1", "", "unlimited"])
def test_a_senseless_count_says_nothing(value: str) -> None:
    assert list(read_headers(FAMILIES, {"x-ratelimit-remaining": value}, 1.0)) == []


def test_an_observation_that_came_too_late_changes_nothing() -> None:
    bucket = Bucket("default", 10, 10.0)
    late = Seen(None, at=0.0, remaining=0, resets_at=5.0)
    assert settle(State(), Ask(bucket, 1, seen=late), 6.0)[1].permits == 1
