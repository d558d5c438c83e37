"""A hostile vendor on loopback: its own port, and a second one that stands for a foreign origin."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

from .server import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .message import Request, Response

_HOST = "127.0.0.1"


class Listening:
    """Serves ``answer(request, origin)`` on two ports, from a thread of its own, while the context lasts."""

    def __init__(self, answer: Callable[[Request, str], Response]) -> None:
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile vendor", daemon=True)
        self._servers: list[asyncio.Server] = []
        self.base_url = self.foreign_url = ""

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self.base_url, self.foreign_url = self._listen(), self._listen()
        return self

    def _listen(self) -> str:
        url = ""

        def handler(request: Request) -> Response:
            return self._answer(request, url)

        starting = serve(partial(handler), _HOST, 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self._servers.append(server)
        url = f"http://{_HOST}:{server.sockets[0].getsockname()[1]}"
        return url

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, drop open connections and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
