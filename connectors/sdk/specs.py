"""What a checked manifest says, frozen: paths parsed, defaults merged, nothing left to check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path as File

    from connectors.sdk.paging import Paginator
    from connectors.sdk.paths import Path


@dataclass(frozen=True)
class AuthSpec:
    """One way to authenticate; ``when`` names the config keys that select it."""

    type: str
    when: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """What the vendor allows one account: requests at a time, and per window when it says so."""

    concurrency: int = 4
    requests: int | None = None
    per_seconds: float | None = None


@dataclass(frozen=True)
class RequestSpec:
    """How one page of a stream is asked for and where its records are."""

    method: str
    path: str
    params: Mapping[str, Any]
    first_page_params: Mapping[str, Any]
    body: Mapping[str, Any] | None
    headers: Mapping[str, str]
    data_selector: Path
    paginator: Paginator
    page_size: int | None
    null_is_empty: bool = False


@dataclass(frozen=True)
class HydrateSpec:
    """How a hit of a listing that shows records in short is fetched again as a whole record."""

    path: str
    params: Mapping[str, Any]
    data_selector: Path


@dataclass(frozen=True)
class IncrementalSpec:
    """How a stream is asked for what changed. ``resolution`` and ``lag`` are numbers for integer cursors.

    While fewer than ``whole_below`` records are live, listing them whole costs no more than asking for changes, and shows
    what a search hides (associations, vendors whose search lags); so the stream is listed.
    """

    cursor_path: Path
    cursor_format: str
    format: str
    resolution: timedelta | int
    inclusive: bool
    lag: timedelta | int
    sorted: str
    request: RequestSpec
    hydrate: HydrateSpec | None
    cap: int | None
    whole_below: int = 0


@dataclass(frozen=True)
class DeletedSpec:
    """Which records are deletes: those whose value is one of ``equals``, or that have any value."""

    path: Path
    equals: tuple[str, ...] | None
    present: bool | None


@dataclass(frozen=True)
class ParentSpec:
    """The stream each of whose records is a partition of this one."""

    stream: str
    bind: Mapping[str, Path]
    changed_only: bool


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a connector, defaults merged. ``source`` is its merged YAML, for documentation."""

    connector: str
    name: str
    object: str
    title: str
    description: str
    default: bool
    key: tuple[Path, ...]
    record_time: Path | None
    record_time_format: str
    deleted: DeletedSpec | None
    volatile: tuple[Path, ...]
    request: RequestSpec
    hydrate: HydrateSpec | None
    incremental: IncrementalSpec | None
    partitions: tuple[str, tuple[str, ...]] | None
    parent: ParentSpec | None
    cadence: timedelta | None
    optional: bool
    scope: str | None
    expect: Mapping[str, int]
    source: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Manifest:
    """One connector. ``major`` is the part of its version that source references belong to."""

    name: str
    title: str
    version: str
    category: str
    summary: str
    docs: str
    api_version: str
    owners: tuple[str, ...]
    base_url: str
    origins: tuple[str, ...]
    config_schema: Mapping[str, Any]
    auth: tuple[AuthSpec, ...]
    limits: Limits
    headers: Mapping[str, str]
    hooks: tuple[str, ...]
    streams: Mapping[str, StreamSpec]
    path: File

    @property
    def major(self) -> int:
        """Major version: a change of it changes source references."""
        return int(self.version.split(".", 1)[0])

    @property
    def secret_keys(self) -> frozenset[str]:
        """Names of the config keys whose values are secret."""
        properties = self.config_schema.get("properties", {})
        return frozenset(key for key, schema in properties.items() if schema.get("secret") is True)

    def stream(self, name: str) -> StreamSpec:
        """Return a stream by name; the error lists the known names."""
        if name not in self.streams:
            raise FixConfig(f"{self.name} has no stream '{name}'", do=suggest(name, list(self.streams)))
        return self.streams[name]

    def default_streams(self) -> tuple[str, ...]:
        """Return the names of the streams a connection reads unless it names its own."""
        return tuple(name for name, stream in self.streams.items() if stream.default)
