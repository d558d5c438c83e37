"""The pages of one partition, one after the other: where to go on, when it is the end, and when it goes in circles."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from connectors.sdk import incremental, paging, paths
from connectors.sdk.body import MISSING, Malformed, Raw
from connectors.sdk.errors import StopStream
from connectors.sdk.paging import Answer, Position
from connectors.sdk.protocols import Completeness, Page, PartitionState, ReadKind
from connectors.sdk.requests import address, page_request, render_params
from connectors.sdk.session import Fetched, Refused, Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from datetime import datetime

    from connectors.sdk.instants import Cursor
    from connectors.sdk.partitions import Partition
    from connectors.sdk.records import Cut, RecordReader
    from connectors.sdk.specs import HydrateSpec, IncrementalSpec, StreamSpec

FORBIDDEN: Final = frozenset({402, 403, 451})
GONE: Final = frozenset({404, 410})
_VISITS: Final = 3


class Restart(Exception):
    """The vendor refused the position an earlier run left."""


class NoAccess(Exception):
    """The vendor does not let these credentials read the collection, or has none there."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused


@dataclass(frozen=True)
class Progress:
    """How far the read of one partition has come; its JSON form is ``Page.position``.

    ``began`` is never later than the vendor's clock when the read began; ``since`` is the cursor the requests ask from;
    ``anchored`` is set once a result cap made the read begin again at the last cursor seen.
    """

    kind: ReadKind
    began: datetime
    since: Cursor | None = None
    anchored: bool = False
    high: Cursor | None = None
    seen: int = 0
    at: Position | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the progress as a small JSON object."""
        cursors = (("began", self.began), ("since", self.since), ("high", self.high))
        texts = {name: None if value is None else incremental.text(value) for name, value in cursors}
        return {"kind": self.kind.value, "anchored": self.anchored, "seen": self.seen, "at": self.at, **texts}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Progress:
        """Return the progress an earlier run stored."""
        read: dict[str, Any] = {
            name: incremental.parse(stored[name]) for name in ("began", "since", "high") if stored.get(name) is not None
        }
        kind, anchored = ReadKind(stored["kind"]), bool(stored.get("anchored"))
        return cls(kind=kind, anchored=anchored, seen=int(stored.get("seen", 0)), at=stored.get("at"), **read)


@dataclass(frozen=True)
class _Seen:
    """One answer with its records' bytes and the place it came from."""

    progress: Progress
    answer: Answer
    raws: list[Raw]


