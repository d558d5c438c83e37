"""Semantic versions of connectors, judged by machine: what two versions of a connector promise, compared.

major  a reader of the canonical rows, or the store's keys, would break: a stream, term or entity gone, a key, object or cursor
       changed, a type narrowed, a newly required option
minor  something new: a stream, a term, an entity, an option
patch  the same promises, otherwise kept
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from connectors.sdk import paths
from connectors.sdk.catalog import MANIFEST
from connectors.sdk.errors import FixConnector
from connectors.sdk.mapping import tree

if TYPE_CHECKING:
    from pathlib import Path as File

    from connectors.sdk.catalog import ConnectorFolder
    from connectors.sdk.specs import StreamSpec

NONE, PATCH, MINOR, MAJOR = "none", "patch", "minor", "major"
ORDER = (NONE, PATCH, MINOR, MAJOR)
_PARTS = 3


@dataclass(frozen=True)
class Change:
    """One difference: how grave, where, and what."""

    level: str
    where: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """What the changes ask of the version, and what the manifests say."""

    old_version: str
    new_version: str
    needed: str
    changes: tuple[Change, ...]

    @property
    def raised(self) -> str:
        """How far the version was raised."""
        old, new = _numbers(self.old_version), _numbers(self.new_version)
        if new <= old:
            return NONE
        return next(word for word, a, b in zip((MAJOR, MINOR, PATCH), old, new, strict=True) if a != b)

    @property
    def ok(self) -> bool:
        """True when the version was raised at least as far as needed, and never lowered; before 1.0 a minor raise may break."""
        if _numbers(self.new_version) < _numbers(self.old_version):
            return False
        early = _numbers(self.old_version)[0] == 0 and self.needed == MAJOR
        return ORDER.index(self.raised) >= ORDER.index(MINOR if early else self.needed)

    def as_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        changes = [change.__dict__ for change in self.changes]
        return {
            "old": self.old_version, "new": self.new_version, "needed": self.needed, "raised": self.raised, "ok": self.ok,
            "changes": changes,
        }  # fmt: skip


def compare(old: ConnectorFolder, new: ConnectorFolder) -> Verdict:
    """Compare two versions of one connector's folder.

    Rules grow stricter: a former version that today's refuse cannot be compared, which asks for a minor raise.
    """
    refused = _refused(old)
    if refused is not None:
        return Verdict(_version(old), new.manifest.version, MINOR, (Change(MINOR, "", refused),))
    changes = sorted(_changes(old, new), key=lambda one: (-ORDER.index(one.level), one.where, one.what))
    needed = max((change.level for change in changes), key=ORDER.index, default=NONE)
    if needed == NONE and _files(old) != _files(new):
        needed, changes = PATCH, [Change(PATCH, "", "files changed, promises did not")]
    return Verdict(old.manifest.version, new.manifest.version, needed, tuple(changes))


def _refused(old: ConnectorFolder) -> str | None:
    """Return why today's rules refuse the former version, ``None`` if they do not."""
    try:
        _ = old.manifest, old.mapping
    except FixConnector as why:
        return f"the former version cannot be compared, today's rules refuse it: {why.what}"
    return None


def _version(folder: ConnectorFolder) -> str:
    return str(yaml.safe_load((folder.path / MANIFEST).read_text(encoding="utf-8"))["version"])


def _changes(old: ConnectorFolder, new: ConnectorFolder) -> Iterator[Change]:
    before, after = old.manifest, new.manifest
    if before.name != after.name:
        yield Change(MAJOR, "name", f"'{before.name}' became '{after.name}'")
    yield from _options(before.config_schema, after.config_schema)
    yield from _sets("streams", set(before.streams), set(after.streams), "stream")
    for name in sorted(set(before.streams) & set(after.streams)):
        yield from _stream(name, before.streams[name], after.streams[name])
        yield from _emitted(name, old, new)
        yield from _schema(name, old, new)


