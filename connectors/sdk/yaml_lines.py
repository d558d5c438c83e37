"""YAML with line numbers, and JSON-Schema checks that say file, line, what was seen and what is allowed.

Only what a reader of the file expects: ``true``/``false``/``null``, numbers and text. A country code ``NO``, a
revision ``2024-10-15`` and a time ``12:30`` stay text; keys are always text, exactly as written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import yaml

from connectors.sdk.errors import FixConnector, UnisonoError

Pointer = tuple[str | int, ...]
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_SHOWN = 8
_BRANCHING = ("anyOf", "oneOf")


class _Loader(_BASE):  # type: ignore[misc]
    """YAML 1.2's core scalars only; PyYAML's dates, sexagesimals and yes/no stay text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own protocol


def _resolver(kind: str, pattern: str, first: Sequence[str]) -> None:
    for char in first:
        row = (f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"))
        _Loader.yaml_implicit_resolvers.setdefault(char, []).append(row)


_resolver("null", "null|Null|NULL|~|", ["n", "N", "~", ""])
_resolver("bool", "true|True|TRUE|false|False|FALSE", list("tTfF"))
_resolver("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789"))
_resolver("float", r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-+0123456789"))


@dataclass(frozen=True)
class Locate:
    """Lines of one YAML file: ``locate(("streams", "contacts", "path")) -> 31``.

    A path that is not in the file answers the line of its nearest ancestor, so that an error always has a place.
    """

    file: Path
    lines: Mapping[Pointer, int]

    def __call__(self, pointer: Sequence[str | int] = ()) -> int:
        """Return the 1-based line of ``pointer`` or of its nearest ancestor."""
        path = tuple(pointer)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, pointer: Sequence[str | int] = ()) -> str:
        """Return ``file:line`` of ``pointer``, as editors understand it."""
        return f"{self.file}:{self(pointer)}"


