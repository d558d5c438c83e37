"""A load's profile against what the connector declares: ``schema/<stream>.json`` and the paths its mapping reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from canonical_model import Vocabulary
from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.mapping import tree
from connectors.sdk.mapping.coverage import Reader, ignores
from connectors.sdk.mapping.duckdb_paths import generalised
from connectors.sdk.paths import Every, Path
from pipelines.drift.compare import ERROR, WARN, Finding, Uses
from pipelines.drift.model import Node, Profile

_ANY = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})


def uses_of(connector: ConnectorFolder, stream: str) -> Uses:
    """Return what a stream's mapping and manifest say of paths."""
    spec = connector.manifest.streams[stream]
    grows = {generalised(path) for path in (*spec.key, spec.record_time, *spec.volatile) if path}
    if spec.incremental is not None and spec.incremental.cursor_path:
        grows.add(generalised(spec.incremental.cursor_path))
    declared = {path for path, _ in _walk(schema_of(connector, stream), ())}
    if stream not in connector.mapping.streams:
        return Uses(lambda _: False, lambda path: path in declared or path in grows, lambda path: path in grows)
    made = connector.mapping.streams[stream]
    reader = Reader(made)
    read = {generalised(path[:end]) for path, _ in reader.reads for end in range(1, len(path) + 1)}
    return Uses(
        lambda path: path in read,
        lambda path: path in declared or path in read or reader.depends_on(path) or any(
            ignores(rule, path) for rule in (*made.ignores, *made.keeps)
        ),
        lambda path: path in grows,
    )  # fmt: skip


def keeper(connector: ConnectorFolder, stream: str, vocabulary: Vocabulary) -> Any:
    """Return whether words found at a path may be kept: those of personal terms, keys and references never are."""
    spec = connector.manifest.streams[stream]
    private = {generalised(path) for path in spec.key}
    if stream in connector.mapping.streams:
        for emit in connector.mapping.streams[stream].emits:
            for term in emit.terms:
                if vocabulary.entity(emit.entity).terms[term.term].personal != "none":
                    private |= {generalised(tree.full_path(read, emit.each)) for read in tree.reads(term)}
    return lambda path: path not in private


def schema_of(connector: ConnectorFolder, stream: str) -> Mapping[str, Any]:
    """Return the stream's JSON Schema, empty where there is none."""
    file = connector.path / "schema" / f"{stream}.json"
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def against_schema(schema: Mapping[str, Any], load: Profile, uses: Uses) -> list[Finding]:
    """Return where the payloads are not what the schema declares; as long as they are not, every load says so."""
    found: list[Finding] = []
    for path, declared in _walk(schema, ()):
        for target in _targets(path, load):
            node = load.get(target)
            found += _required(target, declared, load)
            if node is not None and node.present:
                found += _typed(target, declared, node)
                found += _listed(target, declared, node)
    found += _undeclared(schema, load)
    return [Finding(one.path, one.kind, one.level, one.detail, uses.reads(one.path)) for one in found]


def _walk(schema: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield each declared path with its schema."""
    if not isinstance(schema, Mapping):
        return
    if path:
        yield path, schema
    elif schema:
        yield (), schema
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, (*path, name))
    if "items" in schema:
        yield from _walk(schema["items"], (*path, Every()))


def _targets(path: Path, load: Profile) -> list[Path]:
    return [path] if path in load or not path or path[:-1] in load else []


def _required(path: Path, declared: Mapping[str, Any], load: Profile) -> Iterator[Finding]:
    node = load.get(path)
    objects = (node.types.get("object", 0) if path else node.parents) if node is not None else 0
    for name in declared.get("required", ()) if objects else ():
        member = load.get((*path, name))
        missing = objects - (min(member.present, objects) if member else 0)
        if missing > 0:
            level = ERROR if missing == objects else WARN
            yield Finding((*path, name), "removed", level, {"declared": "required", "missing": missing, "of": objects})


def _typed(path: Path, declared: Mapping[str, Any], node: Node) -> Iterator[Finding]:
    allowed = _allowed(declared)
    wrong = {kind: count for kind, count in node.types.items() if count and kind not in allowed}
    if wrong.pop("null", 0):
        yield Finding(
            path,
            "nullability",
            WARN,
            {"types": ["null"], "declared": sorted(allowed), "seen": node.nulls, "of": node.present},
        )
    if wrong:
        level = ERROR if path and not node.kinds & allowed else WARN
        detail = {"types": sorted(wrong), "declared": sorted(allowed), "seen": sum(wrong.values()), "of": node.present}
        yield Finding(path, "widened" if node.kinds & allowed else "retyped", level, detail)


def _allowed(declared: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types a schema lets through; what it does not restrict is any."""
    for word in ("anyOf", "oneOf"):
        if word in declared:
            return frozenset().union(*(_allowed(one) for one in declared[word]))
    given = declared.get("type")
    if given is None:
        return _ANY
    kinds = {given} if isinstance(given, str) else set(given)
    return frozenset(kinds | ({"integer"} if "number" in kinds else set()))


def _listed(path: Path, declared: Mapping[str, Any], node: Node) -> Iterator[Finding]:
    if "enum" not in declared or node.values is None:
        return
    fresh = sorted(set(node.values) - {str(one) for one in declared["enum"] if one is not None})
    if fresh:
        seen = sum(node.values[value] for value in fresh)
        yield Finding(path, "enum", WARN, {"values": fresh[:10], "declared": declared["enum"], "seen": seen})


def _undeclared(schema: Mapping[str, Any], load: Profile) -> list[Finding]:
    """Return members that fit no ``properties:`` and whose type ``additionalProperties:`` forbids."""
    found: list[Finding] = []
    for path, declared in _walk(schema, ()):
        extra = declared.get("additionalProperties")
        if not isinstance(extra, Mapping):
            continue
        for member, node in load.items():
            named = len(member) == len(path) + 1 and member[:-1] == path and isinstance(member[-1], str)
            if named and member[-1] not in declared.get("properties", {}):
                found += _typed(member, extra, node)
    return found
