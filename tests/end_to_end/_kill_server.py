"""Syncs as processes that cost no start: one warm process forks a child for each, and tells how it ended.

Run as a program it reads a job a line on stdin and answers a line on stdout. The first one it does itself: then everything
is imported, read and compiled. It keeps no connection and no file of a store, so that a forked child is as good as a
fresh process.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
SEGMENT_RECORDS, WRITE_ROWS, HEARTBEAT_S = 18, 30, 0.25
_PATIENCE_S = 120  # a child that hangs ends by SIGALRM, which no trial expects


@dataclass
class Job:
    """One sync of the hub in ``home``; killed at the ``nth`` crossing of ``point``, if one is named."""

    home: str
    refresh_token: str
    point: str | None = None
    nth: int = 0


@dataclass
class Outcome:
    """How a sync ended, and what it found and left."""

    signal: int = 0
    failure: str | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    digest: dict[str, str] = field(default_factory=dict)
    wire: list[list[Any]] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reauths: int = 0

    @property
    def errors(self) -> list[str]:
        """What the stages complained about."""
        return [str(row["error"]) for row in self.reports if row.get("error")]

    @property
    def ok(self) -> bool:
        """True when every load was COMPLETE and no stage failed."""
        complete = all(row.get("completeness", "COMPLETE") == "COMPLETE" for row in self.reports)
        return self.signal == 0 and self.failure is None and complete and not self.errors


class KillServer:
    """The warm process, as its owner uses it."""

    def __init__(self, key: str) -> None:
        self._environment = {**os.environ, "UNISONO_KEY": key}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end._kill_server"], cwd=ROOT, env=self._environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()

    def run(self, job: Job) -> Outcome:
        """Run one sync in a process of its own."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(job)) + "\n")
        process.stdin.flush()
        ended = json.loads(process.stdout.readline())
        written = Path(job.home) / "outcome.json"
        found = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}
        written.unlink(missing_ok=True)
        if ended and found == {}:
            return Outcome(signal=ended)
        return Outcome(**found)

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "use it in a with statement"
        return self._process


def serve(jobs: IO[str]) -> None:
    """Do the first job here, to be warm, then fork a child for each until there are no more."""
    from tests.end_to_end import _kill_child

    _kill_child.warm()
    _do(Job(**json.loads(jobs.readline())))
    gc.collect()
    gc.freeze()  # a child that never touches what is frozen shares it
    print(0, flush=True)
    for line in jobs:
        job = Job(**json.loads(line))
        child = os.fork()
        if child == 0:
            signal.alarm(_PATIENCE_S)
            _do(job)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)


def _do(job: Job) -> None:
    from tests.end_to_end import _kill_child

    try:
        outcome = _kill_child.sync(job)
    except BaseException:  # noqa: BLE001  whatever it is, the owner shows it
        outcome = Outcome(failure=traceback.format_exc())
    (Path(job.home) / "outcome.json").write_text(json.dumps(asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    serve(sys.stdin)
