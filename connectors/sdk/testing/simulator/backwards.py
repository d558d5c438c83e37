"""Requests read backwards: from what a manifest writes into a request to what a request asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import paths

from .message import BadRequestError
from .specimens import as_number

if TYPE_CHECKING:
    from connectors.sdk.specs import IncrementalSpec, RequestSpec

    from .message import Request

_WORD: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)((?:\.[\w\-\"\[\]]+)*)\}")
Words = dict[str, str]


def group(word: str) -> str:
    """Return a template word as a name that a pattern may use."""
    return "w_" + "".join(letter if letter.isalnum() else f"_{ord(letter)}_" for letter in word)


def has_words(value: Any) -> bool:
    """Return whether anything in a YAML value is filled in when it is sent."""
    if isinstance(value, str):
        return any(found[1] for found in _WORD.finditer(value))
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(has_words(one) for one in inner)


def pattern(text: str, *, path: bool = False) -> tuple[str, dict[str, str]]:
    """Return the regular expression of a template, and which group stands for which word."""
    made, names, at = "", {}, 0
    for found in _WORD.finditer(text):
        made += re.escape(text[at : found.start()])
        at = found.end()
        if not found[1]:
            made += re.escape(found[0][0])
            continue
        word = found[1] + found[2]
        name = group(word)
        made += f"(?P={name})" if name in names else f"(?P<{name}>{'[^/]+' if path else '.*?'})"
        names[name] = word
    return made + re.escape(text[at:]), names


def read_back(template: Any, value: Any) -> tuple[int, Words] | None:
    """Return how many literal values agree, and what each word stood for; null where the value is another's.

    A member that holds nothing but words may be missing: a word without a value is not sent.
    """
    if isinstance(template, Mapping):
        return _read_object(template, value) if isinstance(value, Mapping) else None
    if isinstance(template, list | tuple):
        return _read_list(template, value if isinstance(value, list) else [value])
    if isinstance(template, str) and has_words(template):
        expression, names = pattern(template)
        found = re.fullmatch(expression, paths.text_of(value) or "", re.DOTALL)
        return None if found is None else (1, {names[name]: text for name, text in found.groupdict().items()})
    return (1, {}) if paths.text_of(template) == paths.text_of(value) else None


def _read_object(template: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[int, Words] | None:
    score, words = 0, {}
    for name, inner in template.items():
        if name not in value:
            if has_words(inner):
                continue
            return None
        found = read_back(inner, value[name])
        if found is None:
            return None
        score += found[0]
        words.update(found[1])
    return score, words


def _read_list(template: list[Any] | tuple[Any, ...], value: list[Any]) -> tuple[int, Words] | None:
    score, words = 0, {}
    for inner in template:
        found = next((f for f in (read_back(inner, one) for one in value) if f is not None), None)
        if found is None and not has_words(inner):
            return None
        if found is not None:
            score += found[0]
            words.update(found[1])
    return score, words


@dataclass(frozen=True)
class ReadBack:
    """What one request of a manifest means to the vendor."""

    spec: RequestSpec
    incremental: IncrementalSpec | None
    names: Mapping[str, str]
    strict: bool = True

    def score(self, request: Request) -> int | None:
        """Return how many of its own literal parameters and body members the request has; null: a body of another."""
        found = self._params(request)[0]
        if self.spec.body is None:
            return found
        inside = read_back(self.spec.body, request.body)
        return None if inside is None else found + inside[0]

    def conditions(self, request: Request, variables: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Return what the request asks of records: bounds, partition, parent, or one by its own values."""
        words = self._params(request)[1]
        if self.spec.body is not None:
            words.update((read_back(self.spec.body, request.body) or (0, {}))[1])
        words.update({self.names[name]: text for name, text in variables.items()})
        return [one for word, text in words.items() if (one := self._condition(word, text))]

    def _params(self, request: Request) -> tuple[int, Words]:
        score, words = 0, {}
        for name, template in {**self.spec.params, **self.spec.first_page_params}.items():
            if name not in request.query:
                continue
            values = request.query[name]
            if isinstance(template, Mapping):
                found = read_back(template["repeat"], list(values))
            elif isinstance(template, list):
                found = read_back(template, values[-1].split(","))
            else:
                found = read_back(template, values[-1])
            if found is not None:
                score += 1
                words.update(found[1])
        return score, words

    def _condition(self, word: str, text: str) -> tuple[str, str, str] | None:
        root, _, rest = word.partition(".")
        if root in ("parent", "partition"):
            return f"@{'part' if root == 'partition' else root}.{rest}", "eq", text
        if root == "record":
            return f"@record.{rest}", "eq", text
        if word == "key":
            return "@source_key", "eq", text
        if root == "cursor" and self.incremental is not None:
            return self._bound(rest, text)
        return None

    def _bound(self, rest: str, text: str) -> tuple[str, str, str] | None:
        asked = self.incremental
        if asked is None or rest not in ("start", "end"):
            return ("@key", "after", text) if rest == "key" else None
        try:
            bound = as_number(text, asked.format)
        except (ValueError, TypeError) as error:
            message = f"the bound {text!r} is not {asked.format}: {error}"
            raise BadRequestError(message) from error
        operator = "lte" if rest == "end" else "gte" if asked.inclusive else "gt"
        return "@cursor", operator, str(bound)
