"""When to ask again, and after how long: 429, 5xx, broken transport and broken bodies, a bounded number of times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

import tenacity

from connectors.sdk.errors import RetryLater, StopStream, UnisonoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ATTEMPTS: Final = 5
PATIENCE: Final = 120.0
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_T = TypeVar("_T")


class VendorBusy(RetryLater):
    """The vendor may not be asked before ``not_before``, ``seconds`` from now: longer than this run should wait."""

    exit_code = 75

    def __init__(self, what: str, *, where: str | None, seconds: float, not_before: datetime | None = None) -> None:
        """Keep the instant for whoever schedules the next run."""
        self.seconds, self.not_before = seconds, not_before
        at = f"not before {not_before.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if not_before else "after that"
        do = f"run again {at} (Dagster does by itself); what was fetched is kept"
        super().__init__(what, where=where, do=do)


class Transient(Exception):
    """This attempt failed in a way that another may not; ``wait`` is what the vendor asked for, in seconds."""

    def __init__(
        self, what: str, where: str, *, wait: float | None = None, final: type[UnisonoError] = RetryLater
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.wait, self.final = what, where, wait, final


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, given as a number or as an HTTP date; None without one."""
    value = headers.get("retry-after", headers.get("Retry-After", "")).strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def is_transient(status: int) -> bool:
    """Return whether the same request may succeed later: overload, time-outs and the vendor's own failures."""
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))  # noqa: PLR2004  HTTP's numbers


async def with_retries(
    attempt: Callable[[], Awaitable[_T]],
    *,
    sleep: Callable[[float], Awaitable[None]],
    attempts: int = ATTEMPTS,
    patience: float = PATIENCE,
    now: Callable[[], datetime] | None = None,
) -> _T:
    """Call ``attempt`` until it does not raise Transient; then raise the error it ends in.

    The vendor's own wait is obeyed in full; one longer than ``patience`` raises VendorBusy at once.
    """
    try:
        return await attempt()
    except Transient as why:
        return await _again(attempt, why, sleep, attempts, patience, now)


async def _again(
    attempt: Callable[[], Awaitable[_T]],
    first: Transient,
    sleep: Callable[[float], Awaitable[None]],
    attempts: int,
    patience: float,
    now: Callable[[], datetime] | None,
) -> _T:
    """Go on after a first failure; the machinery of retries is built only for those that need it."""
    failures: list[Transient] = [first]
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda why: isinstance(why, Transient) and not _too_long(why, patience)),
        wait=_wait,
        stop=tenacity.stop_after_attempt(attempts),
        sleep=sleep,
        reraise=True,
    )

    async def once() -> _T:
        if failures:
            raise failures.pop()
        return await attempt()

    try:
        return await retrying(once)
    except Transient as why:
        if _too_long(why, patience):
            seconds = why.wait or 0.0
            what = f"{why.what}; it asks to wait {seconds:.0f} s"
            at = now() + timedelta(seconds=seconds) if now else None
            raise VendorBusy(what, where=why.where, seconds=seconds, not_before=at) from None
        raise _last(why, attempts) from None


def _too_long(why: Transient, patience: float) -> bool:
    return why.wait is not None and why.wait > patience


_backoff = tenacity.wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT) + tenacity.wait_random(0, _FIRST_WAIT)


def _wait(state: tenacity.RetryCallState) -> float:
    why = state.outcome.exception() if state.outcome else None
    if isinstance(why, Transient) and why.wait is not None:
        return why.wait
    return _backoff(state)


def _last(why: Transient, attempts: int) -> UnisonoError:
    if issubclass(why.final, StopStream):
        return why.final(why.what, where=why.where, why=f"{attempts} attempts", do="look at the vendor's status page")
    return why.final(
        why.what, where=why.where, why=f"{attempts} attempts", do="run again later; what was fetched is kept"
    )
