"""Documents of one stream, many at once: as dicts, or as objects whose members are known beforehand.

The records of a stream have the same members over and over. What these are is learned from records met; into objects made for
them documents are read, and out of them written, in two thirds of the time. The canonical text is the same byte for byte. A
document with a member not met so far has no such form: it is read as a dict, and the form learns.
"""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from connectors.sdk import canonical, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from connectors.sdk.paths import Path

_WORTH: Final = (
    500  # records of a stream before a form is made for them: to make one takes as long as to read a hundred
)
_LEARNINGS: Final = 8  # a stream whose members are ever new ones has no form
_MEMBERS: Final = 300
_LEVELS: Final = 6
UNWRITABLE: Final = frozenset('"\\') | {chr(code) for code in range(32)}  # msgspec takes no such names
_Members = dict[str, "_Members | None"]  # of members that are objects, theirs; None is what is taken as it comes


class Documents(Protocol):
    """Parsed documents; ``digests`` comes last, since it eats what it leaves out."""

    def members(self, name: str) -> list[Any]:
        """Return what each document holds under a name; raise KeyError or give no text where it holds nothing."""

    def found(self, path: Path) -> list[Any]:
        """Return what is at a path of each document, ``None`` where nothing is."""

    def digests(self, without: Sequence[Path]) -> list[str]:
        """Return the canonical hash of each document, these paths left out."""


class _Dicts(NamedTuple):
    values: list[Any]

    def members(self, name: str) -> list[Any]:
        return list(map(itemgetter(name), self.values))

    def found(self, path: Path) -> list[Any]:
        return list(map(paths.getter(path), self.values))

    def digests(self, without: Sequence[Path]) -> list[str]:
        for path in without:
            for value in self.values:
                paths.remove(path, value)
        return canonical.digests(self.values)


class _Objects(NamedTuple):
    values: list[Any]
    fields: Mapping[str, str]  # the attribute that holds a member

    def members(self, name: str) -> list[Any]:
        return list(map(attrgetter(self.fields[name]), self.values))

    def found(self, path: Path) -> list[Any]:
        field = self.fields.get(str(path[0]))
        if field is None:
            return [None] * len(self.values)
        held = map(attrgetter(field), self.values)
        if len(path) > 1:
            return list(map(paths.getter(path[1:]), held))
        return [None if value is msgspec.UNSET else value for value in held]

    def digests(self, without: Sequence[Path]) -> list[str]:
        for path in without:
            field = self.fields.get(str(path[0]))
            if field is None:
                continue
            for value in self.values:
                if len(path) > 1:
                    paths.remove(path[1:], getattr(value, field))
                else:
                    setattr(value, field, msgspec.UNSET)
        return canonical.digests_in_order(self.values)


class Form:
    """Reads documents of one stream, into objects as soon as it knows their members."""

    def __init__(self, looked_into: Iterable[Path]) -> None:
        """Know the paths that will be asked for: what they lead into is kept as it comes."""
        self._apart = {path[0] if path else None for path in looked_into}
        self._left = _LEARNINGS if all(isinstance(step, str) for step in self._apart) else 0
        self._members: _Members = {}
        self._fields: Mapping[str, str] = {}
        self._decode: Callable[[bytes], Any] | None = None
        self._read = 0

    def read(self, payloads: list[bytes]) -> Documents:
        """Return the parsed documents; raise one of canonical.UNREADABLE if one is no JSON."""
        if self._decode is not None:
            try:
                return _Objects(list(map(self._decode, payloads)), self._fields)
            except canonical.UNREADABLE:
                pass  # a member that is new, or no JSON at all
        values = list(map(canonical.decode, payloads))
        self._read += len(values)
        if self._read > _WORTH:
            self._learn(values)
        return _Dicts(values)

    def _learn(self, values: list[Any]) -> None:
        """Make the form that holds these documents too; give up after so many that did not hold what came next."""
        if not all(type(value) is dict for value in values):
            return
        self._decode = None
        if not self._left:
            return
        self._left -= 1
        for value in values:
            _meet(self._members, value, self._apart)
        made = _object(self._members)
        if made is not None:
            self._fields = {field.encode_name: field.name for field in msgspec.structs.fields(made)}
            self._decode = canonical.decoder(made)


def _meet(known: _Members, document: dict[str, Any], apart: Collection[Any] = (), level: int = 1) -> None:
    """Add a document's members to those known."""
    for name, value in document.items():
        if type(value) is not dict or name in apart or level == _LEVELS:
            if value is not None or name not in known:
                known[name] = None
            continue
        inner = known.setdefault(name, {})
        if inner is not None:
            _meet(inner, value, level=level + 1)


def _object(members: _Members) -> type[msgspec.Struct] | None:
    """Return the type of objects that have these members, written in canonical order; None where there can be none."""
    if len(members) > _MEMBERS or any(not UNWRITABLE.isdisjoint(name) for name in members):
        return None
    fields: list[tuple[str, Any, Any]] = []
    for number, name in enumerate(sorted(members)):
        held = members[name]
        inner = None if held is None else _object(held)
        kind = Any if inner is None else inner | None | msgspec.UnsetType
        fields.append((f"f{number}", kind, msgspec.UNSET))
    names = dict(zip((field[0] for field in fields), sorted(members), strict=True))
    return msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
