"""Rules that compare a read with what the vendor holds: every page, every record, whole, under its own key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import paths
from connectors.sdk.protocols import RawRecord
from connectors.sdk.testing.behaviour.ground import Ground, incomplete, missing, needs_pages, on_streams, vendor
from connectors.sdk.testing.behaviour.hazards import reads_all
from connectors.sdk.testing.report import Judged, Skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.sdk.testing.behaviour.fields import Outcome
    from connectors.sdk.testing.behaviour.stand import Stand
    from connectors.sdk.testing.report import Word
    from connectors.sdk.testing.subject import Subject

_SIZES: Final = (8, 6, 3, 1, 0)
_SOME: Final = 5
Pair = tuple[str, RawRecord, RawRecord]


def _every_page(ground: Ground, stream: str) -> Iterator[str]:
    for count in _SIZES if ground.pages(stream) else (2, 1, 0):
        trial = ground.trial(stream, count)
        read = trial.read(stream)
        wrong = [*missing(trial, stream), *incomplete(read, "the read ends")]
        if wrong:
            yield f"of {count} records in pages of 3: {'; '.join(wrong)}"
            return


def _real_size(ground: Ground, stream: str) -> Iterator[str]:
    needs_pages(ground, stream)
    count = ground.real_count(stream)
    trial = ground.trial(stream, count, real=True)
    read = trial.read(stream)
    wrong = [*missing(trial, stream), *incomplete(read, "the read ends")]
    if wrong:
        yield f"of {count} records in pages of the size asked for: {'; '.join(wrong)}"


def _unique(ground: Ground, stream: str) -> Iterator[str]:
    trial = ground.trial(stream, 8 if ground.pages(stream) else 2)
    read = trial.read(stream)
    sent = {record.payload for record in read.records}
    keys = {record.key for record in read.records if record.key is not None}
    if len(keys) < len(sent):
        yield f"{len(sent)} different records came under {len(keys)} keys: the others would be overwritten or refused"


def held_and_read(ground: Ground, stream: str) -> list[Pair]:
    """Read a stream in full and incrementally; return (how, as it came, as the vendor holds it) for each record."""
    trial = ground.trial(stream, _SOME if ground.pages(stream) else 2)
    door = vendor(trial)
    trial.read(stream)
    kinds = {"a full read": dict(trial.held.get(stream, {}))}
    if ground.manifest.streams[stream].incremental is not None:
        trial.held[stream] = {}
        trial.read(stream)
        kinds["an incremental read"] = trial.held[stream]
    return [(kind, record, _as_held(door, stream, record)) for kind, came in kinds.items() for record in came.values()]


def _whole(subject: Subject) -> Iterator[Word]:
    """The rows of what came must be those of what the vendor holds, by listing and by search."""
    subject.ground  # noqa: B018  NotApplicable without one
    for spec, _ in subject.mapped_streams():
        pairs, rows = subject.pairs(spec.name), subject.tries(spec.name).beside
        if not pairs:
            yield Skip(spec.name, "nothing of it can be read: another rule says why")
            continue
        yield Judged(spec.name)
        for at, (kind, _, _) in enumerate(pairs):
            here, whole = _without_extras(rows[2 * at]), _without_extras(rows[2 * at + 1])
            if here != whole:
                yield f"stream '{spec.name}': {kind} brings less than the vendor holds: {_first_difference(here, whole)}"
                break


def _as_held(door: Stand, stream: str, record: RawRecord) -> RawRecord:
    """Return the record as the vendor holds it, without what no answer of it ever shows."""
    held = door.holdings.records(stream).get(record.key or "")
    if held is None:
        return record
    endpoints = [one for one in door.shape.endpoints if one.stream == stream]
    hidden = frozenset.intersection(*(frozenset(one.hide) for one in endpoints))
    content = json.loads(held.payload)
    for path in hidden:
        paths.remove(paths.parse(path), content)
    return record._replace(payload=json.dumps(content).encode())


def _without_extras(outcome: Outcome) -> Outcome:
    if isinstance(outcome, str):
        return outcome
    return [(entity, {term: value for term, value in row.items() if term != "extras"}) for entity, row in outcome]


def _first_difference(here: Outcome, whole: Outcome) -> str:
    if isinstance(here, str) or isinstance(whole, str):
        return f"{here if isinstance(here, str) else whole} on one side only"
    for entity, row in whole:
        same = [mine for name, mine in here if name == entity and _identity(mine) == _identity(row)]
        if not same:
            return f"no {entity} row '{row.get('source_key')}'"
        for term, value in row.items():
            if same[0].get(term) != value:
                return f"{entity}.{term} is {same[0].get(term)!r}, the vendor's record gives {value!r}"
    return "rows that the vendor's record does not give"


def _identity(row: dict[str, Any]) -> tuple[Any, Any]:
    return row.get("source_key"), row.get("row_key")


CHECKS = {
    "PAGE-EVERY-RECORD": on_streams(_every_page, without=reads_all),
    "PAGE-REAL-SIZE": on_streams(_real_size),
    "KEY-UNIQUE": on_streams(_unique),
    "RECORD-WHOLE": _whole,
}
