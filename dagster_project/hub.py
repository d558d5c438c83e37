"""Which hub Dagster shows, and the store its assets work on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import dagster as dg

from connectors.sdk.errors import FixConfig
from pipelines.config import DEFAULT_FILE, HubConfig, load_config
from pipelines.context import StageContext
from pipelines.demo import DEMO_CONFIG, demo_config
from pipelines.store import Store


def load_hub() -> HubConfig:
    """Return the configuration of UNISONO_CONFIG, else ./unisono.yaml, else the demo's.

    Without any of them the demo's six connections are shown, so that a fresh clone has a graph to look at; nothing
    is written until something is materialized.
    """
    named = os.environ.get("UNISONO_CONFIG")
    if named or Path(DEFAULT_FILE).is_file():
        return load_config(named or DEFAULT_FILE)
    if DEMO_CONFIG.is_file():
        return load_config(DEMO_CONFIG)
    return demo_config()


class Hub(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the hub's store for one step and closes it again."""

    path: str

    @contextmanager
    def context(self, run_id: str, *, progress: Callable[[str], None]) -> Iterator[StageContext]:
        """Yield a stage context whose writes name this Dagster run as their cause."""
        config = self._config()
        store = Store.open(config.store_url)
        try:
            yield StageContext(
                config=config,
                store=store,
                now=lambda: datetime.now(UTC),
                tenant_id=config.tenant_id,
                actor="dagster",
                cause=f"run:{run_id}",
                progress=_shown(progress),
            )
        finally:
            store.close()

    def _config(self) -> HubConfig:
        file = Path(self.path)
        if file.is_file():
            return _load(file, file.stat().st_mtime_ns)
        if file == DEMO_CONFIG:
            do = "run `make demo` first, or write a unisono.yaml (`unisono init`)"
            raise FixConfig("the demo has not been run yet", where=str(file), do=do)
        raise FixConfig("the configuration is gone", where=str(file), do="put it back, then reload this code location")


@lru_cache(maxsize=2)
def _load(file: Path, _changed_ns: int) -> HubConfig:
    """Read a configuration once per change: a run has many steps, and each asks for it."""
    return load_config(file)


def _shown(progress: Callable[[str], None]) -> Callable[[str], None]:
    """Print progress when the demo asks for it; otherwise it goes to Dagster's log, which costs a commit a line."""
    if not os.environ.get("UNISONO_PROGRESS"):
        return progress
    return lambda message: print(f"  {message}", flush=True)  # noqa: T201  the demo's progress