def _sets(where: str, old: set[str], new: set[str], kind: str) -> Iterator[Change]:
    yield from (Change(MAJOR, where, f"{kind} {name} is gone") for name in sorted(old - new))
    yield from (Change(MINOR, where, f"{kind} {name} is new") for name in sorted(new - old))


def _options(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    yield from _sets("config", set(before), set(after), "option")
    required = set(new.get("required", ())) - set(old.get("required", ()))
    yield from (Change(MAJOR, "config", f"option {name} is required now") for name in sorted(required))
    ways = [
        {frozenset(one.get("required", ())) for word in ("anyOf", "oneOf") for one in schema.get(word, ())}
        for schema in (old, new)
    ]
    for way in sorted(ways[0] - ways[1] if ways[1] else (), key=sorted):
        yield Change(MAJOR, "config", f"{' + '.join(sorted(way))} is no longer enough")
    if ways[1] and not ways[0]:
        yield Change(MAJOR, "config", "one of several sets of options is required now")
    for name in sorted(set(before) & set(after)):
        yield from _types(f"config.{name}", before[name], after[name])


def _stream(name: str, old: StreamSpec, new: StreamSpec) -> Iterator[Change]:
    where = f"streams.{name}"
    before, after = _identity(old), _identity(new)
    for word, was in before.items():
        if was != after[word]:
            yield Change(MAJOR, where, f"{word} {was} became {after[word]}")
    yield from _cursor(where, old, new)
    if old.default and not new.default:
        yield Change(MAJOR, where, "is no longer read by default")
    if new.default and not old.default:
        yield Change(MINOR, where, "is read by default now")
    if old.record_time != new.record_time:
        yield Change(MINOR, where, "record_time changed: survivorship compares other times")


def _identity(spec: StreamSpec) -> dict[str, object]:
    """Return what the references to a stream's records and the state of its partitions rest on."""
    return {
        "key": [paths.write(path) for path in spec.key],
        "object": spec.object,
        "parent": spec.parent.stream if spec.parent else None,
        "partitions": spec.partitions[0] if spec.partitions else None,
    }


def _cursor(where: str, old: StreamSpec, new: StreamSpec) -> Iterator[Change]:
    """A stored cursor must stay readable; a stream may become incremental, never silently cease to be."""
    if old.incremental is None or new.incremental is None:
        if old.incremental is not None:
            yield Change(MAJOR, where, "is no longer incremental: stored cursors mean nothing")
        elif new.incremental is not None:
            yield Change(MINOR, where, "is incremental now")
        return
    for word in ("cursor_path", "cursor_format", "format"):
        was, now = getattr(old.incremental, word), getattr(new.incremental, word)
        if was != now:
            told = [paths.write(one) if isinstance(one, tuple) else one for one in (was, now)]
            yield Change(MAJOR, where, f"{word} {told[0]} became {told[1]}: stored cursors mean something else")


def _emitted(stream: str, old: ConnectorFolder, new: ConnectorFolder) -> Iterator[Change]:
    before, after = _terms(old, stream), _terms(new, stream)
    where = f"mapping.{stream}"
    yield from _sets(where, {entity for entity, _ in before}, {entity for entity, _ in after}, "entity")
    both = {entity for entity, _ in before} & {entity for entity, _ in after}
    for entity in sorted(both):
        mine = [{term for one, term in side if one == entity} for side in (before, after)]
        yield from _sets(f"{where}.{entity}", mine[0], mine[1], "term")
    for key in sorted(set(before) & set(after)):
        if before[key] != after[key]:
            yield Change(MINOR, f"{where}.{key[0]}", f"term {key[1]} is made of {after[key]} instead of {before[key]}")
    keys = [_keys(folder, stream) for folder in (old, new)]
    for entity in sorted(both):
        if keys[0].get(entity) != keys[1].get(entity) and not keys[0].get(entity, set()) <= keys[1].get(entity, set()):
            yield Change(MAJOR, f"{where}.{entity}", "the rows' key: changed, so that rows change their identity")


def _terms(folder: ConnectorFolder, stream: str) -> dict[tuple[str, str], list[str]]:
    mapping = folder.mapping
    found = mapping.lineage(stream) if stream in mapping.streams else {}
    return {key: sorted(of) for key, of in found.items()}


def _keys(folder: ConnectorFolder, stream: str) -> dict[str, set[str]]:
    """Return, by entity, how its rows are told apart; hashes of content have no words of their own."""
    found: dict[str, set[str]] = {}
    emits = folder.mapping.streams[stream].emits if stream in folder.mapping.streams else ()
    for emit in emits:
        key = emit.key
        told = "content" if isinstance(key, tree.HashKey) else repr(key)
        found.setdefault(emit.entity, set()).add(f"{emit.each}: {told}")
    return found


def _schema(stream: str, old: ConnectorFolder, new: ConnectorFolder) -> Iterator[Change]:
    before, after = (_read(folder, stream) for folder in (old, new))
    where = f"schema.{stream}"
    required = [set(_required(schema, ())) for schema in (before, after)]
    yield from (
        Change(MAJOR, where, f"{path} is required of the vendor now") for path in sorted(required[1] - required[0])
    )
    yield from (Change(MINOR, where, f"{path} is no longer required") for path in sorted(required[0] - required[1]))
    types = [dict(_typed(schema, ())) for schema in (before, after)]
    for path in sorted(set(types[0]) & set(types[1])):
        yield from _types(f"{where}.{path}", types[0][path], types[1][path])
    for path in sorted(set(types[1]) - set(types[0])):
        yield Change(MINOR, where, f"{path} is declared now")
    for path in sorted(set(types[0]) - set(types[1])):
        yield Change(MINOR, where, f"{path} is no longer declared")


def _types(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Compare what two schemas let through: a type or word taken away breaks, one more is new."""
    for word in ("type", "enum"):
        before, after = _listed(old.get(word)), _listed(new.get(word))
        if before == after:
            continue
        narrowed = after is not None and (before is None or before - after)
        name = "types" if word == "type" else "values"
        told = f"{name} {_told(before)} became {_told(after)}"
        yield Change(
            MAJOR if narrowed else MINOR, where, told + (", which refuses what was let through" if narrowed else "")
        )


def _listed(given: Any) -> frozenset[str] | None:
    if given is None:
        return None
    found = {str(one) for one in ([given] if isinstance(given, str) else given)}
    return frozenset(found | ({"integer"} if "number" in found else set()))


def _told(found: frozenset[str] | None) -> str:
    return "any" if found is None else "|".join(sorted(found))


def _required(schema: Any, at: tuple[str, ...]) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (".".join((*at, name)) for name in schema.get("required", ()))
        for name, inner in schema.get("properties", {}).items():
            yield from _required(inner, (*at, name))
        yield from _required(schema.get("items"), (*at, "[*]"))


def _typed(schema: Any, at: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema, dict):
        if at:
            yield ".".join(at), schema
        for name, inner in schema.get("properties", {}).items():
            yield from _typed(inner, (*at, name))
        yield from _typed(schema.get("items"), (*at, "[*]"))


def _read(folder: ConnectorFolder, stream: str) -> Any:
    file = folder.path / "schema" / f"{stream}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _files(folder: ConnectorFolder) -> dict[str, object]:
    """Return what a connector is made of; its version, comments, documentation and fixtures are left out."""
    kept = [folder.path / "manifest.yaml", folder.path / "mapping.yaml", folder.path / "hooks.py"]
    kept += folder.path.glob("schema/*.json")
    return {file.relative_to(folder.path).as_posix(): _content(file) for file in kept if file.is_file()}


def _content(file: File) -> object:
    if file.suffix == ".py":
        return file.read_text(encoding="utf-8")
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "version"} if isinstance(found, dict) else found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split(".")[:_PARTS])
