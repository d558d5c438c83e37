"""Rules about incremental reads: only changes, all changes, at the boundary, behind it, past the vendor's cap."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.protocols import ReadKind
from connectors.sdk.testing.behaviour.ground import (
    Ground,
    incomplete,
    missing,
    needs_cursor,
    needs_pages,
    on_streams,
    stale,
    vendor,
)
from connectors.sdk.testing.behaviour.stand import CAP, START, Stand, minutes
from connectors.sdk.testing.report import NotApplicable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.sdk.testing.behaviour.trial import Trial
    from connectors.sdk.testing.simulator.message import Request, Response

_HOUR: Final = 3600.0
_OLD: Final = 400.0 * 24 * 60
_MANY: Final = 26


def _ms(stand: Stand, before: float = 0.0) -> int:
    """Return the vendor's time, ``before`` seconds ago, in epoch ms."""
    return int((stand.clock.now().timestamp() - before) * 1000)


def _only_changes(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    trial = ground.trial(stream, [*minutes(9, before=_OLD), *minutes(9)])
    old = {
        one.key
        for one in vendor(trial).holdings.records(stream).values()
        if _time(one) < _ms(vendor(trial), 300 * 24 * _HOUR)
    }
    yield from incomplete(trial.read(stream), "the first read")
    newest = {part: max(times) for part, times in _times(trial, stream).items()}
    vendor(trial).clock.advance(_HOUR)
    again = trial.read(stream)
    yield from incomplete(again, "the second read")
    recent = {part for part, time in newest.items() if time > _ms(vendor(trial), 300 * 24 * _HOUR)}
    back = {record.key for page in again.pages if page.partition in recent for record in page.records} & old
    if back:
        yield f"nothing changed for a year, and the second read brought {len(back)} of {len(old)} old records again"


def _time(one: Any) -> int:
    return int(one.made.rows.column("updated")[one.at])


def _times(trial: Trial, stream: str) -> dict[str, list[int]]:
    held = vendor(trial).holdings.records(stream)
    times: dict[str, list[int]] = {}
    for page in trial.last[stream].pages:
        times.setdefault(page.partition, []).extend(_time(held[one.key]) for one in page.records if one.key in held)
    return {part: found for part, found in times.items() if found}


def _changes_found(ground: Ground, stream: str) -> Iterator[str]:
    trial = ground.trial(stream, 7 if ground.pages(stream) else 2)
    door = vendor(trial)
    yield from incomplete(trial.read(stream), "the first read")
    door.clock.advance(_HOUR)
    changed = _touch(door, stream, list(door.holdings.records(stream))[:2], _ms(door, 600))
    _add(ground, door, stream, [_ms(door, 300)])
    door.clock.advance(_HOUR)
    yield from incomplete(trial.read(stream), "the second read")
    yield from missing(trial, stream)
    yield from _unseen(trial, stream, changed)


def _touch(door: Stand, stream: str, keys: list[str], at: int) -> dict[str, bytes]:
    """Change records; return those whose bytes really changed."""
    before = {key: door.holdings.records(stream)[key].payload for key in keys}
    return {key: old for key, old in before.items() if door.touch(stream, key, at).payload != old}


def _unseen(trial: Trial, stream: str, changed: dict[str, bytes]) -> Iterator[str]:
    if changed:
        yield from stale(trial, stream)


def _add(ground: Ground, door: Stand, stream: str, times: list[int], first: int = 500) -> None:
    spec = ground.manifest.streams[stream]
    if spec.parent is not None:
        raise NotApplicable("records below a new parent come with the parent")
    door.lay(stream, times, None, first)


def _ties(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    moment = minutes(1, before=30)[0] // 1000 * 1000
    trial = ground.trial(stream, [*minutes(2, before=90), *[moment] * 5])
    door = vendor(trial)
    yield from incomplete(trial.read(stream), "the first read")
    yield from missing(trial, stream)
    _add(ground, door, stream, [moment, moment])
    door.clock.advance(_HOUR)
    trial.read(stream)
    if lost := list(missing(trial, stream)):
        yield f"two records with exactly the time of the newest one became visible after the first read: {lost[0]}"


def _late(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    spec = ground.manifest.streams[stream].incremental
    lag = spec.lag if spec is not None and isinstance(spec.lag, timedelta) else timedelta()
    if not lag:
        raise NotApplicable("it declares no lag")
    trial = ground.trial(stream, minutes(7, before=30))
    door = vendor(trial)
    yield from incomplete(trial.read(stream), "the first read")
    newest = minutes(1, before=30)[0]
    behind = min(lag * 0.9, timedelta(days=20))
    _add(ground, door, stream, [newest - int(behind.total_seconds() * 1000)])
    door.clock.advance(_HOUR)
    yield from incomplete(trial.read(stream), "the second read")
    if lost := list(missing(trial, stream)):
        yield f"a record committed {behind.total_seconds():.0f} s behind the newest, within the declared lag: {lost[0]}"


def _cap(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    if not any(one.cap for one in ground.endpoints(stream)):
        raise NotApplicable("the vendor caps no query of it")
    trial = ground.trial(stream, minutes(3))
    door = vendor(trial)
    yield from incomplete(trial.read(stream), "the first read")
    door.clock.advance(2 * _HOUR)
    now = _ms(door, _HOUR)
    _add(ground, door, stream, [now + at * 60_000 for at in range(_MANY)])
    door.clock.advance(_HOUR)
    read = trial.read(stream)
    wrong = [*incomplete(read, "the read ends"), *missing(trial, stream)]
    if wrong:
        yield f"{_MANY} changes under a cap of {CAP} results a query: {'; '.join(wrong)}"


def _cap_ties(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    if not any(one.cap for one in ground.endpoints(stream)):
        raise NotApplicable("the vendor caps no query of it")
    trial = ground.trial(stream, minutes(3))
    door = vendor(trial)
    trial.read(stream)
    door.clock.advance(2 * _HOUR)
    _add(ground, door, stream, [_ms(door, _HOUR) // 1000 * 1000] * _MANY)
    door.clock.advance(_HOUR)
    asked = len(door.asked)
    read = trial.read(stream)
    if read.complete and (lost := list(missing(trial, stream))):
        yield f"{_MANY} changes at one moment under a cap of {CAP}: the read says COMPLETE and {lost[0]}"
    if len(door.asked) - asked > 20 * _MANY:
        yield f"{_MANY} changes at one moment under a cap of {CAP}: {len(door.asked) - asked} requests, an endless loop"


def _moving(ground: Ground, stream: str) -> Iterator[str]:
    needs_pages(ground, stream)
    trial = ground.trial(stream, 8)
    door = vendor(trial)
    if ground.manifest.streams[stream].incremental is not None:
        yield from incomplete(trial.read(stream), "the first read")
        door.clock.advance(_HOUR)
        _touch(door, stream, list(door.holdings.records(stream)), _ms(door, 900))
        for number, key in enumerate(list(door.holdings.records(stream))):
            _touch(door, stream, [key], _ms(door, 900 - number))
    keys = list(door.holdings.records(stream))[:2]
    hits: list[str] = []

    def move(request: Request) -> Response | None:
        if request.path and not door.is_item(request):
            hits.append(request.path)
            if len(hits) == 2:  # noqa: PLR2004  before the second page
                for key in keys:
                    door.touch(stream, key, _ms(door))
        return None

    door.before = move
    trial.read(stream)
    door.before = None
    door.clock.advance(_HOUR)
    trial.read(stream)
    yield from (
        f"two records changed while pages were read, and after the next read: {one}" for one in missing(trial, stream)
    )
    yield from (
        f"two records changed while pages were read, and after the next read: {one}" for one in stale(trial, stream)
    )


def _skewed(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    for seconds in (600, -600):
        trial = ground.trial(stream, minutes(4, before=30))
        door = vendor(trial)
        door.skew = seconds
        _add(ground, door, stream, [_ms(door) + (seconds - 1) * 1000])
        trial.read(stream)
        door.clock.advance(60)
        _add(ground, door, stream, [_ms(door) + (seconds - 30) * 1000], 600)
        door.clock.advance(_HOUR)
        trial.read(stream)
        if lost := list(missing(trial, stream)):
            yield f"the vendor's clock is {seconds:+d} s from ours, and {lost[0]}"


def _future(ground: Ground, stream: str) -> Iterator[str]:
    needs_cursor(ground, stream)
    ahead = int((START + timedelta(days=365)).timestamp() * 1000)
    trial = ground.trial(stream, [*minutes(4), ahead])
    door = vendor(trial)
    trial.read(stream)
    door.clock.advance(_HOUR)
    _add(ground, door, stream, [_ms(door, 600)])
    door.clock.advance(_HOUR)
    trial.read(stream)
    if lost := list(missing(trial, stream)):
        yield f"one record is dated a year ahead, and after the next read {lost[0]}"


def _cursor_read(ground: Ground, stream: str) -> Iterator[str]:
    """Without a readable cursor every read would be a full one."""
    needs_cursor(ground, stream)
    trial = ground.trial(stream, 7 if ground.pages(stream) else 2)
    read = trial.read(stream)
    if read.records and not any(record.cursor for record in read.records):
        yield "no record has a value at cursor_path that can be read"
    again = trial.read(stream)
    parted = len(again.ends) > 1
    if again.pages and not parted and again.kind != ReadKind.INCREMENTAL.value:
        yield "the second read is a full one again: no cursor was found in the first"


CHECKS = {
    "CURSOR-READABLE": on_streams(_cursor_read),
    "CURSOR-ONLY-CHANGES": on_streams(_only_changes),
    "CURSOR-ALL-CHANGES": on_streams(_changes_found),
    "CURSOR-TIES": on_streams(_ties),
    "CURSOR-LATE-COMMIT": on_streams(_late),
    "CURSOR-CAP": on_streams(_cap),
    "CURSOR-CAP-TIES": on_streams(_cap_ties),
    "CURSOR-MOVING-RECORD": on_streams(_moving),
    "CURSOR-CLOCK-SKEW": on_streams(_skewed),
    "CURSOR-FUTURE-DATE": on_streams(_future),
}
