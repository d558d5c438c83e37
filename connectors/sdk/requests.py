"""From a stream's request specification and template words to rendered requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from connectors.sdk import templates
from connectors.sdk.errors import FixConnector
from connectors.sdk.paging import Params, Position, Request
from connectors.sdk.templates import Scope, Undefined

if TYPE_CHECKING:
    from connectors.sdk.specs import RequestSpec

_QUOTED: Final = ("parent", "partition", "record", "cursor", "key")


def query_request(
    spec: RequestSpec, base_url: str, headers: Mapping[str, str], scope: Scope, *, begins: bool
) -> Request:
    """Return what the requests of all pages of a query have in common; ``begins`` is the first, with first_page_params."""
    scope = {**scope, "page_size": spec.page_size}
    params = {**spec.params, **spec.first_page_params} if begins else spec.params
    request = Request(
        spec.method,
        address(spec.path, base_url, scope),
        render_params(params, scope),
        tuple((name, templates.render_text(value, scope)) for name, value in {**headers, **spec.headers}.items()),
        None if spec.body is None else templates.render_tree(spec.body, scope),
    )
    return spec.paginator.first(request, spec.page_size)


def page_request(query: Request, spec: RequestSpec, at: Position | None, *, resized: bool = False) -> Request:
    """Return the request of a query's page at ``at``; ``None`` is the first page.

    ``resized`` says that the page was asked for before, with another page size: that goes into a given address too.
    """
    request = query if at is None else spec.paginator.apply(query, at)
    return _resized(request, spec) if resized and request.followed else request


def _resized(request: Request, spec: RequestSpec) -> Request:
    """Put the page size into the vendor's own address, under the name the first page was asked with."""
    names = [name for name, value in spec.params.items() if value == "{page_size}"]
    url = httpx.URL(request.url)
    for name in names:
        url = url.copy_set_param(name, spec.page_size) if name in url.params else url
    return replace(request, url=str(url))


def address(path: str, base_url: str, scope: Scope) -> str:
    """Return the address of a templated path below ``base_url``; record values are encoded, so none can leave it."""
    safe = {root: _quoted(value) if root in _QUOTED else value for root, value in scope.items()}
    try:
        filled = templates.render_text(path, safe)
    except Undefined as word:
        raise FixConnector(
            f"the path {path} needs {word}, which has no value here",
            do="use it in params:, or only in incremental.request",
        ) from None
    return filled if "://" in filled else base_url + "/" + filled.lstrip("/")


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _quoted(inner) for key, inner in value.items()}
    text = None if isinstance(value, list) else templates.as_text(value)
    return quote(text, safe="") if text else value


def render_params(params: Mapping[str, Any], scope: Scope) -> Params:
    """Return query pairs; a list is comma-joined, ``{repeat: …}`` repeats the key, undefined values are left out."""
    return tuple((name, text) for name, value in params.items() for text in _texts(value, scope))


def _texts(value: Any, scope: Scope) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value["repeat"]:
            yield from _texts(one, scope)
        return
    many = value if isinstance(value, list) else [value]
    filled = templates.render_tree(many, scope)
    if filled or not many:
        yield ",".join(templates.as_text(one) for one in filled)
