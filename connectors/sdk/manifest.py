"""A connector's ``manifest.yaml``: checked, resolved and frozen.

`load_manifest` refuses what it does not know with file:line, what was seen and what is allowed. What it returns needs
no further checks: paths are parsed, defaults merged, template words known, parents present.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Final, NoReturn

import jsonschema

from connectors.sdk import incremental, instants, paginators, paths, templates
from connectors.sdk.errors import FixConnector
from connectors.sdk.settings import connect
from connectors.sdk.specs import (
    AbsenceSpec,
    AuthSpec,
    DeletedListing,
    DeletedSpec,
    HydrateSpec,
    IncrementalSpec,
    KeysetSpec,
    Limits,
    Manifest,
    ParentSpec,
    RefusedSpec,
    RequestSpec,
    StreamSpec,
)
from connectors.sdk.yaml_lines import Locate, load_yaml, suggest, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from connectors.sdk.paths import Path

__all__ = [
    "AuthSpec",
    "DeletedSpec",
    "HydrateSpec",
    "IncrementalSpec",
    "Limits",
    "Manifest",
    "ManifestError",
    "ParentSpec",
    "RequestSpec",
    "StreamSpec",
    "connect",
    "load_manifest",
    "manifest_schema",
]

_REQUEST_KEYS: Final = (
    "method", "path", "params", "first_page_params", "body", "headers", "data_selector", "null_list", "paginator",
    "page_size",
)  # fmt: skip


class ManifestError(FixConnector):
    """A manifest says something that cannot be; the message holds file:line and what is allowed."""


@cache
def manifest_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of manifest.yaml."""
    schema: Mapping[str, Any] = json.loads(File(__file__).with_name("manifest_schema.json").read_text(encoding="utf-8"))
    return schema


def load_manifest(path: File | str) -> Manifest:
    """Read and check a manifest.yaml, or the one in a connector's folder."""
    file = File(path)
    if file.is_dir():
        file /= "manifest.yaml"
    data, locate = load_yaml(file, error=ManifestError)
    validate(data, manifest_schema(), locate, file, error=ManifestError)
    return manifest_of(data, locate)


def manifest_of(data: Mapping[str, Any], locate: Locate) -> Manifest:
    """Return the manifest that a document means which already fits the schema; ``locate`` knows its lines."""
    return _Reader(data, locate).manifest()


