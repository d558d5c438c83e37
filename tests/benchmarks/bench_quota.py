"""One account, two processes, eight streams: how much of what the vendor allows is used, and how often it refuses.

Run: ``python -m tests.benchmarks.bench_quota [--seconds 60] [--streams 8] [--processes 2] [--store URL]``. The vendor is a server
that counts a rolling window of 100 requests in 10 seconds and answers 429 above it. Prints one JSON line: `used` is the
share of the allowed requests that were answered, `refused` the share of 429s, `cpu_ms_per_request` that of the governor alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import UnisonoError
from connectors.sdk.memory import MemoryTokens
from connectors.sdk.paging import Request
from connectors.sdk.quota import AccountQuota
from connectors.sdk.session import Session
from connectors.sdk.specs import Limits
from pipelines.extract.quota import StoreLedger, account_of
from pipelines.store import Store
from tests.benchmarks.bench_fetch import connection

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ALLOWED, WINDOW = 100, 10.0
LIMITS = Limits(concurrency=4, requests=ALLOWED, per_seconds=WINDOW)


class Window:
    """The vendor's count: what it answered in the last ``WINDOW`` seconds."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.taken: deque[float] = deque()
        self.answered, self.refused = 0, 0
        self.began: float | None = None
        self.last = 0.0

    def admit(self) -> bool:
        """Return whether one more request is let in now."""
        now = time.monotonic()
        self.began, self.last = self.began or now, now
        while self.taken and self.taken[0] <= now - WINDOW:
            self.taken.popleft()
        ok = len(self.taken) < ALLOWED
        if ok:
            self.taken.append(now)
        self.answered, self.refused = self.answered + ok, self.refused + (not ok)
        return ok


async def _vendor(pipe: Connection) -> None:
    window = Window()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                status = "200 OK" if window.admit() else "429 Too Many Requests\r\nretry-after: 1"
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    async with server:
        await asyncio.to_thread(pipe.recv)
    pipe.send((window.answered, window.refused, window.last - (window.began or 0.0)))


def _serve(pipe: Connection) -> None:
    asyncio.run(_vendor(pipe))


async def _streams(count: int, base_url: str, url: str, until: float) -> None:
    settings = connection(base_url)
    with Store.open(url) as store:
        await asyncio.gather(*(_stream(settings, StoreLedger(store), until) for _ in range(count)))


async def _stream(settings: Any, ledger: StoreLedger, until: float) -> None:
    quota = AccountQuota.of(LIMITS, ledger=ledger, account=account_of(settings))
    async with Session(settings, tokens=MemoryTokens(), quota=quota, now=lambda: datetime.now(UTC)) as session:
        try:
            async with asyncio.timeout(until - time.time()):
                while True:
                    await session.fetch(Request("GET", f"{settings.base_url}/things"))
        except (TimeoutError, UnisonoError) as why:
            if isinstance(why, UnisonoError):
                print(why, file=sys.stderr)


def _process(count: int, base_url: str, url: str, seconds: float, together: Any) -> None:
    together.wait()
    asyncio.run(_streams(count, base_url, url, time.time() + seconds))


async def governor_cost(url: str, requests: int = 5_000) -> float:
    """Return the milliseconds of CPU that one permit costs at full speed, the store's part included."""
    with Store.open(url) as store:
        quota = AccountQuota.of(Limits(requests=1_000_000, per_seconds=10), ledger=StoreLedger(store), account="cost")
        began = time.process_time()
        for _ in range(requests):
            await quota.acquire()
            quota.observe({}, datetime.now(UTC))
        return (time.process_time() - began) / requests * 1000


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line; end 1 if a tenth of the allowance was left or more than one request in a hundred was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("seconds", 60), ("streams", 8), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--store")
    given = parser.parse_args(arguments)
    method = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        url = given.store or f"sqlite:///{Path(folder)}/store.db"
        Store.open(url).close()
        ours, theirs = multiprocessing.Pipe()
        vendor = method.Process(target=_serve, args=(theirs,), daemon=True)
        vendor.start()
        base_url, together = f"http://127.0.0.1:{ours.recv()}", method.Barrier(given.processes)
        share = given.streams // given.processes
        arguments_of_one = (share, base_url, url, given.seconds, together)
        workers = [method.Process(target=_process, args=arguments_of_one) for _ in range(given.processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        ours.send("done")
        answered, refused, span = ours.recv()
        cost = asyncio.run(governor_cost(url))
    allowed = ALLOWED * given.seconds / WINDOW
    report = {
        "name": "quota", "store": url.partition(":")[0], "streams": given.streams, "processes": given.processes,
        "allowed": round(allowed), "answered": answered, "used": round(answered / allowed, 3),
        "span_seconds": round(span, 1), "refused": round(refused / max(1, answered + refused), 4), "cpu_ms_per_request": round(cost, 4),
    }  # fmt: skip
    print(json.dumps(report))
    return 0 if answered >= 0.9 * allowed and refused <= 0.01 * (answered + refused) else 1


if __name__ == "__main__":
    raise SystemExit(main())
