"""From a page's bytes to records: each one's own bytes, key, times and canonical hash; one parse per record.

The canonical hash is equal when two payloads mean the same: members in any order, numbers kept digit for digit,
volatile paths left out. A record that cannot be used says why in ``problem``; nothing here raises for bad data.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from connectors.sdk import canonical, incremental, instants, paths
from connectors.sdk.alike import Alike, chunks
from connectors.sdk.forms import Form
from connectors.sdk.protocols import Problem, Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connectors.sdk.envelopes import Raw
    from connectors.sdk.instants import Cursor
    from connectors.sdk.paths import Path
    from connectors.sdk.specs import DeletedSpec, StreamSpec

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 200
_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)

_Row = tuple[Any, ...]  # in the order of RawRecord's fields


class Cut(NamedTuple):
    """The records of a page and the highest cursor among them."""

    records: Records
    high: Cursor | None


class _Unusable(Exception):
    """Carries the problem of one record."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.problem = Problem(reason, path)
        self.key: str | None = None


def canonical_hash(payload: bytes, volatile: Iterable[Path] = ()) -> str:
    """Return the hash of one JSON document's meaning; raise ValueError when it is not readable."""
    value = canonical.decode(payload)
    for path in volatile:
        paths.remove(path, value)
    return canonical.digest(value)


class RecordReader:
    """Reads the records of one stream; make one per read and call ``cut`` per page."""

    def __init__(self, stream: StreamSpec, zone: tzinfo | None, *, max_bytes: int = MAX_BYTES) -> None:
        """Compile the stream's paths once."""
        self._keys = [(paths.getter(path), paths.write(path)) for path in stream.key]
        self._plain_key = _member(stream.key[0]) if len(stream.key) == 1 else None
        self._time = _Timed.of(stream.record_time, stream.record_time_format, zone)
        self._iso = (
            _member(stream.record_time) if stream.record_time and stream.record_time_format == "iso8601" else None
        )
        self._cursor = _cursor(stream, zone)
        spec = stream.incremental
        self._one_time = spec is not None and (spec.cursor_path, spec.cursor_format) == (
            stream.record_time, stream.record_time_format,
        )  # fmt: skip
        self._deleted = None if stream.deleted is None else (stream.deleted.path, _says_deleted(stream.deleted))
        self._marker = paths.getter(stream.deleted.path if stream.deleted is not None else ())
        self._volatile = stream.volatile
        self._max_bytes = max_bytes
        self._alike = self._common_form()

    def _common_form(self) -> Alike | None:
        """Return how records that are as most are can be read many at once; None where the stream asks for more."""
        timed, dated = self._time is not None, self._cursor is not None
        if self._plain_key is None or (timed and self._iso is None) or (dated and not (timed and self._one_time)):
            return None
        form = Form([*self._volatile, *([self._deleted[0]] if self._deleted else [])])
        return Alike(
            self._plain_key, self._iso, dated, self._deleted, self._volatile, self._max_bytes, MAX_DEPTH, form
        )  # fmt: skip

    def cut(self, raws: Sequence[Raw], parent: bytes | None = None) -> Cut:
        """Return a record for each raw element, in order, good or with its problem."""
        records, high = Records(), None
        for payloads in chunks(list(map(bytes, raws))):
            some = self._at_once(payloads, parent) or self._one_by_one(payloads, parent)
            high = some.high if high is None else incremental.higher(high, some.high)
            records.extend(some.records)
        return Cut(records, high)

    def _at_once(self, payloads: list[bytes], parent: bytes | None) -> Cut | None:
        """Return the cut of records that are as most are, None where one is not."""
        records = self._alike.read(payloads, parent) if self._alike is not None else None
        if records is None:
            return None
        return Cut(records, None if self._cursor is None else max(cast("list[datetime]", records.times)))

    def _one_by_one(self, payloads: list[bytes], parent: bytes | None) -> Cut:
        rows: list[_Row] = []
        keep, read, high = rows.append, self._read, None
        for payload in payloads:
            try:
                row, cursor = read(payload, parent)
            except _Unusable as why:
                keep((why.key, payload, None, None, None, "upsert", parent, why.problem))
                continue
            keep(row)
            if cursor is not None and (high is None or cursor > high):
                high = cursor
        return Cut(Records(rows), high)

    def _read(self, payload: bytes, parent: bytes | None) -> tuple[_Row, Any]:
        """Return one good record and its cursor; the hash comes last, since it eats the volatile parts."""
        value = _parse(payload, self._max_bytes)
        key = value.get(self._plain_key) if self._plain_key is not None else None
        if type(key) is not str or not key:
            key = self._key(value)
        text = time = cursor = None
        if self._iso is not None:
            text, time = _iso(value.get(self._iso))
        if time is None and self._time is not None:
            time = self._instant(value, key)
        if self._cursor is not None:
            text, cursor = (text, time) if self._one_time and text else self._position(value, time)
        gone = self._deleted is not None and self._deleted[1](self._marker(value))
        op: Literal["upsert", "delete"] = "delete" if gone else "upsert"
        for path in self._volatile:
            paths.remove(path, value)
        return (
            key,
            payload,
            canonical.digest(value),
            time,
            None if self._cursor is None else text,
            op,
            parent,
            None,
        ), cursor

    def _instant(self, value: Any, key: str) -> datetime | None:
        assert self._time is not None
        try:
            return self._time.instant(value)
        except _Unusable as why:
            why.key = key
            raise

    def _key(self, value: Any) -> str:
        if len(self._keys) == 1:
            return _key_part(*self._keys[0], value)
        return ":".join(_escaped(_key_part(get, path, value)) for get, path in self._keys)

    def _position(self, value: Any, time: datetime | None) -> tuple[str | None, Cursor | None]:
        if self._cursor is None:
            return None, None
        found = self._cursor.get(value)
        if found is None or found == "":
            return None, None
        if self._one_time:
            return (found if type(found) is str else paths.text_of(found)), time
        try:
            return paths.text_of(found), self._cursor.read(found)
        except (ValueError, ArithmeticError, TypeError):
            return None, None


