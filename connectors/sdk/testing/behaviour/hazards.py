"""Rules about a vendor that misbehaves: each switches on named hazards of the simulator, shaped by the connector itself.

One law holds under every hazard: a read that says COMPLETE holds the truth, and once the hazard is over the next reads get there.
Where the vendor's answer still says how to go on, the very read must.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.errors import RetryLater
from connectors.sdk.testing.report import Judged, NotApplicable, Skip
from connectors.sdk.testing.simulator import Hazard, HostileVendor, Reader, applies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from connectors.sdk.specs import StreamSpec
    from connectors.sdk.testing.report import Word
    from connectors.sdk.testing.simulator import ReadResult
    from connectors.sdk.testing.subject import Subject

RECORDS: Final = 10
PAGE: Final = 4
ENDLESS: Final = 300
_READS: Final = 4
_HELD_S: Final = 36_000.0


@dataclass(frozen=True)
class Plan:
    """Hazards that happen together; ``through``: the first read gets past them; ``full``: only a full read finds all."""

    hazards: tuple[tuple[str, Mapping[str, Any]], ...]
    through: bool = False
    full: bool = False
    records: int = RECORDS
    judge: Callable[[HostileVendor, Reader, ReadResult], Iterator[str]] | None = None
    cursor: bool = False
    deletes: bool = False
    why_not: str = "it cannot happen to the way this stream is paged"

    @property
    def names(self) -> str:
        """Say which hazards."""
        return " + ".join(name for name, _ in self.hazards)


def plan(*names: str, through: bool = False, **options: Any) -> Plan:
    """Return a plan of hazards without parameters."""
    return Plan(tuple((name, {}) for name in names), through=through, **options)


def one(name: str, through: bool = False, settings: Mapping[str, Any] | None = None, **options: Any) -> Plan:
    """Return a plan of one hazard with parameters."""
    return Plan(((name, options),), through=through, **(settings or {}))


def hostile(subject: Subject, stream: str, hazards: list[Hazard], records: int = RECORDS) -> HostileVendor:
    """Return the vendor of one stream (and its parent), as the manifest and the fixtures shape it."""
    spec = subject.manifest.streams[stream]
    records = min(records, PAGE - 1) if spec.request.paginator.type == "single_page" else records
    names = (spec.parent.stream, stream) if spec.parent else (stream,)
    return HostileVendor.of(subject.manifest, records=records, page_size=PAGE, hazards=hazards, streams=names)


def representatives(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Return one stream for each way in which streams are read, with the others read the same way."""
    ways: dict[Any, list[str]] = {}
    for name, spec in subject.manifest.streams.items():
        ways.setdefault(_way(spec), []).append(name)
    return {names[0]: tuple(names) for names in ways.values()}


def _way(spec: StreamSpec) -> Any:
    asked = spec.incremental
    changes = asked and (
        repr(asked.request.paginator), asked.request.method, asked.inclusive, asked.format, asked.sorted, asked.cap,
        repr(asked.lag), asked.hydrate is None, asked.resolution,
    )  # fmt: skip
    listing = (repr(spec.request.paginator), spec.request.method, spec.hydrate is None, repr(spec.deleted))
    return (*listing, spec.parent is None, spec.partitions is None, changes)


def under(*plans: Plan, most: int | None = None) -> Callable[[Subject], Iterator[Word]]:
    """Make a rule's check: every plan on one stream for each way of reading, or on ``most`` of them."""

    def check(subject: Subject) -> Iterator[Word]:
        chosen = list(representatives(subject))
        if most is not None:
            paginated = [
                name for name in chosen if subject.manifest.streams[name].request.paginator.type != "single_page"
            ]
            chosen = (paginated or chosen)[:most]
        for stream in chosen:
            yield from _stream_under(subject, stream, plans)

    return check


def _stream_under(subject: Subject, stream: str, plans: tuple[Plan, ...]) -> Iterator[Word]:
    reasons: list[str] = []
    for each in plans:
        try:
            found = _tried(subject, stream, each)
        except NotApplicable as why:
            reasons.append(str(why))
            continue
        yield from (f"stream '{stream}' under {each.names}: {text}" for text in found)
    yield Judged(stream) if len(reasons) < len(plans) else Skip(stream, "; ".join(dict.fromkeys(reasons)))


