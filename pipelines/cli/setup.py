"""``unisono init`` and ``unisono doctor``: get started, and find out what is wrong."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors.sdk.errors import FixConfig, UnisonoError
from pipelines.cli.common import ConfigOption, read_config, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.config import HubConfig
    from pipelines.store import Store

_EXPIRES_SOON = timedelta(minutes=5)
_LOW_SPACE = 1 << 30
# Pairs that import together and fail later; the bounds in pyproject.toml exclude them, a hand-made environment may not.
_CLASHES = (
    (
        "dlt",
        "sqlglot",
        (30, 25),
        "dlt reads datasets through a sqlglot call that 30.25 removed",
        "pip install 'sqlglot<=30.20'",
    ),
    ("dlt", "duckdb", (2, 0), "dlt reads datasets through a duckdb call that 2.0 removed", "pip install 'duckdb<2'"),
)

_TEMPLATE = """\
# Unisono's configuration. Relative paths count from this file. Keys and their meaning: README.md of the project.

# Where golden records live: SQLite needs nothing; for production: postgresql://user@host/database
store: sqlite:///data/unisono.db

# Where payloads land, untouched, as Parquet: a folder, or any fsspec URL such as s3://bucket/landing
landing: data/landing

# Folders with connectors of your own (each a folder with manifest.yaml and mapping.yaml).
# connector_paths: [my_connectors]

# One entry per account at a vendor. Secrets are named, never written here: ${ENV_NAME} or keyring:service/name.
connections:
{connections}
"""

_DLT_EXAMPLE = """\
  # Any dlt source: rest_api, sql_database, filesystem, or module:function of an installed one. See docs/how-to/dlt.md.
  # - name: legacy
  #   dlt:
  #     source: sql_database
  #     config: {credentials: "${LEGACY_DB_URL}"}
  #     streams:
  #       customers: {record_time: updated_at, incremental: {cursor_path: updated_at}}
  #   mapping: my_mappings/legacy        # a folder with mapping.yaml: which column is which canonical term

# Where `unisono export --to NAME` writes golden records: any dlt destination.
# exports:
#   warehouse: {destination: duckdb, config: {credentials: data/warehouse.duckdb}}"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    app.command("doctor")(doctor)
    group = typer.Typer(help="The key that seals stored tokens.", no_args_is_help=True)
    group.command("new")(new_key)
    group.callback()(_key_group)
    app.add_typer(group, name="key")


def _key_group() -> None:
    """The key that seals stored tokens."""


def new_key() -> None:
    """Print a fresh key for UNISONO_KEY; it is shown once and stored nowhere."""
    from pipelines.store.sealing import new_key as make

    print(make())
    say("next: export UNISONO_KEY=… (or `keyring set unisono key`), and keep a copy: without it stored tokens are lost")
    say("to change keys: UNISONO_KEY=new,old; what the old key sealed opens, and is sealed anew with the next token")


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("unisono.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite it.")] = False,
) -> None:
    """Write a commented unisono.yaml with an example of every connector, all commented out but the first."""
    if path.exists() and not force:
        raise FixConfig("the file is there already", where=str(path), do="edit it, or say --force")
    path.write_text(_TEMPLATE.replace("{connections}", _examples()), encoding="utf-8")
    print(path)
    say("next: uncomment the connections you have, export their secrets, run `unisono doctor`, then `unisono sync`")


