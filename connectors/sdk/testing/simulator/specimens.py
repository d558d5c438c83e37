"""Records in a vendor's own shape: copies of a connector's fixtures, or bare ones, under new keys and new times."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from connectors.sdk import instants, paths
from connectors.sdk.paths import Every, Where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path as File

    from connectors.sdk.paths import Path
    from connectors.sdk.specs import DeletedSpec, StreamSpec

Record = dict[str, Any]
_DIGITS: Final = re.compile(r"\d+(?=\D*$)")
_FRACTION: Final = re.compile(r"\.(\d+)")


def specimens(folder: File | None, spec: StreamSpec, given: Sequence[bytes] | None = None) -> list[Record]:
    """Return the given records, else the good ones of a stream's fixtures; a bare one where there are none."""
    if given is not None:
        return [json.loads(one) for one in given] or [{}]
    files = sorted((folder / "fixtures" / spec.name).glob("*.json")) if folder else []
    found = [record for file in files if not file.name.endswith(".expected.json") for record in _records(file, spec)]
    good = [record for record in found if is_good(spec, record)]
    return good or [{}]


def _records(file: File, spec: StreamSpec) -> Iterator[Record]:
    data = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(data, dict) and "page" in data and set(data) <= {"page", "parent"}:
        lists = paths.find_all(spec.request.data_selector, data["page"])
        yield from (record for one in lists if isinstance(one, list) for record in one if isinstance(record, dict))
    elif isinstance(data, dict):
        record = data["record"] if "record" in data and set(data) <= {"record", "parent"} else data
        if isinstance(record, dict):
            yield record


def is_good(spec: StreamSpec, record: Record) -> bool:
    """Return whether a record has its key and is not a delete."""
    deleted = spec.deleted is not None and is_deleted(spec.deleted, record)
    return not deleted and all(paths.text_of(paths.find(path, record)) for path in spec.key)


def is_deleted(spec: DeletedSpec, record: Record) -> bool:
    """Return whether a record says of itself that it is deleted."""
    value = paths.find(spec.path, record)
    if spec.equals is None:
        return (value not in (None, "", False)) is spec.present
    return paths.text_of(value) in spec.equals


def key_of(spec: StreamSpec, record: Record) -> str:
    """Return a record's key as the engine writes it."""
    return ":".join(paths.text_of(paths.find(path, record)) or "" for path in spec.key)


def put(record: Any, path: Path, value: Any) -> None:
    """Set what is at ``path``, making what is missing on the way."""
    here = record
    for step, after in pairwise(path):
        here = _into(here, step, [] if not isinstance(after, str) else {})
    last = path[-1]
    if isinstance(last, str) or (isinstance(last, int) and here):
        here[last] = value
    else:
        here.append(value)


def _into(here: Any, step: Any, empty: Any) -> Any:
    if isinstance(step, str):
        if not isinstance(here.get(step), dict | list):
            here[step] = empty
        return here[step]
    if isinstance(step, Where):
        for one in here:
            if isinstance(one, dict) and paths.text_of(one.get(step.key)) == step.literal:
                return one
        empty = {step.key: step.literal}
    elif here and (isinstance(step, Every) or -len(here) <= step < len(here)):
        return here[0 if isinstance(step, Every) else step]
    here.append(empty)
    return here[-1]


def numbered(like: Any, number: int) -> Any:
    """Return a key like another one, with its last number replaced."""
    if isinstance(like, int) and not isinstance(like, bool):
        return 100_000 + number
    if not isinstance(like, str) or not like:
        return number
    digits = _DIGITS.search(like)
    if digits is None:
        return f"{like}-{number}"
    text = str(number).zfill(len(digits[0])) if len(digits[0]) > len(str(number)) else str(100_000 + number)
    return like[: digits.start()] + text + like[digits.end() :]


def written(like: Any, form: str, at: datetime) -> Any:
    """Return a moment as the vendor writes such times; ``like`` is how it wrote one before."""
    micros = (at - instants.EPOCH) // timedelta(microseconds=1)
    if form in ("epoch_s", "epoch_ms", "integer"):
        number = micros // {"epoch_s": 1_000_000, "epoch_ms": 1_000}.get(form, 1)
        return str(number) if isinstance(like, str) else number
    if form == "rfc2822":
        return format_datetime(at.astimezone(UTC), usegmt=True)
    if form != "iso8601":
        return at.astimezone(UTC).strftime(form)
    return _iso(like if isinstance(like, str) else "", at.astimezone(UTC))


def _iso(like: str, at: datetime) -> str:
    fraction = _FRACTION.search(like)
    digits = len(fraction[1]) if fraction else 0
    text = at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{at:%f}"[: 1 + digits] if digits else "")
    if like.endswith("+00:00") or re.search(r"[+-]\d\d:\d\d$", like):
        return text + "+00:00"
    return text if like and not like.endswith("Z") else text + "Z"


class Maker:
    """Makes records of one stream; equal numbers give equal keys."""

    def __init__(self, spec: StreamSpec, models: Sequence[Record]) -> None:
        self.spec, self._models = spec, [msgspec.json.encode(model) for model in models]

    def record(
        self, number: int, at: datetime, cursor: int | None = None, bound: Mapping[str, Any] | None = None
    ) -> Record:
        """Return the record of a number, last changed ``at``; ``bound`` are the parent's values it must carry."""
        record: Record = msgspec.json.decode(self._models[number % len(self._models)])
        bound = bound or {}
        for place, path in enumerate(self.spec.key):
            name = path[-1] if path else ""
            if isinstance(name, str) and name in bound:
                put(record, path, bound[name])
            elif place == len(self.spec.key) - 1 or len(bound) == 0:
                put(record, path, numbered(paths.find(path, record), number))
        self.date(record, at, cursor)
        return record

    def date(self, record: Record, at: datetime, cursor: int | None = None) -> None:
        """Set the times of a record: its record time, and its cursor, or the number that is its cursor."""
        spec = self.spec
        if spec.record_time is not None:
            put(record, spec.record_time, written(paths.find(spec.record_time, record), spec.record_time_format, at))
        asked = spec.incremental
        if asked is None or asked.cursor_path in (spec.record_time, *spec.key):
            return
        if asked.cursor_format == "integer":
            put(record, asked.cursor_path, cursor if cursor is not None else int(at.timestamp()))
        else:
            put(record, asked.cursor_path, written(paths.find(asked.cursor_path, record), asked.cursor_format, at))

    def cursor(self, record: Record) -> int | None:
        """Return a record's cursor as one number that orders: microseconds, or the number itself."""
        asked = self.spec.incremental
        if asked is None:
            return None
        value = paths.find(asked.cursor_path, record)
        if value is None:
            return None
        return as_number(value, asked.cursor_format)


def as_number(value: Any, form: str) -> int:
    """Return a cursor value, written in any of the forms a manifest knows, as one number that orders."""
    if form == "integer":
        return int(str(value))
    reading = {"iso8601_ms": "iso8601", "iso8601_us": "iso8601", "date": "iso8601"}.get(form, form)
    return (instants.reader(reading, UTC)(value) - instants.EPOCH) // timedelta(microseconds=1)
