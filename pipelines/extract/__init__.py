"""Extract: fetch one stream of one connection and land its records untouched, with the account of every one.

Guarantees: a kill at any moment loses nothing and lands nothing twice (a segment is one transaction); every record of the
wire is loaded, unchanged, duplicate, filtered (rule named) or quarantined; the load says whether it was complete.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from connectors.sdk.confirm import existing
from connectors.sdk.engine import read_stream
from connectors.sdk.errors import FixConfig, Unaccounted, UnisonoError
from connectors.sdk.notices import Notices
from pipelines.context import StageContext
from pipelines.dlt_bridge.declare import DltStream
from pipelines.extract.checkpoints import StoreCheckpoints
from pipelines.extract.deletes import Deletes, TooManyDeletes
from pipelines.extract.health import note
from pipelines.extract.opaque import opaque_state
from pipelines.extract.quota import store_quota
from pipelines.extract.segments import SegmentWriter
from pipelines.extract.tokens import tokens_for
from pipelines.extract.watch import fuse_of, watch
from pipelines.landing import Landing
from pipelines.report import StageReport
from pipelines.store import Lease, heads, profiles, reads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from connectors.sdk.protocols import ConnectionSettings, Page, Quota, Tokens

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
            self.load_id = reads.open_load(tx, self.connection_id, stream, connector_version=self.manifest.version)
        self.tokens: Tokens | None = None
        self.deletes: dict[str, Any] = {}
        self.notices = Notices(self.manifest.notices)
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
        pages = self._pages(settings, checkpoints)
        fuse = fuse_of(self.connection, self.stream)
        try:
            async with aclosing(pages) as flow:
                async for page in flow:
                    watch(fuse, page)
                    self.writer.add(page)
        finally:
            self.writer.flush()
        await self._judge_deletes(settings)

    async def _judge_deletes(self, settings: ConnectionSettings) -> None:
        """Delete what the reads have proven to be gone, as far as the fuse lets it."""
        spec = self.spec.absence

        async def still_there(keys: list[str]) -> set[str]:
            assert spec is not None
            assert spec.item is not None
            tokens, quota = self._tools(settings)
            return await existing(spec.item, settings, keys, tokens=tokens, quota=quota, now=self.context.now)

        judging = Deletes(self.context, self.lease, self.landing, self.connection_id, self.load_id, self.spec)
        try:
            await judging.judge(still_there)
        finally:
            self.deletes = judging.details

    def _tools(self, settings: ConnectionSettings) -> tuple[Tokens, Quota]:
        """Return where the connection keeps its tokens, and what its account may still ask."""
        store, now, tenant_id = self.context.store, self.context.now, self.context.tenant_id
        self.tokens = tokens_for(store, settings, now=now, tenant_id=tenant_id)
        return self.tokens, store_quota(store, settings, now=now, tenant_id=tenant_id)

    def _pages(self, settings: ConnectionSettings, checkpoints: StoreCheckpoints) -> AsyncGenerator[Page, None]:
        """Ask the fetch engine for the stream, or dlt where the connection says so."""
        if isinstance(self.spec, DltStream):
            from pipelines.dlt_bridge.read import read_resource  # noqa: PLC0415  imports dlt: only who needs it pays

            store, tenant_id = self.context.store, self.context.tenant_id
            known = opaque_state(store, self.connection_id, self.spec.name, tenant_id=tenant_id)
            return read_resource(self.spec, settings, known=known, full=self.context.full)
        tokens, quota = self._tools(settings)
        return read_stream(
            self.spec, settings, checkpoints=checkpoints, tokens=tokens, quota=quota, now=self.context.now,
            full=self.context.full, notices=self.notices,
        )  # fmt: skip

    def close(self, error: UnisonoError | None) -> StageReport:
        """Close the load and report it."""
        verdict = None if error is None or isinstance(error, TooManyDeletes) else "PARTIAL"
        with self.context.store.write(self.lease, cause=self.context.cause, actor=self.context.actor) as tx:
            result = reads.finish_load(tx, self.load_id, completeness=verdict)
            profiles.keep_notices(
                tx, self.connection_id, self.stream, [asdict(one) for one in self.notices.found.values()]
            )
        note(self.context, self.connection_id, self.tokens, error)
        counts = {"read" if name == "wire" else name: count for name, count in result.counts.items()}
        details: dict[str, Any] = {"filtered_by": dict(self.writer.filtered_by)} if self.writer.filtered_by else {}
        if self.writer.reasons:
            details["reason"] = "; ".join(sorted(self.writer.reasons))
        details |= self.deletes
        if isinstance(error, Unaccounted):
            details["unaccounted"] = error.why
        return StageReport(
            stage="extract",
            connection=self.connection.name,
            stream=self.stream,
            counts=counts,
            completeness=result.completeness,
            error=None if error is None else str(error),
            details=details,
            exit_code=1 if error is None else error.exit_code,
            stops_connection=isinstance(error, FixConfig),
        )
