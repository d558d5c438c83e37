"""Ask the vendor for single records that a complete list did not show."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from connectors.sdk.chain import GONE
from connectors.sdk.errors import StopStream
from connectors.sdk.paging import Request
from connectors.sdk.quota import AccountQuota
from connectors.sdk.requests import address, render_params
from connectors.sdk.session import Refused, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from connectors.sdk.http import ClientFactory
    from connectors.sdk.protocols import ConnectionSettings, Quota, Tokens
    from connectors.sdk.specs import HydrateSpec


async def existing(
    item: HydrateSpec,
    connection: ConnectionSettings,
    keys: Iterable[str],
    *,
    tokens: Tokens,
    now: Callable[[], datetime],
    quota: Quota | None = None,
    client_factory: ClientFactory | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> set[str]:
    """Return those keys whose record the vendor still has; only 404 and 410 say that one is gone.

    Any other refusal raises StopStream: it says nothing about the record.
    """
    quota = quota or AccountQuota.of(connection.manifest.limits)
    async with Session(connection, tokens=tokens, quota=quota, now=now, factory=client_factory, sleep=sleep) as session:
        asked = list(keys)
        found = await asyncio.gather(*(_exists(session, item, key) for key in asked))
    return {key for key, there in zip(asked, found, strict=True) if there}


async def _exists(session: Session, item: HydrateSpec, key: str) -> bool:
    connection = session.connection
    scope = {"config": connection.config, "key": key}
    url = address(item.path, connection.base_url, scope)
    headers = tuple(connection.manifest.headers.items())
    try:
        await session.fetch(Request("GET", url, render_params(item.params, scope), headers))
    except Refused as why:
        if why.status in GONE:
            return False
        raise StopStream(
            "the vendor refuses to say whether a record still exists", where=why.where,
            why=f"status {why.status}: {why.snippet}", do="correct deleted.item in the manifest, or say absence: twice",
        ) from None  # fmt: skip
    return True