def load_yaml(path: Path | str, *, error: type[UnisonoError] = FixConnector) -> tuple[Any, Locate]:
    """Read one YAML document with the line of every value; raise ``error`` with file:line on what is not YAML.

    Duplicate keys, merge keys, several documents and cyclic aliases are refused: each hides part of the file.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise error("cannot be read", where=str(file), why=str(why), do="check that it exists and is UTF-8") from why
    return parse_yaml(text, file, error=error)


def parse_yaml(text: str, file: Path | str, *, error: type[UnisonoError] = FixConnector) -> tuple[Any, Locate]:
    """Read YAML from ``text``; ``file`` is only named in messages and locations."""
    builder = _Builder(Path(file), error)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        data = None if node is None else builder.build(loader, node, ())
    except yaml.MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        raise error("not valid YAML", where=place, why=why.problem or str(why), do="fix the syntax there") from why
    except yaml.YAMLError as why:
        raise error("not valid YAML", where=str(file), why=str(why).splitlines()[0]) from why
    finally:
        loader.dispose()
    return data, Locate(Path(file), builder.lines)


class _Builder:
    """Turns composed nodes into plain values while noting their lines."""

    def __init__(self, file: Path, error: type[UnisonoError]) -> None:
        self.file, self.error = file, error
        self.lines: dict[Pointer, int] = {}
        self._open: set[int] = set()

    def build(self, loader: Any, node: yaml.Node, path: Pointer) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(loader, node)
        if id(node) in self._open:
            self._refuse(node, "an alias points to what contains it", "write the value out")
        self._open.add(id(node))
        make = self._mapping if isinstance(node, yaml.MappingNode) else self._sequence
        value = make(loader, node, path)
        self._open.discard(id(node))
        return value

    def _scalar(self, loader: Any, node: yaml.ScalarNode) -> Any:
        try:
            return loader.construct_object(node)
        except yaml.constructor.ConstructorError:
            self._refuse(node, f"the tag {node.tag} is not allowed", "use plain text, numbers, true, false or null")

    def _sequence(self, loader: Any, node: Any, path: Pointer) -> list[Any]:
        return [self.build(loader, item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, loader: Any, node: Any, path: Pointer) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            name = self._key(key)
            here = (*path, name)
            if name in result:
                self._refuse(
                    key,
                    f"the key '{name}' is given twice",
                    f"keep one; the first is on line {self.lines[here]}",
                )
            self.lines[here] = key.start_mark.line + 1
            result[name] = self.build(loader, value, here)
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, "a key must be text", "quote it")
        if node.value == "<<" and not node.style:
            self._refuse(node, "merge keys (<<) are not supported", "write the keys out")
        return str(node.value)

    def _refuse(self, node: yaml.Node, what: str, do: str) -> NoReturn:
        raise self.error(what, where=f"{self.file}:{node.start_mark.line + 1}", do=do)


def validate(
    data: Any,
    schema: Mapping[str, Any],
    locate: Locate,
    file: Path | str | None = None,
    *,
    error: type[UnisonoError] = FixConnector,
    under: Sequence[str | int] = (),
) -> None:
    """Raise ``error`` unless ``data`` fits ``schema`` (draft 2020-12).

    The message's first line names the first fault in file order (file:line, what was seen, what is allowed, a near
    spelling); the others follow. ``under`` is where ``data`` hangs in the file.
    """
    faults = list(_faults(data, schema, locate, Path(file or locate.file), tuple(under)))
    if not faults:
        return
    faults.sort(key=lambda fault: (fault.what.startswith("missing"), fault.line))
    first, rest = faults[0], faults[1:_MAX_SHOWN]
    more = "".join(f"\n  also {fault.file}:{fault.line}: {fault.what} ({fault.do})" for fault in rest)
    raise error(first.what, where=f"{first.file}:{first.line}", do=first.do + more)


def suggest(seen: str, allowed: Sequence[str]) -> str:
    """Return ``did you mean 'x'? allowed: …`` for a name that is not one of ``allowed``."""
    near = difflib.get_close_matches(seen, allowed, n=1, cutoff=0.6)
    return (f"did you mean '{near[0]}'? " if near else "") + "allowed: " + (", ".join(allowed) or "nothing")


@dataclass(frozen=True)
class _Fault:
    file: Path
    line: int
    what: str
    do: str


def _faults(data: Any, schema: Mapping[str, Any], locate: Locate, file: Path, under: Pointer) -> Iterator[_Fault]:
    validator: Any = jsonschema.Draft202012Validator(schema)
    for raw in validator.iter_errors(data):
        for found in _leaves(raw):
            pointer = (*under, *found.absolute_path)
            for place, what, do in _explain(found, pointer):
                yield _Fault(file, locate(place), what, do)


def _leaves(found: Any) -> Iterator[Any]:
    """Replace a failed anyOf/oneOf by the faults of the branch that was most likely meant."""
    if found.validator not in _BRANCHING or not found.context:
        yield found
        return
    branches: dict[Any, list[Any]] = {}
    for inner in found.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    fits = [errors for errors in branches.values() if not any(_wrong_shape(found, inner) for inner in errors)]
    if not fits or (len(fits) > 1 and all(inner.validator == "required" for errors in fits for inner in errors)):
        yield found
        return
    for inner in min(fits, key=_distance):
        yield from _leaves(inner)


def _wrong_shape(parent: Any, inner: Any) -> bool:
    return bool(inner.validator == "type" and inner.absolute_path == parent.absolute_path)


def _distance(errors: Sequence[Any]) -> tuple[int, int]:
    """Return how far a value is from a branch: alien and missing keys count, deep faults hardly."""
    shallow = sum(2 for error in errors if error.validator == "required")
    shallow += sum(len(_unknown(error)) for error in errors if error.validator == "additionalProperties")
    return shallow, len(errors)


def _explain(found: Any, pointer: Pointer) -> Iterator[tuple[Pointer, str, str]]:
    """Yield (place, what is wrong, what to do) for one schema error."""
    schema = found.schema if isinstance(found.schema, Mapping) else {}
    if found.validator in ("additionalProperties", "unevaluatedProperties"):
        allowed = sorted(map(str, schema.get("properties", {})))
        for key in _unknown(found):
            yield (*pointer, key), f"unknown key '{key}'{_in(pointer)}", suggest(key, allowed)
    elif found.validator == "required":
        missing = [key for key in found.validator_value if key not in found.instance]
        name = next((key for key in missing if f"'{key}'" in found.message), missing[0])
        hint = schema.get("properties", {}).get(name, {})
        yield pointer, f"missing key '{name}'{_in(pointer)}", f"add it: {_hint(hint)}"
    elif found.validator == "propertyNames":
        yield (
            pointer,
            f"the key {found.instance!r} is not allowed{_in(pointer)}",
            _hint(found.validator_value),
        )
    elif found.validator == "enum":
        do = suggest(str(found.instance), [str(value) for value in found.validator_value])
        yield pointer, f"{_show(found.instance)} is not allowed{_in(pointer)}", do
    else:
        yield pointer, _sentence(found, schema) + _in(pointer), _allowed(found, schema)


def _unknown(found: Any) -> list[str]:
    schema = found.schema if isinstance(found.schema, Mapping) else {}
    patterns = list(schema.get("patternProperties", {}))
    known = schema.get("properties", {})
    extra = [key for key in found.instance if key not in known and not any(re.search(p, key) for p in patterns)]
    if found.validator == "unevaluatedProperties":
        return [key for key in extra if f"'{key}'" in found.message]
    return extra


def _sentence(found: Any, schema: Mapping[str, Any]) -> str:
    seen = _show(found.instance)
    if found.validator in ("type", *_BRANCHING, "pattern", "const", "not"):
        return f"{seen} does not fit"
    if found.validator == "minItems" or (found.validator == "minProperties" and not found.instance):
        return "must not be empty" if not found.instance else str(found.message)
    return str(found.message) if schema else f"{seen} is not allowed here"


def _allowed(found: Any, schema: Mapping[str, Any]) -> str:
    if found.validator == "const":
        return f"allowed: {_show(found.validator_value)}"
    return _hint(schema)


def _hint(schema: Any) -> str:
    """Say in words what a schema allows, from its description, else from its keywords."""
    if not isinstance(schema, Mapping) or not schema:
        return "see the format's reference"
    if "description" in schema:
        return f"allowed: {schema['description']}{_typed(schema)}"
    if "enum" in schema:
        return "allowed: " + ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return f"allowed: {_show(schema['const'])}"
    for word in _BRANCHING:
        if word in schema:
            return "allowed: " + " | ".join(_hint(part).removeprefix("allowed: ") for part in schema[word])
    if "required" in schema and "type" not in schema:
        return "allowed: with " + " and ".join(map(str, schema["required"]))
    kind = schema.get("type", "any value")
    words = " or ".join(_TYPES.get(item, item) for item in ([kind] if isinstance(kind, str) else kind))
    return f"allowed: {words}" + (f" matching {schema['pattern']}" if "pattern" in schema else "")


def _typed(schema: Mapping[str, Any]) -> str:
    numbers = {"integer": " (a whole number)", "number": " (a number)", "array": " (a list)"}
    kind = schema.get("type")
    return numbers.get(kind, "") if isinstance(kind, str) else ""


_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "number": "a number",
}


def _show(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}…'"  # noqa: PLR2004  a readable line
    names: dict[type, str] = {dict: "a mapping", list: "a list", bool: str(value).lower(), type(None): "null"}
    return names.get(type(value), str(value))


def _in(pointer: Pointer) -> str:
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in pointer)
    return f" in {words.removeprefix('.')}" if words else ""
