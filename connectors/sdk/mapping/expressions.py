"""YAML expressions and conditions → operators of the tree, with file:line for everything that cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from connectors.sdk import paths
from connectors.sdk.errors import FixConnector
from connectors.sdk.mapping import transforms, tree
from connectors.sdk.yaml_lines import Locate, Pointer, suggest

_SOURCES = ("path", "json", "const", "join", "first", "case", "hook", "ref")
_COMPANIONS = {"join": ("with",), "case": ("else",), "hook": ("args",)}
_AFTER = ("split", "transform", "lookup", "scale")
TYPED = ("format", "zone", "invalid")
_TESTS = ("present", "equals", "in")


class MappingError(FixConnector):
    """A mapping says something that cannot be; the message holds file:line and what is allowed."""


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: what its paths are relative to and which names it may use."""

    locate: Locate
    lookups: Mapping[str, Any]
    objects: Collection[str]
    hooks: Collection[str]
    in_each: bool = False
    has_parent: bool = False

    def refuse(self, pointer: Pointer, what: str, do: str) -> NoReturn:
        """Raise MappingError at ``pointer``."""
        raise MappingError(what, where=self.locate.where(pointer), do=do)

    def known(self, pointer: Pointer, kind: str, name: str, allowed: Collection[str]) -> None:
        """Refuse ``name`` unless it is one of ``allowed``."""
        if name not in allowed:
            self.refuse(pointer, f"no {kind} '{name}'", suggest(name, sorted(allowed)))


def scalar_text(value: Any) -> str:
    """Return a YAML scalar as the text a vendor would write for it."""
    return paths.text_of(value) or ""


def build_read(text: str, pointer: Pointer, scope: Scope, shape: tree.Shape, *, lenient: bool = False) -> tree.Read:
    """Return the read of a written path: relative, ``@`` (the element), ``$.x`` (the record) or ``_parent.x``."""
    root = tree.Root.ELEMENT if scope.in_each else tree.Root.RECORD
    rest = text
    if text == "_parent" or text.startswith("_parent."):
        if not scope.has_parent:
            scope.refuse(pointer, f"'{text}': this stream has no parent", "give it `parent:` in the manifest")
        root, rest = tree.Root.PARENT, text[len("_parent") :].removeprefix(".")
    elif text.startswith("$"):
        root = tree.Root.RECORD
    elif text == "@":
        if not scope.in_each:
            scope.refuse(pointer, "'@' is the element of `each:`", "name a path")
        return tree.Read(root, (), shape, lenient)
    try:
        return tree.Read(root, paths.parse(rest) if rest else (), shape, lenient)
    except FixConnector as error:
        raise MappingError(error.what, where=scope.locate.where(pointer), why=error.why, do=error.do) from error


