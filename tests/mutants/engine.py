"""Mutants of the engine: one seam each, replaced by what another project's engine did."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import httpx
import pyarrow as pa

from connectors.sdk import (
    chain,
    circle,
    engine,
    http,
    incremental,
    memory,
    oauth,
    paginators,
    progress,
    quota,
    records,
    retry,
    session,
)
from connectors.sdk.body import Body, Malformed
from connectors.sdk.errors import FixConfig, UnisonoError
from connectors.sdk.mapping import assemble, run
from connectors.sdk.protocols import Completeness, Page
from tests.mutants.model import Mutant, Seams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def _short_page_ends(*kinds: type) -> Any:
    def patch(seams: Seams) -> None:
        for kind in kinds:
            _stop_when(seams, kind, lambda answer: answer.page_size is not None and answer.wire < answer.page_size)

    return patch


def _empty_page_ends(seams: Seams) -> None:
    for kind in (paginators.NextUrlPaginator, paginators.HeaderLinkPaginator, paginators.CursorPaginator):
        _stop_when(seams, kind, lambda answer: answer.wire == 0)


def _stop_when(seams: Seams, kind: Any, ends: Any) -> None:
    old = kind.next
    seams.set(kind, "next", lambda self, answer: None if ends(answer) else old(self, answer))
    seams.set(kind, "doubt", lambda _self, _answer: None)


def _no_doubts(seams: Seams) -> None:
    seams.set(chain.Chain, "_asks_again", lambda _self, _seen: False)
    for kind in (paginators.NextUrlPaginator, paginators.CursorPaginator):
        seams.set(kind, "doubt", lambda _self, _answer: None)


def _null_is_empty(seams: Seams) -> None:
    old = chain.Chain.__dict__["_list"]
    seams.set(chain.Chain, "_list", lambda self, fetched: old(self, fetched) or [])
    _no_doubts(seams)


def _circles(seams: Seams) -> None:
    seams.set(circle.Rounds, "met", lambda _self, _progress, _raws: (False, False))


def _shared_paging(seams: Seams) -> None:
    """After the first chain of a paginator has ended, those of the next parents end at their first page."""
    kind = paginators.NextUrlPaginator
    ended: set[int] = set()
    old = kind.__dict__["next"]

    def shared(self: Any, answer: Any) -> Any:
        at = old(self, answer)
        if id(self) in ended:
            return None
        if at is None:
            ended.add(id(self))
        return at

    seams.set(kind, "next", shared)
    seams.set(kind, "doubt", lambda _self, _answer: None)
    seams.set(chain.Chain, "_asks_again", lambda _self, _seen: False)


def _strictly_later(seams: Seams) -> None:
    """Records whose cursor is not later than the stored one are taken for known."""
    old = chain.Chain.__dict__["_page"]

    def filtered(self: Any, seen: Any, cut: Any, *rest: Any, **more: Any) -> Any:
        page = old(self, seen, cut, *rest, **more)
        since = self.state.cursor
        if since is None or page.kind.value != "INCREMENTAL":
            return page
        kept = tuple(
            one for one in page.records if one.record_time is None or one.record_time > incremental.parse(since)
        )
        return replace(page, records=kept, wire=len(kept) + page.filtered)

    seams.set(chain.Chain, "_page", filtered)


def _no_step_back(seams: Seams) -> None:
    old = incremental.lower_bound
    seams.set(
        incremental,
        "lower_bound",
        lambda spec, cursor, *, lag=True: old(replace(spec, inclusive=True), cursor, lag=False),
    )


def _no_lag(seams: Seams) -> None:
    old = incremental.lower_bound
    seams.set(incremental, "lower_bound", lambda spec, cursor, *, lag=True: old(spec, cursor, lag=False))


def _up_to_now(seams: Seams) -> None:
    """The cursor after a read is the moment it began, not the newest record."""
    seams.set(incremental, "advance", lambda _old, _high, ceiling: ceiling)


def _no_ceiling(seams: Seams) -> None:
    seams.set(
        incremental,
        "advance",
        lambda old, high, _ceiling: high if old is None or (high is not None and high > old) else old,
    )


def _same_moment_for_ever(seams: Seams) -> None:
    """At the cap the read begins again at the last time seen, even when that is where it began."""

    def again(_spec: Any, at: Any, mark: Any = None) -> Any:
        return progress._query(at, since=mark or at.since, anchored=True), True

    seams.set(progress, "_gap", again)
    seams.set(circle.Rounds, "met", lambda _self, _progress, _raws: (False, False))


def _cap_is_the_end(seams: Seams) -> None:
    seams.set(progress, "split", lambda _spec, at, *_mark: (at, False))


def _state_ahead(seams: Seams) -> None:
    """Each page is stored with the position of the page after it: the records follow a step behind."""
    old = chain.Chain.__dict__["pages"]

    async def pages(self: Any) -> AsyncGenerator[Page, None]:
        held: tuple[Any, ...] = ()
        async for page in old(self):
            now = held + page.records if page.completeness is not None else held
            held = page.records
            yield replace(page, records=now)

    seams.set(chain.Chain, "pages", pages)


def _no_position(seams: Seams) -> None:
    old = chain.Chain.__dict__["_page"]

    def page(self: Any, *rest: Any, **more: Any) -> Any:
        made = old(self, *rest, **more)
        fresh = replace(self.progress, at=None, seen=0) if made.position is not None else None
        return made if fresh is None else replace(made, position=fresh.to_json())

    seams.set(chain.Chain, "_page", page)


def _dead_cursor(seams: Seams) -> None:
    old = chain.Chain.__dict__["_refused"]

    def refused(self: Any, why: Any, at: Any) -> Exception:
        self._resumed = False
        return old(self, why, at)  # type: ignore[no-any-return]

    seams.set(chain.Chain, "_refused", refused)


def _swallowed(seams: Seams) -> None:
    """An error in the middle ends the partition as if it had been read."""
    old = chain.Chain.__dict__["pages"]

    async def pages(self: Any) -> AsyncGenerator[Page, None]:
        try:
            async for page in old(self):
                yield page
        except UnisonoError:
            yield Page(
                self.partition.name, self.progress.kind, (), 0, parent_hash=self.partition.parent_hash,
                completeness=Completeness.COMPLETE, cursor=self.state.cursor,
            )  # fmt: skip

    seams.set(chain.Chain, "pages", pages)


def _few_states(seams: Seams) -> None:
    """Only the two newest partitions keep their state."""
    old = memory.MemoryCheckpoints.__dict__["save"]

    def save(self: Any, page: Page) -> None:
        old(self, page)
        for name in list(self.states)[:-2]:
            del self.states[name]

    seams.set(memory.MemoryCheckpoints, "save", save)


def _no_access_is_empty(seams: Seams) -> None:
    name = next(one for one in ("_Reading", "Reading") if one in engine.__dict__)
    kind = engine.__dict__[name]
    old = kind.__dict__["_no_access"]
    seams.set(
        kind,
        "_no_access",
        lambda self, *rest: replace(old(self, *rest), completeness=Completeness.COMPLETE, reason=None),
    )


def _own_wait(most: float | None) -> Any:
    """Retry-After is not read, or only up to ``most`` seconds."""

    def patch(seams: Seams) -> None:
        old = retry.retry_after

        def wait(headers: Any, now: Any) -> float | None:
            stated = old(headers, now)
            return None if most is None or stated is None else min(stated, most)

        for module in (retry, http, quota):
            if "retry_after" in module.__dict__:
                seams.set(module, "retry_after", wait)

    return patch


def _no_retry(seams: Seams) -> None:
    for module in (retry, http):
        if "is_transient" in module.__dict__:
            seams.set(module, "is_transient", lambda status: status == 429)


def _bad_body_is_empty(seams: Seams) -> None:
    """What cannot be read as JSON is an empty answer."""

    def body(_self: Any, reply: Any) -> Body:
        try:
            return Body(reply.content).check()
        except Malformed:
            return Body(b"{}")

    seams.set(http.Wire, "body", body)
    old = chain.Chain.__dict__["_list"]

    def listed(self: Any, fetched: Any) -> Any:
        try:
            return old(self, fetched)
        except UnisonoError:
            return []

    seams.set(chain.Chain, "_list", listed)
    _no_doubts(seams)


def _no_quota(seams: Seams) -> None:
    async def acquire(_self: Any, *_request: Any) -> None:
        return

    seams.set(quota.AccountQuota, "acquire", acquire)


def _never_refreshed(seams: Seams) -> None:
    async def refuse(_self: Any, _used: Any) -> bool:
        return False

    seams.set(oauth.OAuth, "refuse", refuse)


def _old_refresh_token(seams: Seams) -> None:
    old = oauth.OAuth.__dict__["_from_answer"]
    seams.set(
        oauth.OAuth,
        "_from_answer",
        lambda self, claim, answer: replace(old(self, claim, answer), refresh_token=claim.refresh_token),
    )


def _tokens_not_kept(seams: Seams) -> None:
    """New tokens are used and not saved: the next process starts from the configured one."""
    old = memory.MemoryTokens.__dict__["save"]

    def save(self: Any, token: Any, expected: int) -> bool:
        return bool(
            old(
                self,
                replace(token, refresh_token=None, access_token=None) if token.claimed_until is None else token,
                expected,
            )
        )

    seams.set(memory.MemoryTokens, "save", save)


def _any_origin(seams: Seams) -> None:
    seams.set(http.Wire, "_guard", lambda _self, _url, _what: None)


def _plain_words(seams: Seams) -> None:
    seams.set(http.Redactor, "__call__", lambda _self, text: text)


def _all_or_nothing(seams: Seams) -> None:
    old = records.RecordReader.__dict__["cut"]

    def cut(self: Any, raws: Any, parent: Any = None) -> Any:
        made = old(self, raws, parent)
        bad = next((one.problem for one in made.records if one.problem is not None), None)
        if bad is not None:
            raise records.StopStream(bad.reason) if hasattr(records, "StopStream") else UnisonoError(bad.reason)
        return made

    seams.set(records.RecordReader, "cut", cut)


def _by_way_of_floats(seams: Seams) -> None:
    old = records.RecordReader.__dict__["cut"]

    def cut(self: Any, raws: Any, parent: Any = None) -> Any:
        made = old(self, raws, parent)
        again = tuple(one if one.problem else one._replace(payload=_floats(bytes(one.payload))) for one in made.records)
        return made._replace(records=again)

    seams.set(records.RecordReader, "cut", cut)


def _floats(payload: bytes) -> bytes:
    try:
        return json.dumps(json.loads(payload, parse_int=float)).encode()
    except ValueError:
        return payload


def _nulls_for_problems(seams: Seams) -> None:
    seams.set(assemble, "note_problems", lambda _table, _bad: None)


def _no_warnings(seams: Seams) -> None:
    kind = run.__dict__["_Run"]
    seams.set(kind, "count_warnings", lambda _self, _emitted: None)


def _new_fields_unsaid(seams: Seams) -> None:
    seams.set(assemble, "leftover_counts", lambda _connection, _leftovers, _write: {})


def _twice_is_a_circle(seams: Seams) -> None:
    """A page that comes a second time, under whatever position, is an error at once."""
    old = circle.Rounds.__dict__["met"]

    def met(self: Any, at: Any, raws: Any) -> tuple[bool, bool]:
        repeated, round_and_round = old(self, at, raws)
        return repeated, repeated or round_and_round

    seams.set(circle.Rounds, "met", met)


def _pages_never_meet(seams: Seams) -> None:
    """The next page begins where the last one ended, whatever has moved meanwhile."""
    seams.set(chain.Chain, "_joined", lambda _self, seen: seen)


def _new_page_later_time(seams: Seams) -> None:
    """A page's first records are taken for known when they share the time of the page before."""
    old = chain.Chain.__dict__["_page"]
    last: dict[int, Any] = {}

    def page(self: Any, seen: Any, cut: Any, *rest: Any, **more: Any) -> Any:
        made = old(self, seen, cut, *rest, **more)
        before = last.get(id(self))
        kept = tuple(one for one in made.records if before is None or one.record_time != before)
        times = [one.record_time for one in made.records if one.record_time is not None]
        last[id(self)] = times[-1] if times else before
        return replace(made, records=kept, wire=len(kept) + made.filtered)

    seams.set(chain.Chain, "_page", page)


