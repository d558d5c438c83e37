"""A vendor's shape from a connector's manifest: what the manifest asks, this vendor answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from connectors.sdk import auth as authentication
from connectors.sdk import templates
from connectors.sdk.paths import Every, Where

from .backwards import ReadBack, has_words, pattern
from .shape import Answer, Auth, Endpoint, Limit, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.sdk.paging import Paginator
    from connectors.sdk.paths import Path
    from connectors.sdk.protocols import ConnectionSettings
    from connectors.sdk.specs import HydrateSpec, IncrementalSpec, Limits, RequestSpec, StreamSpec

PLACE: Final = "page_token"
DEFAULT_SIZE: Final = 10
_LARGEST: Final = 1_000_000
_SIZE_NAMES: Final = (
    "limit",
    "page_size",
    "per_page",
    "pageSize",
    "perPage",
    "count",
    "size",
    "page[size]",
    "first",
    "$top",
)
_ERRORS: Final = {
    "not_found": Answer(404, {"error": "not_found", "path": "{path}"}),
    "bad_request": Answer(400, {"error": "bad_request", "why": "{why}"}),
    "server": Answer(503, {"error": "unavailable"}),
}
_TOO_MANY: Final = Answer(429, {"error": "too_many_requests"})


def shape_of(connection: ConnectionSettings, *, limited: bool = False) -> Shape:
    """Return the shape of the vendor that a connection's manifest speaks to; its streams hold given records."""
    manifest = connection.manifest
    window = _window(manifest.limits) if limited else None
    endpoints = [one for stream in manifest.streams.values() for one in _endpoints(stream, connection)]
    needed = [name.lower() for name, value in manifest.headers.items() if not has_words(value)]
    return Shape(
        vendor=manifest.name, mount="", auth=_auth(connection), streams={}, endpoints=endpoints, limit=window,
        errors=_ERRORS, headers={}, needs_headers=needed, demo={},
    )  # fmt: skip


def _window(limits: Limits) -> Limit | None:
    if limits.requests is None or limits.per_seconds is None:
        return None
    return Limit(limits.requests, limits.per_seconds, _TOO_MANY, retry_after=True)


def _endpoints(stream: StreamSpec, connection: ConnectionSettings) -> Iterator[Endpoint]:
    asked = stream.incremental
    yield _listing(stream, stream.request, asked, connection, capped=False)
    if asked is not None and asked.request != stream.request:
        yield _listing(stream, asked.request, asked, connection, capped=True)
    if asked is not None and asked.keyset is not None:
        yield replace(_listing(stream, asked.keyset.request, asked, connection, capped=True), order=["@key"])
    if stream.listing is not None:
        gone = _listing(stream, stream.listing.request, asked, connection, capped=False)
        yield replace(gone, stream=gone_from(stream.name), order=["@rank"])
    items = (stream.hydrate, asked.hydrate if asked else None, stream.absence.item if stream.absence else None)
    for item in items:
        if item is not None:
            yield _item(stream, item, asked, connection)


def gone_from(stream: str) -> str:
    """Return the name under which a stream's deleted records are held."""
    return f"{stream}#deleted"


def _item(
    stream: StreamSpec, item: HydrateSpec, asked: IncrementalSpec | None, connection: ConnectionSettings
) -> Endpoint:
    """Return the endpoint of single records."""
    spec = replace(stream.request, method="GET", path=item.path, params=item.params, first_page_params={}, body=None)
    expression, names = _pattern(item.path, connection)
    tree: Any = _tree([(item.data_selector, "$record")])
    return Endpoint(item.path, stream.name, tree, expression, asks=ReadBack(spec, asked, names), one=True)


