"""From a declaration to the dlt resource to iterate: built in code, with our session, our readers and without dlt's dedupe.

dlt drops rows at the cursor whose key it saw in the last run, even when their content has changed since; and keeps the
hashes of all of them in its state. Here rows at the cursor always come again: the hash of their content tells whether
they are new.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource, Incremental
from dlt.extract.incremental import IncrementalResourceWrapper

from connectors.sdk.errors import FixConfig
from connectors.sdk.retry import PATIENCE
from connectors.sdk.yaml_lines import suggest
from pipelines.dlt_bridge.declare import DltSpec, DltStream, FileSpec
from pipelines.dlt_bridge.quiet import dlt

_FILE_IDENTITY: Final = ("file_url", "size_in_bytes")


@dataclass
class Watch:
    """What was noticed while dlt read: reasons why the end of the iteration proves nothing.

    ``patience`` is how many seconds the reader may wait when the vendor says how long; ``allow_private`` whether names may
    lead into private networks.
    """

    patience: float = PATIENCE
    allow_private: bool = False
    doubts: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Opened:
    """A source with one resource selected, ready to be iterated."""

    source: DltSource
    resource: DltResource
    watch: Watch

    @property
    def incrementals(self) -> list[Incremental[Any]]:
        """The incrementals of the resource and its parents; those in arguments are known once it is being read."""
        return list(_incrementals(self.resource))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that the resource calls its primary key."""
        columns = self.resource.compute_table_schema().get("columns", {})
        return tuple(name for name, column in columns.items() if column.get("primary_key"))


def open_source(
    stream: DltStream, config: Mapping[str, Any], *, patience: float = PATIENCE, allow_private: bool = False
) -> Opened:
    """Build the dlt source of a stream from resolved configuration; raise FixConfig when dlt refuses it."""
    watch = Watch(patience, allow_private)
    builders: Mapping[str, Callable[[DltSpec, dict[str, Any], Watch], Any]] = {
        "rest_api": _rest_api, "sql_database": _sql_table, "filesystem": _files,
    }  # fmt: skip
    made = builders.get(stream.dlt.source, _imported)(stream.dlt, copy.deepcopy(dict(config)), watch)
    source = _as_source(made, stream)
    known = list(source.resources)
    if stream.dlt.resource not in known:
        where, name = f"dlt: streams: {stream.name}", stream.dlt.resource
        raise FixConfig(f"the source has no resource '{name}'", where=where, do=suggest(name, known))
    chosen = source.with_resources(stream.dlt.resource)
    resource = chosen.resources[stream.dlt.resource]
    if stream.dlt.incremental is not None and stream.dlt.source not in ("sql_database", "filesystem"):
        resource.apply_hints(incremental=_incremental(stream.dlt.incremental))
    opened = Opened(chosen, resource, watch)
    assert opened.incrementals is not None  # has switched dlt's own dedupe off
    return opened


def _as_source(made: Any, stream: DltStream) -> DltSource:
    """Return what a source function gave as a source: dlt allows sources, resources and lists of resources."""
    if isinstance(made, DltSource):
        return made
    resources = [made] if isinstance(made, DltResource) else list(made) if isinstance(made, Iterable) else []
    if not resources or not all(isinstance(one, DltResource) for one in resources):
        what, do = (
            f"it gives {type(made).__name__}, not a dlt source",
            "name a function with @dlt.source or @dlt.resource",
        )
        raise FixConfig(what, where=f"dlt: source: {stream.dlt.source}", do=do)
    return DltSource(Schema(stream.connector.lower()), stream.connector.lower(), resources)


def _incremental(words: Mapping[str, Any], **more: Any) -> Incremental[Any]:
    """Return dlt's incremental; rows without a cursor value are kept."""
    return dlt.sources.incremental(**{"on_cursor_value_missing": "include", **words, **more})


def _incrementals(resource: DltResource) -> Iterator[Incremental[Any]]:
    """Yield the incrementals of a resource and its parents, their dedupe at the boundary switched off."""
    pipe = resource._pipe  # noqa: SLF001  dlt has no public way to a transformer's parents
    while pipe is not None:
        for step in pipe.steps:
            if isinstance(step, IncrementalResourceWrapper) and step.incremental is None:
                step.set_deduplication_key((), from_hints=True)
            found = step.incremental if isinstance(step, IncrementalResourceWrapper) else step
            if isinstance(found, Incremental):
                if found.primary_key != _FILE_IDENTITY:
                    found.set_deduplication_key((), from_hints=False)
                yield found
        pipe = pipe.parent


