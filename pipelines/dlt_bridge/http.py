"""The HTTP session that dlt's RESTClient is given: it asks declared origins only, and waits as long as it is told to.

dlt's own session follows a next-link to any host and sends the credentials along; it cuts a Retry-After at 300 s. Here
a foreign origin stops the stream before anything is sent, redirects included, and so does a name that leads to a private
network; an answer has a largest size and a longest time; a wait longer than the connection's ``patience_s`` ends the run
as VendorBusy with the instant after which Dagster runs the stream again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from dlt.sources.helpers.requests.session import Session

from connectors.sdk.errors import FixConfig, RetryLater, StopStream
from connectors.sdk.guard import ForbiddenAddress, Guard
from connectors.sdk.retry import ATTEMPTS, PATIENCE, VendorBusy, is_transient, retry_after
from pipelines.dlt_bridge.bounded import BoundedAdapter

_FIRST_WAIT: Final = 0.5
_BROKEN: Final = (
    requests.exceptions.ConnectionError, requests.exceptions.Timeout, requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)  # fmt: skip


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, the port always written."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower(), 0)
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"


def pause(seconds: float) -> None:
    """Wait before the next attempt."""
    time.sleep(seconds)


class GuardedSession(Session):
    """A requests session bound to some origins; the first one may be a private address, if it is written as one."""

    def __init__(self, origins: Sequence[str], *, patience: float = PATIENCE, allow_private: bool = False) -> None:
        super().__init__(raise_for_status=False)
        own = urlsplit(origin(origins[0]))
        adapter = BoundedAdapter(Guard.of(own.hostname or "", own.port or 0, allow_private=allow_private))
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        self._origins = frozenset(map(origin, origins))
        self._patience = patience
        self._last: tuple[Any, ...] | None = None

    def __deepcopy__(self, _memo: dict[int, Any]) -> GuardedSession:
        """Stay one session: dlt copies configurations to check them."""
        return self

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request to a declared origin; ask again for what may pass, as often and as late as our engine does."""
        url = str(request.url)
        self._check(url)
        for attempt in range(1, ATTEMPTS + 1):
            wait = self._attempt(request, kwargs, last=attempt == ATTEMPTS)
            if isinstance(wait, requests.Response):
                self._refuse_circle(request, wait)
                return wait
            if wait is not None and wait > self._patience:
                until = datetime.now(UTC) + timedelta(seconds=wait)
                what = f"the vendor asks to wait {wait:.0f} s"
                raise VendorBusy(what, where=_shown(url), seconds=wait, not_before=until)
            pause(wait if wait is not None else _FIRST_WAIT * 2**attempt)
        raise AssertionError("the last attempt answers or raises")  # pragma: no cover

    def _attempt(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any], *, last: bool
    ) -> requests.Response | float | None:
        """Return the answer, or the wait the vendor asks for (None: it names none) before the next attempt."""
        try:
            response: requests.Response = super().send(request, **kwargs)  # type: ignore[no-untyped-call]
        except requests.exceptions.HTTPError as why:  # raised by dlt's hook on the answer
            if why.response is None or not is_transient(why.response.status_code):
                raise
            response = why.response
        except ForbiddenAddress as why:
            raise FixConfig(
                str(why), where=_shown(str(request.url)), why="private networks are closed to connections",
                do="if it is meant, set allow_private_networks: true for the connection in unisono.yaml",
            ) from why  # fmt: skip
        except _BROKEN as why:
            if last:
                raise _gone(str(request.url), type(why).__name__) from why
            return None
        if not is_transient(response.status_code):
            response.json = partial(  # type: ignore[method-assign]
                requests.Response.json, response, parse_float=Decimal
            )
            return response
        wait = retry_after(response.headers, datetime.now(UTC))
        if last and (wait is None or wait <= self._patience):
            raise _gone(str(request.url), f"status {response.status_code}")
        return wait

    def _check(self, url: str) -> None:
        if origin(url) not in self._origins:
            raise StopStream(
                "a link leads to an origin that was not declared; nothing was sent there", where=_shown(url),
                do="if that host belongs to the vendor, add it to dlt: origins:",
            )  # fmt: skip

    def _refuse_circle(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        """Stop when the very same page is asked for twice in a row: its link points to itself."""
        this = (request.method, request.url, request.body)
        if response.ok and this == self._last:
            do = "check the paginator: of the resource"
            raise StopStream("the vendor's pages go in a circle", where=_shown(str(request.url)), do=do)
        self._last = this if response.ok else None


def _gone(url: str, why: str) -> RetryLater:
    do = "run again later; what was fetched is kept"
    return RetryLater("the vendor does not answer", where=_shown(url), why=f"{why}, {ATTEMPTS} attempts", do=do)


def _shown(url: str) -> str:
    """Return a URL without its query: that may hold secrets."""
    return url.split("?", 1)[0]