def _listing(
    stream: StreamSpec,
    spec: RequestSpec,
    asked: IncrementalSpec | None,
    connection: ConnectionSettings,
    *,
    capped: bool,
) -> Endpoint:
    expression, names = _pattern(spec.path, connection)
    words, headers = _marks(spec)
    return Endpoint(
        spec.path, stream.name, _tree([(spec.data_selector, "$records"), *words]), expression, spec.method,
        page=_page(spec), order=_order(asked, spec), headers=headers, asks=ReadBack(spec, asked, names),
        cap=asked.cap if asked and capped else None,
    )  # fmt: skip


def _order(asked: IncrementalSpec | None, spec: RequestSpec) -> list[str]:
    if (
        asked is None
        or asked.sorted == "none"
        or (spec.method, spec.path) != (asked.request.method, asked.request.path)
    ):
        return ["@rank"]
    return ["-@cursor" if asked.sorted == "desc" else "@cursor", "@rank"]


def _pattern(path: str, connection: ConnectionSettings) -> tuple[re.Pattern[str], Mapping[str, str]]:
    """Return what a path matches below the connection's base; an address of its own is matched by its path alone."""
    config = {"config": connection.config}
    text = re.sub(r"\{config\.[^}]*\}", lambda found: templates.render_text(found[0], config), path)
    whole = urlsplit(text).path if "://" in text else urlsplit(connection.base_url).path + "/" + text.lstrip("/")
    expression, names = pattern(whole.rstrip("/"), path=True)
    return re.compile(f"^{expression}$"), names


def _page(spec: RequestSpec) -> dict[str, Any]:
    """Return the paging words of a paginator, turned round."""
    paginator = spec.paginator
    given: Any = paginator
    size = {**_size(spec), "default": _default_size(spec), "max": _LARGEST}
    named = [*spec.params, *spec.first_page_params]
    kept = {"sticky": not paginator.keeps(), "keep": named} if not paginator.keeps() else {}
    if paginator.type == "cursor":
        if given.cursor_param is not None:
            return {"kind": "token", "param": given.cursor_param, "size": size, **kept}
        return {"kind": "token", "param": ".".join(map(str, given.cursor_body_path)), "in": "body", "size": size}
    if paginator.type in ("next_url", "header_link"):
        return {"kind": "token", "param": PLACE, "size": size}
    if paginator.type == "page_number":
        return {"kind": "page", "param": given.page_param, "base": given.base_page, "size": size}
    if paginator.type == "offset":
        if given.limit_param and "param" not in size:
            size = {**size, "param": given.limit_param}
        return {"kind": "offset", "param": given.offset_param, "size": size}
    if paginator.type == "last_record_key":
        return {"kind": "token", "param": given.param, "fact": "@marker", "known": {}, "size": size, **kept}
    return {"kind": "offset", "param": PLACE, "size": {"default": _LARGEST, "max": _LARGEST}}


def _default_size(spec: RequestSpec) -> int:
    return spec.page_size or _literal_size(spec) or DEFAULT_SIZE


def _literal_size(spec: RequestSpec) -> int | None:
    found = [spec.params.get(name) for name in _SIZE_NAMES]
    return next((int(str(value)) for value in found if str(value).isdigit()), None)


def _size(spec: RequestSpec) -> dict[str, Any]:
    """Return where a request says how many records it wants."""
    for name, value in {**spec.params, **spec.first_page_params}.items():
        if value == "{page_size}" or (name in _SIZE_NAMES and str(value).isdigit()):
            return {"param": name, "in": "query"}
    path = _find(spec.body, "{page_size}")
    return {"param": path, "in": "body"} if path else {}


def _find(tree: Any, text: str, at: str = "") -> str | None:
    if tree == text:
        return at
    inner = tree.items() if isinstance(tree, Mapping) else ()
    return next((f for name, one in inner if (f := _find(one, text, f"{at}.{name}" if at else name))), None)