class _Timed(NamedTuple):
    """One path with the reader of its values."""

    path: Path
    form: str
    get: Callable[[Any], Any]
    read: Callable[[Any], Cursor]

    @classmethod
    def of(cls, path: Path | None, form: str, zone: tzinfo | None) -> _Timed | None:
        return None if path is None else cls(path, form, paths.getter(path), instants.reader(form, zone))

    def instant(self, value: Any) -> datetime | None:
        found = self.get(value)
        if found is None or found == "":
            return None
        try:
            return self.read(found)  # type: ignore[return-value]
        except (ValueError, ArithmeticError, TypeError) as why:
            raise _Unusable(f"the record's time cannot be read: {why}", paths.write(self.path)) from None


def _iso(found: Any) -> tuple[str | None, datetime | None]:
    """Return a value and its instant where it is plain ISO 8601 in UTC, as most are; else leave it to the whole reader."""
    if type(found) is str:
        try:
            time = datetime.fromisoformat(found)
        except ValueError:
            return None, None
        if time.tzinfo is UTC:
            return found, time
    return None, None


def _member(path: Path) -> str | None:
    """Return the name of a path that is one member of the record itself."""
    return path[0] if len(path) == 1 and isinstance(path[0], str) else None


def _cursor(stream: StreamSpec, zone: tzinfo | None) -> _Timed | None:
    if stream.incremental is None:
        return None
    spec = stream.incremental
    if spec.cursor_format == "integer":
        return _Timed(spec.cursor_path, "integer", paths.getter(spec.cursor_path), lambda value: int(str(value)))
    return _Timed.of(spec.cursor_path, spec.cursor_format, zone or UTC)


def _says_deleted(spec: DeletedSpec) -> Callable[[Any], bool]:
    """Return what a value at the path of ``deleted:`` says."""
    if spec.equals is None:
        present = spec.present
        return lambda found: (found not in (None, "", False)) is present
    equals = frozenset(spec.equals)
    return lambda found: paths.text_of(found) in equals


def _escaped(part: str) -> str:
    """Return a part of a composite key so that ("a:b", "c") and ("a", "b:c") stay two keys."""
    return part.replace("\\", "\\\\").replace(":", "\\:")


def _key_part(get: Callable[[Any], Any], path: str, value: Any) -> str:
    found = get(value)
    if isinstance(found, str):
        text = found
    elif found is None or isinstance(found, bool | dict | list):
        raise _Unusable("no key" if found is None else "the key is not text or a number", path)
    else:
        text = str(found)
    if not text:
        raise _Unusable("no key", path)
    return text


def _parse(payload: bytes, max_bytes: int) -> dict[str, Any]:
    if len(payload) > max_bytes:
        raise _Unusable(f"too large: {len(payload)} bytes, the limit is {max_bytes}")
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _depth(payload) > MAX_DEPTH:
        raise _Unusable(f"nested more than {MAX_DEPTH} levels deep")
    try:
        value = canonical.decode(payload)
    except canonical.UNREADABLE as why:
        raise _Unusable(f"unreadable: {_cause(payload, why)}") from None
    if not isinstance(value, dict):
        raise _Unusable("not a JSON object")
    if b"\\" in payload and b"\\u0000" in payload:
        where = _nul(value, ())
        if where is not None:
            raise _Unusable("a NUL character", paths.write(where))
    return value


def _cause(payload: bytes, why: Exception) -> str:
    """Name the usual causes in words; the parser's own text is about bytes."""
    if re.search(rb"[:\[,]\s*-?(?:NaN|Infinity)\b", payload):
        return "NaN and Infinity are not JSON"
    if re.search(rb"\\u[dD][89a-fA-F]", payload):
        return "a lone surrogate"
    return str(why)


def _depth(payload: bytes) -> int:
    depth = deepest = 0
    for found in _BRACKET.finditer(payload):
        token = found[0]
        if token in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"}]":
            depth -= 1
    return deepest


def _nul(value: Any, at: Path) -> Path | None:
    if isinstance(value, str):
        return at if "\0" in value else None
    if isinstance(value, dict):
        inner: Iterable[tuple[str | int, Any]] = value.items()
        if any("\0" in key for key in value):
            return at
    else:
        inner = enumerate(value) if isinstance(value, list) else ()
    return next((found for step, one in inner if (found := _nul(one, (*at, step))) is not None), None)
