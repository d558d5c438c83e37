"""Fetch + cut + hash against a local server: how many records a second the engine itself can take.

Run: ``python -m tests.benchmarks.bench_fetch [--records N] [--page-size N]``. The server is another process that
writes ready-made pages, header and body in one write, so that the engine is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sdk.engine import read_stream
from connectors.sdk.manifest import connect, load_manifest
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from connectors.sdk.protocols import ConnectionSettings

MANIFEST = """
name: bench
title: Bench
version: 0.1.0
category: crm
summary: ready-made pages of contacts
docs: https://example.com
base_url: http://127.0.0.1
config: {type: object, properties: {access_token: {type: string, secret: true}}, required: [access_token]}
auth: [{type: bearer, token: "{config.access_token}"}]
streams:
  contacts:
    object: contact
    key: id
    record_time: updatedAt
    path: /crm/v3/objects/contacts
    params: {limit: "{page_size}"}
    page_size: 100
    data_selector: results
    paginator: {type: cursor, cursor_path: paging.next.after, cursor_param: after}
    incremental: {cursor_path: updatedAt, start_param: since}
"""


def contact(number: int) -> dict[str, object]:
    """Return one made-up contact of about 520 bytes, in a common vendor's shape."""
    properties = {
        "createdate": "2024-01-01T00:00:00.000Z", "email": f"user{number}@example.com", "firstname": "Ann",
        "lastname": "Müller", "hs_object_id": str(number), "lastmodifieddate": "2024-05-01T00:00:00.000Z",
        "phone": "+1 555 0100", "company": "Acme Inc", "city": "Berlin", "country": "Germany", "zip": "12345",
        "jobtitle": "Engineer", "lifecyclestage": "lead", "website": "https://example.com", "hs_email_optout": None,
    }  # fmt: skip
    times = {"createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-05-01T00:00:00.000Z"}
    return {"id": str(number), "properties": properties, **times, "archived": False}


def pages(records: int, page_size: int) -> list[bytes]:
    """Return whole HTTP answers, one per page."""
    answers = []
    for start in range(0, records, page_size):
        end = min(start + page_size, records)
        body: dict[str, object] = {"results": [contact(number) for number in range(start, end)]}
        if end < records:
            body["paging"] = {"next": {"after": str(end), "link": "https://example.com"}}
        content = json.dumps(body, ensure_ascii=False).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        answers.append(head.encode() + content)
    return answers


async def _serve(answers: list[bytes], page_size: int, ready: Connection) -> None:
    after = re.compile(rb"[?&]after=(\d+)")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = after.search(head.split(b"\r\n", 1)[0])
                writer.write(answers[int(found[1]) // page_size if found else 0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _process(records: int, page_size: int, ready: Connection) -> None:
    asyncio.run(_serve(pages(records, page_size), page_size, ready))


@contextmanager
def local_server(records: int, page_size: int) -> Iterator[str]:
    """Serve ready-made pages from another process; yield the base address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_process, args=(records, page_size, theirs), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def connection(base_url: str) -> ConnectionSettings:
    """Return a connection to the local server."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench"
        path.mkdir()
        (path / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
        manifest = load_manifest(path)
    return connect(manifest, name="bench", connection_id="bench", config={"access_token": "made-up"}, base_url=base_url)


async def fetch(settings: ConnectionSettings) -> int:
    """Read the stream to its end; return the number of good records."""
    stream = settings.manifest.stream("contacts")
    state, tokens = MemoryCheckpoints(), MemoryTokens()
    good = 0
    async for page in read_stream(stream, settings, checkpoints=state, tokens=tokens, now=lambda: datetime.now(UTC)):
        good += sum(record.problem is None for record in page.records)
    return good


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line: records, seconds, records a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=100)
    given = parser.parse_args(arguments)
    with local_server(given.records, given.page_size) as base_url:
        settings = connection(base_url)
        start, cpu = time.perf_counter(), time.process_time()
        records = asyncio.run(fetch(settings))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    report = {
        "name": "fetch", "records": records, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3),
        "records_per_second": round(records / seconds),
    }  # fmt: skip
    sys.stdout.write(json.dumps(report) + "\n")
    return 0 if records == given.records else 1


if __name__ == "__main__":
    raise SystemExit(main())
