"""The simulator as a test or a process uses it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from .app import App
from .blocks import World
from .faults import FAULTS, Fault
from .server import serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from .shape import Shape


class Simulator:
    """All vendors of a world on one loopback port, served from a thread of its own.

    ``with Simulator(World(people=200)) as base_url:``: a connection's ``base_url`` is that plus the vendor's mount.
    ``faults`` are hazards; ``limited`` enforces the vendors' own rate limits.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        shapes: Mapping[str, Shape] | None = None,
        faults: tuple[Fault, ...] = (),
        limited: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.app = App(world or World(shapes=shapes), faults=faults, limited=limited)
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    @property
    def world(self) -> World:
        """Return the world that is served."""
        return self.app.world

    def start(self) -> str:
        """Listen and return the base URL."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        self._thread.start()
        listening = serve(self.app.answer, self._host, self._port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://{self._host}:{port}"

    def stop(self) -> None:
        """Stop listening, drop open connections and end the thread."""
        if self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._thread = None

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self) -> str:
        """Start and return the base URL."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def faults_named(words: list[str]) -> tuple[Fault, ...]:
    """Return the hazards of ``name=every`` words; an unknown name is an error that lists the known ones."""
    faults = []
    for word in words:
        name, _, every = word.partition("=")
        if name not in FAULTS:
            message = f"unknown fault {name!r}; known: {', '.join(sorted(FAULTS))}"
            raise ValueError(message)
        faults.append(FAULTS[name](int(every or 40)))
    return tuple(faults)
