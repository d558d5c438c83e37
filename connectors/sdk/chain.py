"""The pages of one partition, one after the other: where to go on, when it is the end, and when it goes in circles."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from connectors.sdk import incremental, paging, paths, seams, templates
from connectors.sdk import progress as windows
from connectors.sdk.body import MISSING, Body, Malformed
from connectors.sdk.changed import changed
from connectors.sdk.circle import Rounds
from connectors.sdk.envelopes import Raw
from connectors.sdk.errors import FixConnector, StopStream
from connectors.sdk.http import Reply
from connectors.sdk.paging import Answer, Position
from connectors.sdk.protocols import Completeness, Page, PartitionState, Records
from connectors.sdk.requests import address, page_request, query_request, render_params
from connectors.sdk.session import Fetched, Refused, Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from datetime import datetime

    from connectors.sdk.instants import Cursor
    from connectors.sdk.partitions import Partition
    from connectors.sdk.progress import Progress
    from connectors.sdk.records import Cut, RecordReader
    from connectors.sdk.specs import HydrateSpec, IncrementalSpec, RequestSpec, StreamSpec

FORBIDDEN: Final = frozenset({402, 403, 451})
GONE: Final = frozenset({404, 410})
_PAST_THE_END: Final = frozenset({400, 404, 410, 416, 422})
_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError)


class Restart(Exception):
    """The vendor refused the position an earlier run left."""


class NoAccess(Exception):
    """The vendor does not let these credentials read the collection, or has none there."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused


