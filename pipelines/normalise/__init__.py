"""Normalise: landed payloads become canonical source rows, or quarantine rows with reason and path.

Guarantees: committed segments are consumed in commit order, each row once per mapping version; read = mapped + quarantined;
emitted = written + unchanged; what one record emits is replaced as a set; a record that cannot be mapped keeps its earlier
rows. ``full`` maps every newest landed record again and gives the same result.
"""

from __future__ import annotations

from pipelines.context import StageContext
from pipelines.normalise.unit import Unit
from pipelines.report import StageReport

__all__ = ["run"]


def run(context: StageContext) -> StageReport:
    """Map what was committed since the last run of the context's stream, and heads that an older mapping has read."""
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    with context.store.acquire(
        f"ingest/{connection.name}/{stream}", now=context.now, tenant_id=context.tenant_id
    ) as lease:
        return Unit(context, lease).run()
