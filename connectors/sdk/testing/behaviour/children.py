"""Rules about records below other records: those of every parent, whatever becomes of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.testing.behaviour.ground import Ground, incomplete, missing, on_streams, vendor
from connectors.sdk.testing.report import NotApplicable
from connectors.sdk.testing.simulator.message import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.sdk.testing.behaviour.stand import Stand
    from connectors.sdk.testing.simulator.message import Request


def _needs_parent(ground: Ground, stream: str) -> str:
    parent = ground.manifest.streams[stream].parent
    if parent is None:
        raise NotApplicable("it is not read below another stream")
    return parent.stream


def _every_parent(ground: Ground, stream: str) -> Iterator[str]:
    """The first parent has several pages, the second none, the others one."""
    _needs_parent(ground, stream)
    for count in (9, 7, 3):
        trial = ground.trial(stream, count)
        read = trial.read(stream)
        wrong = [*incomplete(read, "the read ends"), *missing(trial, stream)]
        if wrong:
            yield f"{count} records below 4 parents, one of them with none: {'; '.join(wrong)}"
            return
        again = trial.read(stream)
        if again.error is not None or list(missing(trial, stream)):
            yield f"the next read ends {again.outcome}"


def _failed_parent(ground: Ground, stream: str) -> Iterator[str]:
    """One parent cannot be read today: that is not COMPLETE, and tomorrow it is read."""
    above = _needs_parent(ground, stream)
    trial = ground.trial(stream, 9)
    door = vendor(trial)
    key = list(door.holdings.records(above))[2]
    door.before = lambda request: Response(503, b"{}") if _is_about(door, request, key) else None
    first = trial.read(stream)
    if first.complete:
        yield f"the records of one parent cannot be read, and the read ends {first.outcome}"
    door.before = None
    door.clock.advance(3600)
    wrong = [*incomplete(trial.read(stream), "the next read"), *missing(trial, stream)]
    if wrong:
        yield f"one parent could not be read for a while, and after the next read: {'; '.join(wrong)}"


def _is_about(door: Stand, request: Request, key: str) -> bool:
    return key in request.path.split("/") and not door.is_token(request)


CHECKS = {
    "CHILD-EVERY-PARENT": on_streams(_every_parent),
    "CHILD-FAILED-PARENT": on_streams(_failed_parent),
}
