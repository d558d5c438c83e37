"""The fetch engine: reads one stream of one connection as a flow of pages, each safe to store and to go on from.

Pages of a partition come in order. Partitions run side by side, as many as the vendor's ``limits.concurrency`` allows.
The engine keeps no state: what a later run needs is in ``Page.position`` and ``Page.cursor``.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from connectors.sdk import incremental, instants
from connectors.sdk.chain import GONE, Chain, NoAccess, Progress, Restart
from connectors.sdk.partitions import Partition, partitions
from connectors.sdk.protocols import (
    Checkpoints,
    Completeness,
    ConnectionSettings,
    Page,
    PartitionState,
    Quota,
    ReadKind,
    Tokens,
)
from connectors.sdk.quota import AccountQuota
from connectors.sdk.records import RecordReader
from connectors.sdk.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from datetime import datetime

    from connectors.sdk.http import ClientFactory
    from connectors.sdk.specs import StreamSpec

_Item = Page | Exception | None


async def read_stream(
    stream: StreamSpec,
    connection: ConnectionSettings,
    *,
    checkpoints: Checkpoints,
    tokens: Tokens,
    quota: Quota | None = None,
    client_factory: ClientFactory | None = None,
    now: Callable[[], datetime],
    full: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Page, None]:
    """Yield every page of a stream, partition by partition; close the iterator when stopping early.

    The last page of each partition carries its completeness. Errors are FixConfig, FixConnector, RetryLater or
    StopStream; pages yielded before one remain valid. ``full`` ignores cursors and reads every parent's children;
    an unfinished snapshot is gone on with all the same.
    """
    quota = quota or AccountQuota.of(connection.manifest.limits)
    session = Session(connection, tokens=tokens, quota=quota, now=now, factory=client_factory, sleep=sleep)
    async with session:
        reading = _Reading(stream, session, checkpoints, now, full=full)
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                yield page


class _Reading:
    """One run over one stream."""

    def __init__(
        self,
        stream: StreamSpec,
        session: Session,
        checkpoints: Checkpoints,
        now: Callable[[], datetime],
        *,
        full: bool,
    ) -> None:
        self.stream, self.session, self.checkpoints, self.now, self.full = (
            stream,
            session,
            checkpoints,
            now,
            full,
        )
        self.records = RecordReader(stream, instants.zone(session.connection.timezone))
        self._answered = False
        self._gone: list[Page] = []

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Yield the pages of all partitions; those whose parent the vendor no longer knows come last.

        A 404 on one parent's children means that the parent is gone, if the children of another could be read; else
        it may just as well be the path.
        """
        todo = partitions(self.stream, self.checkpoints, full=self.full)
        alone = self.stream.parent is None and self.stream.partitions is None
        async with aclosing(self._partition(next(todo)) if alone else self._side_by_side(todo)) as pages:
            async for page in pages:
                yield page
        for page in self._gone:
            gone = replace(page, completeness=Completeness.COMPLETE, reason="the vendor no longer has the parent")
            yield gone if self._answered else page

    async def _side_by_side(self, todo: Iterator[Partition]) -> AsyncGenerator[Page, None]:
        """Yield pages as they come; the first error ends all."""
        width = self.session.connection.manifest.limits.concurrency
        queue: asyncio.Queue[_Item] = asyncio.Queue(maxsize=width)
        workers = [asyncio.create_task(self._work(todo, queue)) for _ in range(width)]
        try:
            running = width
            while running:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, todo: Iterator[Partition], queue: asyncio.Queue[_Item]) -> None:
        try:
            for partition in todo:
                async with aclosing(self._partition(partition)) as pages:
                    async for page in pages:
                        await queue.put(page)
            await queue.put(None)
        except Exception as why:  # noqa: BLE001  the reader of the queue raises it
            await queue.put(why)

    async def _partition(self, partition: Partition) -> AsyncGenerator[Page, None]:
        state = self.checkpoints.partition(partition.name) or PartitionState(partition.name)
        try:
            async with aclosing(self._chain(partition, state).pages()) as pages:
                async for page in pages:
                    self._answered = True
                    yield page
        except Restart:
            anew = replace(state, position=None)
            restarted = True
            async with aclosing(self._chain(partition, anew).pages()) as pages:
                async for page in pages:
                    yield replace(page, restarted=restarted)
                    restarted = False
        except NoAccess as why:
            page = self._no_access(partition, state, why)
            if why.refused.status in GONE and partition.parent is not None:
                self._gone.append(page)
            else:
                yield page

    def _chain(self, partition: Partition, state: PartitionState) -> Chain:
        progress = self._start(state)
        return Chain(self.stream, self.session, self.records, partition, state, progress, self.now)

    @cached_property
    def _is_small(self) -> bool:
        """True when listing the stream whole costs no more than asking for what changed."""
        spec = self.stream.incremental
        return spec is not None and 0 < spec.whole_below > self.checkpoints.live_records()

    def _start(self, state: PartitionState) -> Progress:
        if state.position is not None:
            unfinished = Progress.from_json(state.position)
            if unfinished.kind is ReadKind.SNAPSHOT or not self.full:
                return unfinished
        if self.stream.incremental is None or state.cursor is None or self.full or self._is_small:
            return Progress(ReadKind.SNAPSHOT, self.now())
        return Progress(ReadKind.INCREMENTAL, self.now(), since=incremental.parse(state.cursor))

    def _no_access(self, partition: Partition, state: PartitionState, why: NoAccess) -> Page:
        refused = why.refused
        scope = self.stream.scope or f"the permission to read {self.stream.title.lower()}"
        return Page(
            partition.name, self._start(state).kind, (), 0, cursor=state.cursor, parent_hash=partition.parent_hash,
            completeness=Completeness.NO_ACCESS,
            reason=f"{refused.where}: status {refused.status}: {refused.snippet} → give the credentials {scope}, or "
            "leave the stream out of streams:",
        )  # fmt: skip
