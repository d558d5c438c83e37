"""Children of many parents: how near the engine comes to what the account's quota allows.

Run: ``python -m tests.benchmarks.bench_fanout [--parents N] [--rate N] [--latency SECONDS]``. A server on loopback
answers each request after ``--latency``, as a vendor far away does; the account allows ``--rate`` requests a second. The
optimum is parents / rate seconds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sdk.engine import read_stream
from connectors.sdk.manifest import connect, load_manifest
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens
from connectors.sdk.protocols import Completeness, ParentRecord
from connectors.sdk.quota import AccountQuota

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANIFEST = """
name: bench
title: Bench
version: 0.1.0
category: crm
summary: children of many parents
docs: https://example.com
base_url: http://127.0.0.1
config: {{type: object, properties: {{access_token: {{type: string, secret: true}}}}, required: [access_token]}}
auth: [{{type: bearer, token: "{{config.access_token}}"}}]
limits: {{concurrency: {concurrency}, requests: {rate}, per_seconds: 1}}
streams:
  tickets: {{object: ticket, key: id, path: /tickets, data_selector: items}}
  comments:
    object: comment
    key: id
    path: "/tickets/{{parent.id}}/comments"
    params: {{limit: "{{page_size}}"}}
    page_size: 100
    data_selector: items
    paginator: {{type: cursor, cursor_path: next, cursor_param: after, has_more_path: more}}
    parent: {{stream: tickets, bind: {{id: id}}, changed_only: true}}
"""


@asynccontextmanager
async def vendor(latency: float) -> AsyncIterator[str]:
    """Serve a page of two comments for each ticket, each answer after ``latency``; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await talk(reader, writer)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readline():
            ticket = request.split(b"/")[2].decode()
            while (await reader.readline()).strip():
                pass
            await asyncio.sleep(latency)
            items = [{"id": f"{ticket}-{n}", "ticket": ticket, "body": "thank you"} for n in (1, 2)]
            body = json.dumps({"items": items, "more": False}).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def measure(parents: int, rate: int, latency: float, concurrency: int) -> tuple[float, int]:
    """Return the seconds a whole read took, and how many parents ended COMPLETE."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench").mkdir()
        file = Path(folder) / "bench" / "manifest.yaml"
        file.write_text(MANIFEST.format(rate=rate, concurrency=concurrency), encoding="utf-8")
        manifest = load_manifest(file)
    tickets = [ParentRecord(str(n), json.dumps({"id": n}).encode(), f"{n:032x}") for n in range(parents)]
    async with vendor(latency) as url:
        config = {"access_token": "made-up"}
        connection = connect(manifest, name="b", connection_id="b", config=config, base_url=url)
        checkpoints, done = MemoryCheckpoints({"tickets": tickets}), 0
        began = time.perf_counter()
        pages = read_stream(
            manifest.stream("comments"), connection, checkpoints=checkpoints, tokens=MemoryTokens(),
            quota=AccountQuota.of(manifest.limits), now=lambda: datetime.now(UTC),
        )  # fmt: skip
        async for page in pages:
            checkpoints.save(page)
            done += page.completeness is Completeness.COMPLETE
        return time.perf_counter() - began, done


def main(words: list[str] | None = None) -> None:
    """Print one line of JSON."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--parents", type=int, default=1_000)
    asked.add_argument("--rate", type=int, default=100)
    asked.add_argument("--latency", type=float, default=0.05)
    asked.add_argument("--concurrency", type=int, default=10)
    options = asked.parse_args(words)
    seconds, done = asyncio.run(measure(options.parents, options.rate, options.latency, options.concurrency))
    optimum = options.parents / options.rate
    used = resource.getrusage(resource.RUSAGE_SELF)
    line = {
        "name": "fanout", "parents": options.parents, "complete": done, "seconds": round(seconds, 2),
        "optimum": round(optimum, 2), "share": round(optimum / seconds, 3),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2), "peak_memory_mb": used.ru_maxrss // 1024,
    }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
