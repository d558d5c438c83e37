"""``mapping.yaml`` → tree: every term exists, every type fits, every reference leads to an object of the connector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from connectors.sdk import paths
from connectors.sdk.errors import FixConnector
from connectors.sdk.mapping import tree
from connectors.sdk.mapping.expressions import TYPED, Expressions, MappingError, Scope, build_condition
from connectors.sdk.mapping.hooks import HookFunction, load_hooks
from connectors.sdk.yaml_lines import Locate, Pointer, load_yaml, suggest, validate

if TYPE_CHECKING:
    from canonical_model import Entity, Term, Vocabulary
    from connectors.sdk.specs import Manifest, StreamSpec

_NUMBERS = ("integer", "decimal", "money")
_TIMES = ("date", "instant")


@dataclass(frozen=True, eq=False)
class Mapping_:  # noqa: N801  exported as Mapping; the plain name is taken by collections.abc here
    """One connector's mapping, checked against manifest and vocabulary."""

    connector: str
    version: int
    streams: Mapping[str, tree.StreamTree]
    hooks: Mapping[str, HookFunction] = field(repr=False)
    file: Path

    def lineage(self, stream: str) -> dict[tuple[str, str], list[str]]:
        """Return, for each (entity, term) the stream emits, the vendor paths it comes from."""
        found: dict[tuple[str, str], list[str]] = {}
        made = self.stream(stream)
        for emit in made.emits:
            for term in emit.terms:
                names = [tree.written(read, emit.each) for read in tree.reads(term)]
                if any(isinstance(node, tree.SourceKey) for node in tree.walk(term)):
                    names += [paths.write(path) for path in made.key]
                known = found.setdefault((emit.entity, term.term), [])
                known += [name for name in dict.fromkeys(names) if name not in known]
        return found

    def entities(self, stream: str) -> tuple[str, ...]:
        """Return the entities that a stream emits, each once, in the order of the mapping."""
        return tuple(dict.fromkeys(emit.entity for emit in self.stream(stream).emits))

    def stream(self, name: str) -> tree.StreamTree:
        """Return one stream's tree; an unknown name is answered with the known ones."""
        if name not in self.streams:
            raise MappingError(
                f"stream '{name}' is not mapped", where=str(self.file), do=suggest(name, list(self.streams))
            )
        return self.streams[name]


def load_mapping(path: Path | str, manifest: Manifest, vocabulary: Vocabulary) -> Mapping_:
    """Read and check a ``mapping.yaml``; raise MappingError with file:line, what was seen and what is allowed."""
    file = Path(path)
    data, locate = load_yaml(file, error=MappingError)
    validate(data, _schema(), locate, file, error=MappingError)
    if data["connector"] != manifest.name:
        raise MappingError(
            f"connector '{data['connector']}'", where=locate.where(("connector",)), do=f"allowed: {manifest.name}"
        )
    hooks = load_hooks(file.with_name("hooks.py"))
    builder = _Builder(data, locate, manifest, vocabulary, hooks)
    streams = {name: builder.stream(name) for name in data["streams"]}
    return Mapping_(manifest.name, data["version"], MappingProxyType(streams), hooks, file)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return schema


