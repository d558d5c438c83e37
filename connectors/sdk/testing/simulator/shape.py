"""Vendor shapes: what ``connectors/<vendor>/simulator.yaml`` may say, checked and compiled.

The engine knows no vendor. A shape says where it is mounted, whom it lets in, how often one may ask, which streams of
the world it holds and by which endpoints they are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from .template import Template, Value, parse_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .message import Request

SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONNECTORS = Path(__file__).resolve().parents[3]
_VARIABLE = re.compile(r"\{(\w+)\}")


class ShapeError(ValueError):
    """A simulator.yaml is wrong; the message names the file, the place and what is allowed."""


@dataclass(frozen=True)
class Answer:
    """A written answer, for refusals and errors."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Auth:
    """Whom the vendor lets in: any one of ``accept``; ``oauth`` is its token endpoint."""

    accept: Sequence[Mapping[str, Any]]
    refused: Answer
    oauth: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Limit:
    """At most ``requests`` in any ``seconds``; then ``answer``, with Retry-After where the vendor sends one."""

    requests: int
    seconds: float
    answer: Answer
    retry_after: bool = False


@dataclass(frozen=True)
class StreamShape:
    """One stream: how its rows are generated from the world and how a record looks.

    ``nested: {link, stream}`` names the record in whose path it is read; ``change`` the columns that an advance of
    the world changes; ``spoil`` its deliberate bad records; ``weight`` its share in an advance.
    """

    vendor: str
    name: str
    rows: Mapping[str, Any]
    id: Value
    template: Template
    let: Mapping[str, Any] = field(default_factory=dict)
    nested: Mapping[str, str] | None = None
    change: Mapping[str, Any] | None = None
    spoil: Sequence[dict[str, Any]] = ()
    served: bool = True
    parts: Sequence[str] = ()


