"""Extract: fetch one stream of one connection and land its records untouched, with the account of every one.

Guarantees: a kill at any moment loses nothing and lands nothing twice (a segment is one transaction); every record of the
wire is loaded, unchanged, duplicate, filtered (rule named) or quarantined; the load says whether it was complete.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from connectors.sdk.engine import read_stream
from connectors.sdk.errors import UnisonoError
from pipelines.context import StageContext
from pipelines.extract.checkpoints import StoreCheckpoints
from pipelines.extract.segments import SegmentWriter
from pipelines.extract.tokens import StoreTokens
from pipelines.landing import Landing
from pipelines.report import StageReport
from pipelines.store import Lease, heads, reads

__all__ = ["run"]


def run(context: StageContext) -> StageReport:
    """Read the context's stream to its end or to the first error; what was committed before an error stays.

    Such an error closes the load as PARTIAL and is the report's ``error``. Raises AlreadyRunning while another process holds
    the stream, and StoreFailure when not even the load can be closed.
    """
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    with context.store.acquire(
        f"ingest/{connection.name}/{stream}", now=context.now, tenant_id=context.tenant_id
    ) as lease:
        unit = _Unit(context, lease)
        try:
            asyncio.run(unit.fetch())
        except UnisonoError as error:
            return unit.close(error)
        return unit.close(None)


class _Unit:
    """One load: the stream's lease, its writer, and the loop between engine and writer."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        connection, stream = context.connection, context.stream
        assert connection is not None
        assert stream is not None
        self.context, self.lease, self.connection, self.stream = context, lease, connection, stream
        self.manifest = connection.connector.manifest
        self.spec = self.manifest.streams[stream]
        with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
            self.connection_id = reads.register_connection(tx, connection.name, self.manifest.name, self.manifest.major)
            self.load_id = reads.open_load(tx, self.connection_id, stream)
        self.landing = Landing(context.config.landing_url)
        self.writer = SegmentWriter(context, lease, self.landing, self.connection_id, self.load_id, self.spec)
        committed = (
            file["name"]
            for file in heads.committed_files(context.store, self.connection_id, stream, tenant_id=context.tenant_id)
        )
        self.landing.collect(self.writer.folder, lease.fence, committed)

    async def fetch(self) -> None:
        """Drive the engine; what it yielded before an error is committed before the error goes on."""
        settings = self.connection.settings(self.connection_id)
        checkpoints = StoreCheckpoints(self.context, self.landing, self.connection_id, self.spec, self.manifest)
        tokens = StoreTokens(self.context.store, tenant_id=self.context.tenant_id)
        pages = read_stream(
            self.spec, settings, checkpoints=checkpoints, tokens=tokens, now=self.context.now, full=self.context.full
        )
        try:
            async with aclosing(pages) as flow:
                async for page in flow:
                    self.writer.add(page)
        finally:
            self.writer.flush()

    def close(self, error: UnisonoError | None) -> StageReport:
        """Close the load and report it."""
        verdict = None if error is None else "PARTIAL"
        with self.context.store.write(self.lease, cause=self.context.cause, actor=self.context.actor) as tx:
            result = reads.finish_load(tx, self.load_id, completeness=verdict)
        counts = {"read" if name == "wire" else name: count for name, count in result.counts.items()}
        details: dict[str, Any] = {"filtered_by": dict(self.writer.filtered_by)} if self.writer.filtered_by else {}
        if self.writer.reasons:
            details["reason"] = "; ".join(sorted(self.writer.reasons))
        return StageReport(
            stage="extract",
            connection=self.connection.name,
            stream=self.stream,
            counts=counts,
            completeness=result.completeness,
            error=None if error is None else str(error),
            details=details,
            exit_code=1 if error is None else error.exit_code,
        )
