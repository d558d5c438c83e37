"""A connection's ``dlt:`` block, read without dlt: a Manifest whose streams say how dlt is to be asked.

The block is checked by ``config_schema.json`` first; what depends on the kind of source is checked here, with file:line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.errors import FixConfig, FixConnector
from connectors.sdk.manifest import manifest_of
from connectors.sdk.specs import Manifest, RequestSpec, StreamSpec
from connectors.sdk.yaml_lines import Locate, load_yaml, suggest

if TYPE_CHECKING:
    from connectors.sdk.mapping import Mapping as FieldMapping

Pointer = tuple[str | int, ...]
BUILT_IN: Final = ("rest_api", "sql_database", "filesystem")
FILE_FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_ONLY_FILES: Final = ("file_glob", "format", "delimiter", "encoding")
_OURS: Final = (
    "object", "title", "description", "default", "key", "record_time", "record_time_format", "deleted", "volatile",
    "cadence", "optional", "expect",
)  # fmt: skip
_DOCS: Final = {
    "rest_api": "https://dlthub.com/docs/dlt-ecosystem/verified-sources/rest_api/basic",
    "sql_database": "https://dlthub.com/docs/dlt-ecosystem/verified-sources/sql_database",
    "filesystem": "https://dlthub.com/docs/dlt-ecosystem/verified-sources/filesystem",
}


@dataclass(frozen=True)
class FileSpec:
    """Which files of a drop make up a stream and how they are read."""

    glob: str
    format: str
    delimiter: str = ","
    encoding: str = "utf-8"


@dataclass(frozen=True)
class DltSpec:
    """How dlt is asked for one stream. ``incremental`` holds dlt's own words; ``None`` reads everything each time."""

    source: str
    resource: str
    incremental: Mapping[str, Any] | None = None
    files: FileSpec | None = None
    origins: tuple[str, ...] = ()
    folder: Path = field(default=Path(), compare=False)


@dataclass(frozen=True)
class DltStream(StreamSpec):
    """A stream that dlt fetches; all else about it is as in any connector."""

    dlt: DltSpec = field(kw_only=True)


@dataclass(frozen=True)
class DltConnector(ConnectorFolder):
    """A connector without engine streams: a ``mapping.yaml`` and what the connection's ``dlt:`` block declares."""

    declared: Manifest = field(repr=False)
    mapping_file: Path

    @property
    def name(self) -> str:
        """The name that the mapping gives its connector."""
        return self.declared.name

    @property
    def manifest(self) -> Manifest:
        """The manifest made from the declaration."""
        return self.declared

    @cached_property
    def mapping(self) -> FieldMapping:
        """The checked mapping."""
        from canonical_model import load_vocabulary  # noqa: PLC0415  only who maps pays for the vocabulary
        from connectors.sdk.mapping import load_mapping  # noqa: PLC0415  as above

        return load_mapping(self.mapping_file, self.declared, load_vocabulary())


def declare(connection: Mapping[str, Any], at: Pointer, locate: Locate) -> DltConnector:
    """Return the connector that a connection with a ``dlt:`` block stands for; raise FixConfig with file:line."""
    for extra in ("connector", "config", "base_url"):
        if extra in connection:
            where = locate.where((*at, extra))
            do = "remove it" if extra == "connector" else "put it into dlt: config:"
            raise FixConfig(f"{extra}: does not go with dlt:", where=where, do=do)
    if "mapping" not in connection:
        do = "name a mapping.yaml, or the folder it is in: it says which field is which canonical term"
        raise FixConfig("a dlt connection needs mapping:", where=locate.where(at), do=do)
    file = _mapping_file(locate.file.parent, connection["mapping"], locate.where((*at, "mapping")))
    name = _connector_name(file)
    manifest = _Declaration(connection["dlt"], (*at, "dlt"), locate).manifest(name)
    return DltConnector(path=file.parent, declared=manifest, mapping_file=file)


def _mapping_file(folder: Path, text: str, where: str) -> Path:
    file = (folder / Path(text).expanduser()).resolve()
    file = file / "mapping.yaml" if file.is_dir() else file
    if not file.is_file():
        raise FixConfig("there is no such mapping", where=where, why=str(file), do="give a mapping.yaml or its folder")
    return file


def _connector_name(file: Path) -> str:
    data, locate = load_yaml(file)
    name = data.get("connector") if isinstance(data, Mapping) else None
    if not isinstance(name, str):
        raise FixConnector("missing 'connector'", where=locate.where(), do="write connector: and a name of your choice")
    return name


