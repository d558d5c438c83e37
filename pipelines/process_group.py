"""A command with everything that it starts: ended together, whoever is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GRACE_S: Final = 20.0
_POLL_S: Final = 0.05
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_by_any_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, so that what was begun is ended; for the main thread only."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_group(command: Sequence[str], env: Mapping[str, str], *, grace: float = GRACE_S) -> int:
    """Run a command and return its exit code; nothing of its process group is left when this ends, however it ends.

    Dagster's own processes stay when only the first of them is killed. All are interrupted as by Ctrl-C, and killed if
    some are still there after ``grace`` seconds, or at once at a second interrupt.
    """
    process = _started(command, env)
    try:
        return process.wait()
    finally:
        try:
            _signal(process.pid, signal.SIGINT)
            until = time.monotonic() + grace
            while _is_there(process) and time.monotonic() < until:
                time.sleep(_POLL_S)
        finally:
            _signal(process.pid, signal.SIGKILL)
            process.wait()


def _started(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command that can be interrupted, even where this process cannot: in the background of a script."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        # A handler is not inherited by what is started; that a signal is ignored would be.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, env=dict(env), start_new_session=True)  # noqa: S603  our own modules
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _is_there(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # who has ended and was not waited for still counts
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