@dataclass(frozen=True)
class _Seen:
    """One answer with its records' bytes and the place it came from."""

    progress: Progress
    answer: Answer
    raws: list[Raw]
    empty: bool = False
    join: seams.Join | None = None

    @property
    def fresh(self) -> list[Raw]:
        """Return the records that were not asked for twice on purpose."""
        return self.raws if self.join is None else self.join.fresh


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
        self._rounds, self._seams = Rounds(progress.prints), seams.Seams(records)
        asked = stream.incremental if progress.since is not None and partition.request is None else None
        self._incremental: IncrementalSpec | None = asked
        self._asked: tuple[tuple[Any, ...], paging.Request] | None = None
        self._listed = partition.request or (asked.request if asked else stream.request)
        if asked is not None and progress.at is None and progress.until is None:
            self.progress = windows.begin(asked, progress)

    def _spec(self, progress: Progress) -> RequestSpec:
        """Return how the query at ``progress`` is asked for."""
        keyset = self._incremental.keyset if self._incremental else None
        spec = keyset.request if keyset is not None and progress.key is not None else self._listed
        return spec if progress.size is None else changed(spec, page_size=progress.size)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Yield the pages; the next request is under way while one is cut and worked on."""
        under_way = asyncio.create_task(self._fetch(self.progress))
        try:
            while True:
                seen = self._look(*await under_way)
                at = self._next(seen)
                simple = not self._anchors and not self._capped(seen)
                progress, more = self._following(seen, at) if simple else (seen.progress, False)
                if more:
                    under_way = asyncio.create_task(self._fetch(progress))
                    await asyncio.sleep(0)  # one turn of the event loop: the request is on its way
                raws, dropped = await self._hydrated(seen.fresh)
                parent = self.partition.parent.payload if self.partition.parent else None
                cut = self.records.cut(raws, parent)
                if self.partition.request is not None:  # a record that only stands among the deleted says nothing
                    cut = cut._replace(
                        records=Records([one for one in cut.records if one.op == "delete" or one.problem])
                    )
                    dropped = len(raws) - len(cut.records)
                high = incremental.higher(seen.progress.high, cut.high)
                seen = changed(seen, progress=changed(seen.progress, high=high))
                progress, more = self._following(seen, at)
                if more and not simple:
                    under_way = asyncio.create_task(self._fetch(progress))
                yield self._page(seen, cut, dropped, progress, more=more)
                if not more:
                    return
                self.progress = progress
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
            if not (progress.at and progress.at.get(paging.PROBE) and why.status in _PAST_THE_END):
                raise self._refused(why, progress) from None
            fetched = Fetched(Body(b"{}"), Reply(why.status, httpx.Headers(), b"", "", why.where), empty=True)
        except StopStream:
            if not self._resumed:
                raise
            raise Restart from None  # a position that leads nowhere, such as to a foreign origin, must not be kept
        self._resumed = False
        return fetched, self.session.vendor_time(fetched.reply) - (self._now() - asked)

    def _request(self, progress: Progress) -> paging.Request:
        try:
            spec = self._spec(progress)
            return page_request(self._query(progress, spec), spec, progress.at, resized=progress.size is not None)
        except (KeyError, TypeError, ValueError):
            if not self._resumed:
                raise
            raise Restart from None

    def _query(self, progress: Progress, spec: RequestSpec) -> paging.Request:
        """Return what the requests of all pages of the query under way have in common: it is written once."""
        of = (progress.since, progress.until, progress.anchored, progress.key, progress.size, progress.at is None)
        if self._asked is None or self._asked[0] != of:
            connection = self.session.connection
            base, headers, scope = connection.base_url, connection.manifest.headers, self._scope(progress)
            self._asked = of, query_request(spec, base, headers, scope, begins=progress.at is None)
        return self._asked[1]

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
        spec = self._incremental
        if spec is None or progress.since is None:
            return scope
        cursor: dict[str, Any] = {"start": incremental.lower_bound(spec, progress.since, lag=not progress.anchored)}
        until = progress.until if progress.key is None else incremental.after(spec, progress.since)
        if until is not None and spec.ends | (progress.key is not None):
            cursor["end"] = incremental.upper_bound(spec, until)
        if progress.key is not None:
            cursor["key"] = progress.key
        return {**scope, "cursor": cursor}

    def _look(self, fetched: Fetched, asked: datetime) -> _Seen:
        progress = self._dated(asked)
        found = [] if fetched.empty else self._list(fetched)
        raws = found or []
        spec = self._spec(progress)
        answer = Answer(
            body=fetched.body, headers=fetched.reply.headers, url=fetched.reply.url, where=fetched.reply.where,
            wire=len(raws), seen=progress.seen, page_size=spec.page_size, last=bytes(raws[-1]) if raws else None,
            position=progress.at, null_list=found is None,
        )  # fmt: skip
        seen = self._met(_Seen(progress, answer, raws, fetched.empty))
        return self._joined(seen) if spec.paginator.counts else seen

    def _met(self, seen: _Seen) -> _Seen:
        """Return the page with what is known of its coming again; raise when pages go in a circle."""
        progress, answer = seen.progress, seen.answer
        if progress.seam.stage == seams.VERIFY or progress.seam.again:
            return seen  # it is asked for again on purpose
        repeated, circle = self._rounds.met(progress, seen.raws)
        if circle:
            raise self._circle(seen)
        return _repeated(seen) if repeated else changed(seen, answer=changed(answer, again=progress.again))

    def _joined(self, seen: _Seen) -> _Seen:
        """Return the page of a counted list with what it shows of the one before."""
        seam, raws = seen.progress.seam, seen.raws
        refused = seen.empty and seam.stage == seams.OVERLAP
        join = seams.Join(True, [], False, seam.ends) if refused else self._seams.meet(seam, raws)
        progress = changed(seen.progress, prints=self._rounds.kept)
        torn = not join.found or (seam.stage == seams.VERIFY and not join.passed)
        if torn:
            self._rounds.forget()  # pages already read are read again
        if torn and seam.is_hopeless(progress.seen, seen.answer.page_size or len(raws)):
            self._seams.give_up(raws)
            progress, join = progress.doubted(seams.LOST), join._replace(found=True, passed=True)
        seen = changed(seen, progress=progress, join=join)
        return _repeated(seen) if seam.again and not (join.passed or join.alone) else seen

    def _next(self, seen: _Seen) -> Position | None:
        """Return where the vendor's list goes on; a page that was only looked at again says nothing of that."""
        if seen.progress.seam.stage == seams.VERIFY:
            return None
        return self._spec(seen.progress).paginator.next(seen.answer)

    def _dated(self, asked: datetime) -> Progress:
        """Return the progress with what its first answer says of the vendor's clock: nothing later counts as read."""
        progress = self.progress
        if progress.at is not None or progress.queries > 1:
            return progress
        progress = changed(progress, began=min(progress.began, asked))
        if self._incremental is None:
            return progress
        return windows.within(self._incremental, progress)

    def _list(self, fetched: Fetched) -> list[Raw] | None:
        """Return the page's elements; None for a null list that the manifest does not call empty."""
        path = self._listed.data_selector
        try:
            found = fetched.body.cut(path)
        except Malformed as why:
            raise self._no_list(fetched, str(why)) from None
        if isinstance(found, list):
            return found
        if self._listed.null_is_empty:
            return []
        if found is MISSING:
            raise self._no_list(fetched, "nothing is there")
        return None

    def _no_list(self, fetched: Fetched, why: str) -> StopStream:
        return StopStream(
            f"no list of records at '{paths.write(self._listed.data_selector)}'", where=fetched.reply.where,
            why=f"{why}; the answer begins {self.session.wire.snippet(fetched.reply)[:120]}",
            do="correct data_selector:; if the vendor leaves an empty list out, say null_list: empty",
        )  # fmt: skip

    def _circle(self, seen: _Seen) -> StopStream:
        marker = self.session.redact(paging.marker(seen.progress.at))[:200]
        return StopStream(
            "the pages go in a circle", where=seen.answer.where, why=f"position {marker} gave the same page again",
            do="check the paginator; the vendor's next marker does not move on",
        )  # fmt: skip

    def _capped(self, seen: _Seen) -> bool:
        """Return whether the vendor's cap of results per query cuts off what is left of this one."""
        spec = self._incremental
        if spec is None or spec.cap is None:
            return False
        came, asked = seen.answer.came, self._spec(seen.progress)
        if came + (asked.page_size or 0) > spec.cap:
            return True
        total = asked.paginator.total(seen.answer)
        return total is not None and total > spec.cap and self._halves(spec, seen.progress)

    def _halves(self, spec: IncrementalSpec, progress: Progress) -> bool:
        """Return whether a window too full is halved, so that reading on in it is of no use."""
        if spec.sorted == "asc" or progress.key is not None or progress.until is None or progress.since is None:
            return False
        return incremental.middle(spec, progress.since, progress.until) is not None

    def _following(self, seen: _Seen, at: Position | None) -> tuple[Progress, bool]:
        """Return where to go on and True, or how the read ended and False."""
        progress, answer, join = seen.progress, seen.answer, seen.join
        if join is None:
            return self._ahead(seen, at)
        if not join.found:
            return seams.back(progress, answer, self._spec(progress).paginator), True
        if progress.seam.then is not None:
            if not join.passed:
                return seams.reopened(progress, answer, join), True
            return self._verified(progress, progress.seam.then)
        if seen.empty and progress.seam.edge is not None:
            return seams.at_the_edge(progress), True
        if seams.is_stale(progress.seam, answer, join):
            return seams.once_more(progress, answer), True
        ahead, more = self._ahead(seen, at)
        if not seams.is_open(progress.seam, answer, more=more):
            return ahead, more
        return seams.verifying(progress, ahead, more=more), True

    def _verified(self, progress: Progress, then: Mapping[str, Any]) -> tuple[Progress, bool]:
        """Return what was to follow the open page, now that the one before it is met."""
        ahead = windows.Progress.from_json(then["progress"])
        high = incremental.higher(ahead.high, progress.high)
        doubts = tuple(dict.fromkeys((*progress.doubts, *ahead.doubts)))
        return changed(ahead, high=high, doubts=doubts), bool(then["more"])

    def _ahead(self, seen: _Seen, at: Position | None) -> tuple[Progress, bool]:
        """Return what lies behind a page, and whether anything does."""
        progress, spec, answer = seen.progress, self._incremental, seen.answer
        came = answer.came
        paginator = self._spec(progress).paginator
        cut_off = spec is not None and spec.cap is not None and came >= spec.cap
        if spec is not None and ((at is not None and self._capped(seen)) or cut_off):
            return windows.split(spec, progress, self._mark(seen), self._last_key(seen))
        if at is not None:
            further = windows.anchored(spec, progress, self._mark(seen)) if spec is not None and self._anchors else None
            return further or self._onwards(seen, at), True
        if answer.repeated and paginator.counts and answer.distinct < (paginator.total(answer) or came):
            raise self._circle(seen)  # the last page is one that came before: nothing shows what is in its own place
        if self._asks_again(seen):
            return changed(progress, size=(answer.page_size or 0) - 1), True
        doubt = None if seen.empty else paginator.doubt(answer)
        ended = changed(progress.doubted(doubt), proof=paginator.proof(answer))
        after = windows.following(spec, ended) if spec is not None else None
        return (ended, False) if after is None else (after, True)

    def _onwards(self, seen: _Seen, at: Position) -> Progress:
        """Return the progress at the next page."""
        if seen.join is None:
            return changed(seen.progress, at=at, seen=seen.answer.came, size=None)
        return seams.beyond(seen.progress, seen.answer, self._spec(seen.progress).paginator, at, seen.join)

    def _asks_again(self, seen: _Seen) -> bool:
        """Return whether a full page that names no next one is asked for again, one record shorter.

        A vendor that pages as declared then names a next page; the end of that one proves the end.
        """
        answer, spec = seen.answer, self._spec(seen.progress)
        if seen.progress.size is not None or not answer.full or spec.paginator.is_proven(answer):
            return False
        asked = ("page_size", "") in set(templates.words((spec.path, spec.params, spec.body)))
        return asked and spec.paginator.type != "single_page" and (answer.page_size or 0) > 1

    @property
    def _anchors(self) -> bool:
        return self._incremental is not None and self._incremental.anchor

    def _mark(self, seen: _Seen) -> Cursor | None:
        """Return the cursor of the last hit, as the listing shows it: a whole record fetched since may be newer."""
        return self.records.cut(seen.raws[-1:]).high

    def _last_key(self, seen: _Seen) -> str | None:
        keyset = self._incremental.keyset if self._incremental else None
        if keyset is None or seen.answer.last is None:
            return None
        return paths.text_of(Body(seen.answer.last).get(keyset.path) or None)

    def _page(self, seen: _Seen, cut: Cut, dropped: int, progress: Progress, *, more: bool) -> Page:
        page = Page(
            self.partition.name, seen.progress.kind, cut.records, len(cut.records) + dropped, dropped,
            parent_hash=self.partition.parent_hash,
        )  # fmt: skip
        if more:
            return changed(page, position=progress.to_json())
        completeness, reason = self._verdict(progress)
        proven = completeness is Completeness.COMPLETE
        proof = progress.proof if proven else None
        if proof and progress.queries > 1:
            proof = f"{progress.queries} queries; of the last: {proof}"
        cursor = self._cursor(progress) if proven else self.state.cursor
        return changed(page, cursor=cursor, completeness=completeness, reason=reason, proof=proof, began=progress.began)

    def _verdict(self, progress: Progress) -> tuple[Completeness, str | None]:
        if progress.gaps:
            cap = self._incremental.cap if self._incremental else None
            path = paths.write(self._incremental.cursor_path) if self._incremental else ""
            return Completeness.PARTIAL, (
                f"more than the vendor's {cap} results per query share {path} = {', '.join(progress.gaps)}; "
                "the rest of them cannot be asked for → declare incremental.keyset if the vendor can filter by key"
            )
        if progress.doubts:
            return Completeness.UNKNOWN, "; ".join(dict.fromkeys(progress.doubts))
        return Completeness.COMPLETE, None

    def _cursor(self, progress: Progress) -> str | None:
        spec = self.stream.incremental
        if spec is None or self.partition.request is not None:
            return self.state.cursor
        old = None if self.state.cursor is None else incremental.parse(self.state.cursor)
        new = incremental.advance(old, progress.high, incremental.elapsed(spec, progress.began))
        return None if new is None else incremental.text(new)

    async def _hydrated(self, raws: list[Raw]) -> tuple[list[Raw], int]:
        """Return each hit fetched again as a whole record, and how many the vendor no longer has."""
        spec = (self._incremental.hydrate if self._incremental else None) or self.stream.hydrate
        if spec is None or self.partition.request is not None:
            return raws, 0
        items = await asyncio.gather(*(self._item(spec, bytes(raw)) for raw in raws))
        found = [item for item in items if item is not None]
        return found, len(items) - len(found)

    async def _item(self, spec: HydrateSpec, hit: bytes) -> Raw | None:
        connection = self.session.connection
        try:
            scope = {**self._scope(self.progress), "record": _DECODE(hit)}
            url = address(spec.path, connection.base_url, scope)
        except (*_UNREADABLE, FixConnector):
            return hit  # what nobody can ask for goes on as it is, to quarantine
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


def _repeated(seen: _Seen) -> _Seen:
    """Return the page as one that came before, under another position: its records are no progress."""
    again = seen.progress.again + seen.answer.wire
    answer = changed(seen.answer, repeated=True, again=again)
    return changed(seen, answer=answer, progress=changed(seen.progress, again=again))