@dataclass(frozen=True)
class _Declaration:
    """Turns the block into a manifest, by the same reader that reads a connector's manifest.yaml."""

    data: Mapping[str, Any]
    at: Pointer
    locate: Locate

    def manifest(self, name: str) -> Manifest:
        """Return the manifest; streams carry how dlt is asked."""
        source = self.data["source"]
        given = {stream: words or {} for stream, words in self.data["streams"].items()}
        for stream, words in given.items():
            self._check(stream, words)
        streams = {stream: self._words(stream, words) for stream, words in given.items()}
        document = {
            "name": name, "title": name.replace("_", " ").capitalize(), "version": "1.0.0", "category": "other",
            "summary": f"Read by dlt's {source}.", "docs": _DOCS.get(source, "https://dlthub.com/docs"),
            "base_url": "", "auth": [], "config": {"type": "object"}, "streams": streams,
        }  # fmt: skip
        try:
            manifest = manifest_of(document, _below(self.locate, self.at))
        except FixConnector as why:
            raise FixConfig(why.what, where=why.where, why=why.why, do=why.do) from why
        specs = {key: self._stream(spec, given[key]) for key, spec in manifest.streams.items()}
        return replace(manifest, streams=specs)

    def _check(self, stream: str, words: Mapping[str, Any]) -> None:
        source = self.data["source"]
        if source != "filesystem":
            for word in _ONLY_FILES:
                if word in words:
                    self._fail(stream, word, f"{word}: is for source: filesystem", "remove it")
            if source == "rest_api" and words.get("incremental"):
                do = "put incremental: into the resource's endpoint: in config, in dlt's own words"
                self._fail(stream, "incremental", "a rest_api resource declares its cursor itself", do)
            if words.get("incremental") is True:
                self._fail(stream, "incremental", "incremental: true names no cursor", "say {cursor_path: a_column}")
            return
        if isinstance(words.get("incremental"), dict):
            do = "true (by modification date, the default) or false (all files each time)"
            self._fail(stream, "incremental", "files have one cursor only", do)
        if "key" not in words:
            self._fail(
                stream, "key", "files have no key of their own", "name the column(s) that identify a record: key:"
            )
        if _format(words) is None:
            self._fail(stream, "file_glob", "the format of these files is unknown", "say format: csv, jsonl or parquet")

    def _words(self, stream: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stream as manifest.yaml would say it; where the key is not known yet, dlt tells it when it is read."""
        words = {word: given[word] for word in _OURS if word in given}
        words.setdefault("object", stream)
        words.setdefault("key", self._static_key(given.get("resource", stream)))
        return {**words, "path": given.get("resource", stream), "data_selector": "$"}

    def _static_key(self, resource: str) -> list[str]:
        """Return the primary key that a rest_api declaration names."""
        config = self.data.get("config", {}) if self.data["source"] == "rest_api" else {}
        found = (config.get("resource_defaults") or {}).get("primary_key", [])
        listed = [one for one in config.get("resources", ()) if isinstance(one, Mapping)]
        for one in listed:
            if one.get("name") == resource:
                found = one.get("primary_key", found)
        names = [one if isinstance(one, str) else one.get("name") for one in config.get("resources", ())]
        if names and resource not in names:
            where = self.locate.where((*self.at, "streams"))
            raise FixConfig(f"config has no resource '{resource}'", where=where, do=suggest(resource, names))
        return [found] if isinstance(found, str) else list(found)

    def _stream(self, spec: StreamSpec, given: Mapping[str, Any]) -> DltStream:
        resource, source = given.get("resource", spec.name), self.data["source"]
        how = DltSpec(
            source=source, resource=resource, incremental=_incremental(source, given), files=_files(source, given),
            origins=tuple(self.data.get("origins", ())), folder=self.locate.file.parent,
        )  # fmt: skip
        request = RequestSpec(
            **{
                **_values(spec.request),
                "method": f"dlt {source}",
                "path": resource if how.files is None else how.files.glob,
            }
        )
        return DltStream(**{**_values(spec), "request": request}, dlt=how)

    def _fail(self, stream: str, word: str, what: str, do: str) -> None:
        raise FixConfig(what, where=self.locate.where((*self.at, "streams", stream, word)), do=do)


def _incremental(source: str, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    asked = given.get("incremental")
    if source == "filesystem":
        return None if asked is False else {"cursor_path": "modification_date"}
    return asked if isinstance(asked, Mapping) else None


def _files(source: str, given: Mapping[str, Any]) -> FileSpec | None:
    if source != "filesystem":
        return None
    glob = given.get("file_glob", "*")
    delimiter = given.get("delimiter", "\t" if glob.endswith(".tsv") else ",")
    return FileSpec(glob, _format(given) or "csv", delimiter, given.get("encoding", "utf-8"))


def _format(given: Mapping[str, Any]) -> str | None:
    found = given.get("format") or FILE_FORMATS.get(Path(given.get("file_glob", "")).suffix)
    return None if found is None else str(found)


def _values(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _below(locate: Locate, at: Sequence[str | int]) -> Locate:
    """Return the lines of one part of a file, by pointers that begin there."""
    depth, start = len(at), tuple(at)
    return Locate(locate.file, {place[depth:]: line for place, line in locate.lines.items() if place[:depth] == start})
