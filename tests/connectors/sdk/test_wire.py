"""The real client on a loopback socket: what only real bytes can show."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.engine import read_stream
from connectors.sdk.envelopes import Envelopes
from connectors.sdk.errors import StopStream
from connectors.sdk.manifest import connect
from connectors.sdk.retry import ATTEMPTS

from .vendor import SECRET, Clock, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from connectors.sdk.envelopes import Members
    from connectors.sdk.protocols import Page
    from connectors.sdk.specs import Manifest

from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens


async def _read(read: Manifest, answers: list[bytes], clock: Clock) -> tuple[list[Page], int]:
    """Serve raw answers in order, each on the open connection; close after one that says so."""
    asked, idle = 0, asyncio.Semaphore(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                answer = answers[min(asked, len(answers) - 1)]
                asked += 1
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in answer:
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        idle.release()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = connect(
        read, name="mine", connection_id="c", config={"access_token": SECRET}, base_url=f"http://127.0.0.1:{port}"
    )
    pages: list[Any] = []
    try:
        async for page in read_stream(
            read.stream("things"),
            settings,
            checkpoints=MemoryCheckpoints(),
            tokens=MemoryTokens(),
            now=clock.now,
            sleep=clock.sleep,
        ):
            pages.append(page)  # noqa: PERF401  kept when the read fails
    finally:
        server.close()
        await idle.acquire()
    return pages, asked


def _answer(body: bytes, *, stated: int | None = None, head: str = "") -> bytes:
    length = len(body) if stated is None else stated
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{head}\r\n".encode() + body
    )


def test_pages_come_over_one_kept_connection(tmp_path: Path) -> None:
    read = manifest(tmp_path, {"paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}})
    answers = [_answer(b'{"items":[{"id":1}],"next":"a"}'), _answer(b'{"items":[{"id":2}]}')]
    pages, asked = asyncio.run(_read(read, answers, Clock()))
    assert [record.key for page in pages for record in page.records] == ["1", "2"]
    assert asked == 2


def test_answers_after_the_first_are_read_as_those_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[bool] = []
    read_as_before = Envelopes.read

    def read_and_told(self: Envelopes, content: bytes) -> Members | None:
        found = read_as_before(self, content)
        known.append(found is not None)
        return found

    monkeypatch.setattr(Envelopes, "read", read_and_told)
    read = manifest(tmp_path, {"paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}})
    answers = [_answer(b'{"items":[{"id":1}],"next":"a"}'), _answer(b'{"items":[{"id":2}],"next":"b"}'),
               _answer(b'{"items":[{"id":3}]}')]  # fmt: skip

    pages, _ = asyncio.run(_read(read, answers, Clock()))

    assert [record.key for page in pages for record in page.records] == ["1", "2", "3"]
    assert known == [False, True, True]


def test_an_answer_shorter_than_stated_is_asked_again_and_then_stops(tmp_path: Path) -> None:
    clock = Clock()
    cut_off = _answer(b'{"items":[{"id":1}]}', stated=500, head="connection: close\r\n")
    with pytest.raises(StopStream, match="the answer ended early"):
        asyncio.run(_read(manifest(tmp_path), [cut_off], clock))
    assert len(clock.waits) == ATTEMPTS - 1
