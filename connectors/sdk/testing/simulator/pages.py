"""Paging styles: which part of a result a request gets, and the words that lead to the next part.

Each style gives a ``Page``: records from ``start`` to ``end`` and the words that an answer may use: ``next`` (token or
number), ``next_url``, ``more``, ``end``, ``total``, ``pages``, ``count``, ``end_time``.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .message import BadRequestError, Request
from .values import instant_ms, lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .holdings import Result
    from .shape import Endpoint


@dataclass(frozen=True)
class Page:
    """One page of a result."""

    start: int
    end: int
    words: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    early: bool = False

    @property
    def number(self) -> int:
        """Return which page it is, from 1, by where it stands in the result; one that begins ``early`` is the next."""
        start = self.start + self.size - 1 if self.early else self.start
        return start // self.size + 1 if self.size else 1


@dataclass(frozen=True)
class _Asked:
    """A request for a page of a result."""

    spec: Mapping[str, Any]
    request: Request
    result: Result
    size: int
    most: int
    instead: int | None = None

    def cut(self, start: int) -> tuple[int, int]:
        """Return from where to where, inside the result."""
        start = min(start if self.instead is None else self.instead, len(self.result.records))
        return start, min(start + self.most, len(self.result.records))


def page_of(
    endpoint: Endpoint, request: Request, result: Result, most: int | None = None, start: int | None = None
) -> Page:
    """Return the page that the request asks for.

    ``most`` makes it end earlier where it is not a numbered one; ``start`` cuts elsewhere than asked for.
    """
    spec = endpoint.page
    if spec is None:
        return Page(0, len(result.records), {"total": len(result.records), "count": len(result.records)})
    if spec["kind"] not in _KINDS:
        message = f"{endpoint.path}: unknown paging {spec['kind']}; known: {', '.join(_KINDS)}"
        raise ValueError(message)
    size = _size(spec, request)
    page = _KINDS[spec["kind"]](_Asked(spec, request, result, size, min(size, most) if most else size, start))
    total = len(result.records)
    more = page.end < total
    words = {"total": total, "pages": -(-total // size), "count": page.end - page.start, "more": more, "end": not more}
    return Page(page.start, page.end, {**words, **page.words}, size, early=spec["kind"] == "offset")


def _size(spec: Mapping[str, Any], request: Request) -> int:
    size = spec["size"]
    if "param" not in size:
        return int(size["default"])
    inside = size.get("in", spec.get("in")) == "body"
    asked = lookup(request.body, size["param"]) if inside else request.param(size["param"])
    if asked is None or not str(asked).isdigit() or int(asked) < 1:
        return int(size["default"])
    if int(asked) > size["max"] and size.get("over") == "refuse":
        message = f"{size['param']} may be at most {size['max']}"
        raise BadRequestError(message)
    return min(int(asked), int(size["max"]))


def _asked(spec: Mapping[str, Any], request: Request) -> str | None:
    value = lookup(request.body, spec["param"]) if spec.get("in") == "body" else request.param(spec["param"])
    return None if value in (None, "") else str(value)


def _next_words(spec: Mapping[str, Any], request: Request, value: Any, *, more: bool) -> dict[str, Any]:
    """Return the words for the next page; its address repeats the query, or only ``keep``, without ``drop``."""
    if value is None or not (more or spec.get("always_next")):
        return {"next": None, "next_url": None}
    kept = {k: v[-1] for k, v in request.query.items() if k in spec.get("keep", request.query)}
    kept = {k: v for k, v in kept.items() if k not in spec.get("drop", ())}
    query = "&".join(f"{quote(k)}={quote(str(v), safe='')}" for k, v in {**kept, spec["param"]: value}.items())
    return {"next": value, "next_url": f"{request.base}{request.path}?{query}"}


def onward(endpoint: Endpoint, request: Request, result: Result, end: int) -> dict[str, Any]:
    """Return the words that lead beyond the record before ``end``, even if it is the last one."""
    spec = endpoint.page or {}
    value = _token(spec, request, result, end - 1) if spec.get("kind") == "token" else end
    return _next_words(spec, request, value, more=True)


def _token_page(asked: _Asked) -> Page:
    """Page by a token that names the last record seen: ``key`` shows it, ``opaque`` hides it."""
    spec, request, result = asked.spec, asked.request, asked.result
    token = _asked(spec, request)
    start, end = asked.cut(0 if token is None else _after(spec, token, result))
    more = end < len(result.records)
    value = None if end == 0 else _token(spec, request, result, end - 1)
    return Page(start, end, _next_words(spec, request, value, more=more))


def _token(spec: Mapping[str, Any], request: Request, result: Result, at: int) -> str:
    if spec.get("token") == "key":
        return result.records[at].key
    if "fact" in spec:
        return str(result.records[at].record[spec["fact"]])
    asked = {k: v for k, v in request.query.items() if k != spec["param"]} if spec.get("sticky") else {}
    text = json.dumps([result.keys[at], asked])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def restored(endpoint: Endpoint, request: Request) -> Request:
    """Return the request with the query that a sticky token remembers; sent beside it, it is refused."""
    spec = endpoint.page or {}
    token = request.param(spec["param"]) if spec.get("sticky") else None
    if token is None:
        return request
    allowed = {spec["param"], *spec.get("keep", ())}
    if extra := sorted(set(request.query) - allowed):
        message = f"{', '.join(extra)} cannot be combined with {spec['param']}"
        raise BadRequestError(message)
    query = {**_opened(spec, token)[1], **request.query}
    return replace(request, query=query)


def _opened(spec: Mapping[str, Any], token: str) -> tuple[Any, dict[str, list[str]]]:
    try:
        key, asked = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError as error:
        message = f"invalid {spec['param']}"
        raise BadRequestError(message) from error
    return key, asked


def _after(spec: Mapping[str, Any], token: str, result: Result) -> int:
    if spec.get("token") == "key":
        place = result.place.get(token)
        if place is None:
            message = f"unknown {spec['param']} {token}"
            raise BadRequestError(message)
        return place + 1
    if "fact" in spec:
        return _after_fact(spec, token, result)
    return bisect_right(result.keys, _tuples(_opened(spec, token)[0]))


def _after_fact(spec: Mapping[str, Any], token: str, result: Result) -> int:
    """Return the place after the record that the token names by one of its facts; the record may be gone by now."""
    known = spec["known"]
    for at, record in enumerate(result.records):
        if str(record.record[spec["fact"]]) == token:
            known[token] = result.keys[at]
            return at + 1
    if token not in known:
        message = f"unknown {spec['param']} {token}"
        raise BadRequestError(message)
    return bisect_right(result.keys, known[token])


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _number(spec: Mapping[str, Any], request: Request, default: int) -> int:
    asked = _asked(spec, request)
    if asked is None:
        return default
    if not asked.isdigit():
        message = f"{spec['param']} must be a number"
        raise BadRequestError(message)
    return int(asked)


def _page_page(asked: _Asked) -> Page:
    spec, size = asked.spec, asked.size
    base = spec.get("base", 1)
    number = max(_number(spec, asked.request, base), base)
    start, end = replace(asked, most=size).cut((number - base) * size)
    return Page(start, end, _next_words(spec, asked.request, number + 1, more=end < len(asked.result.records)))


def _offset_page(asked: _Asked) -> Page:
    start, end = asked.cut(_number(asked.spec, asked.request, 0))
    return Page(start, end, _next_words(asked.spec, asked.request, end, more=end < len(asked.result.records)))


def _time_page(asked: _Asked) -> Page:
    """Page by time: from a start time on, whole seconds only, the next page begins at the last time seen."""
    spec, request, result, size = asked.spec, asked.request, asked.result, asked.size
    times = [instant_ms(lookup(r.record, spec["path"])) or 0 for r in result.records]
    start = bisect_left(times, _number(spec, request, 0) * 1000)
    end = min(start + size, len(times))
    while end < len(times) and times[end] // 1000 == times[end - 1] // 1000:
        end += 1
    last = int(times[end - 1] // 1000) if end > start else None
    words = _next_words(spec, request, last, more=end < len(times))
    return Page(start, end, {**words, "end_time": last})


_KINDS: dict[str, Callable[[_Asked], Page]] = {
    "token": _token_page,
    "page": _page_page,
    "offset": _offset_page,
    "time": _time_page,
}
