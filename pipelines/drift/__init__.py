"""Drift: what a load's payloads look like, against the declared schema, the mapping and the loads before.

Guarantees: each committed segment is looked at once; what is new is told before it is mapped; nothing is blocked (that is the
work of quarantine and fuse), and no personal value is kept. A load that brought nothing costs nothing.
"""

from __future__ import annotations

from pipelines.context import StageContext
from pipelines.drift.stage import Unit
from pipelines.report import StageReport

__all__ = ["run"]


def run(context: StageContext) -> StageReport:
    """Profile what was committed since the last run of the context's stream, and record how it differs."""
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    with context.store.acquire(
        f"ingest/{connection.name}/{stream}", now=context.now, tenant_id=context.tenant_id
    ) as lease:
        return Unit(context, lease).run()