def _tried(subject: Subject, stream: str, each: Plan) -> list[str]:
    """Return what goes wrong under a plan; NotApplicable when the plan never comes about and nothing goes wrong."""
    spec = subject.manifest.streams[stream]
    if each.cursor and spec.incremental is None:
        raise NotApplicable("it has no cursor: every read is a full one")
    probe = hostile(subject, stream, [])
    fit = [(name, options) for name, options in each.hazards if applies(name, probe, stream)]
    if not fit:
        raise NotApplicable(each.why_not)
    hazards = [Hazard(name, stream=stream, **_filled(options, spec)) for name, options in fit]
    vendor = hostile(subject, stream, hazards, each.records)
    found = list(_judged(vendor, stream, each))
    if not found and not vendor.plan.fired:
        raise NotApplicable("it never came about: the read ended before")
    return found


def _judged(vendor: HostileVendor, stream: str, each: Plan) -> Iterator[str]:
    reader = Reader(vendor, endless=ENDLESS)
    try:
        first = reader.read(stream)
    except Exception as why:  # noqa: BLE001  an error without a name is a finding, not the end of the check
        yield f"the read ends in {type(why).__name__}: {why}, which tells nobody what to do"
        return
    yield from _honest(vendor, reader, stream, first)
    if each.through:
        yield from _got_through(vendor, reader, stream, first)
    if each.judge is not None and vendor.plan.fired:
        yield from each.judge(vendor, reader, first)
    yield from _converges(vendor, reader, stream, full=each.full, deletes=each.deletes)


def _filled(options: Mapping[str, Any], spec: StreamSpec) -> dict[str, Any]:
    """Return the options, those that depend on the stream worked out."""
    return {name: value(spec) if callable(value) else value for name, value in options.items()}


def _within_lag(spec: StreamSpec) -> float:
    """Return how far behind the newest record, in seconds, the manifest says that records still appear."""
    lag = spec.incremental.lag if spec.incremental else None
    if not isinstance(lag, timedelta) or not lag:
        raise NotApplicable("it declares no lag")
    return lag.total_seconds() * 0.8


def _honest(vendor: HostileVendor, reader: Reader, stream: str, read: ReadResult) -> Iterator[str]:
    """A read that says COMPLETE holds the truth, but for what may come late."""
    judgement = vendor.oracle.judge(stream, reader.held[stream], reader.quarantined[stream], final=False)
    judgement = replace(judgement, undeleted=[])
    if read.complete and not judgement.ok:
        yield f"the read says COMPLETE, and {judgement}"
    elif judgement.unexpected or judgement.wrongly_deleted:
        yield f"the read ends {_outcome(read)}, and {judgement}"


def _got_through(vendor: HostileVendor, reader: Reader, stream: str, read: ReadResult) -> Iterator[str]:
    """The read saw everything; it may doubt that where a stated total counts what is never shown."""
    judgement = vendor.oracle.judge(stream, reader.held[stream], reader.quarantined[stream], final=False)
    if read.error is not None or not read.pages or not judgement.ok:
        yield f"the read should get past it and ends {_outcome(read)}, {judgement}"


def _converges(
    vendor: HostileVendor, reader: Reader, stream: str, *, full: bool, deletes: bool = False
) -> Iterator[str]:
    """Some reads later everything is there; what is gone without a word is for the stage that compares whole reads."""
    read: ReadResult | None = None
    for number in range(_READS):
        vendor.between_reads(24.0 if number else 1.0)
        read = reader.read(stream, full=full and number > 0)
        judgement = vendor.oracle.judge(stream, reader.held[stream], reader.quarantined[stream])
        if not deletes:
            judgement = replace(judgement, undeleted=[])
        if judgement.ok and (read.complete or (read.error is None and not read.pages)):
            return
    lasting = any(act.endless for act in vendor.plan.acts)
    if read is not None and (not lasting or read.complete):
        yield f"after {_READS} more reads ({_outcome(read)}) still {judgement}"