class _Reader:
    """Turns checked YAML into a Manifest; errors carry the line of what they speak of."""

    def __init__(self, data: Mapping[str, Any], locate: Locate) -> None:
        self.data, self.locate = data, locate
        self.config: Mapping[str, Any] = data.get("config") or {
            "type": "object",
            "additionalProperties": False,
        }
        self.config_keys = frozenset(self.config.get("properties", {}))

    def manifest(self) -> Manifest:
        data = self.data
        if self.locate.file.name == "manifest.yaml" and data["name"] != self.locate.file.resolve().parent.name:
            self._fail(("name",), f"the name '{data['name']}' is not the folder's", "give both the same name")
        self._check_config()
        self._words(data["base_url"], ("base_url",), set())
        streams = {name: self._stream(name, given) for name, given in data["streams"].items()}
        self._check_streams(streams)
        return Manifest(
            name=data["name"], title=data["title"], version=data["version"], category=data["category"],
            summary=data["summary"], docs=data["docs"], api_version=data.get("api_version", ""),
            owners=tuple(data.get("owners", ())), base_url=data["base_url"], origins=tuple(data.get("origins", ())),
            config_schema=self.config, auth=tuple(self._auth(index, one) for index, one in enumerate(data["auth"])),
            limits=Limits.of(data.get("limits", {})), headers=data.get("headers", {}),
            hooks=tuple(data.get("hooks", ())), streams=streams, path=self.locate.file,
            notices=tuple(data.get("notices", ())),
            unauthorised=self._unauthorised(data.get("unauthorised")),
        )  # fmt: skip

    def _check_config(self) -> None:
        try:
            jsonschema.Draft202012Validator.check_schema(self.config)
        except jsonschema.SchemaError as why:
            place = ("config", *why.absolute_path)
            self._fail(place, "config is not a JSON Schema", f"{why.message}; draft 2020-12 is meant")

    def _check_streams(self, streams: Mapping[str, StreamSpec]) -> None:
        owners: dict[str, str] = {}
        for name, stream in streams.items():
            place = ("streams", name)
            if stream.parent and stream.parent.stream not in streams:
                others = [other for other in streams if other != name]
                seen = stream.parent.stream
                self._fail((*place, "parent", "stream"), f"unknown parent stream '{seen}'", suggest(seen, others))
            if stream.object in owners:
                what = f"the object '{stream.object}' is owned by {owners[stream.object]} already"
                self._fail((*place, "object"), what, "one stream owns an object's rows")
            owners[stream.object] = name
            self._check_cycle(streams, stream)

    def _check_cycle(self, streams: Mapping[str, StreamSpec], stream: StreamSpec) -> None:
        seen, here = {stream.name}, stream
        while here.parent is not None and here.parent.stream in streams:
            if here.parent.stream in seen:
                self._fail(("streams", stream.name, "parent"), "the parents go in a circle", "break it")
            seen.add(here.parent.stream)
            here = streams[here.parent.stream]

    def _auth(self, index: int, given: Mapping[str, Any]) -> AuthSpec:
        place = ("auth", index)
        used = {rest for _, rest in templates.words(given)}
        when = tuple(given.get("when", sorted(used)))
        for key in when:
            if key not in self.config_keys:
                self._fail((*place, "when"), f"unknown config key '{key}'", suggest(key, sorted(self.config_keys)))
        options = {key: value for key, value in given.items() if key not in ("type", "when")}
        self._words(options, place, set())
        return AuthSpec(given["type"], when, options)

    def _stream(self, name: str, given: Mapping[str, Any]) -> StreamSpec:
        merged: dict[str, Any] = {**self.data.get("defaults", {}), **given}
        place = ("streams", name)
        key = merged["key"]
        record_time = merged.get("record_time")
        scope = set() if "parent" not in merged else {f"parent.{word}" for word in merged["parent"]["bind"]}
        if "partitions" in merged:
            scope.add(f"partition.{merged['partitions']['name']}")
        request = self._request(merged, place, scope)
        return StreamSpec(
            connector=self.data["name"], name=name, object=merged["object"],
            title=merged.get("title", name.replace("_", " ").capitalize()), description=merged.get("description", ""),
            default=merged.get("default", True),
            key=tuple(self._path(one, (*place, "key")) for one in ([key] if isinstance(key, str) else key)),
            record_time=self._path(record_time, (*place, "record_time")) if record_time else None,
            record_time_format=merged.get("record_time_format", "iso8601"),
            deleted=self._deleted(merged.get("deleted"), place),
            volatile=tuple(self._path(one, (*place, "volatile")) for one in merged.get("volatile", ())),
            request=request, hydrate=self._hydrate(merged.get("hydrate"), place, scope),
            incremental=self._incremental(merged, place, scope),
            partitions=_partitions(merged.get("partitions")), parent=self._parent(merged.get("parent"), place),
            cadence=instants.duration(merged["cadence"]) if "cadence" in merged else None,
            optional=merged.get("optional", False), scope=merged.get("scope"),
            expect=merged.get("expect", {}), source=merged,
            listing=self._listing(merged, place, scope), absence=self._absence(merged, place, scope),
            with_parent=self._with_parent(merged, place),
        )  # fmt: skip

    def _request(self, merged: Mapping[str, Any], place: tuple[str, ...], scope: set[str]) -> RequestSpec:
        spec = {key: merged[key] for key in _REQUEST_KEYS if key in merged}
        paginator = spec.get("paginator", {"type": "single_page"})
        self._words(spec, place, scope | {"page_size", "cursor.start", "cursor.end", "cursor.key"})
        for key, value in paginator.items():
            if key.endswith("path"):
                self._path(value, (*place, "paginator", key))
        return RequestSpec(
            method=spec.get("method", "GET"), path=spec["path"], params=spec.get("params", {}),
            first_page_params=spec.get("first_page_params", {}), body=spec.get("body"), headers=spec.get("headers", {}),
            data_selector=self._path(spec["data_selector"], (*place, "data_selector")),
            paginator=paginators.build(paginator), page_size=spec.get("page_size"),
            null_is_empty=spec.get("null_list") == "empty",
        )  # fmt: skip

    def _incremental(
        self, merged: Mapping[str, Any], place: tuple[str, ...], scope: set[str]
    ) -> IncrementalSpec | None:
        given = merged.get("incremental")
        if given is None:
            return None
        here = (*place, "incremental")
        request = self._request({**merged, **given.get("request", {})}, (*here, "request"), scope)
        bounds = (("start_param", "{cursor.start}"), ("end_param", "{cursor.end}"))
        asking = {given[key]: word for key, word in bounds if key in given}
        request = replace(request, params={**request.params, **asking})
        form = given.get("format", "iso8601")
        number = form == "integer"
        parts = (request.path, request.params, request.first_page_params, request.body)
        if ("cursor", "start") not in set(templates.words(parts)):
            self._fail(
                here,
                "the lower bound is never asked for",
                "add start_param, or {cursor.start} in the request",
            )
        ends = ("cursor", "end") in set(templates.words(parts)) and not number
        if given.get("cap") and given.get("sorted", "none") != "asc" and not ends:
            do = "an ascending read goes on from the last record seen; any other must be able to ask for a shorter span"
            self._fail(here, "cap needs sorted: asc, or an upper bound ({cursor.end})", do)
        if "anchor" in given and given.get("sorted", "none") != "asc":
            self._fail(
                (*here, "anchor"), "anchor needs sorted: asc", "only an ascending read can go on at the last cursor"
            )
        if "window" in given and not ends:
            self._fail(
                (*here, "window"), "window needs an upper bound", "add end_param, or {cursor.end} in the request"
            )
        times = merged.get("record_time_format", "iso8601")
        return IncrementalSpec(
            cursor_path=self._cursor_path(given, here),
            cursor_format=given.get("cursor_format", "integer" if number else times),
            format=form, resolution=self._extent(given.get("resolution", "1" if number else "1s"), here, number=number),
            inclusive=given.get("bound", "inclusive") == "inclusive",
            lag=self._extent(given.get("lag", "0" if number else "0s"), here, number=number),
            sorted=given.get("sorted", "none"), request=request, cap=given.get("cap"), whole_below=given.get("whole_below", 0),
            hydrate=self._hydrate(given.get("hydrate"), here, scope), ends=ends,
            window=instants.duration(given["window"]) if "window" in given else None,
            keyset=self._keyset(merged, request, here, scope), start=_instant(given.get("start")),
            anchor=given.get("anchor") == "page",
            reconcile=instants.duration(given["reconcile"]) if "reconcile" in given else None,
        )  # fmt: skip

    def _cursor_path(self, given: Mapping[str, Any], here: tuple[str, ...]) -> Path:
        """Return the path of the cursor; one that no change moves would never show that a record changed."""
        path = self._path(given["cursor_path"], (*here, "cursor_path"))
        shown = "reconcile" in given or "immutable" in given
        if not shown and given.get("format") != "integer" and incremental.tells_creation(path):
            what = (
                f"the cursor '{given['cursor_path']}' tells when a record was made: a later change is never asked for"
            )
            do = (
                "name the field that moves with each change; if the vendor has none, say reconcile: 7d (read whole that "
                "often); if it never changes a record, say immutable: true"
            )
            self._fail((*here, "cursor_path"), what, do)
        return path

    def _keyset(
        self, merged: Mapping[str, Any], asked: RequestSpec, here: tuple[str, ...], scope: set[str]
    ) -> KeysetSpec | None:
        given = merged["incremental"].get("keyset")
        if given is None:
            return None
        here = (*here, "keyset")
        base = {
            **merged,
            **merged["incremental"].get("request", {}),
            "params": asked.params,
            **given.get("request", {}),
        }
        request = self._request(base, here, scope)
        request = replace(
            request, params={**request.params, **({given["param"]: "{cursor.key}"} if "param" in given else {})}
        )
        missing = {("cursor", "key"), ("cursor", "end")} - set(
            templates.words((request.path, request.params, request.first_page_params, request.body))
        )
        for root, word in sorted(missing):
            do = "one tick of the cursor is read between {cursor.start} and {cursor.end}, keys after {cursor.key}"
            self._fail(here, f"the request never asks for {{{root}.{word}}}", do)
        return KeysetSpec(self._path(given["path"], (*here, "path")), given.get("start", "0"), request)

    def _extent(self, text: str, place: tuple[str, ...], *, number: bool) -> timedelta | int:
        try:
            return int(text) if number else instants.duration(text)
        except ValueError:
            self._fail(place, f"'{text}' does not fit", "allowed: a duration (1s); a number for format: integer")

    def _hydrate(self, given: Any, place: tuple[str, ...], scope: set[str]) -> HydrateSpec | None:
        if given is None:
            return None
        self._words({**given, "data_selector": None}, (*place, "hydrate"), {*scope, "record.*"})
        selector = self._path(given.get("data_selector") or "$", (*place, "hydrate", "data_selector"))
        return HydrateSpec(given["path"], given.get("params", {}), selector)

    def _deleted(self, given: Any, place: tuple[str, ...]) -> DeletedSpec | None:
        if given is None or "path" not in given:
            return None
        path = self._path(given["path"], (*place, "deleted", "path"))
        equals = given.get("equals")
        values = [equals] if equals is not None and not isinstance(equals, list) else equals
        texts = None if values is None else tuple(paths.text_of(one) or "" for one in values)
        return DeletedSpec(path, texts, given.get("present"))

    def _listing(self, merged: Mapping[str, Any], place: tuple[str, ...], scope: set[str]) -> DeletedListing | None:
        given = merged.get("deleted", {}).get("list")
        if given is None:
            return None
        here = (*place, "deleted", "list")
        params = (
            {**merged.get("params", {}), **given.get("params", {})} if "path" not in given else given.get("params", {})
        )
        key, time = given.get("key", merged["key"]), given.get("record_time", merged.get("record_time"))
        return DeletedListing(
            request=self._request({**merged, **given, "params": params}, here, scope),
            key=tuple(self._path(one, (*here, "key")) for one in ([key] if isinstance(key, str) else key)),
            record_time=self._path(time, (*here, "record_time")) if time else None,
            record_time_format=given.get("record_time_format", merged.get("record_time_format", "iso8601")),
        )

    def _absence(self, merged: Mapping[str, Any], place: tuple[str, ...], scope: set[str]) -> AbsenceSpec | None:
        given = merged.get("deleted", {})
        rule, item = given.get("absence", "never"), given.get("item")
        here = (*place, "deleted")
        if (rule == "confirm") != (item is not None):
            self._fail(here, "absence: confirm and item: belong together", "give the address of one record, with {key}")
        if rule == "never":
            return None
        if item is None:
            return AbsenceSpec(rule)
        if scope and "parent" in merged:
            self._fail((*here, "item"), "a child stream cannot be confirmed record by record", "say absence: twice")
        self._words(item, (*here, "item"), {"key", *scope})
        return AbsenceSpec(rule, HydrateSpec(item["path"], item.get("params", {}), ()))

    def _with_parent(self, merged: Mapping[str, Any], place: tuple[str, ...]) -> bool | None:
        said: bool | None = merged.get("deleted", {}).get("with_parent")
        if said is not None and "parent" not in merged:
            self._fail((*place, "deleted", "with_parent"), "the stream has no parent", "leave it out, or say parent:")
        return said

    def _parent(self, given: Any, place: tuple[str, ...]) -> ParentSpec | None:
        if given is None:
            return None
        bind = {word: self._path(text, (*place, "parent", "bind", word)) for word, text in given["bind"].items()}
        return ParentSpec(given["stream"], bind, given.get("changed_only", False))

    def _unauthorised(self, given: Mapping[str, Any] | None) -> RefusedSpec | None:
        if given is None:
            return None
        return RefusedSpec(given["status"], self._path(given["path"], ("unauthorised", "path")), given["equals"])

    def _path(self, text: str, place: tuple[str, ...]) -> Path:
        try:
            return paths.parse(text)
        except FixConnector as why:
            raise ManifestError(why.what, where=self.locate.where(place), why=why.why, do=why.do) from None

    def _words(self, value: Any, place: tuple[str | int, ...], scope: set[str]) -> None:
        """Refuse template words that nothing will ever fill."""
        allowed = sorted({*scope, *(f"config.{key}" for key in self.config_keys)})
        for found in _unknown_words(value, allowed):
            self._fail(place, f"unknown template word {{{found}}}", suggest(found, allowed))

    def _fail(self, place: tuple[Any, ...], what: str, do: str) -> NoReturn:
        raise ManifestError(what, where=self.locate.where(place), do=do)


def _unknown_words(value: Any, allowed: list[str]) -> Iterator[str]:
    for root, rest in templates.words(value):
        word = f"{root}.{rest}" if rest else root
        if word not in allowed and f"{root}.*" not in allowed:
            yield word


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _partitions(given: Any) -> tuple[str, tuple[str, ...]] | None:
    return None if given is None else (given["name"], tuple(map(str, given["values"])))
