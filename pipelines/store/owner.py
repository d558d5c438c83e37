"""Who holds a lease: host, boot, process; and whether that process still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one with the same pid by boot id and start time."""

    host: str
    boot_id: str
    pid: int
    pid_started: str

    @classmethod
    def current(cls) -> Owner:
        """Return this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _boot_id(), pid, _start_time(pid) or "")

    def is_dead(self) -> bool:
        """Return True only if this machine can tell that the process has ended; one that cannot be seen is not dead."""
        if (self.host, self.boot_id) != (socket.gethostname(), _boot_id()):
            return False
        if not _exists(self.pid):
            return True
        return bool(self.pid_started) and _start_time(self.pid) != self.pid_started


def _boot_id() -> str:
    """Boot and process namespace: within one container pids mean the same, in another they do not."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Return the kernel's start time of a running process; ``None`` for a zombie or where it cannot be read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
