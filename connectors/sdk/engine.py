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
from connectors.sdk.chain import GONE, Chain, NoAccess, Restart
from connectors.sdk.notices import Notices
from connectors.sdk.partitions import Partition, partitions
from connectors.sdk.progress import Progress
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
from connectors.sdk.specs import DeletedSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from datetime import datetime

    from connectors.sdk.http import ClientFactory
    from connectors.sdk.instants import Cursor
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
    notices: Notices | None = None,
) -> AsyncGenerator[Page, None]:
    """Yield every page of a stream, partition by partition; close the iterator when stopping early.

    The last page of each partition carries its completeness. Errors are FixConfig, FixConnector, RetryLater or
    StopStream; pages yielded before one remain valid. ``full`` ignores cursors and reads every parent's children;
    an unfinished snapshot is gone on with all the same.
    """
    quota = quota or AccountQuota.of(connection.manifest.limits)
    session = Session(
        connection, tokens=tokens, quota=quota, now=now, factory=client_factory, sleep=sleep, notices=notices
    )
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
        spec = self.stream
        alone = spec.parent is None and spec.partitions is None and spec.listing is None
        async with aclosing(self._partition(next(todo)) if alone else self._side_by_side(todo)) as pages:
            async for page in pages:
                yield page
        for page in self._gone:
            gone = replace(page, completeness=Completeness.COMPLETE, reason="the vendor no longer has the parent")
            yield gone if self._answered else page

    async def _side_by_side(self, todo: Iterator[Partition]) -> AsyncGenerator[Page, None]:
        """Yield pages as they come; the first error ends all."""
        width = self.session.connection.limits.concurrency
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
        """Yield the pages of a partition: what changed since an unfinished read of everything began, then its rest."""
        state = partition.state or PartitionState(partition.name)
        if self._wants_changes(partition, state):
            async with aclosing(self._changes(partition, state)) as pages:
                async for page in pages:
                    state = _moved(state, page)
                    yield page
        if self._wants_all(state):
            async with aclosing(self._everything(partition, state)) as pages:
                async for page in pages:
                    yield page

    def _wants_all(self, state: PartitionState) -> bool:
        """Return whether everything is read: at first, when that broke off, on demand, when due, and without a cursor."""
        never = self.stream.incremental is None or state.cursor is None
        return never or state.position is not None or self.full or self._is_small or self._is_overdue(state)

    def _is_overdue(self, state: PartitionState) -> bool:
        """Return whether the stream was not read whole for as long as its manifest allows."""
        every = self.stream.incremental.reconcile if self.stream.incremental is not None else None
        return every is not None and (state.whole is None or self.now() - state.whole >= every)

    def _wants_changes(self, partition: Partition, state: PartitionState) -> bool:
        """Return whether changes are asked for; a read of everything that begins now would bring them itself."""
        if self.stream.incremental is None or partition.request is not None or self._since(state) is None:
            return False
        return state.position is not None or not self._wants_all(state)

    def _since(self, state: PartitionState) -> Cursor | None:
        """Return the cursor to ask from; while the first read of everything is unfinished, the moment it began."""
        spec = self.stream.incremental
        if state.cursor is not None:
            return incremental.parse(state.cursor)
        if state.position is None or spec is None or isinstance(spec.resolution, int):
            return None
        return Progress.from_json(state.position).began

    async def _changes(self, partition: Partition, state: PartitionState) -> AsyncGenerator[Page, None]:
        since = self._since(state)
        begun = None if state.changes is None else Progress.from_json(state.changes)
        fresh = Progress(ReadKind.INCREMENTAL, self.now(), since=since)
        async with aclosing(self._read(partition, state, begun or fresh, fresh)) as pages:
            async for page in pages:
                yield page

    async def _everything(self, partition: Partition, state: PartitionState) -> AsyncGenerator[Page, None]:
        """Yield the pages of a read of everything; when it takes long, changes are asked for in between."""
        fresh = self._whole(partition)
        begun = fresh if state.position is None else Progress.from_json(state.position)
        state = replace(state, position=(state.position or fresh.to_json()))
        due = self._due()
        async with aclosing(self._read(partition, state, begun, fresh)) as pages:
            async for page in pages:
                yield page
                if due is None or page.completeness is not None or self.now() < due:
                    continue
                if self._wants_changes(partition, state):
                    async with aclosing(self._changes(partition, state)) as changes:
                        async for change in changes:
                            state = _moved(state, change)
                            yield change
                due = self._due()

    def _whole(self, partition: Partition) -> Progress:
        spec = self.stream.incremental
        if spec is None or partition.request is not None:
            return Progress(ReadKind.SNAPSHOT, self.now())
        return Progress(ReadKind.BACKFILL, self.now(), since=spec.start, anchored=spec.start is not None)

    def _due(self) -> datetime | None:
        """Return when changes are due again while everything is read."""
        return None if self.stream.cadence is None else self.now() + self.stream.cadence

    async def _read(
        self, partition: Partition, state: PartitionState, begun: Progress, fresh: Progress
    ) -> AsyncGenerator[Page, None]:
        """Yield the pages of one read; a vendor that no longer knows where it stood makes it begin anew."""
        try:
            async with aclosing(self._chain(partition, state, begun).pages()) as pages:
                async for page in pages:
                    self._answered = True
                    yield page
        except Restart:
            restarted = True
            async with aclosing(self._chain(partition, state, fresh).pages()) as pages:
                async for page in pages:
                    yield replace(page, restarted=restarted)
                    restarted = False
        except NoAccess as why:
            page = self._no_access(partition, state, begun.kind, why)
            if why.refused.status in GONE and partition.parent is not None:
                self._gone.append(page)
            else:
                yield page

    def _chain(self, partition: Partition, state: PartitionState, progress: Progress) -> Chain:
        records = self.records if partition.request is None else self._deleted_records
        return Chain(self.stream, self.session, records, partition, state, progress, self.now)

    @cached_property
    def _deleted_records(self) -> RecordReader:
        """Reads a list of deleted records: what the stream calls deleted, else each of them."""
        listing = self.stream.listing
        assert listing is not None
        deleted = self.stream.deleted or DeletedSpec(listing.key[0], None, present=True)
        stream = replace(
            self.stream, key=listing.key, record_time=listing.record_time,
            record_time_format=listing.record_time_format, deleted=deleted, incremental=None,
        )  # fmt: skip
        return RecordReader(stream, instants.zone(self.session.connection.timezone))

    @cached_property
    def _is_small(self) -> bool:
        """True when listing the stream whole costs no more than asking for what changed."""
        spec = self.stream.incremental
        return spec is not None and 0 < spec.whole_below > self.checkpoints.live_records()

    def _no_access(self, partition: Partition, state: PartitionState, kind: ReadKind, why: NoAccess) -> Page:
        refused = why.refused
        scope = self.stream.scope or f"the permission to read {self.stream.title.lower()}"
        return Page(
            partition.name, kind, (), 0, cursor=state.cursor, parent_hash=partition.parent_hash,
            completeness=Completeness.NO_ACCESS,
            reason=f"{refused.where}: status {refused.status}: {refused.snippet} → give the credentials {scope}, or "
            "leave the stream out of streams:",
        )  # fmt: skip


def _moved(state: PartitionState, page: Page) -> PartitionState:
    """Return the state after a page of changes."""
    if page.completeness is None:
        return replace(state, changes=page.position)
    return replace(state, changes=None, cursor=incremental.later(state.cursor, page.cursor))
