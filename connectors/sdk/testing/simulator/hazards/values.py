"""Hazards of values: records that hold what no schema said, or what is hardly JSON. They stay so for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connectors.sdk import paths
from connectors.sdk.testing.simulator.specimens import put

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.sdk.paths import Path
    from connectors.sdk.testing.simulator.holdings import Held
    from connectors.sdk.testing.simulator.specimens import Record
    from connectors.sdk.testing.simulator.turn import Leaf, Turn

_MARK: Final = "@@simulator-mark@@"
_DEEPEST_PLAIN: Final = 2


class ValueAct(Act):
    """Changes what is written of some records; ``poison`` says that quarantine is right for them."""

    page: ClassVar[int | None] = None
    times = 0
    poison: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Any]] = {"count": 1, "field": None}

    def prepare(self) -> None:
        """Choose the records and the field."""
        live = self.lot.live()
        wanted = self.hazard.key
        chosen = [held for held in live if held.key == wanted] if wanted else self.stage.pick(live, self.given["count"])
        self.keys = {held.key for held in chosen}
        self._texts: dict[tuple[str, str], str] = {}
        for key in self.keys if self.poison else ():
            self.stage.oracle.mark(self.stream, key).poison = self.name

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Note that a changed record is shown."""
        for held in leaf.held if turn.stream == self.stream else ():
            if held.key in self.keys:
                self.fire(turn, self.name, key=held.key)

    def text(self, stream: str, held: Held, text: str) -> str:
        """Return the changed text."""
        if stream != self.stream or held.key not in self.keys:
            return text
        if (held.key, text) not in self._texts:
            self._texts = {(held.key, text): self.changed(json.loads(text), held)}
        return self._texts[held.key, text]

    def changed(self, record: Record, held: Held) -> str:
        """Return a record's text with the hazard in it."""
        raise NotImplementedError

    def field(self, record: Record, held: Held) -> Path:
        """Return the field to change: the one named, else one that no rule of the manifest reads."""
        if self.given["field"]:
            return paths.parse(self.given["field"])
        spec = self.lot.spec
        asked = spec.incremental
        used = {*spec.key, spec.record_time, asked.cursor_path if asked else None, *spec.volatile}
        used |= {spec.deleted.path} if spec.deleted else set()
        free = [path for path in _leaves(record) if path not in used and _free(path, spec)]
        return free[sum(map(ord, held.key)) % len(free)] if free else ("surprise",)

    def with_raw(self, record: Record, path: Path, raw: str) -> str:
        """Return the record's text with ``raw`` as the value at a path."""
        put(record, path, _MARK)
        return _text(record).replace(json.dumps(_MARK), raw, 1)


def _free(path: Path, spec: Any) -> bool:
    bound = [path for path in (getattr(spec.request.paginator, "path", None),) if path]
    return path not in bound and "archived" not in path


def _leaves(record: Any, at: Path = ()) -> Iterator[Path]:
    if isinstance(record, dict) and len(at) <= _DEEPEST_PLAIN:
        for name, inner in record.items():
            yield from _leaves(inner, (*at, name))
    elif at and not isinstance(record, list | dict) and record is not None:
        yield at


def _text(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


class RetypedField(ValueAct):
    """A field has another type."""

    name = "retyped_field"
    poison = False

    def changed(self, record: Record, held: Held) -> str:
        """Turn text into an object, anything else into text."""
        path = self.field(record, held)
        old = paths.find(path, record)
        put(record, path, {"value": old} if isinstance(old, str) else f"now text: {old}")
        return _text(record)


class NewField(ValueAct):
    """A field nobody has seen before."""

    name = "new_field"
    poison = False

    def changed(self, record: Record, held: Held) -> str:
        """Add it."""
        path = paths.parse(self.given["field"] or "brand_new_field")
        put(record, path, f"new in {held.key}")
        return _text(record)


class MissingField(ValueAct):
    """A field is gone."""

    name = "missing_field"
    poison = False

    def changed(self, record: Record, held: Held) -> str:
        """Take it out."""
        paths.remove(self.field(record, held), record)
        return _text(record)


class NullField(ValueAct):
    """A field is null."""

    name = "null_field"
    poison = False

    def changed(self, record: Record, held: Held) -> str:
        """Set it to null."""
        put(record, self.field(record, held), None)
        return _text(record)


class NullKey(ValueAct):
    """A record without its key."""

    name = "null_key"

    def changed(self, record: Record, _held: Held) -> str:
        """Set the key to null."""
        put(record, self.lot.spec.key[-1], None)
        return _text(record)


class HugeString(ValueAct):
    """A text too long to keep."""

    name = "huge_string"
    options: ClassVar[Mapping[str, Any]] = {**ValueAct.options, "size": 50_000_000}

    def changed(self, record: Record, held: Held) -> str:
        """Write it."""
        return self.with_raw(record, self.field(record, held), f'"{"x" * int(self.given["size"])}"')


class DeepJson(ValueAct):
    """Lists in lists in lists."""

    name = "deep_json"
    options: ClassVar[Mapping[str, Any]] = {**ValueAct.options, "depth": 10_000}

    def changed(self, record: Record, held: Held) -> str:
        """Write them."""
        depth = int(self.given["depth"])
        return self.with_raw(record, self.field(record, held), "[" * depth + "]" * depth)


class Nan(ValueAct):
    """NaN, which is not JSON."""

    name = "nan"
    raw: ClassVar[str] = "NaN"

    def changed(self, record: Record, held: Held) -> str:
        """Write it."""
        return self.with_raw(record, self.field(record, held), self.raw)


class HugeNumber(Nan):
    """A number no double can hold."""

    name = "huge_number"
    raw = "1e400"


class BigInteger(Nan):
    """An integer that a double rounds."""

    name = "big_integer"
    poison = False
    raw = "9007199254740993"


class LoneSurrogate(Nan):
    """Half a character."""

    name = "lone_surrogate"
    raw = r'"half \ud800 a character"'


class Nul(Nan):
    """A NUL in a text."""

    name = "nul"
    raw = r'"before\u0000after"'


class DuplicateKeys(ValueAct):
    """A member that stands twice."""

    name = "duplicate_keys"

    def changed(self, record: Record, held: Held) -> str:
        """Write it twice, the second with what it was."""
        path = self.field(record, held)
        name, old = json.dumps(path[-1]), _text(paths.find(path, record))
        put(record, path, _MARK)
        return _text(record).replace(f"{name}:{json.dumps(_MARK)}", f'{name}:"the first",{name}:{old}', 1)


ACTS = (
    RetypedField, NewField, MissingField, NullField, NullKey, HugeString, DeepJson, Nan, HugeNumber, BigInteger, LoneSurrogate,
    Nul, DuplicateKeys,
)  # fmt: skip