class Chain:
    """Reads one partition from ``progress`` to its end."""

    def __init__(
        self,
        stream: StreamSpec,
        session: Session,
        records: RecordReader,
        partition: Partition,
        state: PartitionState,
        progress: Progress,
        now: Callable[[], datetime],
    ) -> None:
        """Prepare; nothing is sent before ``pages``."""
        self.stream, self.session, self.records = stream, session, records
        self.partition, self.state, self.progress, self._now = partition, state, progress, now
        self._resumed = progress.at is not None
        self._visits: dict[int, list[int]] = {}
        asked = stream.incremental if progress.kind is ReadKind.INCREMENTAL else None
        self._incremental: IncrementalSpec | None = asked
        self._spec = asked.request if asked else stream.request

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Yield the pages; the next request is under way while one is cut and worked on."""
        under_way = asyncio.create_task(self._fetch(self.progress))
        try:
            while True:
                seen = self._look(*await under_way)
                at = self._spec.paginator.next(seen.answer)
                capped = at is not None and self._capped(seen)
                if at is not None and not capped:
                    under_way = asyncio.create_task(self._fetch(replace(seen.progress, at=at)))
                    await _let_it_start()
                raws, dropped = await self._hydrated(seen.raws)
                parent = self.partition.parent.payload if self.partition.parent else None
                cut = self.records.cut(raws, parent)
                following = self._following(seen, cut, at, capped=capped)
                if following is not None and capped:
                    under_way = asyncio.create_task(self._fetch(following))
                yield self._page(seen, cut, following, dropped)
                if following is None:
                    return
                self.progress = following
        finally:
            under_way.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await under_way

    async def _fetch(self, progress: Progress) -> tuple[Fetched, datetime]:
        """Return the answer and a moment, by the vendor's clock, not later than the question."""
        request = self._request(progress)
        asked = self._now()
        try:
            fetched = await self.session.fetch(request)
        except Refused as why:
            raise self._refused(why, progress) from None
        self._resumed = False
        return fetched, self.session.vendor_time(fetched.reply) - (self._now() - asked)

    def _request(self, progress: Progress) -> paging.Request:
        connection = self.session.connection
        base, headers = connection.base_url, connection.manifest.headers
        try:
            return page_request(self._spec, base, headers, self._scope(progress), progress.at)
        except (KeyError, TypeError, ValueError):
            if not self._resumed:
                raise
            raise Restart from None

    def _refused(self, why: Refused, progress: Progress) -> Exception:
        if why.status in FORBIDDEN or (why.status in GONE and progress.at is None):
            return NoAccess(why)
        if self._resumed:
            return Restart()
        return StopStream(
            f"the vendor refuses a request of stream '{self.stream.name}'", where=why.where,
            why=f"status {why.status}: {why.snippet}", do="compare the manifest with the vendor's reference",
        )  # fmt: skip

    def _scope(self, progress: Progress) -> dict[str, Any]:
        scope = {"config": self.session.connection.config, **self.partition.scope}
        if self._incremental is not None and progress.since is not None:
            start = incremental.lower_bound(self._incremental, progress.since, lag=not progress.anchored)
            end = incremental.upper_bound(self._incremental, progress.began)
            scope["cursor"] = {"start": start, "end": end}
        return scope

    def _look(self, fetched: Fetched, asked: datetime) -> _Seen:
        progress = self.progress
        if progress.at is None and not progress.anchored:
            progress = replace(progress, began=min(progress.began, asked))
        found = self._list(fetched)
        raws = found or []
        answer = Answer(
            body=fetched.body, headers=fetched.reply.headers, url=fetched.reply.url, where=fetched.reply.where,
            wire=len(raws), seen=progress.seen, page_size=self._spec.page_size, last=bytes(raws[-1]) if raws else None,
            position=progress.at, null_list=found is None,
        )  # fmt: skip
        seen = _Seen(progress, answer, raws)
        self._check_circle(seen)
        return seen

    def _list(self, fetched: Fetched) -> list[Raw] | None:
        """Return the page's elements; None for a null list that the manifest does not call empty."""
        path = self._spec.data_selector
        try:
            found = fetched.body.cut(path)
        except Malformed as why:
            raise self._no_list(fetched, str(why)) from None
        if isinstance(found, list):
            return found
        if fetched.empty or self._spec.null_is_empty:
            return []
        if found is MISSING:
            raise self._no_list(fetched, "nothing is there")
        return None

    def _no_list(self, fetched: Fetched, why: str) -> StopStream:
        return StopStream(
            f"no list of records at '{paths.write(self._spec.data_selector)}'", where=fetched.reply.where,
            why=f"{why}; the answer begins {self.session.wire.snippet(fetched.reply)[:120]}",
            do="correct data_selector:; if the vendor leaves an empty list out, say null_list: empty",
        )  # fmt: skip

    def _check_circle(self, seen: _Seen) -> None:
        """Stop when a position answers what it answered before; a page that only stutters may come again."""
        raws, progress = seen.raws, seen.progress
        place = hash((paging.marker(progress.at), progress.since))
        print_ = hash((len(raws), bytes(raws[0]), bytes(raws[-1])) if raws else 0)
        before = self._visits.setdefault(place, [])
        if print_ in before or len(before) >= _VISITS:
            marker = self.session.redact(paging.marker(progress.at))[:200]
            raise StopStream(
                "the pages go in a circle", where=seen.answer.where, why=f"position {marker} gave the same page again",
                do="check the paginator; the vendor's next marker does not move on",
            )  # fmt: skip
        before.append(print_)

    def _capped(self, seen: _Seen) -> bool:
        """Return whether the vendor would refuse the next page because of its cap of results per query."""
        cap = self._incremental.cap if self._incremental else None
        return cap is not None and seen.answer.seen + seen.answer.wire + (self._spec.page_size or 0) > cap

    def _following(self, seen: _Seen, cut: Cut, at: Position | None, *, capped: bool) -> Progress | None:
        high = incremental.higher(seen.progress.high, cut.high)
        if at is None:
            return None
        if not capped:
            return replace(seen.progress, at=at, seen=seen.answer.seen + seen.answer.wire, high=high)
        since = seen.progress.since
        if high is None or (since is not None and incremental.higher(high, since) == since):
            raise StopStream(
                f"more than the vendor's {self._incremental_cap()} results per query share one cursor value",
                where=seen.answer.where, why="a read cannot go on from the last cursor seen",
                do="read the stream in full, or partition it",
            )  # fmt: skip
        return replace(seen.progress, at=None, seen=0, high=high, since=high, anchored=True)

    def _incremental_cap(self) -> int | None:
        return self._incremental.cap if self._incremental else None

    def _page(self, seen: _Seen, cut: Cut, following: Progress | None, dropped: int) -> Page:
        name, kind, wire = self.partition.name, seen.progress.kind, len(cut.records) + dropped
        if following is not None:
            return Page(
                name, kind, cut.records, wire, dropped, position=following.to_json(),
                parent_hash=self.partition.parent_hash,
            )  # fmt: skip
        doubt = self._spec.paginator.doubt(seen.answer)
        return Page(
            name, kind, cut.records, wire, dropped, cursor=self._cursor(seen, cut, doubt),
            parent_hash=self.partition.parent_hash,
            completeness=Completeness.UNKNOWN if doubt else Completeness.COMPLETE, reason=doubt,
        )  # fmt: skip

    def _cursor(self, seen: _Seen, cut: Cut, doubt: str | None) -> str | None:
        if doubt or self.stream.incremental is None:
            return self.state.cursor
        old = None if self.state.cursor is None else incremental.parse(self.state.cursor)
        new = incremental.advance(old, incremental.higher(seen.progress.high, cut.high), seen.progress.began)
        return None if new is None else incremental.text(new)

    async def _hydrated(self, raws: list[Raw]) -> tuple[list[Raw], int]:
        """Return each hit fetched again as a whole record, and how many the vendor no longer has."""
        spec = (self._incremental.hydrate if self._incremental else None) or self.stream.hydrate
        if spec is None:
            return raws, 0
        items = await asyncio.gather(*(self._item(spec, bytes(raw)) for raw in raws))
        found = [item for item in items if item is not None]
        return found, len(items) - len(found)

    async def _item(self, spec: HydrateSpec, hit: bytes) -> Raw | None:
        connection = self.session.connection
        scope = {**self._scope(self.progress), "record": msgspec.json.decode(hit)}
        url = address(spec.path, connection.base_url, scope)
        headers = tuple(connection.manifest.headers.items())
        request = paging.Request("GET", url, render_params(spec.params, scope), headers)
        try:
            fetched = await self.session.fetch(request)
        except Refused as why:
            if why.status in GONE:
                return None
            raise self._refused(why, self.progress) from None
        found = fetched.body.raw(spec.data_selector)
        if found is None:
            raise self._no_list(fetched, f"no record at '{paths.write(spec.data_selector)}'")
        return found


async def _let_it_start() -> None:
    """Give a new request task the turns it needs to be written to the socket."""
    for _ in range(4):
        await asyncio.sleep(0)
