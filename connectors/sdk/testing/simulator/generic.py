"""Made-up vendors in one word each: auth x paging x cursor x deletes x limits, written as a connector's manifest."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import templates
from connectors.sdk.manifest import load_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.sdk.specs import Manifest

BASE: Final = "https://api.vendor.example"
NAME: Final = "hostile"
_KEYS: Final = ("access_token", "api_key", "username", "password", "client_id", "client_secret", "refresh_token")

PAGING: Final[Mapping[str, Mapping[str, Any]]] = {
    "single_page": {"type": "single_page"},
    "cursor": {"type": "cursor", "cursor_path": "next", "cursor_param": "after", "has_more_path": "more"},
    "cursor_bare": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"},
    "cursor_body": {"type": "cursor", "cursor_path": "next", "cursor_body_path": "after", "has_more_path": "more"},
    "header_link": {"type": "header_link"},
    "next_url": {"type": "next_url", "next_url_path": "links.next"},
    "page_number": {"type": "page_number", "page_param": "page", "base_page": 1, "total_pages_path": "pages"},
    "page_number_bare": {"type": "page_number", "page_param": "page", "base_page": 1},
    "offset": {"type": "offset", "offset_param": "offset", "limit_param": "limit", "total_path": "total"},
    "offset_bare": {"type": "offset", "offset_param": "offset", "limit_param": "limit"},
    "last_record_key": {"type": "last_record_key", "param": "after", "path": "id", "has_more_path": "more"},
    "last_record_key_bare": {"type": "last_record_key", "param": "after", "path": "id"},
}

AUTH: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "none": [],
    "bearer": [{"when": ["access_token"], "type": "bearer", "token": "{config.access_token}"}],
    "api_key_header": [{"type": "api_key", "in": "header", "name": "X-Key", "value": "{config.api_key}"}],
    "api_key_query": [{"type": "api_key", "in": "query", "name": "key", "value": "{config.api_key}"}],
    "basic": [{"type": "basic", "username": "{config.username}", "password": "{config.password}"}],
    "oauth_refresh": [{
        "when": ["client_id", "client_secret", "refresh_token"], "type": "oauth2_refresh_token",
        "token_url": "/oauth/token", "client_in": "body",
    }],
    "oauth_client_credentials": [{
        "when": ["client_id", "client_secret"], "type": "oauth2_client_credentials", "token_url": "/oauth/token",
        "client_in": "basic",
    }],
}  # fmt: skip

_LAG: Final = {"lag": "5m", "resolution": "1s", "start_param": "since"}
CURSORS: Final[Mapping[str, Mapping[str, Any] | None]] = {
    "none": None,
    "updated": {"cursor_path": "updated", "sorted": "asc", "bound": "inclusive", **_LAG},
    "updated_exclusive": {"cursor_path": "updated", "sorted": "asc", "bound": "exclusive", **_LAG},
    "updated_unsorted": {"cursor_path": "updated", "sorted": "none", "bound": "inclusive", **_LAG},
    "updated_keyset": {
        "cursor_path": "updated", "sorted": "asc", "bound": "inclusive", "end_param": "until",
        "keyset": {"path": "id", "param": "after_key"}, **_LAG,
    },
    "created": {"cursor_path": "created", "sorted": "asc", "bound": "inclusive", "reconcile": "1d", **_LAG},
    "integer": {
        "cursor_path": "revision", "format": "integer", "cursor_format": "integer", "sorted": "asc",
        "bound": "exclusive", "resolution": "1", "lag": "0", "start_param": "since",
    },
}  # fmt: skip

DELETES: Final[Mapping[str, Mapping[str, Any]]] = {
    "none": {},
    "absence": {"absence": "twice"},
    "confirm": {"absence": "confirm", "item": {"path": "/things/{key}"}},
    "endpoint": {"list": {"path": "/deletions", "record_time": "deleted_at"}},
    "flag": {"path": "state", "equals": "deleted"},
    "archived": {"list": {"params": {"archived": "true"}}},
}


def generic_manifest(
    *,
    paging: str,
    auth: str,
    cursor: str | None,
    deletes: str | None,
    page_size: int,
    limit: tuple[int, float] | None,
    cap: int | None,
    partitions: Sequence[str],
    children: bool,
    stream: Mapping[str, Any],
) -> Manifest:
    """Return the manifest of a made-up vendor with the stream ``things``."""
    things = _things(paging, page_size, cursor, cap)
    gone = _known(DELETES, deletes or "none", "deletes")
    things.update({"deleted": gone} if gone else {})
    if partitions:
        things["partitions"] = {"name": "region", "values": list(partitions)}
    if "partitions" in things:
        name = things["partitions"]["name"]
        things["params"] = {**things["params"], name: f"{{partition.{name}}}"}
    streams = {"things": things}
    if children:
        things.update(path="/parents/{parent.parent_id}/things", key=["parent_id", "id"])
        things["parent"] = {"stream": "parents", "bind": {"parent_id": "id"}, "changed_only": False}
        streams["parents"] = _things(paging, page_size, None, None) | {"object": "parent", "path": "/parents"}
    things.update(stream)
    return _loaded(streams, _known(AUTH, auth, "auth"), limit)


def _things(paging: str, page_size: int, cursor: str | None, cap: int | None) -> dict[str, Any]:
    paginator = _known(PAGING, paging, "paging")
    asked = _known(CURSORS, cursor or "none", "cursor")
    body = {"limit": "{page_size}"} if paging == "cursor_body" else None
    size = {} if body or "limit_param" in paginator or paging == "single_page" else {"limit": "{page_size}"}
    given: dict[str, Any] = {
        "object": "thing", "key": "id", "path": "/things", "data_selector": "items", "params": size,
        "paginator": dict(paginator), "record_time": "updated",
    }  # fmt: skip
    if paging != "single_page":
        given["page_size"] = page_size
    if asked is not None:
        given["incremental"] = {**asked, **({"cap": cap} if cap else {})}
        given["record_time"] = asked["cursor_path"] if cursor == "created" else "updated"
    if body:
        given.update(method="POST", body=body)
        if asked is not None:
            since = given["incremental"].pop("start_param")
            given["incremental"]["request"] = {"body": {**body, since: "{cursor.start}"}}
    return given


def _known(words: Mapping[str, Any], word: str, kind: str) -> Any:
    if word not in words:
        message = f"unknown {kind} {word!r}; known: {', '.join(words)}"
        raise ValueError(message)
    return words[word]


def _loaded(streams: Mapping[str, Any], auth: Sequence[Mapping[str, Any]], limit: tuple[int, float] | None) -> Manifest:
    properties = {key: {"type": "string", "secret": True} for key in _KEYS}
    limits = {"concurrency": 2} | ({"requests": limit[0], "per_seconds": limit[1]} if limit else {})
    data = {
        "name": NAME, "title": "Hostile", "version": "0.1.0", "category": "crm", "summary": "A made-up vendor.",
        "docs": "https://vendor.example/docs", "base_url": BASE, "auth": list(auth), "limits": limits,
        "config": {"type": "object", "additionalProperties": False, "properties": properties}, "streams": dict(streams),
    }  # fmt: skip
    return _read(json.dumps(data, indent=1))


@cache
def _read(text: str) -> Manifest:
    """Load a manifest as any other is loaded, from a file; equal ones once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME / "manifest.yaml"
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        return load_manifest(file)


def made_up_config(manifest: Manifest) -> dict[str, Any]:
    """Return a made-up configuration that a manifest's schema accepts and its first way of authentication can use."""
    properties = manifest.config_schema.get("properties", {})
    wanted = [*manifest.config_schema.get("required", ()), *(manifest.auth[0].when if manifest.auth else ())]
    wanted += [key for key in _base_keys(manifest) if key in properties]
    return {key: _value(key, properties.get(key, {})) for key in dict.fromkeys(wanted)}


def _base_keys(manifest: Manifest) -> list[str]:
    texts = [manifest.base_url, *(stream.request.path for stream in manifest.streams.values())]
    return [rest for root, rest in templates.words(texts) if root == "config"]


def _value(key: str, schema: Mapping[str, Any]) -> Any:
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    if schema.get("enum") or schema.get("examples"):
        return (schema.get("enum") or schema["examples"])[0]
    kind = schema.get("type", "string")
    plain: dict[str, Any] = {
        "integer": schema.get("minimum", 1),
        "number": 1,
        "boolean": True,
        "array": [],
        "object": {},
    }
    if kind in plain:
        return plain[kind]
    return "someone@vendor.example" if "email" in key else f"made-up-{key.replace('_', '-')}"