# --- the three built-in sources -------------------------------------------------------------------------------------
def _rest_api(spec: DltSpec, config: dict[str, Any], watch: Watch) -> DltSource:
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415  each source loads its own helpers

    from pipelines.dlt_bridge.http import GuardedSession  # noqa: PLC0415  needs requests
    from pipelines.dlt_bridge.pages import watch_client  # noqa: PLC0415  as above

    client = config.get("client") or {}
    paths = [one.get("endpoint") for one in config.get("resources", ()) if isinstance(one, dict)]
    absolute = [path for path in map(_path_of, paths) if path.startswith(("http://", "https://"))]
    how: dict[str, Any] = {"patience": watch.patience, "allow_private": watch.allow_private}
    session = GuardedSession([client.get("base_url", ""), *absolute, *spec.origins], **how)
    declared: Any = {**config, "client": {**client, "session": session}}
    source = rest_api_source(declared)
    for resource in source.resources.values():
        found = (resource.explicit_args or {}).get("client")
        if found is not None:
            token_url = getattr(found.auth, "access_token_url", None)
            if token_url is not None:
                found.auth.session = GuardedSession([token_url], **how)
            watch_client(found, watch, selector=(resource.explicit_args or {}).get("data_selector"))
    return source


def _path_of(endpoint: Any) -> str:
    return str(endpoint.get("path", "")) if isinstance(endpoint, dict) else str(endpoint or "")


def _sql_table(spec: DltSpec, config: dict[str, Any], _watch: Watch) -> DltResource:
    from dlt.sources.sql_database import sql_table  # noqa: PLC0415  needs SQLAlchemy

    config.pop("table_names", None)
    address = config.pop("credentials", None)
    if not isinstance(address, str):
        raise FixConfig("config lacks credentials", where="dlt: config", do="give an SQLAlchemy URL: ${LEGACY_DB_URL}")
    cursor = None
    if spec.incremental is not None:
        cursor = _incremental({"row_order": "asc", **spec.incremental})
    raw = {"table_adapter_callback": _untyped} if address.startswith("sqlite") else {}
    return sql_table(
        _absolute(address, spec.folder), table=spec.resource, incremental=cursor,
        **{"chunk_size": 10_000, "reflection_level": "minimal", **raw, **config},
    )  # fmt: skip


def _untyped(table: Any) -> None:
    """Let SQLite's values through as they are stored: its declared types promise nothing, and Numeric loses digits."""
    from dlt.common.libs.sql_alchemy import sqltypes  # noqa: PLC0415  SQLAlchemy, by way of dlt

    for column in table.columns:
        column.type = sqltypes.NullType()


def _absolute(address: str, folder: Path) -> str:
    """Return a SQLAlchemy URL whose SQLite path counts from the configuration's folder."""
    head, mark, tail = address.partition(":///")
    if head.split("+")[0] != "sqlite" or not mark or not tail or tail.startswith("/"):
        return address
    return f"{head}:///{folder / tail}"


def _files(spec: DltSpec, config: dict[str, Any], _watch: Watch) -> DltResource:
    from dlt.sources.filesystem import filesystem  # noqa: PLC0415  needs fsspec

    from pipelines.dlt_bridge.files import read_files  # noqa: PLC0415  beside its use

    assert spec.files is not None
    bucket = config.pop("bucket_url", None)
    if not isinstance(bucket, str):
        raise FixConfig(
            "config lacks bucket_url", where="dlt: config", do="give a folder, or a URL such as s3://bucket/drop"
        )
    cursor = None
    if spec.incremental is not None:
        cursor = _incremental(spec.incremental, row_order="asc", primary_key=_FILE_IDENTITY)
    listed = filesystem(
        bucket if "://" in bucket else str((spec.folder / Path(bucket).expanduser()).resolve()),
        file_glob=spec.files.glob, incremental=cursor, **config,
    )  # fmt: skip
    how: FileSpec = spec.files

    @dlt.transformer(name=spec.resource)
    def rows(items: Iterable[Any]) -> Iterator[Any]:
        yield from read_files(items, how)

    return listed | rows


def _imported(spec: DltSpec, config: dict[str, Any], _watch: Watch) -> Any:
    """Call an installed source function with the configuration as its arguments."""
    module, name = spec.source.split(":")
    where = f"dlt: source: {spec.source}"
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as why:
        do = "install the package that has it, or put its folder on PYTHONPATH"
        raise FixConfig("the source cannot be imported", where=where, why=str(why), do=do) from why
    return made(**config) if callable(made) else made
