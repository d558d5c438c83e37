"""What every test gets: no network, no telemetry, no leftovers of the user's own configuration."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipelines.store import Store
from tests import _network
from tests._hub import Hub, make_hub
from tests._spark import compiled, spark  # noqa: F401  fixtures
from tests._stores import (  # noqa: F401  fixtures
    _postgres_shared,
    _sqlite_template,
    postgres_empty_url,
    postgres_server,
    postgres_store,
    postgres_url,
    sqlite_store,
    sqlite_url,
    store,
    store_url,
)

_network.block()
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")


_TOGETHER = ("spark", "demo")


def pytest_configure() -> None:
    """Let interrupts through: a program started in the background inherits that they are ignored, and so do its children.

    Dagster would put the same on SIGTERM, and no process that a test starts could be ended any more.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that share a costly fixture first: xdist deals in batches, so one worker gets them all and makes it once."""
    items.sort(
        key=lambda item: next((n for n, name in enumerate(_TOGETHER) if item.get_closest_marker(name)), len(_TOGETHER))
    )


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the caller's hub: a test names its own."""
    monkeypatch.delenv("UNISONO_CONFIG", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def hub(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with the toy connector; runs a test on SQLite and on PostgreSQL."""
    return make_hub(tmp_path, store, monkeypatch)


@pytest.fixture
def sqlite_hub(tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with the toy connector on SQLite."""
    return make_hub(tmp_path, sqlite_store, monkeypatch)
