"""A small HTTP/1.1 server on asyncio: keep-alive, no delay, head and body of an answer in one write."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

from .message import Request, Response, Wire

Handler = Callable[[Request], Response]
_HUNG_UP = (
    asyncio.CancelledError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    ConnectionError,
    ValueError,
)
_LARGEST = 16 * 1024 * 1024


async def serve(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Return a listening server that answers each request with ``handler``; port 0 takes a free one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _talk(handler, reader, writer)
        except _HUNG_UP:
            return
        finally:
            writer.close()

    return await asyncio.start_server(connected, host, port)


async def _talk(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _no_delay(writer)
    while (request := await _request(reader)) is not None:
        response = handler(request)
        if response.delay_s:
            await asyncio.sleep(response.delay_s)
        keep = request.headers.get("connection", "").lower() != "close"
        if response.wire is None:
            writer.write(_bytes(response, keep=keep))
        else:
            keep = await _wired(response, response.wire, writer) and keep
        await writer.drain()
        if not keep:
            return


async def _wired(response: Response, wire: Wire, writer: asyncio.StreamWriter) -> bool:
    """Write an answer whose delivery goes wrong; return whether the connection can go on."""
    ends = wire.ending == "end"
    sent = _bytes(response, keep=ends)
    head = len(sent) - len(response.body)
    sent = sent[: head + (len(response.body) if wire.cut is None else wire.cut)]
    if wire.stall_s:
        writer.write(sent[: head + wire.stall_at])
        await writer.drain()
        await asyncio.sleep(wire.stall_s)
        sent = sent[head + wire.stall_at :]
    writer.write(sent)
    if wire.ending == "reset":
        await writer.drain()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return ends


def _no_delay(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request; null when the client has hung up between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    content = await _content(reader, headers)
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    return Request(method, unquote(parts.path), query, headers, content, f"http://{headers.get('host', '')}")


async def _content(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    length = int(headers.get("content-length", 0))
    if length > _LARGEST:
        message = f"request body of {length} bytes"
        raise ValueError(message)
    return await reader.readexactly(length) if length else b""


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        content += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return content


def _bytes(response: Response, *, keep: bool) -> bytes:
    reason = HTTPStatus(response.status).phrase
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(response.body)),
        "Connection": "keep-alive" if keep else "close",
        **response.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} {reason}\r\n{lines}\r\n".encode("latin-1") + response.body
