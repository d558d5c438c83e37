"""What every stage is given: its only door to configuration, store and clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.config import ConnectionConfig, HubConfig
    from pipelines.store import Store


def _silent(_message: str) -> None:
    """Drop progress messages."""


@dataclass(frozen=True)
class StageContext:
    """Inputs of ``run(context) -> StageReport``.

    ``now`` is the only clock a stage may read. Ingest stages use ``connection`` and ``stream``; master stages
    use ``entity``. ``full`` recomputes everything and must give the same result as an incremental run. ``accept_deletes``
    names the ``connection/stream`` units whose deletes a person has looked at: the fuse lets them through.
    """

    config: HubConfig
    store: Store
    now: Callable[[], datetime]
    connection: ConnectionConfig | None = None
    stream: str | None = None
    entity: str | None = None
    full: bool = False
    tenant_id: int = 1
    actor: str = "system"
    cause: str = "sync"
    accept_deletes: frozenset[str] = frozenset()
    progress: Callable[[str], None] = field(default=_silent)

    def for_stream(self, connection: ConnectionConfig, stream: str) -> StageContext:
        """Return the context narrowed to one connection's stream."""
        return replace(self, connection=connection, stream=stream)

    def for_entity(self, entity: str) -> StageContext:
        """Return the context narrowed to one canonical entity."""
        return replace(self, entity=entity)
