"""unisono.yaml: where the store and the landing are, and which connections there are.

Secrets stay as references (``${ENV_NAME}`` or ``keyring:service/name``) until a connection is used, so that listing,
planning and drawing connections never needs them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.sdk.catalog import ConnectorFolder, find_connectors
from connectors.sdk.errors import FixConfig
from connectors.sdk.manifest import connect
from connectors.sdk.protocols import ConnectionSettings
from connectors.sdk.yaml_lines import Locate, load_yaml, suggest, validate
from pipelines.dlt_bridge.declare import declare
from pipelines.fuse import FuseLimits
from pipelines.spark.settings import SparkSettings

DEFAULT_FILE = "unisono.yaml"
_SCHEMA = json.loads(Path(__file__).with_name("config_schema.json").read_text(encoding="utf-8"))
_ACCOUNT_KEYS = ("allow_private_networks", "patience_s", "limits")
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_KEYRING = re.compile(r"^keyring:([^/]+)/(.+)$")


@dataclass(frozen=True)
class ConnectionConfig:
    """One configured account at one vendor; ``config`` holds references, ``secrets()`` their values."""

    name: str
    connector: ConnectorFolder
    base_url: str | None = None
    streams: tuple[str, ...] = ()
    timezone: str | None = None
    region: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    quarantine: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)

    def fuse(self, stream: str) -> FuseLimits:
        """Return how many of the last records of a stream may be bad before its load stops."""
        given = {**self.quarantine, **self.quarantine.get("streams", {}).get(stream, {})}
        return FuseLimits(**{name: given[name] for name in ("window", "max_bad") if name in given})

    def settings(self, connection_id: str) -> ConnectionSettings:
        """Return what the fetch engine needs, secrets resolved and checked; raise FixConfig naming what is wrong."""
        values = {key: _resolve(value, f"{self.where} config.{key}") for key, value in self.config.items()}
        settings = connect(
            self.connector.manifest,
            name=self.name,
            connection_id=connection_id,
            config=values,
            base_url=self.base_url,
            timezone=self.timezone,
            streams=self.streams,
            where=self.where,
        )
        return self._with_account(settings)

    def _with_account(self, settings: ConnectionSettings) -> ConnectionSettings:
        """Add what the operator says of this account: its limits, how long to wait for it, private networks."""
        given = self.account
        limits = settings.manifest.limits.changed(given["limits"]) if "limits" in given else None
        return replace(
            settings, allow_private=given.get("allow_private_networks", False), account_limits=limits,
            patience_s=given.get("patience_s", settings.patience_s),
        )  # fmt: skip


@dataclass(frozen=True)
class ExportConfig:
    """A place golden tables are exported to; ``config`` holds references, ``values()`` what they stand for."""

    name: str
    destination: str
    dataset: str = "unisono"
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    where: str = ""
    folder: Path = Path()

    def values(self) -> Mapping[str, Any]:
        """Return the destination's arguments, secrets resolved; raise FixConfig naming one that is missing."""
        return {key: _resolve(value, f"{self.where} config.{key}") for key, value in self.config.items()}