def _our_clock(seams: Seams) -> None:
    """The cursor after a read is the moment it began by our own clock; the vendor's Date header is not read."""
    seams.set(session.Session, "vendor_time", lambda self, _reply: self._now())
    _up_to_now(seams)


def _waits_for_ever(seams: Seams) -> None:
    seams.set(http, "_EXTENSIONS", {"timeout": dict.fromkeys(http.TIMEOUT.as_dict())})


def _quota_is_the_end(seams: Seams) -> None:
    """The day's quota is used up: what has been read so far counts as all."""
    old = chain.Chain.__dict__["pages"]

    async def pages(self: Any) -> AsyncGenerator[Page, None]:
        try:
            async for page in old(self):
                yield page
        except retry.VendorBusy:
            yield Page(
                self.partition.name, self.progress.kind, (), 0, parent_hash=self.partition.parent_hash,
                completeness=Completeness.COMPLETE, cursor=self.state.cursor,
            )  # fmt: skip

    seams.set(chain.Chain, "pages", pages)


def _unauthorised_is_empty(seams: Seams) -> None:
    """A stream that answers 401 is skipped as if it held nothing."""
    old = session.Session.__dict__["_attempt"]

    async def attempt(self: Any, request: Any) -> Any:
        try:
            return await old(self, request)
        except FixConfig:
            reply = http.Reply(200, httpx.Headers(), b"", request.url, request.url)
            return session.Fetched(Body(b"{}"), reply, empty=True)

    seams.set(session.Session, "_attempt", attempt)


