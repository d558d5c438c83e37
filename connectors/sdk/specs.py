"""What a checked manifest says, frozen: paths parsed, defaults merged, nothing left to check."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from connectors.sdk.ratelimits import FAMILIES, HeaderRule
from connectors.sdk.yaml_lines import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
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
class RefusedSpec:
    """A vendor's way of refusing credentials other than by status 401: a status with a word in the body."""

    status: int
    path: Path
    equals: str


@dataclass(frozen=True)
class RequestClass:
    """Requests that the vendor counts by themselves: those whose path below base_url fits ``path``, a glob.

    Every class that fits a request applies, and the account's own limit too, unless one of them is ``separate``.
    """

    name: str
    path: str = "*"
    method: str | None = None
    requests: int | None = None
    per_seconds: float | None = None
    concurrency: int | None = None
    separate: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request belongs to the class; in the glob, ``*`` is any part of a path, slashes too."""
        return self.method in (None, method) and self._pattern.match(path) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(fnmatch.translate(self.path))


@dataclass(frozen=True)
class Daily:
    """What the vendor allows in a day, which ends at ``resets_at``, and the part of it that is ours to use."""

    requests: int
    share: float = 1.0
    resets_at: str = "00:00"
    timezone: str = "UTC"


@dataclass(frozen=True)
class Limits:
    """What the vendor allows one account: requests at a time, per window, per class of requests and per day."""

    concurrency: int = 4
    requests: int | None = None
    per_seconds: float | None = None
    classes: tuple[RequestClass, ...] = ()
    daily: Daily | None = None
    headers: tuple[HeaderRule, ...] = FAMILIES

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """Return the limits that a manifest's ``limits:`` means."""
        plain = {key: value for key, value in given.items() if key in ("concurrency", "requests", "per_seconds")}
        return cls(
            **plain,
            classes=tuple(_request_class(index, one) for index, one in enumerate(given.get("classes", ()))),
            daily=Daily(**given["daily"]) if "daily" in given else None,
            headers=tuple(HeaderRule(**one) for one in given["headers"]) if "headers" in given else FAMILIES,
        )

    def changed(self, given: Mapping[str, Any]) -> Limits:
        """Return the limits with an account's own numbers: ``requests`` and ``per_seconds``, ``daily``, ``concurrency``."""
        daily = given.get("daily")
        mine = {key: value for key, value in given.items() if key != "daily"}
        if daily is not None:
            merged = {**(asdict(self.daily) if self.daily else {}), **daily}
            return replace(self, **mine, daily=Daily(**merged))
        return replace(self, **mine)


def _request_class(index: int, given: Mapping[str, Any]) -> RequestClass:
    match = given["match"]
    numbers = {key: value for key, value in given.items() if key not in ("match", "name")}
    return RequestClass(given.get("name", f"class {index + 1}"), match.get("path", "*"), match.get("method"), **numbers)


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
class KeysetSpec:
    """How the records of a single cursor tick are asked for by key: those after ``{cursor.key}``, in that order.

    ``start`` lies before every key.
    """

    path: Path
    start: str
    request: RequestSpec


@dataclass(frozen=True)
class IncrementalSpec:
    """How a stream is asked for what changed. ``resolution`` and ``lag`` are numbers for integer cursors.

    ``ends`` says that the vendor filters an upper bound ({cursor.end}, inclusive); ``window`` is the widest span one
    query may cover; with ``start`` the first read asks for changes from there instead of listing. ``anchor`` says that
    the vendor counts records to find a page, so that each page is asked for from the last cursor seen instead: a record
    that changes meanwhile leaves its place, and those behind it would be passed over.

    While fewer than ``whole_below`` records are live, listing them whole costs no more than asking for changes, and shows
    what a search hides (associations, vendors whose search lags); so the stream is listed. It also is when it was not read
    whole for as long as ``reconcile``, for changes that its cursor does not show.
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
    ends: bool = False
    window: timedelta | None = None
    keyset: KeysetSpec | None = None
    start: datetime | None = None
    anchor: bool = False
    reconcile: timedelta | None = None


@dataclass(frozen=True)
class DeletedSpec:
    """Which records are deletes: those whose value is one of ``equals``, or that have any value."""

    path: Path
    equals: tuple[str, ...] | None
    present: bool | None


@dataclass(frozen=True)
class DeletedListing:
    """Where the vendor lists deleted records, and what of them tells key and time.

    Where the stream says which records are deletes, that also holds here; else each record listed is one.
    """

    request: RequestSpec
    key: tuple[Path, ...]
    record_time: Path | None
    record_time_format: str


@dataclass(frozen=True)
class AbsenceSpec:
    """What it means that a complete snapshot does not show a record.

    ``twice``: deleted at the second time in a row. ``confirm``: as soon as ``item``, asked with ``{key}``, says so.
    """

    rule: str
    item: HydrateSpec | None = None


@dataclass(frozen=True)
class ParentSpec:
    """The stream each of whose records is a partition of this one."""

    stream: str
    bind: Mapping[str, Path]
    changed_only: bool


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a connector, defaults merged. ``source`` is its merged YAML, for documentation.

    ``with_parent``: whether a deleted parent takes its records along; ``None`` where the manifest does not say.
    """

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
    listing: DeletedListing | None = None
    absence: AbsenceSpec | None = None
    with_parent: bool | None = None


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
    notices: tuple[str, ...] = ()
    unauthorised: RefusedSpec | None = None

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
