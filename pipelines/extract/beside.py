"""One piece of work beside the caller: a segment is committed while the next one comes together."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Beside:
    """Does one piece of work at a time in a thread: the next begins when the one before it has ended well.

    What a piece of work raised is raised, once and as it is, to whoever waits for it or starts another.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work when the one before it has ended; raise what that one raised instead."""
        self.wait()
        self._thread = Thread(target=self._do, args=(work,), name="unisono-beside")
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is under way; raise what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    @property
    def failed(self) -> bool:
        """True when what was under way has gone wrong, and nobody was told."""
        return self._error is not None

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  it is the caller's, whatever it is
            self._error = error
