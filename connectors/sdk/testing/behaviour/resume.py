"""Rules about a process that dies: wherever it happens, the next run ends with what the uninterrupted one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, unquote_plus

from connectors.sdk.protocols import ReadKind
from connectors.sdk.testing.behaviour.ground import Ground, incomplete, missing, needs_pages, on_streams, vendor
from connectors.sdk.testing.behaviour.hazards import resumes
from connectors.sdk.testing.report import NotApplicable
from connectors.sdk.testing.simulator.message import Response, answer_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.sdk.testing.behaviour.trial import Trial
    from connectors.sdk.testing.simulator.message import Request

_COUNT: Final = 8
_SHORT: Final = 3


def _anywhere(ground: Ground, stream: str) -> Iterator[str]:
    needs_pages(ground, stream)
    whole = ground.trial(stream, _COUNT)
    pages = len(whole.read(stream).pages)
    for after in range(1, pages):
        for keep_last in (True, False):
            trial = ground.trial(stream, _COUNT)
            trial.read(stream, stop_after=after, keep_last=keep_last)
            wrong = list(_gone_on(trial, stream))
            if _held(trial, stream) != _held(whole, stream):
                wrong.append("what is held differs from the uninterrupted read")
            if wrong:
                moment = "stored" if keep_last else "fetched, not stored"
                yield f"the process dies with page {after} of {pages} {moment}: {'; '.join(wrong)}"
                return


def _gone_on(trial: Trial, stream: str) -> Iterator[str]:
    yield from incomplete(trial.read(stream), "the next read")
    yield from missing(trial, stream)


def _held(trial: Trial, stream: str) -> dict[str, str | None]:
    return {key: record.hash for key, record in trial.held.get(stream, {}).items()}


def _little_again(ground: Ground, stream: str) -> Iterator[str]:
    """After a kill at most the open page of each partition is fetched again."""
    needs_pages(ground, stream)
    whole = ground.trial(stream, _COUNT)
    pages = len(whole.read(stream).pages)
    partitions = len(whole.last[stream].ends) or 1
    for after in range(1, pages):
        trial = ground.trial(stream, _COUNT)
        first = trial.read(stream, stop_after=after)
        second = [page for page in trial.read(stream).pages if page.kind is not ReadKind.INCREMENTAL]
        again = len(second) - (pages - len(first.pages))
        if first.stopped and not second:
            yield f"the process dies after page {after} of {pages}, and the next read does not go on with it"
            return
        if partitions == 1 and again > 1:
            yield f"the process dies after page {after} of {pages}, and {again} pages are fetched again"
            return


def _refused_position(ground: Ground, stream: str) -> Iterator[str]:
    """A token that the vendor no longer knows must not end the stream for ever."""
    needs_pages(ground, stream)
    beginnings, dead = _two_requests(ground, stream)
    trial = ground.trial(stream, _COUNT)
    door = vendor(trial)
    if not trial.read(stream, stop_after=1).stopped:
        return
    anew: list[bool] = []

    def refuse(request: Request) -> Response | None:
        if _signature(request) in beginnings:
            anew.append(True)  # who begins anew gets new tokens
        if anew or _signature(request) != dead:
            return None
        return answer_with(door.shape.errors["bad_request"], why="the cursor has expired")

    door.before = refuse
    read = trial.read(stream)
    if read.error is not None:
        read = trial.read(stream)
    wrong = [*incomplete(read, "the read ends"), *missing(trial, stream)]
    if wrong:
        yield f"the vendor refuses the position of an earlier run: {'; '.join(wrong)}"


def _signature(request: Request) -> tuple[Any, ...]:
    return (request.method, request.path, sorted(request.query.items()), request.content)


def _two_requests(ground: Ground, stream: str) -> tuple[Any, Any]:
    """Return what only a read from the beginning asks for, and what a resumed one asks for at its position."""
    trial = ground.trial(stream, _COUNT)
    whole = _asked(trial, stream)
    trial = ground.trial(stream, _COUNT)
    trial.read(stream, stop_after=1)
    at = [state.position.get("at") for state in trial.marks(stream).states.values() if state.position]
    asked = _asked(trial, stream)
    later = [one for one in asked if any(_stands_at(one, place) for place in at if place)]
    if not later:
        raise NotApplicable("no request of a resumed read shows the position")
    return [one for one in whole if one[:2] == later[0][:2] and one not in asked], later[0]


def _stands_at(asked: tuple[Any, ...], place: Mapping[str, Any]) -> bool:
    """Return whether a request holds what a stored position says: its token, number or address."""
    values = [value for _, given in asked[2] for value in given]
    for mark in map(str, place.values()):
        if "://" in mark:
            return asked[1] in unquote(mark) and all(value in unquote_plus(mark) for value in values)
        if mark.isdigit() and len(mark) <= _SHORT:
            raise NotApplicable("its position is a number, and numbers do not expire")
        if mark in values or (asked[3] and mark in asked[3].decode()):
            return True
    return False


def _asked(trial: Trial, stream: str) -> list[Any]:
    """Read, and return the listings that were asked for."""
    door = vendor(trial)
    seen: list[Any] = []

    def note(request: Request) -> None:
        if not door.is_item(request) and not door.is_token(request):
            seen.append(_signature(request))

    door.before = note
    trial.read(stream)
    door.before = None
    return seen


CHECKS = {
    "RESUME-ANYWHERE": on_streams(_anywhere, without=resumes),
    "RESUME-LITTLE-AGAIN": on_streams(_little_again),
    "RESUME-REFUSED-POSITION": on_streams(_refused_position),
}