def _doubles(seams: Seams) -> None:
    """Payloads are parsed and written again by something that knows doubles only, before they are mapped."""
    old = run.CompiledStream.__dict__["run"]

    def mapped(self: Any, batch: Any, **more: Any) -> Any:
        texts = [_floats(text.encode()).decode() for text in batch.column("payload").to_pylist()]
        at = batch.column_names.index("payload")
        return old(
            self, batch.set_column(at, batch.schema.field(at), pa.array(texts, batch.schema.field(at).type)), **more
        )

    seams.set(run.CompiledStream, "run", mapped)


def _deletes_unseen(seams: Seams) -> None:
    seams.set(records, "_says_deleted", lambda _spec: lambda _found: False)


ENGINE_MUTANTS: Final = (
    Mutant("short-page-ends-cursor", "airbytehq/airbyte-python-cdk#1074", "last_page_size < 100 stops a cursor that goes on", "PAGE-SHORT", patch=_short_page_ends(paginators.CursorPaginator)),
    Mutant("short-page-ends-number", "airbytehq/airbyte-python-cdk#1073", "a filtered page of a numbered list ends it", "PAGE-SHORT", patch=_short_page_ends(paginators.PageNumberPaginator)),
    Mutant("short-page-ends-offset", "airbytehq/airbyte-python-cdk#484", "fewer records than the limit: the offset stops", "PAGE-SHORT", patch=_short_page_ends(paginators.OffsetPaginator)),
    Mutant("one-record-less", "airbytehq/airbyte#34883", "the vendor sends one record less than asked for and the read is over", "PAGE-SHORT", patch=_short_page_ends(paginators.NextUrlPaginator, paginators.HeaderLinkPaginator)),
    Mutant("empty-page-ends", "meltano/sdk#1918", "an empty page ends the paging whatever it says about the next", "PAGE-EMPTY", patch=_empty_page_ends),
    Mutant("null-is-empty", "airbytehq/airbyte#26414", "an answer without JSON gives reasonable values for other methods", "PAGE-NULL-LIST", patch=_null_is_empty),
    Mutant(
        "fallback-to-one-page",
        "dlt-hub/dlt#1915",
        "no sign of a next page is taken for the end, with a warning nobody reads",
        "PAGE-MISSING-NEXT",
        patch=_no_doubts,
    ),
    Mutant("same-page-for-ever", "NangoHQ/nango-sync#20", "the cursor does not move and nobody notices", "PAGE-LOOP", patch=_circles),
    Mutant("children-share-paging", "dlt-hub/dlt#3772", "the paginator of one parent serves the next: its pages are skipped", "CHILD-EVERY-PARENT", patch=_shared_paging),
    Mutant("greater-than-the-cursor", "airbytehq/airbyte#14732", "> instead of >=: what shares the newest time is never read", "CURSOR-TIES", patch=_strictly_later),
    Mutant("no-step-back", "airbytehq/airbyte#44402", "the lower bound is not included in the query", "CURSOR-TIES", patch=_no_step_back),
    Mutant("no-lag", "dlt-hub/dlt#2269", "rows committed behind the high-water mark are missed", "CURSOR-LATE-COMMIT", patch=_no_lag),
    Mutant("cursor-is-now", "airbytehq/airbyte#80152", "the cursor passes records written while the sync began", "CURSOR-LATE-COMMIT", patch=_up_to_now),
    Mutant("future-state", "airbytehq/airbyte#27498", "one record dated in the future hides all that come", "CURSOR-FUTURE-DATE", patch=_no_ceiling),
    Mutant("same-moment-for-ever", "airbytehq/airbyte#43317", "more than 10,000 records of one time: an endless loop", "CURSOR-CAP-TIES", patch=_same_moment_for_ever),
    Mutant("cap-is-the-end", "estuary/connectors#2100", "what lies past 10,000 results is not asked for", "CURSOR-CAP", patch=_cap_is_the_end),
    Mutant("state-before-records", "apache/seatunnel#10574", "the position is stored ahead of the records it speaks of", "RESUME-ANYWHERE", patch=_state_ahead),
    Mutant("no-checkpoint", "dlt-hub/dlt#215", "an interrupted extract starts from the beginning", "RESUME-LITTLE-AGAIN", patch=_no_position),
    Mutant("dead-cursor-for-ever", "PostHog/posthog#64704", "an expired page cursor is asked for on every run", "RESUME-REFUSED-POSITION", patch=_dead_cursor),
    Mutant("failed-partition-saved", "airbytehq/airbyte#37406", "a partition that failed is noted as read", "CHILD-FAILED-PARENT", patch=_swallowed),
    Mutant("broken-listing-deletes", "NangoHQ/nango#1132", "a full listing that failed half-way counts as whole: the rest is deleted", "DELETE-ONLY-PROVEN", patch=_swallowed),
    Mutant("oldest-partition-dropped", "airbytehq/airbyte#42406", "over the limit the oldest partitions lose their state", "CURSOR-ONLY-CHANGES", patch=_few_states),
    Mutant("forbidden-is-empty", "airbytehq/airbyte#30763", "every stream answers 403 and the sync is green", "AUTH-NO-ACCESS", patch=_no_access_is_empty),
    Mutant("retry-after-not-read", "meltano/sdk#2012", "429 is answered by a wait of one's own", "FAULT-RETRY-AFTER", patch=_own_wait(None)),
    Mutant("retry-after-clamped", "nansen-ai/nansen-cli#651", "the stated wait is cut to a maximum of one's own", "FAULT-RETRY-AFTER", patch=_own_wait(30.0)),
    Mutant("gateway-timeout-is-final", "airbytehq/airbyte#32004", "one 504 ends the sync", "FAULT-SERVER-ERRORS", patch=_no_retry),
    Mutant("html-is-empty", "airbytehq/airbyte-python-cdk#1108", "status 200 with HTML or nothing: zero records, success", "FAULT-BROKEN-BODY", patch=_bad_body_is_empty),
    Mutant("no-throttle", "airbytehq/airbyte#11899", "a surge of requests above the account's limit", "LIMIT-KEPT", patch=_no_quota),
    Mutant("token-ends-in-the-loop", "airbytehq/airbyte#13660", "an access token that expires inside the sync fails it", "AUTH-TOKEN-EXPIRES", patch=_never_refreshed),
    Mutant("rotated-token-ignored", "airbytehq/airbyte#18035", "the new refresh token of the answer is not taken", "AUTH-ROTATION", patch=_old_refresh_token),
    Mutant("rotated-token-not-saved", "airbytehq/airbyte#80783", "the new refresh token is used and not kept", "AUTH-ROTATION", patch=_tokens_not_kept),
    Mutant("next-link-anywhere", "DataZooDE/erpl-web#183", "the next link leads to another host, with the credentials", "SECRET-FOREIGN-LINK", patch=_any_origin),
    Mutant("redirect-anywhere", "microsoft/Policy-Weaver#112", "whatever address the answer names gets the bearer token", "SECRET-REDIRECT", patch=_any_origin),
    Mutant("key-in-the-log", "airbytehq/airbyte#2009", "the log shows the address with its api key", "SECRET-NEVER-SHOWN", patch=_plain_words),
    Mutant("one-bad-record", "airbytehq/airbyte#3476", "a NUL in one record ends the sync", "RECORD-POISON", patch=_all_or_nothing),
    Mutant("digits-lost", "apache/datafusion#22696", "2^53+1 becomes 2^53", "RECORD-AS-SENT", patch=_by_way_of_floats),
    Mutant("cast-error-is-null", "airbytehq/airbyte#38470", "what cannot be cast is null", "FIELD-STRANGE-SEEN", patch=_nulls_for_problems),
    Mutant("unknown-value-unsaid", "netglade/auto_mappr#205", "an unknown value of a list is null, without a word", "FIELD-STRANGE-SEEN", patch=_no_warnings),
    Mutant("new-field-unsaid", "dlt-hub/dlt#1980", "what does not fit is discarded and nobody is told", "FIELD-NEW-REPORTED", patch=_new_fields_unsaid),
    Mutant("same-token-twice", "boto/boto#3811", "a page that is answered twice ends the paging with an error", "PAGE-DUPLICATE", patch=_twice_is_a_circle),
    Mutant("offsets-of-a-moving-list", "davidcelis/api-pagination#60", "a record goes while pages are read by offset: the one behind it is never received", "PAGE-SHIFTING", patch=_pages_never_meet),
    Mutant("same-second-dropped", "estuary/connectors#5205", "records of the second that was read last are discarded", "CURSOR-TIES-ACROSS", patch=_new_page_later_time),
    Mutant("eventually-consistent", "estuary/connectors#4652", "a record that appears behind the cursor is missed", "CURSOR-LATE-VISIBLE", patch=_no_lag),
    Mutant("client-clock-is-the-cursor", "nemomobile/buteo-sync-plugins-social#11", "the time of the last sync is our own, and our clock is not the server's", "CURSOR-CLOCK-SKEW", patch=_our_clock),
    Mutant("cursor-taken-at-the-start", "airweave-ai/airweave#839", "what was made between taking the cursor and the end of the sync is missed", "FAULT-CLOCK", patch=_our_clock),
    Mutant("no-read-timeout", "airbytehq/airbyte#26459", "the connector hangs for ever on a silent socket", "FAULT-STALL", patch=_waits_for_ever),
    Mutant("daily-quota-is-success", "airbytehq/airbyte#14949", "the day's 429 is ignored and the sync finishes successfully", "FAULT-DAILY-QUOTA", patch=_quota_is_the_end),
    Mutant("unauthorised-is-empty", "airbytehq/airbyte#38926", "401: finished with success and zero records", "AUTH-WRONG-CREDENTIALS", patch=_unauthorised_is_empty),
    Mutant("ids-through-doubles", "pulumi/pulumi#24608", "an id above 2^53 is another id afterwards", "FIELD-EXACT", patch=_doubles),
    Mutant("archived-not-flagged", "airbytehq/airbyte#35017", "deleted records stay as they were", "DELETE-SEEN", patch=_deletes_unseen),
)  # fmt: skip