def _marks(spec: RequestSpec) -> tuple[list[tuple[Path, str]], dict[str, str]]:
    """Return where an answer's markers stand, and its headers."""
    paginator: Any = spec.paginator
    headers = {}
    if paginator.type == "header_link":
        headers["Link"] = f'<{{next_url}}>; rel="{paginator.rel}"'
    if getattr(paginator, "total_header", None):
        headers[paginator.total_header] = "{total}"
    found = [(getattr(paginator, name, None), word) for name, word in _marker_words(paginator)]
    return [(path, word) for path, word in found if path and not _inside(path, spec.data_selector)], headers


def _inside(path: Path, records: Path) -> bool:
    """Return whether a marker is no word of the answer but part of a record."""
    return bool(records) and path[: len(records)] == records


def _marker_words(paginator: Paginator) -> tuple[tuple[str, str], ...]:
    return (
        ("cursor_path", "$next"), ("has_more_path", "$more"), ("next_url_path", "$next_url"), ("end_path", "$end"),
        ("total_path", "$total"), ("total_pages_path", "$pages"), ("next_offset_path", "$next"),
    ) if paginator.type != "single_page" else ()  # fmt: skip


def _tree(places: list[tuple[Path, str]]) -> Any:
    """Return the answer in which each word stands at its path."""
    tree: Any = None
    for path, word in places:
        tree = _grown(tree, path, word)
    return tree


def _grown(tree: Any, path: Path, word: str) -> Any:
    if not path:
        return word
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        here = dict(tree) if isinstance(tree, dict) else {}
        here[step] = _grown(here.get(step), rest, word)
        return here
    items = list(tree) if isinstance(tree, list) else []
    if isinstance(step, Where):
        at = next((i for i, one in enumerate(items) if one.get(step.key) == step.literal), len(items))
        items[at : at + 1] = [_grown(items[at] if at < len(items) else {step.key: step.literal}, rest, word)]
        return items
    at = 0 if isinstance(step, Every) or not isinstance(step, int) or step < 0 else step
    items += [{} for _ in range(at + 1 - len(items))]
    items[at] = _grown(items[at], rest, word)
    return items


def _auth(connection: ConnectionSettings) -> Auth:
    spec = authentication.select(connection)
    refused = Answer(401, {"error": "unauthorized"})
    if spec is None:
        return Auth([{"type": "any"}], refused)
    options = templates.render_tree(dict(spec.options), {"config": connection.config})
    if spec.type.startswith("oauth2_"):
        return Auth([_bearer(options, [])], refused, _oauth(spec.type, options, connection))
    if spec.type == "bearer":
        return Auth([_bearer(options, [str(options["token"])])], refused)
    if spec.type == "basic":
        return Auth([{"type": "basic", "users": {str(options["username"]): str(options["password"])}}], refused)
    kind = "query" if options["in"] == "query" else "header"
    return Auth([{"type": kind, "name": str(options["name"]), "values": [str(options["value"])]}], refused)


def _bearer(options: Mapping[str, Any], tokens: list[str]) -> dict[str, Any]:
    header, prefix = str(options.get("header", "Authorization")), str(options.get("prefix", "Bearer"))
    return {"type": "header", "name": header, "prefix": f"{prefix} " if prefix else "", "values": tokens}


def _oauth(kind: str, options: Mapping[str, Any], connection: ConnectionSettings) -> dict[str, Any]:
    url, config = str(options["token_url"]), connection.config
    grant = str(options.get("grant_type", kind.removeprefix("oauth2_")))
    below = urlsplit(connection.base_url).path + "/" + url.lstrip("/")
    refresh = {"refresh_token": str(options.get("refresh_token", config.get("refresh_token")))}
    return {
        "path": urlsplit(url).path if "://" in url else below,
        "grants": [grant],
        "client_id": str(options.get("client_id", config.get("client_id", ""))),
        "client_secret": str(options.get("client_secret", config.get("client_secret", ""))),
        "expires_in": 3600,
        **(refresh if kind == "oauth2_refresh_token" else {}),
    }
