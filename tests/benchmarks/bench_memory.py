"""Peak memory of fetch + land, whatever the stream's length.

    python -m tests.benchmarks.bench_memory [RECORDS …]        (default 100000 1000000)

The server makes each page when it is asked for, in a process of its own; the reader is another one and prints its peak
resident memory. The last line is one JSON object with megabytes and seconds per length.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.bench_fetch import contact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

PAGE_SIZE = 100
_AFTER = re.compile(rb"[?&]after=(\d+)")


def page_template() -> bytes:
    """Return a page's records with a place for each number (two a record)."""
    text = json.dumps([contact(4711) for _ in range(PAGE_SIZE)], ensure_ascii=False).replace("%", "%%")
    return text.replace('"4711"', '"%d"').replace("user4711@", "user@").encode()


def page(template: bytes, start: int, records: int) -> bytes:
    """Return the whole HTTP answer of the page that begins at ``start``."""
    numbers = tuple(number for number in range(start, start + PAGE_SIZE) for _ in range(2))
    following = start + PAGE_SIZE
    paging = b', "paging": {"next": {"after": "%d"}}' % following if following < records else b""
    content = b'{"results": ' + template % numbers + paging + b"}"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)
    return head + content


async def _serve(records: int, ready: Connection) -> None:
    template = page_template()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                found = _AFTER.search((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0])
                writer.write(page(template, int(found[1]) if found else 0, records))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _process(records: int, ready: Connection) -> None:
    asyncio.run(_serve(records, ready))


@contextmanager
def server(records: int) -> Iterator[str]:
    """Serve a stream of ``records`` (whole pages); yield the base address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_process, args=(records, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def read(base_url: str) -> None:
    """Run extract once; print records, seconds and this process's peak memory."""
    from tests.benchmarks.bench_land import ours

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        loaded = ours(base_url, Path(folder))
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        json.dumps({"records": loaded, "seconds": round(seconds, 1), "peak_memory_mb": round(peak)}) + "\n"
    )


def measured(records: int) -> dict[str, float]:
    """Return what one reader of ``records`` needed."""
    with server(records) as base_url:
        code = f"from tests.benchmarks.bench_memory import read; read({base_url!r})"
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if found["records"] != records:
        raise SystemExit(f"read {found['records']} of {records} records")
    return found


def main(lengths: list[int]) -> None:
    """Measure each length."""
    report = {"name": "memory", "lengths": [measured(records) for records in lengths]}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main([int(value) for value in sys.argv[1:]] or [100_000, 1_000_000])
