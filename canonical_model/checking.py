"""Reads a YAML file against a JSON Schema and refuses it with file, line and what is allowed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonschema import ValidationError

FOLDER = Path(__file__).parent
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Path = tuple[str | int, ...]


class VocabularyError(ValueError):
    """The vocabulary was asked for something it does not have, or one of its files is wrong."""


def checked_yaml(path: Path, schema: str) -> dict[str, Any]:
    """Return the file's data if it obeys ``<schema>.schema.json`` and repeats no key; else refuse it."""
    text = path.read_text(encoding="utf-8")
    try:
        _refuse_duplicates(yaml.compose(text, Loader=_LOADER), path)
        data: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"{path}:{line}: not readable as YAML ({error.problem}); allowed: one YAML mapping"
        raise VocabularyError(message) from error
    errors = list(_validator(schema).iter_errors(data))
    wrong = next((error for error in errors if error.validator == "additionalProperties"), best_match(errors))
    if wrong is not None:
        refuse(path, _explain(wrong), tuple(wrong.absolute_path))
    return data


def refuse(path: Path, problem: str, place: _Path) -> NoReturn:
    """Raise VocabularyError naming file, line and dotted place."""
    where = ".".join(str(part) for part in place)
    message = f"{path}:{_line(path, place)}: {f'{where}: ' if where else ''}{problem}"
    raise VocabularyError(message)


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{schema}.schema.json").read_text(encoding="utf-8")))


def _explain(error: ValidationError) -> str:
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        allowed = schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(allowed))
        return f"unknown key {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed)}"
    if error.validator == "required":
        return f"{error.message}; required: {', '.join(schema['required'])}"
    if error.validator == "enum":
        return f"{error.instance!r} is not known; allowed: {', '.join(map(str, schema['enum']))}"
    return str(schema.get("description", error.message)) if error.validator == "not" else str(error.message)


def _refuse_duplicates(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                message = f"{path}:{key.start_mark.line + 1}: key '{key.value}' stands twice; allowed: once"
                raise VocabularyError(message)
            seen.add(key.value)
            _refuse_duplicates(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, path)


def _line(path: Path, place: Sequence[str | int]) -> int:
    node: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    line = 0
    for part in place:
        if isinstance(node, yaml.MappingNode):
            line, node = next(((k.start_mark.line, v) for k, v in node.value if k.value == part), (line, None))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