def _examples() -> str:
    from connectors.sdk.catalog import find_connectors

    blocks = []
    for folder in find_connectors().values():
        if folder.name == "acme":
            continue
        first = folder.manifest.auth[0].when
        keys = ", ".join(f'{key}: "${{{folder.name.upper()}_{key.upper()}}}"' for key in first)
        blocks.append(
            f"  # {folder.manifest.title}: {folder.manifest.summary}\n"
            f"  # - name: {folder.name}\n  #   connector: {folder.name}\n  #   config: {{{keys}}}"
        )
    return "  []\n" + "\n".join([*blocks, _DLT_EXAMPLE])


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``ok``, ``warn`` or ``bad``, and what to do."""

    level: str
    what: str
    do: str = ""


def doctor(config: ConfigOption = None) -> None:
    """Say what is wrong with this installation and what to do; exit 1 if something stops it from working."""
    findings = [*_check_python(), *_check_packages(), *_check_hub(config)]
    for finding in findings:
        print(f"{finding.level:<5} {finding.what}" + (f"\n      → {finding.do}" if finding.do else ""))
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(1)


def _check_python() -> Iterator[Finding]:
    version = sys.version_info
    ok = version >= (3, 11)
    text = f"Python {version.major}.{version.minor}.{version.micro}"
    yield Finding("ok", text) if ok else Finding("bad", text, "install Python 3.11 or newer")


def _check_packages() -> Iterator[Finding]:
    for one, other, broken, why, do in _CLASHES:
        version = tuple(int(part) for part in importlib.metadata.version(other).split(".")[:2] if part.isdigit())
        if version >= broken:
            yield Finding("warn", f"{one} with {other} {'.'.join(map(str, version))}: {why}", do)
    yield Finding("ok", f"unisono {importlib.metadata.version('unisono')}")


def _check_hub(path: Path | None) -> Iterator[Finding]:
    try:
        hub = read_config(path)
    except UnisonoError as error:
        yield Finding("bad", str(error))
        return
    yield Finding("ok", f"configuration {hub.path}")
    yield from _check_space(hub)
    yield from _check_connections(hub)
    yield from _check_store(hub)


def _check_space(hub: HubConfig) -> Iterator[Finding]:
    if "://" in hub.landing_url:
        return
    place = Path(hub.landing_url)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        yield Finding("bad", f"{place} cannot be written", "change its owner or set another `landing:`")
    elif free < _LOW_SPACE:
        yield Finding("warn", f"{free >> 20} MiB free at {place}", "free some space: a full disk stops a sync, cleanly")
    else:
        yield Finding("ok", f"{free >> 30} GiB free at {place}")


def _check_connections(hub: HubConfig) -> Iterator[Finding]:
    from connectors.sdk.auth import rotates

    rotating = False
    for connection in hub.connections:
        try:
            settings = connection.settings(connection.name)
            rotating = rotates(settings) or rotating
        except UnisonoError as error:
            yield Finding("bad", f"connection {connection.name}: {error}")
        else:
            yield Finding("ok", f"connection {connection.name}: {len(connection.streams)} streams")
    yield from _check_key(needed=rotating)


def _check_key(*, needed: bool) -> Iterator[Finding]:
    """Say whether tokens can be sealed; without a connection that must store some, the keyring is not asked."""
    from pipelines.store.sealing import VARIABLE, find_sealer

    if not needed and not os.environ.get(VARIABLE):
        return
    try:
        sealer = find_sealer()
    except UnisonoError as error:
        yield Finding("bad", str(error))
        return
    if sealer is not None:
        yield Finding("ok", f"key {sealer.key_id} seals stored tokens")
    else:
        do = "`unisono key new` makes one; export UNISONO_KEY=…, or `keyring set unisono key`"
        yield Finding("bad", "no key: a connection with a refresh_token will not start", do)


def _check_health(store: Store) -> Iterator[Finding]:
    """Say how the connections were when they were fetched last, and what is put off until when."""
    from pipelines.store.connection_health import HealthState, read_deferred, read_health

    now = datetime.now(UTC)
    for health in read_health(store):
        state = health.state_at(now, _EXPIRES_SOON)
        text = f"connection {health.name}: {state.value}"
        if state is HealthState.LIMITED and health.limited_until is not None:
            text += f" until {health.limited_until:%Y-%m-%d %H:%M:%S} UTC"
        if state is HealthState.EXPIRING and health.token_expires_at is not None:
            text += f" at {health.token_expires_at:%Y-%m-%d %H:%M:%S} UTC; the next run renews the token"
        if state in (HealthState.OK, HealthState.EXPIRING):
            yield Finding("ok", text)
        else:
            yield Finding("bad" if state is HealthState.NEEDS_REAUTH else "warn", text, health.last_error or "")
    for put_off in read_deferred(store):
        at = f"{put_off.not_before:%Y-%m-%d %H:%M:%S} UTC"
        yield Finding(
            "warn", f"{put_off.connection}/{put_off.stream} is put off, not before {at}", put_off.reason or ""
        )


def _check_outlook(store: Store, hub: HubConfig) -> Iterator[Finding]:
    """Say what vendors announce, and which mapped paths broke."""
    from datetime import UTC, datetime

    from pipelines.store import profiles

    now = datetime.now(UTC)
    for notice in profiles.notices(store, tenant_id=hub.tenant_id):
        left = notice.days_left(now)
        when = "" if left is None else f", {left} days left"
        what = (
            f"{notice.connection_id}/{notice.stream}: the vendor announces {notice.header} for {notice.endpoint}{when}"
        )
        yield Finding("warn", what, notice.link or notice.value)
    for one in profiles.events(store, tenant_id=hub.tenant_id):
        if one.level == "error":
            what = f"{one.connection_id}/{one.stream}: {one.path} {one.kind}, and the mapping reads it"
            yield Finding("warn", what, "see `unisono drift`; mend the mapping, or accept it there")


def _check_store(hub: HubConfig) -> Iterator[Finding]:
    from pipelines.store import Store
    from pipelines.store.doctor import facts

    try:
        store = Store.open(hub.store_url)
    except UnisonoError as error:
        yield Finding("bad", f"store: {error}")
        return
    try:
        for fact in facts(store):
            yield Finding("ok" if fact.ok else "warn", f"{fact.name}: {fact.value}", fact.do or "")
        yield from _check_health(store)
        yield from _check_outlook(store, hub)
    finally:
        store.close()