@dataclass(frozen=True)
class HubConfig:
    """The whole of unisono.yaml, checked; paths are absolute, resolved from the file's own folder."""

    path: Path
    store_url: str
    landing_url: str
    connections: tuple[ConnectionConfig, ...]
    connector_paths: tuple[Path, ...] = ()
    tenant_id: int = 1
    survivorship: Path | None = None
    identity: Path | None = None
    channels: Path | None = None
    exports: Mapping[str, ExportConfig] = field(default_factory=dict)
    spark: SparkSettings | None = None

    @cached_property
    def connectors(self) -> Mapping[str, ConnectorFolder]:
        """All connectors that can be found, by name."""
        return find_connectors(self.connector_paths)

    def connection(self, name: str) -> ConnectionConfig:
        """Return the connection called ``name``; raise FixConfig naming the configured ones."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        names = [connection.name for connection in self.connections]
        raise FixConfig(f"no connection '{name}'", where=str(self.path), do=suggest(name, names))


def find_config(explicit: str | Path | None = None) -> Path:
    """Return the configuration file: ``--config``, else ``UNISONO_CONFIG``, else ``./unisono.yaml``."""
    path = Path(explicit or os.environ.get("UNISONO_CONFIG") or DEFAULT_FILE)
    if not path.is_file():
        raise FixConfig("no configuration found", where=str(path), do="run `unisono init`, or name one with --config")
    return path.resolve()


def load_config(path: str | Path | None = None) -> HubConfig:
    """Read and check a configuration; raise FixConfig with file:line on the first fault."""
    file = find_config(path)
    data, locate = load_yaml(file, error=FixConfig)
    validate(data if data is not None else {}, _SCHEMA, locate, error=FixConfig)
    extra = tuple(_path(file, item) for item in data.get("connector_paths", ()))
    known = find_connectors(extra)
    shared = {key: data[key] for key in ("allow_private_networks", "patience_s") if key in data}
    rows = enumerate({**shared, **row} for row in data["connections"])
    connections = tuple(_connection(row, ("connections", index), known, locate) for index, row in rows)
    _refuse_twins(connections)
    return HubConfig(
        path=file,
        store_url=_store_url(file, data.get("store", "sqlite:///data/unisono.db")),
        landing_url=_landing_url(file, data.get("landing", "data/landing")),
        connections=connections,
        connector_paths=extra,
        tenant_id=data.get("tenant", 1),
        survivorship=_optional(file, data.get("survivorship")),
        identity=_optional(file, data.get("identity")),
        channels=_optional(file, data.get("channels")),
        exports=_exports(file, data.get("exports", {}), locate),
        spark=SparkSettings.of(data.get("spark", {})) if data.get("engine") == "spark" else None,
    )


def _exports(file: Path, given: Mapping[str, Any], locate: Locate) -> Mapping[str, ExportConfig]:
    places = {name: locate.where(("exports", name)) for name in given}
    return {name: ExportConfig(name, **row, where=places[name], folder=file.parent) for name, row in given.items()}


def _connection(
    row: Mapping[str, Any], at: tuple[str | int, ...], known: Mapping[str, ConnectorFolder], locate: Locate
) -> ConnectionConfig:
    if "dlt" in row:
        return _dlt_connection(row, at, locate)
    if "mapping" in row:
        do = "remove it: a connector has a mapping of its own"
        raise FixConfig("mapping: goes with dlt: only", where=locate.where((*at, "mapping")), do=do)
    if "connector" not in row:
        do = "name one (`unisono connectors list`), or give the connection a dlt: block"
        raise FixConfig("missing 'connector'", where=locate.where(at), do=do)
    connector = known.get(row["connector"])
    if connector is None:
        where = locate.where((*at, "connector"))
        raise FixConfig(f"no connector '{row['connector']}'", where=where, do=suggest(row["connector"], sorted(known)))
    streams = _streams(row, at, connector, locate)
    _check_zone(row.get("timezone"), locate.where((*at, "timezone")))
    config = row.get("config", {})
    _check_keys(config, connector, (*at, "config"), locate)
    return ConnectionConfig(
        name=row["name"],
        connector=connector,
        base_url=row.get("base_url"),
        streams=streams,
        timezone=row.get("timezone"),
        region=row.get("region"),
        config=config,
        where=locate.where((*at, "config")),
        quarantine=row.get("quarantine", {}),
        account={key: row[key] for key in _ACCOUNT_KEYS if key in row},
    )


def _dlt_connection(row: Mapping[str, Any], at: tuple[str | int, ...], locate: Locate) -> ConnectionConfig:
    """Return a connection that dlt reads; its connector is made of the declaration."""
    connector = declare(row, at, locate)
    _check_zone(row.get("timezone"), locate.where((*at, "timezone")))
    return ConnectionConfig(
        name=row["name"],
        connector=connector,
        streams=_streams(row, at, connector, locate),
        timezone=row.get("timezone"),
        region=row.get("region"),
        config=row["dlt"].get("config", {}),
        where=locate.where((*at, "dlt")),
        quarantine=row.get("quarantine", {}),
        account={key: row[key] for key in _ACCOUNT_KEYS if key in row},
    )


def _streams(
    row: Mapping[str, Any], at: tuple[str | int, ...], connector: ConnectorFolder, locate: Locate
) -> tuple[str, ...]:
    """Return the streams to sync in the manifest's order, parents of chosen children included."""
    specs = connector.manifest.streams
    chosen = row.get("streams") or [name for name, spec in specs.items() if spec.default]
    for index, name in enumerate(chosen):
        if name not in specs:
            where = locate.where((*at, "streams", index))
            raise FixConfig(f"{connector.name} has no stream '{name}'", where=where, do=suggest(name, list(specs)))
    needed = set(chosen)
    for name in chosen:
        parent = specs[name].parent
        while parent is not None:
            needed.add(parent.stream)
            parent = specs[parent.stream].parent
    return tuple(name for name in specs if name in needed)


def _check_keys(
    config: Mapping[str, Any], connector: ConnectorFolder, at: tuple[str | int, ...], locate: Locate
) -> None:
    allowed = list(connector.manifest.config_schema.get("properties", {}))
    for key in config:
        if key not in allowed:
            do = suggest(key, allowed)
            raise FixConfig(f"{connector.name} knows no config key '{key}'", where=locate.where((*at, key)), do=do)


def _check_zone(name: str | None, where: str) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as why:
        raise FixConfig(
            f"unknown time zone '{name}'", where=where, do="use an IANA name, for example Europe/Berlin"
        ) from why


def _refuse_twins(connections: tuple[ConnectionConfig, ...]) -> None:
    seen: dict[str, str] = {}
    for connection in connections:
        if connection.name in seen:
            first = seen[connection.name]
            raise FixConfig(
                f"two connections are called '{connection.name}'",
                where=connection.where,
                do=f"rename one; the first is at {first}",
            )
        seen[connection.name] = connection.where


def _resolve(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, f"{where}[{index}]") for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    ring = _KEYRING.match(value)
    if ring:
        return _from_keyring(ring[1], ring[2], where)
    return _ENV.sub(lambda found: _from_env(found[1], where), value)


def _from_env(name: str, where: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise FixConfig(
            f"the environment variable {name} is not set", where=where, do=f"export {name}=…, then run again"
        )
    return value


def _from_keyring(service: str, name: str, where: str) -> str:
    import keyring  # noqa: PLC0415  slow to import, rarely used

    value = keyring.get_password(service, name)
    if value is None:
        raise FixConfig(f"the keyring holds no {service}/{name}", where=where, do=f"run `keyring set {service} {name}`")
    return value


def _path(file: Path, text: str) -> Path:
    return (file.parent / Path(text).expanduser()).resolve()


def _optional(file: Path, text: str | None) -> Path | None:
    return None if text is None else _path(file, text)


def _store_url(file: Path, url: str) -> str:
    """Make the path of a SQLite URL absolute; other URLs pass, with ``${ENV}`` resolved."""
    url = _resolve(url, f"{file} store")
    head, sep, tail = url.partition(":///")
    if head.split("+")[0] == "sqlite" and sep and tail and not tail.startswith("/"):
        return f"{head}:///{_path(file, tail)}"
    return str(url)


def _landing_url(file: Path, url: str) -> str:
    url = _resolve(url, f"{file} landing")
    return url if "://" in url else str(_path(file, url))
