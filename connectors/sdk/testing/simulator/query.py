"""What a request asks for: conditions on records, an order, and which members to show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .message import BadRequestError, Request
from .values import backwards, comparable, compared, lookup

if TYPE_CHECKING:
    from .shape import Endpoint

Condition = tuple[str, str, str]
Order = tuple[str, bool]
_CALL = re.compile(r"^([a-z-]+)\((.*)\)$", re.DOTALL)


def conditions(endpoint: Endpoint, request: Request) -> list[list[Condition]]:
    """Return the conditions asked for: a record is in the result if it meets all of any one list."""
    needed = [name for name in endpoint.needs if request.param(name) is None]
    if needed:
        message = f"missing required parameter: {', '.join(needed)}"
        raise BadRequestError(message)
    plain = [*_param_conditions(endpoint, request), *_expression_conditions(endpoint, request)]
    return [[*plain, *group] for group in _body_groups(endpoint, request)]


def _param_conditions(endpoint: Endpoint, request: Request) -> Iterator[Condition]:
    for spec in endpoint.filters:
        asked = lookup(request.body, spec["body"]) if "body" in spec else request.param(spec["param"])
        value = spec.get("value") if asked is None else asked
        if value is not None and value != spec.get("any"):
            yield spec["path"], spec.get("op", "eq"), str(value)


def _expression_conditions(endpoint: Endpoint, request: Request) -> Iterator[Condition]:
    """Read ``op(field,value)``, several joined by commas or by ``and(…)``."""
    spec = endpoint.expression
    text = request.param(spec["param"]) if spec else None
    if spec and text:
        for call in _calls(text):
            yield _expression_condition(spec, call)


def _expression_condition(spec: Mapping[str, Any], call: str) -> Condition:
    match = _CALL.match(call)
    name, _, value = match[2].partition(",") if match else ("", "", "")
    operator = f"{match[1]}({name})" if match else call
    field = spec["fields"].get(name)
    if match is None or field is None or match[1] not in field["ops"]:
        message = f"invalid filter {operator}; allowed fields: {', '.join(spec['fields'])}"
        raise BadRequestError(message)
    return field["path"], field["ops"][match[1]], value.strip().strip("'\"")


def _calls(text: str) -> Iterator[str]:
    depth = start = 0
    for i, letter in enumerate(f"{text},"):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            call = text[start:i].strip()
            start = i + 1
            if call.startswith("and("):
                yield from _calls(call[4:-1])
            elif call:
                yield call


def _body_groups(endpoint: Endpoint, request: Request) -> list[list[Condition]]:
    spec = endpoint.body_filters
    groups = request.body.get(spec["groups"]) if spec else None
    if not spec or not groups:
        return [[]]
    return [[_body_condition(spec, item) for item in group.get(spec["filters"], [])] for group in groups]


def _body_condition(spec: Mapping[str, Any], item: Mapping[str, Any]) -> Condition:
    operator = item.get(spec["operator"])
    if operator not in spec["ops"]:
        message = f"unknown operator {operator}; allowed: {', '.join(spec['ops'])}"
        raise BadRequestError(message)
    return f"{spec['under']}.{item[spec['name']]}", spec["ops"][operator], str(item.get(spec["value"]))


def matches(groups: Sequence[Sequence[Condition]], record: Any) -> bool:
    """Return whether the record meets all conditions of one of the groups."""
    return any(all(compared(lookup(record, path), op, value) for path, op, value in group) for group in groups)


def orders(endpoint: Endpoint, request: Request) -> list[Order]:
    """Return (path, descending) for each level of the order asked for, else the endpoint's own."""
    asked = list(_asked_orders(endpoint, request))
    return asked or [(path.lstrip("-"), path.startswith("-")) for path in endpoint.order]


def _asked_orders(endpoint: Endpoint, request: Request) -> Iterator[Order]:
    spec = endpoint.sort
    if not spec:
        return
    if "body" in spec:
        for item in request.body.get(spec["body"], []):
            yield f"{spec['under']}.{item[spec['name']]}", str(item.get(spec["direction"])).startswith("DESC")
        return
    asked = request.param(spec["param"])
    if asked is None:
        return
    words = asked.replace(",", " ").split()
    name, descending = words[0].lstrip("-"), asked.startswith("-") or words[-1].lower() == "desc"
    if name not in spec["fields"]:
        message = f"cannot sort by {name}; allowed: {', '.join(spec['fields'])}"
        raise BadRequestError(message)
    yield spec["fields"][name], descending


def order_key(order: Sequence[Order], key: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return the sort key of a record; ties end in the record's own key, so that paging is exact."""
    last = comparable(key)

    def of(record: Any) -> tuple[Any, ...]:
        levels = ((comparable(lookup(record, path)), descending) for path, descending in order)
        return (*(backwards(level) if descending else level for level, descending in levels), last)

    return of


Show = Callable[[bytes], bytes]


def projection(endpoint: Endpoint, request: Request) -> tuple[str, Show] | None:
    """Return a cache name and a function from the whole record to what was asked to be shown; null: all of it."""
    unasked = [e["path"] for e in endpoint.extra if e["value"] not in _listed(request.param(e["param"]))]
    hidden = [*endpoint.hide, *unasked]
    shown = _shown(endpoint, request)
    if not hidden and shown is None:
        return None
    under = endpoint.project["under"] if endpoint.project else ""

    def show(payload: bytes) -> bytes:
        record = json.loads(payload)
        if shown is not None:
            held = record.get(under) or {}
            record[under] = {name: held.get(name) for name in shown}
        for path in hidden:
            _hide(record, path)
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()

    return f"{shown}{hidden}", show


def _shown(endpoint: Endpoint, request: Request) -> list[str] | None:
    spec = endpoint.project
    if spec is None:
        return None
    asked = request.body.get(spec["body"]) if "body" in spec else _listed(request.param(spec["param"]))
    return list(dict.fromkeys([*(asked or spec["default"]), *spec["always"]]))


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _hide(record: Any, path: str) -> None:
    *way, last = path.split(".")
    held = lookup(record, ".".join(way)) if way else record
    if isinstance(held, dict):
        held.pop(last, None)
        if way and not held:
            _hide(record, ".".join(way))
