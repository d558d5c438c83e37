"""The project's own simulator for whole syncs: served from a thread of the test, so that it outlives a killed process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connectors.sdk.testing.simulator import Simulator, World, demo_connections

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED, PEOPLE = 7, 60


@contextmanager
def vendors(*names: str, people: int = PEOPLE) -> Iterator[list[dict[str, Any]]]:
    """Serve a small world and yield its connections; all of them, or those named."""
    with Simulator(World(seed=SEED, people=people)) as url:
        yield [row for row in demo_connections(url) if not names or row["name"] in names]