class Asks(Protocol):
    """Reads a request backwards: what a connector's manifest wrote into it."""

    def score(self, request: Request) -> int | None:
        """Return how much of the request is as this endpoint is asked; null: it is another's."""

    def conditions(self, request: Request, variables: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Return the conditions that the request puts on records."""


@dataclass(frozen=True)
class Endpoint:
    """One path: which stream it reads, what may be asked, how it pages and what the answer looks like.

    ``asks`` reads requests where the words below cannot say how; ``one``: the answer is the first record found.
    """

    path: str
    stream: str
    answer: Any
    pattern: re.Pattern[str]
    method: str = "GET"
    item: str | None = None
    parent: str | None = None
    page: Mapping[str, Any] | None = None
    filters: Sequence[Mapping[str, Any]] = ()
    expression: Mapping[str, Any] | None = None
    body_filters: Mapping[str, Any] | None = None
    sort: Mapping[str, Any] | None = None
    order: Sequence[str] = ()
    project: Mapping[str, Any] | None = None
    extra: Sequence[Mapping[str, str]] = ()
    hide: Sequence[str] = ()
    needs: Sequence[str] = ()
    cap: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    asks: Asks | None = None
    one: bool = False


@dataclass(frozen=True)
class Shape:
    """A whole vendor."""

    vendor: str
    mount: str
    auth: Auth
    streams: Mapping[str, StreamShape]
    endpoints: Sequence[Endpoint]
    limit: Limit | None
    errors: Mapping[str, Answer]
    headers: Mapping[str, str]
    needs_headers: Sequence[str]
    demo: Mapping[str, Any]

    def parts(self, stream: str) -> Sequence[str]:
        """Return the streams whose rows together are ``stream``: itself, or its ``parts:``."""
        if stream not in self.streams:
            message = f"{self.vendor} has no stream {stream!r}; known: {', '.join(self.served())}"
            raise KeyError(message)
        return self.streams[stream].parts or (stream,)

    def served(self) -> list[str]:
        """Return the names of the streams that an endpoint can read."""
        return [name for name, stream in self.streams.items() if stream.served]

    def is_global(self, stream: str) -> bool:
        """Return whether the stream's rows exist once for the world and not once a block."""
        rows = self.streams[stream].rows
        if "of" in rows:
            return self.is_global(rows["of"])
        return "table" in rows or "make" in rows or rows.get("view") == "staff"


def find_shapes(root: Path = CONNECTORS) -> Mapping[str, Shape]:
    """Return the shapes of all connectors that have one, by folder name; read once for each folder."""
    return _shapes_in(root)


def shown_shapes(root: Path = CONNECTORS) -> dict[str, Shape]:
    """Return the shapes that are part of the demo: all but those whose ``demo:`` says ``shown: false``."""
    return {name: shape for name, shape in find_shapes(root).items() if shape.demo.get("shown", True)}


@cache
def _shapes_in(root: Path) -> Mapping[str, Shape]:
    return {path.parent.name: load_shape(path) for path in sorted(root.glob("*/simulator.yaml"))}


def load_shape(path: Path) -> Shape:
    """Return the shape written in ``path``; ShapeError names what is wrong with it."""
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506 - safe in C or in Python
    try:
        return build_shape(raw)
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: {error}"
        raise ShapeError(message) from error


_KEYS = {"vendor", "mount", "auth", "limit", "errors", "headers", "needs_headers", "streams", "endpoints", "demo"}


def build_shape(raw: Mapping[str, Any]) -> Shape:
    """Return the shape of a parsed simulator.yaml."""
    _check("top level", raw, _KEYS)
    vendor = raw["vendor"]
    streams = {name: _stream(vendor, name, spec) for name, spec in raw["streams"].items()}
    errors = {name: _answer(f"errors.{name}", spec) for name, spec in raw["errors"].items()}
    endpoints = [_endpoint(spec, streams) for spec in raw["endpoints"]]
    auth = raw["auth"]
    _check("auth", auth, {"accept", "refused", "oauth"})
    return Shape(
        vendor=vendor,
        mount=raw["mount"],
        auth=Auth(auth["accept"], _answer("auth.refused", auth["refused"]), auth.get("oauth")),
        streams=streams,
        endpoints=endpoints,
        limit=_limit(raw.get("limit")),
        errors=errors,
        headers=raw.get("headers", {}),
        needs_headers=raw.get("needs_headers", ()),
        demo=raw.get("demo", {}),
    )


def _check(where: str, raw: Mapping[str, Any], allowed: set[str]) -> None:
    if unknown := sorted(set(raw) - allowed):
        message = f"{where}: unknown {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}"
        raise ShapeError(message)


def _names(kind: type) -> set[str]:
    return {item.name for item in fields(kind)}


def _answer(where: str, raw: Mapping[str, Any]) -> Answer:
    _check(where, raw, _names(Answer))
    return Answer(**raw)


def _limit(raw: Mapping[str, Any] | None) -> Limit | None:
    if raw is None:
        return None
    _check("limit", raw, _names(Limit))
    return Limit(**{**raw, "answer": _answer("limit.answer", raw["answer"])})


def _stream(vendor: str, name: str, raw: Mapping[str, Any]) -> StreamShape:
    _check(f"streams.{name}", raw, (_names(StreamShape) | {"record"}) - {"vendor", "name", "template"})
    given = {key: value for key, value in raw.items() if key not in ("record", "id", "rows")}
    if "parts" in raw:
        given.setdefault("rows", {})
    return StreamShape(
        vendor=vendor,
        name=name,
        rows=raw.get("rows", {}),
        id=parse_value(raw.get("id", "{number}")),
        template=Template(raw.get("record")),
        **{key: value for key, value in given.items() if key != "rows"},
    )


def _endpoint(raw: Mapping[str, Any], streams: Mapping[str, StreamShape]) -> Endpoint:
    where = f"endpoints {raw.get('path')}"
    _check(where, raw, _names(Endpoint) - {"pattern", "asks", "one"})
    if raw["stream"] not in streams:
        message = f"{where}: unknown stream {raw['stream']}; known: {', '.join(streams)}"
        raise ShapeError(message)
    return Endpoint(**raw, pattern=path_pattern(raw["path"]))


def path_pattern(path: str) -> re.Pattern[str]:
    """Return what a path with ``{variables}`` matches."""
    pieces = _VARIABLE.split(path)
    return re.compile("^" + "".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(pieces)) + "$")
