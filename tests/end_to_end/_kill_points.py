"""The seams of a sync at which a process can be killed: counted in one run, crossed to death in another.

Everything is hooked from outside, by wrapping; the product knows nothing of it. Two statements without anything durable
between them need no point each: a point is a moment after which something outside the process has changed, or is about to.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from connectors.sdk import http1
from connectors.sdk.http import Wire
from pipelines import landing, stages
from pipelines.extract.segments import SegmentWriter
from pipelines.extract.tokens import StoreTokens
from pipelines.landing import Landing
from pipelines.store.bulk import Bulk
from pipelines.store.leases import Lease
from pipelines.store.sqlite_staged import Attached

if TYPE_CHECKING:
    from collections.abc import Callable

_WRITES = re.compile(r'\s*(INSERT|UPDATE|DELETE)\s+(?:INTO\s+|FROM\s+)?"?(\w+)"?', re.IGNORECASE)
_KIND_OF = {
    "token": "token", "lease": "lease", "fence": "lease", "quota": "quota", "connection_health": "health",
    "connection_event": "token", "deferred": "health", "load": "checkpoint", "read": "checkpoint", "partition_state": "checkpoint",
    "connection": "checkpoint", "quarantine": "quarantine", "stage_watermark": "checkpoint",
}  # fmt: skip
_HEAVIEST = ("segment", "read", "load", "token", "lease", "fence", "quota", "match_model", "evidence", "crosswalk",
             "identifier_stats", "structure_profile", "connection_health", "connection_event")  # fmt: skip
_here = threading.local()


class Crossings:
    """Counts how often each point is crossed, and kills the process at the n-th crossing of one."""

    def __init__(self) -> None:
        self.arm(None, 0)

    def arm(self, point: str | None, nth: int) -> None:
        """Begin to count anew; without a point nothing is killed."""
        self.counts: Counter[str] = Counter()
        self._point, self._nth, self._lock = point, nth, threading.Lock()

    def cross(self, kind: str, what: str, *, last_act: Callable[[], None] | None = None) -> None:
        """Pass a point; ``last_act`` is what a dying process does half of."""
        name = f"{kind}: {what}"
        with self._lock:
            self.counts[name] += 1
            if name != self._point or self.counts[name] != self._nth:
                return
            if last_act is not None:
                last_act()
            os.kill(os.getpid(), signal.SIGKILL)


def install(crossings: Crossings) -> None:
    """Hook every seam of this process."""
    cross = crossings.cross
    _hook_fetch(cross)
    _hook_land(cross)
    _hook_sql(cross)
    _hook_tokens(cross)
    _around(Lease, "heartbeat", cross, "lease", "heartbeat")
    _remember_stage()


def _put(owner: Any, name: str, new: Callable[..., Any]) -> None:
    """Set a function in place of another."""
    setattr(owner, name, new)


def _stage() -> str:
    return getattr(_here, "stage", "extract")


def _remember_stage() -> None:
    """Let points know in which stage a thread works; threads of the segment writer work for extract."""
    run = stages.run_stage

    def run_stage(stage: Any, context: Any) -> Any:
        _here.stage = stage.name
        return run(stage, context)

    _put(stages, "run_stage", run_stage)


def _around(owner: Any, name: str, cross: Callable[..., None], kind: str, what: str) -> None:
    """Put a point before and after a function."""
    inner = getattr(owner, name)

    def wrapped(*args: Any, **named: Any) -> Any:
        cross(kind, f"before {what}")
        result = inner(*args, **named)
        cross(kind, f"after {what}")
        return result

    _put(owner, name, wrapped)


def _around_async(owner: Any, name: str, cross: Callable[..., None], kind: str, what: tuple[str, str]) -> None:
    """Put a point before and after a coroutine function."""
    inner = getattr(owner, name)

    async def wrapped(*args: Any, **named: Any) -> Any:
        cross(kind, what[0])
        result = await inner(*args, **named)
        cross(kind, what[1])
        return result

    _put(owner, name, wrapped)


def _hook_fetch(cross: Callable[..., None]) -> None:
    _around_async(http1.Connection, "_write", cross, "fetch", ("before a request is sent", "after a request is sent"))
    on_body = http1.Connection.on_body

    def in_body(self: Any, body: bytes) -> None:
        on_body(self, body[: len(body) // 2])
        cross("fetch", "in the middle of an answer's body")
        on_body(self, body[len(body) // 2 :])

    _put(http1.Connection, "on_body", in_body)
    once = Wire._once

    async def read_whole(self: Any, request: Any, **named: Any) -> Any:
        reply = await once(self, request, **named)
        cross("fetch", "after an answer is read")
        return reply

    _put(Wire, "_once", read_whole)
    _around(SegmentWriter, "add", cross, "fetch", "a page is taken over")


def _hook_land(cross: Callable[..., None]) -> None:
    put = landing._put

    def filled(sink: Any, content: memoryview) -> None:
        cross("land", "the .part file is open")
        cross("land", "half of the .part file is written", last_act=lambda: _torn(put, sink, content))
        put(sink, content)
        cross("land", "the .part file is written")

    _put(landing, "_put", filled)
    rename, fsync = Path.rename, os.fsync

    def moved(self: Path, target: Any) -> Path:
        cross("land", "before the rename")
        result = rename(self, target)
        cross("land", "after the rename")
        return result

    def synced(handle: int) -> None:
        fsync(handle)
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        cross("land", "after the folder's fsync" if folder else "after the file's fsync")

    _put(Path, "rename", moved)
    _put(os, "fsync", synced)
    _around(Landing, "collect", cross, "land", "stray files are collected")


def _torn(put: Callable[..., None], sink: Any, content: memoryview) -> None:
    """Write half of a file, as a machine does that stops in the middle."""
    put(sink, content[: len(content) // 2])
    sink.flush()


def _hook_tokens(cross: Callable[..., None]) -> None:
    _around_async(Wire, "post_form", cross, "token", ("before a grant is asked for", "after a grant, before its save"))
    save = StoreTokens.save

    def saved(self: Any, token: Any, expected_version: int) -> bool:
        what = "a claim" if token.claimed_until is not None else "new tokens"
        cross("token", f"before {what}")
        done = save(self, token, expected_version)
        cross("token", f"after {what}" + ("" if token.claimed_until else ", before their use"))
        return done

    _put(StoreTokens, "save", saved)


def _hook_sql(cross: Callable[..., None]) -> None:
    def executed(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found = _WRITES.match(statement)
        if found is not None and not found[2].startswith("stage_"):
            _note(cross, found[1].lower(), found[2])

    event.listen(Engine, "after_cursor_execute", executed)
    fill = Bulk._fill

    def filled(self: Bulk, target: str, stored: Any) -> None:
        fill(self, target, stored)
        name = target.strip('"')
        if name.startswith("stage_"):
            cross(_stage() if _stage() != "extract" else "commit", "after rows are staged")
        else:
            _note(cross, "bulk insert", name)

    _put(Bulk, "_fill", filled)
    attach = Attached.attach

    def attached(self: Attached, file: Any) -> Any:
        made = attach(self, file)
        cross(_stage() if _stage() != "extract" else "commit", "after rows are staged")
        return made

    _put(Attached, "attach", attached)
    _hook_commit(cross)


def _hook_commit(cross: Callable[..., None]) -> None:
    """Name a COMMIT by what its transaction wrote; one that wrote nothing is no point."""
    commit: Callable[..., None] = DefaultDialect.do_commit
    rollback: Callable[..., None] = DefaultDialect.do_rollback

    def committed(self: Any, connection: Any) -> None:
        written: set[str] = getattr(_here, "written", set())
        _here.written = set()
        if not written:
            commit(self, connection)
            return
        mapped = "raw_head" in written and _stage() == "normalise"
        table = "raw_head" if mapped else next((name for name in _HEAVIEST if name in written), min(written))
        cross(_kind(table), f"before COMMIT of {table}")
        commit(self, connection)
        cross(_kind(table), f"after COMMIT of {table}")

    def rolled_back(self: Any, connection: Any) -> None:
        _here.written = set()
        rollback(self, connection)

    _put(DefaultDialect, "do_commit", committed)
    _put(DefaultDialect, "do_rollback", rolled_back)


def _note(cross: Callable[..., None], verb: str, table: str) -> None:
    """Remember what the thread's transaction writes, and pass the point of the statement."""
    if table not in ("counter", "picked"):
        if not hasattr(_here, "written"):
            _here.written = set()
        _here.written.add(table)
        cross(_kind(table), f"after {verb} {table}")


def _kind(table: str) -> str:
    """Return the kind of a table's points: what it is for, else the stage that writes it."""
    if table in _KIND_OF:
        return _KIND_OF[table]
    return "commit" if _stage() == "extract" else _stage()
