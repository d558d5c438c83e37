"""How much memory a process and its children hold at once, at the most.

What ``getrusage`` says is of no use here: on Linux a process's peak begins with that of its parent at the fork, and stays
through exec, so that a child counts its parent again. So children are looked at while they live, and this process is
asked for the peak of its own memory (``VmHWM``), which begins anew.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path
from typing import Self

_EVERY_S = 0.05
_PROC = Path("/proc")
_MEBIBYTE = 1024 * 1024


class PeakMemory:
    """Within ``with``, looks at the memory of this process and of its children; ``megabytes`` is the most it saw."""

    def __init__(self) -> None:
        self._peak, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def megabytes(self) -> int:
        """The peak so far; never less than this process's own peak."""
        return round(max(self._peak, _own_peak()) / _MEBIBYTE)

    def look(self) -> None:
        """Look once, now."""
        self._peak = max(self._peak, sum(_resident(pid) for pid in (os.getpid(), *_children())))

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self.look()


def _own_peak() -> int:
    for line in _read(_PROC / "self" / "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _children() -> list[int]:
    """Return the running children of every thread of this process; none where the system does not say."""
    found = [_read(path) for path in _PROC.glob(f"{os.getpid()}/task/*/children")]
    return [int(pid) for text in found for pid in text.split()]


def _resident(pid: int) -> int:
    fields = _read(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * resource.getpagesize() if fields else 0


def _read(path: Path) -> str:
    """Return a text of the system's about a process; empty once that has ended."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