def _outcome(read: ReadResult) -> str:
    if read.error is not None:
        return f"in {type(read.error).__name__}: {str(read.error).splitlines()[0]}"
    return str(read.completeness.value if read.completeness else "without a verdict")


def _waited(vendor: HostileVendor, _reader: Reader, read: ReadResult) -> Iterator[str]:
    if len(vendor.traffic.refused()) > 1:
        yield f"{len(vendor.traffic.refused())} requests are refused: the stated wait is not kept"
    del read


def _waited_or_left(vendor: HostileVendor, _reader: Reader, read: ReadResult) -> Iterator[str]:
    """An hour's wait is kept in full or ends the run; nobody asks before."""
    if len(vendor.traffic.refused()) > 1:
        yield f"asked to wait an hour, {len(vendor.traffic.refused())} requests are refused"
    if not read.complete and not isinstance(read.error, RetryLater):
        yield f"asked to wait an hour, the read ends {_outcome(read)}"


def _let_go(vendor: HostileVendor, _reader: Reader, read: ReadResult) -> Iterator[str]:
    """Who waits for a byte that never comes gives up at some time."""
    longest = max(vendor.clock.waits, default=0.0)
    if longest >= _HELD_S:
        yield f"the vendor falls silent in the middle of an answer, and the read waits {longest:.0f} s for it"
    del read


def _stops(vendor: HostileVendor, _reader: Reader, read: ReadResult) -> Iterator[str]:
    if read.complete or vendor.traffic.count() >= ENDLESS:
        yield f"the read ends {_outcome(read)} after {vendor.traffic.count()} requests"


def _refused_abroad(vendor: HostileVendor, _reader: Reader, read: ReadResult) -> Iterator[str]:
    for asked in vendor.traffic.requests:
        if asked.foreign:
            yield f"a request goes to {asked.origin}{' with a credential' if asked.credential else ''}"
            return
    if read.complete:
        yield "the foreign link is not followed, and the read says COMPLETE"


def _quarantined(vendor: HostileVendor, reader: Reader, read: ReadResult) -> Iterator[str]:
    """A poisoned record costs nobody else anything."""
    del vendor, reader
    if not read.complete:
        yield f"one bad record ends the read {_outcome(read)}"


def _only_proven(subject: Subject) -> Iterator[Word]:
    """A listing that breaks off must not look as if the rest had been deleted."""
    for stream in representatives(subject):
        probe = hostile(subject, stream, [])
        if not applies("server_error", probe, stream) or not applies("missing_next", probe, stream):
            yield Skip(stream, "the vendor answers it in one page")
            continue
        for page in (2, 1):
            vendor = hostile(subject, stream, [Hazard("server_error", stream=stream, page=page, times=40)])
            reader = Reader(vendor, endless=ENDLESS)
            read = reader.read(stream, full=True)
            if vendor.plan.fired:
                break
        yield Judged(stream)
        if read.complete:
            yield f"stream '{stream}': a page cannot be read, and the read says COMPLETE: the rest would count as deleted"
        if any(payload is None for payload in reader.held[stream].values()):
            yield f"stream '{stream}': a page cannot be read, and records are deleted"


def reads_all(subject: Subject) -> Iterator[Word]:
    """Without any hazard, on the shape that the manifest itself gives: every record of every page, wherever the process dies."""
    for stream in representatives(subject):
        yield Judged(stream)
        for records in (10, 8, 4, 1):
            vendor = hostile(subject, stream, [], records)
            reader = Reader(vendor, endless=ENDLESS)
            read = reader.read(stream)
            judgement = vendor.oracle.judge(stream, reader.held[stream], reader.quarantined[stream])
            if not (judgement.ok and read.complete):
                yield f"stream '{stream}': {records} records in pages of {PAGE}: the read ends {_outcome(read)}, {judgement}"
                break