class Expressions:
    """Builds the expressions of one emit; ``multi`` says whether the term takes a list."""

    def __init__(self, scope: Scope, *, multi: bool = False, json: bool = False, lenient: bool = False) -> None:
        self.scope, self.multi, self.json, self.lenient = scope, multi, json, lenient

    def build(self, data: Any, pointer: Pointer) -> tree.Expression:
        """Return the operator of an expression."""
        if isinstance(data, str):
            return self._read(data, pointer)
        self._check_keys(data, pointer)
        made: tree.Expression = getattr(self, "_" + self._source(data, pointer))(data, pointer)
        for word in _AFTER:
            if word in data:
                made = getattr(self, "_" + word)(made, data[word], (*pointer, word))
        return made

    def _source(self, data: Mapping[str, Any], pointer: Pointer) -> str:
        found = [word for word in _SOURCES if word in data]
        if len(found) != 1:
            seen = " and ".join(found) or "none of them"
            self.scope.refuse(pointer, f"an expression needs one of {', '.join(_SOURCES)}; seen {seen}", "keep one")
        return found[0]

    def _check_keys(self, data: Mapping[str, Any], pointer: Pointer) -> None:
        source = self._source(data, pointer)
        allowed = {source, *_COMPANIONS.get(source, ()), *_AFTER}
        for key in data:
            if key in TYPED:
                self.scope.refuse(
                    (*pointer, key), f"'{key}' inside another expression", "put it on the term's own level"
                )
            if key not in allowed:
                self.scope.refuse(
                    (*pointer, key), f"'{key}' does not go with '{source}'", suggest(key, sorted(allowed))
                )

    def _read(self, text: str, pointer: Pointer) -> tree.Read:
        read = build_read(text, pointer, self.scope, tree.Shape.SCALAR, lenient=self.lenient)
        if paths.Every() not in read.path:
            shape = tree.Shape.JSON if self.json else tree.Shape.SCALAR
            return tree.Read(read.root, read.path, shape, read.lenient)
        if not self.multi:
            self.scope.refuse(pointer, f"'{text}' gives many values, one is wanted", "use [0], [?key=='x'] or `each:`")
        return tree.Read(read.root, read.path, tree.Shape.LIST, read.lenient)

    def _path(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        return self._read(data["path"], (*pointer, "path"))

    def _json(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        read = build_read(data["json"], (*pointer, "json"), self.scope, tree.Shape.JSON, lenient=self.lenient)
        if paths.Every() in read.path:
            self.scope.refuse(
                (*pointer, "json"), f"'{data['json']}' gives many values", "name the list itself, without [*]"
            )
        return read

    def _const(self, data: Mapping[str, Any], _pointer: Pointer) -> tree.Expression:
        return tree.Const(scalar_text(data["const"]))

    def _join(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        inner = Expressions(self.scope, multi=True, lenient=self.lenient)
        return tree.Join(inner.all(data["join"], (*pointer, "join")), data.get("with", " "))

    def _first(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        return tree.First(self.all(data["first"], (*pointer, "first")))

    def all(self, items: list[Any], pointer: Pointer) -> tuple[tree.Expression, ...]:
        """Return the operators of a list of expressions."""
        return tuple(self.build(item, (*pointer, index)) for index, item in enumerate(items))

    def _case(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        branches = []
        for index, branch in enumerate(data["case"]):
            here = (*pointer, "case", index)
            when = build_condition(branch["when"], (*here, "when"), self.scope)
            branches.append(tree.Branch(when, self.build(branch["then"], (*here, "then"))))
        otherwise = self.build(data["else"], (*pointer, "else")) if "else" in data else None
        return tree.Case(tuple(branches), otherwise)

    def _hook(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        self.scope.known((*pointer, "hook"), "function in hooks.py", data["hook"], self.scope.hooks)
        inner = Expressions(self.scope, lenient=self.lenient)
        return tree.Hook(data["hook"], inner.all(data.get("args", []), (*pointer, "args")))

    def _ref(self, data: Mapping[str, Any], pointer: Pointer) -> tree.Expression:
        ref, here = data["ref"], (*pointer, "ref")
        inner = Expressions(self.scope, lenient=self.lenient)
        if "object" in ref:
            self.scope.known((*here, "object"), "object of this connector", ref["object"], self.scope.objects)
            return tree.Reference(inner.build(ref["key"], (*here, "key")), object=ref["object"])
        of = inner.build(ref["value"], (*here, "value"))
        if ref["system"] in ("email", "phone"):
            of = tree.Transform(of, ref["system"])
        return tree.Reference(of, system=ref["system"])

    def _split(self, of: tree.Expression, separator: str, pointer: Pointer) -> tree.Expression:
        if not self.multi:
            self.scope.refuse(
                pointer, "`split` gives a list, the term takes one value", "use a term with `multi: true`"
            )
        return tree.Split(of, separator)

    def _transform(self, of: tree.Expression, steps: list[Any], pointer: Pointer) -> tree.Expression:
        for index, step in enumerate(steps):
            name, argument = (step, None) if isinstance(step, str) else next(iter(step.items()))
            here = (*pointer, index)
            self.scope.known(here, "transform", name, transforms.NAMES)
            of = tree.Transform(of, name, self._arguments(name, argument, (*here, name)))
        return of

    def _arguments(self, name: str, argument: Any, pointer: Pointer) -> tuple[tree.Expression | str, ...]:
        if name == "phone" and argument is not None:
            return (self._region(argument, pointer),)
        try:
            return transforms.arguments(name, argument)
        except ValueError as error:
            self.scope.refuse(pointer, f"transform {name}: {error}", f"write {transforms.NAMES[name]}")

    def _region(self, argument: Any, pointer: Pointer) -> tree.Expression:
        if isinstance(argument, Mapping) and "region" in argument:
            argument = argument["region"]
        if isinstance(argument, str) and re.fullmatch(r"[A-Z]{2}", argument):
            return tree.Const(argument)
        return Expressions(self.scope, lenient=True).build(argument, pointer)

    def _lookup(self, of: tree.Expression, name: str, pointer: Pointer) -> tree.Expression:
        self.scope.known(pointer, "lookup", name, self.scope.lookups)
        data = self.scope.lookups[name]
        rows = tuple((key, scalar_text(value)) for key, value in data["values"].items())
        otherwise = data["otherwise"]
        if isinstance(otherwise, Mapping):
            return tree.Lookup(of, name, rows, "const", scalar_text(otherwise["const"]))
        return tree.Lookup(of, name, rows, otherwise or "null")

    def _scale(self, of: tree.Expression, divisor: int, _pointer: Pointer) -> tree.Expression:
        return tree.Scale(of, divisor)


def build_condition(data: Mapping[str, Any], pointer: Pointer, scope: Scope) -> tree.Condition:
    """Return the operator of a condition."""
    words = [word for word in ("path", "not", "any", "all") if word in data]
    if len(words) != 1 or (words[0] != "path" and len(data) != 1):
        scope.refuse(pointer, "a condition is one test", "write {path, present|equals|in}, {not}, {any} or {all}")
    word = words[0]
    if word == "path":
        return _test(data, pointer, scope)
    if word == "not":
        return tree.Not(build_condition(data["not"], (*pointer, "not"), scope))
    parts = tuple(build_condition(item, (*pointer, word, index), scope) for index, item in enumerate(data[word]))
    return tree.AnyOf(parts) if word == "any" else tree.AllOf(parts)


def _test(data: Mapping[str, Any], pointer: Pointer, scope: Scope) -> tree.Condition:
    tests = [word for word in _TESTS if word in data]
    if len(tests) != 1:
        scope.refuse(pointer, "a path in a condition needs one test", "add present: true, equals: x or in: [x, y]")
    shape = tree.Shape.ANY if tests == ["present"] else tree.Shape.SCALAR
    read = build_read(data["path"], (*pointer, "path"), scope, shape)
    if paths.Every() in read.path and shape is tree.Shape.SCALAR:
        read = tree.Read(read.root, read.path, tree.Shape.LIST)
    if "present" in data:
        return tree.Present(read, data["present"])
    values = data["in"] if "in" in data else [data["equals"]]
    return tree.OneOf(read, tuple(scalar_text(value) for value in values))
