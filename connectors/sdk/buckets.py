"""What an account may still ask, bucket by bucket: pure rules, the same for a ledger in memory and one in the store.

Each limit of a manifest is a bucket; `settle` is the one way a bucket changes. Permits count until an instant, so those
of a process that died lapse by themselves; unused ones go back with the next question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.sdk.ratelimits import Seen
    from connectors.sdk.specs import Daily

_MANY: Final = 1_000_000
_STEPS: Final = 128
_LEASE_SHARE, _LONGEST_LEASE = 0.04, 1.0
_MARGIN_SHARE, _SMALLEST_MARGIN = 0.01, 0.05


@dataclass(frozen=True)
class Bucket:
    """At most ``requests`` in any window of ``per_seconds``, or in a day that begins at ``daily.resets_at``.

    A vendor's Retry-After closes even a bucket without a number.
    """

    name: str
    requests: int | None = None
    per_seconds: float = 0.0
    daily: Daily | None = None

    @property
    def lease(self) -> float:
        """How long a permit may be held before it is used."""
        return min(_LONGEST_LEASE, self.per_seconds * _LEASE_SHARE) if self.per_seconds else _LONGEST_LEASE

    def until(self, now: float) -> float:
        """Return until when a permit granted now counts; steps keep the state small, rounded to the safe side."""
        if self.daily is not None:
            return day_end(self.daily, now)
        margin = max(self.per_seconds * _MARGIN_SHARE, min(_SMALLEST_MARGIN, self.per_seconds))
        end, step = now + self.lease + self.per_seconds + margin, self.per_seconds / _STEPS
        return -(-end // step) * step


@dataclass(frozen=True)
class Ask:
    """What one process tells the ledger about one bucket, and how many permits it wants."""

    bucket: Bucket
    want: int = 0
    returned: tuple[tuple[float, int], ...] = ()
    seen: Seen | None = None
    closed_until: float = 0.0


@dataclass(frozen=True)
class Grant:
    """``permits`` that count until ``until``; without any, ``wait`` says after how many seconds to ask again."""

    permits: int = 0
    until: float = 0.0
    wait: float = 0.0
    closed: bool = False


@dataclass(frozen=True)
class State:
    """A bucket as a ledger keeps it: until when how many permits count, and when the vendor lets us in again.

    ``ceiling`` is (until, left): what the vendor said is left until its window ends, less than our own count allows.
    """

    slots: tuple[tuple[float, int], ...] = ()
    closed_until: float = 0.0
    limit: int | None = None
    ceiling: tuple[float, int] | None = None

    @property
    def used(self) -> int:
        """How many permits count now."""
        return sum(count for _, count in self.slots)

    def to_json(self) -> dict[str, Any]:
        """Return the state for a store."""
        return {
            "slots": [list(slot) for slot in self.slots], "closed_until": self.closed_until, "limit": self.limit,
            "ceiling": None if self.ceiling is None else list(self.ceiling),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> State:
        """Return a stored state; an absent one is fresh."""
        if not stored:
            return cls()
        slots = tuple((float(until), int(count)) for until, count in stored["slots"])
        ceiling = stored["ceiling"]
        return cls(
            slots, float(stored["closed_until"]), stored["limit"], None if ceiling is None else (ceiling[0], ceiling[1])
        )


class Ledger(Protocol):
    """Where the permits of an account are counted; one call settles all buckets of a request, or none.

    ``blocking`` says that a call may wait for a disk or a server, and belongs into a thread.
    """

    blocking: bool

    def exchange(self, account: str, asks: Sequence[Ask], now: float) -> Sequence[Grant]:
        """Return one grant per ask, in their order."""


def day_end(daily: Daily, now: float) -> float:
    """Return when the vendor's day that holds ``now`` ends."""
    zone = ZoneInfo(daily.timezone)
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    hour, minute = (int(part) for part in daily.resets_at.split(":"))
    reset = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if reset <= local:
        reset = (reset.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
    return reset.timestamp()


def settle(state: State, ask: Ask, now: float) -> tuple[State, Grant]:
    """Return the bucket after one process's word, and what it is granted."""
    state = _after_returns(state, ask, now)
    if ask.seen is not None:
        state = _reconciled(state, ask, ask.seen, now)
    if ask.closed_until > state.closed_until:
        state = replace(state, closed_until=ask.closed_until)
    if state.closed_until > now:
        return state, Grant(wait=state.closed_until - now, closed=True)
    state = state if state.ceiling is None or state.ceiling[0] > now else replace(state, ceiling=None)
    free = _free(state, ask.bucket)
    left = _MANY if state.ceiling is None else state.ceiling[1]
    if ask.want and (left <= 0 or (free is not None and free <= 0)):
        return state, Grant(wait=max(0.001, _next_chance(state, left) - now))
    if free is None:
        permits = left if state.ceiling is None else min(ask.want, left)
        return _lowered(state, permits), Grant(permits, now + ask.bucket.lease)
    permits = min(ask.want, max(0, free), left)
    until = ask.bucket.until(now)
    return (_lowered(_with_slot(state, until, permits), permits) if permits else state), Grant(permits, until)


def _next_chance(state: State, left: int) -> float:
    if left <= 0 and state.ceiling is not None:
        return state.ceiling[0]
    return min(until for until, _ in state.slots)


def _lowered(state: State, permits: int) -> State:
    if state.ceiling is None:
        return state
    return replace(state, ceiling=(state.ceiling[0], state.ceiling[1] - permits))


def _free(state: State, bucket: Bucket) -> int | None:
    allowed = _allowed(state, bucket)
    return None if allowed is None else allowed - state.used


def _allowed(state: State, bucket: Bucket) -> int | None:
    allowed = bucket.requests if state.limit is None else state.limit
    if allowed is None or bucket.daily is None:
        return allowed
    return max(1, int(allowed * bucket.daily.share))


def _after_returns(state: State, ask: Ask, now: float) -> State:
    slots = {until: count for until, count in state.slots if until > now}
    for until, count in ask.returned:
        if until in slots:
            slots[until] = slots[until] - count
    return replace(state, slots=tuple(slot for slot in slots.items() if slot[1] > 0))


def _reconciled(state: State, ask: Ask, seen: Seen, now: float) -> State:
    """Believe the vendor when it has fewer requests left than we would grant: others use the account too."""
    if seen.limit is not None and ask.bucket.requests is not None:
        state = replace(state, limit=seen.limit)
    free = _free(state, ask.bucket)
    until = seen.resets_at or (
        ask.bucket.until(seen.at) if ask.bucket.daily else seen.at + (ask.bucket.per_seconds or 1.0)
    )
    if seen.remaining is None or until <= now or (free is not None and seen.remaining >= free):
        return state
    known = state.ceiling
    left = min(known[1], seen.remaining) if known is not None and known[0] >= until - 1 else seen.remaining
    return replace(state, ceiling=(until, left))


def _with_slot(state: State, until: float, count: int) -> State:
    slots = dict(state.slots)
    slots[until] = slots.get(until, 0) + count
    return replace(state, slots=tuple(sorted(slots.items())))


class MemoryLedger:
    """The ledger of one process."""

    blocking = False

    def __init__(self) -> None:
        """Start with nothing granted."""
        self.states: dict[tuple[str, str], State] = {}

    def exchange(self, account: str, asks: Sequence[Ask], now: float) -> Sequence[Grant]:
        """Settle every bucket asked for."""
        settled = [settle(self.states.get((account, ask.bucket.name), State()), ask, now) for ask in asks]
        short = any(grant.wait for _, grant in settled)
        for ask, (state, grant) in zip(asks, settled, strict=True):
            kept = without(state, grant) if short else state
            self.states[account, ask.bucket.name] = kept
        return [Grant(wait=grant.wait, closed=grant.closed) if short else grant for _, grant in settled]


def without(state: State, grant: Grant) -> State:
    """Return the state with a grant taken back: another bucket of the same request had nothing to give."""
    back = _lowered(state, -grant.permits)
    return _after_returns(back, Ask(Bucket(""), returned=((grant.until, grant.permits),)), 0.0)