def resumes(subject: Subject) -> Iterator[Word]:
    """On the same shape: after each page the process dies, and the next read ends with everything."""
    for stream in representatives(subject):
        pages = len(Reader(hostile(subject, stream, []), endless=ENDLESS).read(stream).pages)
        if pages < 2:  # noqa: PLR2004  nothing between pages
            yield Skip(stream, "the vendor answers it in one page")
            continue
        yield Judged(stream)
        for after in range(1, pages):
            vendor = hostile(subject, stream, [])
            reader = Reader(vendor, endless=ENDLESS)
            reader.read(stream, stop_after=after)
            read = reader.read(stream)
            judgement = vendor.oracle.judge(stream, reader.held[stream], reader.quarantined[stream])
            if not judgement.ok or (read.pages and not read.complete):
                yield f"stream '{stream}': dead after page {after} of {pages}, the next read ends {_outcome(read)}, {judgement}"
                break


_DELETES: Final = tuple(
    plan(name, deletes=True, why_not="the manifest knows no mark of a deleted record")
    for name in ("delete_by_flag", "delete_by_archived_list", "delete_by_endpoint")
)
_POISON: Final = (
    "null_key",
    "nan",
    "huge_number",
    "big_integer",
    "lone_surrogate",
    "nul",
    "duplicate_keys",
    "deep_json",
)
_AS_SENT: Final = ("retyped_field", "new_field", "missing_field", "null_field")
_KEEP: Final = {"judge": _quarantined}

CHECKS: Final = {
    "PAGE-SHORT": under(plan("page_filtered_short", through=True), plan("page_of_one", through=True)),
    "PAGE-EMPTY": under(plan("empty_page", through=True)),
    "PAGE-DUPLICATE": under(plan("duplicate_page", through=True)),
    "PAGE-NULL-LIST": under(plan("null_list"), plan("null_end")),
    "PAGE-MISSING-NEXT": under(one("missing_next")),
    "PAGE-LOOP": under(one("page_loop", settings={"judge": _stops})),
    "PAGE-SHIFTING": under(plan("rows_inserted", full=True), plan("rows_deleted", full=True)),
    "SECRET-FOREIGN-LINK": under(one("foreign_next", settings={"judge": _refused_abroad})),
    "CURSOR-TIES-ACROSS": under(plan("ties_at_cursor", cursor=True)),
    "CURSOR-LATE-VISIBLE": under(one("late_commit", behind=_within_lag, settings={"cursor": True})),
    "FAULT-BROKEN-BODY": under(
        one("html_200", through=True),
        one("truncated_json", through=True),
        one("truncated_gzip", through=True),
        one("wrong_content_length", through=True),
        one("reset_mid_body", through=True),
        most=1,
    ),
    "FAULT-STALL": under(
        one("stall"), one("stall", through=True, seconds=_HELD_S, settings={"judge": _let_go}), most=1
    ),
    "FAULT-SERVER-ERRORS": under(one("server_error", through=True, times=3), most=2),
    "FAULT-RETRY-AFTER": under(
        one("too_many_requests", through=True, retry_after="seconds", wait=90, settings={"judge": _waited}),
        one("too_many_requests", through=True, retry_after="date", wait=90, settings={"judge": _waited}),
        one("too_many_requests", through=True, retry_after="absent"),
        one("too_many_requests", retry_after="huge", settings={"judge": _waited_or_left}),
        most=1,
    ),
    "FAULT-DAILY-QUOTA": under(one("daily_quota", allowed=3), one("daily_quota", allowed=2), most=1),
    "FAULT-CLOCK": under(
        one("clock_skew", minutes=10), one("clock_skew", minutes=-10), one("clock_skew", minutes=-90), most=2
    ),
    "RECORD-POISON": under(
        Plan(tuple((name, {}) for name in _POISON), through=True, records=24, judge=_quarantined), most=2
    ),
    "RECORD-AS-SENT": under(Plan(tuple((name, {}) for name in _AS_SENT), through=True, records=16), most=2),
    "DELETE-SEEN": under(*_DELETES),
    "DELETE-ONLY-PROVEN": _only_proven,
}
