"""What commands share: the --config option, opening the hub, printing."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.config import HubConfig
    from pipelines.context import StageContext
    from pipelines.store import Store

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file; else UNISONO_CONFIG, else ./unisono.yaml.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@dataclass
class _Global:
    """What stood before the command's name."""

    config: Path | None = None


GLOBAL = _Global()


def say(message: str) -> None:
    """Print a message for people to stderr: stdout belongs to results."""
    print(message, file=sys.stderr, flush=True)


def read_config(path: Path | None) -> HubConfig:
    """Load the configuration that the command, the program or the environment names."""
    from pipelines.config import load_config

    return load_config(path or GLOBAL.config)


@contextmanager
def open_hub(path: Path | None) -> Iterator[tuple[HubConfig, Store]]:
    """Open the store of a configuration, migrated to the newest schema, and close it again."""
    from pipelines.store import Store

    config = read_config(path)
    store = Store.open(config.store_url)
    try:
        yield config, store
    finally:
        store.close()


def make_context(
    config: HubConfig, store: Store, *, full: bool = False, progress: Callable[[str], None] | None = None
) -> StageContext:
    """Return a context on the wall clock, acting for the person at the keyboard."""
    from pipelines.context import StageContext

    context = StageContext(
        config=config, store=store, now=lambda: datetime.now(UTC), full=full, tenant_id=config.tenant_id
    )
    if progress is None:
        return context
    from dataclasses import replace

    return replace(context, progress=progress)


def person() -> str:
    """Return who is at the keyboard, for the audit."""
    import getpass

    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError):  # a container may have no name for its user
        return "user:unknown"