@dataclass(frozen=True)
class _Builder:
    data: Mapping[str, Any]
    locate: Locate
    manifest: Manifest
    vocabulary: Vocabulary
    hooks: Mapping[str, HookFunction]

    def stream(self, name: str) -> tree.StreamTree:
        known = self.manifest.streams
        here: Pointer = ("streams", name)
        if name not in known:
            raise MappingError(f"no stream '{name}'", where=self.locate.where(here), do=suggest(name, list(known)))
        data = self.data["streams"][name]
        emits = tuple(self._emit(name, index, emit) for index, emit in enumerate(data["emit"]))
        self._check_keys(emits, here)
        ignores = tuple(
            self._ignore(item, (*here, "ignore", index)) for index, item in enumerate(data.get("ignore", []))
        )
        keeps = tuple(self._ignore(item, (*here, "keep", index)) for index, item in enumerate(data.get("keep", [])))
        spec = known[name]
        return tree.StreamTree(name, spec.object, emits, ignores, spec.key, _engine_paths(spec), keeps)

    def _scope(self, stream: str, *, in_each: bool) -> Scope:
        objects = {spec.object for spec in self.manifest.streams.values()}
        has_parent = self.manifest.streams[stream].parent is not None
        return Scope(self.locate, self.data.get("lookups") or {}, objects, self.hooks, in_each, has_parent)

    def _emit(self, stream: str, index: int, data: Mapping[str, Any]) -> tree.Emit:
        here: Pointer = ("streams", stream, "emit", index)
        if data["entity"] not in self.vocabulary.entities:
            do = suggest(data["entity"], list(self.vocabulary.entities))
            raise MappingError(f"no entity '{data['entity']}'", where=self.locate.where((*here, "entity")), do=do)
        entity = self.vocabulary.entities[data["entity"]]
        scope = self._scope(stream, in_each="each" in data)
        each = self._each(data["each"], (*here, "each")) if "each" in data else None
        when = build_condition(data["when"], (*here, "when"), scope) if "when" in data else None
        terms = tuple(_Terms(scope, entity, here).build(data["terms"], self.manifest.streams[stream].object))
        return tree.Emit(entity.name, terms, self._key(data, scope, here, first=index == 0), each, when)

    def _each(self, given: str | Mapping[str, str], pointer: Pointer) -> paths.Path:
        if isinstance(given, str):
            return self._list(given, pointer)
        text = given.get("path") or given["members"]
        last = paths.Pieces(given["split"]) if "split" in given else paths.Members(given["prefix"])
        if paths.Every() in (head := self._parsed(text, pointer)):
            raise MappingError(
                f"'{text}' is many values", where=self.locate.where(pointer), do="name one text or object"
            )
        return (*head, last)

    def _list(self, text: str, pointer: Pointer) -> paths.Path:
        path = self._parsed(text, pointer)
        if not path or isinstance(path[-1], str | int):
            raise MappingError(
                f"'{text}' is one value", where=self.locate.where(pointer), do=f"write the list's elements: {text}[*]"
            )
        return path

    def _parsed(self, text: str, pointer: Pointer) -> paths.Path:
        try:
            return paths.parse(text)
        except FixConnector as error:
            raise MappingError(error.what, where=self.locate.where(pointer), why=error.why, do=error.do) from error

    def _key(
        self, data: Mapping[str, Any], scope: Scope, here: Pointer, *, first: bool
    ) -> tree.Expression | tree.HashKey:
        if "key" not in data:
            if first and "each" not in data:
                return tree.Const("")
            scope.refuse(
                here,
                "this emit needs a `key:`",
                "write {const: name}, a path, or hash (only the first single row has none)",
            )
        if data["key"] == "hash":
            return tree.HashKey()
        return Expressions(scope).build(data["key"], (*here, "key"))

    def _check_keys(self, emits: tuple[tree.Emit, ...], here: Pointer) -> None:
        seen: set[tuple[str, str]] = set()
        for index, emit in enumerate(emits):
            if not isinstance(emit.key, tree.Const) or emit.each is not None:
                continue
            row = (emit.entity, emit.key.value)
            if row in seen:
                what = f"two rows of {emit.entity} have the key '{emit.key.value}'"
                raise MappingError(
                    what, where=self.locate.where((*here, "emit", index)), do="give each its own `key: {const: …}`"
                )
            seen.add(row)

    def _ignore(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Ignore:
        text = data["path"]
        prefix = text.endswith("*")
        try:
            path = paths.parse(text.removesuffix("*").removesuffix("."))
        except FixConnector as error:
            raise MappingError(error.what, where=self.locate.where(pointer), why=error.why, do=error.do) from error
        return tree.Ignore(path, data["reason"], prefix and not text.endswith(".*"), text)


def _engine_paths(spec: StreamSpec) -> tuple[paths.Path, ...]:
    """Return the paths that the engine itself uses: key, times, cursor, delete flag."""
    found = list(spec.key)
    found += [spec.record_time] if spec.record_time is not None else []
    found += [spec.deleted.path] if spec.deleted is not None else []
    found += [spec.incremental.cursor_path] if spec.incremental is not None else []
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _Terms:
    scope: Scope
    entity: Entity
    here: Pointer

    def build(self, data: Mapping[str, Any], own_object: str) -> Iterator[tree.Convert]:
        for name, expression in data.items():
            pointer = (*self.here, "terms", name)
            self.scope.known(pointer, f"term of {self.entity.name}", name, self.entity.terms)
            yield self._term(self.entity.terms[name], expression, pointer)
        for term in self.entity.terms.values():
            if term.name in data:
                continue
            if term.default == "self":
                yield tree.Convert(
                    tree.Reference(tree.SourceKey(), object=own_object), term.name, term.type, required=True
                )
            elif term.required:
                self.scope.refuse(
                    self.here, f"{self.entity.name} needs the term '{term.name}'", f"map it: {term.brief}"
                )

    def _term(self, term: Term, data: Any, pointer: Pointer) -> tree.Convert:
        typed = {key: data[key] for key in TYPED if key in data} if isinstance(data, Mapping) else {}
        rest = {key: value for key, value in data.items() if key not in typed} if typed else data
        lenient = typed.get("invalid") == "warn"
        builder = Expressions(self.scope, multi=term.multi, json=term.type == "json", lenient=lenient)
        made = builder.build(rest, pointer)
        self._check(term, made, typed, pointer)
        return tree.Convert(
            made, term.name, term.type, term.multi, term.required, term.values,
            typed.get("format"), typed.get("zone"), lenient, term.minimum, term.maximum,
        )  # fmt: skip

    def _check(self, term: Term, made: tree.Expression, typed: Mapping[str, Any], pointer: Pointer) -> None:
        refuse = self.scope.refuse
        for word, types in (("format", _TIMES), ("zone", ("instant",))):
            if word in typed and term.type not in types:
                refuse(
                    (*pointer, word),
                    f"'{word}' on '{term.name}', which is {term.type}",
                    f"only for {' and '.join(types)}",
                )
        if term.type not in _NUMBERS and any(isinstance(node, tree.Scale) for node in tree.walk(made)):
            refuse(pointer, f"'scale' on '{term.name}', which is {term.type}", f"only for {', '.join(_NUMBERS)}")
        for leaf in _results(made):
            if isinstance(leaf, tree.Reference) != term.is_ref:
                wanted = (
                    "a reference: {ref: {object, key}} or {ref: {system, value}}"
                    if term.is_ref
                    else f"{term.type}, no ref"
                )
                refuse(pointer, f"'{term.name}' takes {wanted}", "see the vocabulary's page")
            for value in _literals(leaf):
                self._check_literal(term, value, pointer)

    def _check_literal(self, term: Term, value: str, pointer: Pointer) -> None:
        if term.type == "code" and value not in term.values:
            self.scope.known(pointer, f"value of '{term.name}'", value, term.values)
        if term.type == "boolean":
            self.scope.known(pointer, f"value of '{term.name}'", value, ("true", "false"))


def _results(made: tree.Expression) -> Iterator[tree.Expression]:
    """Yield the expressions whose value can become the term's value."""
    if isinstance(made, tree.Case):
        parts = [branch.then for branch in made.branches] + ([made.otherwise] if made.otherwise else [])
    elif isinstance(made, tree.First):
        parts = list(made.parts)
    else:
        yield made
        return
    for part in parts:
        yield from _results(part)


def _literals(leaf: tree.Expression) -> Iterator[str]:
    if isinstance(leaf, tree.Const):
        yield leaf.value
    if isinstance(leaf, tree.Lookup):
        yield from (value for _, value in leaf.values)
        if leaf.constant is not None:
            yield leaf.constant
