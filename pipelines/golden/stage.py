"""The stage: makes the golden rows of one entity, of those whose links or members changed since the last run.

A run reads spans of entities, survives them and writes them in short transactions; the watermark moves at the end, so
that a run which was killed is repeated, and a row whose value did not change is not written again.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.errors import FixConfig
from pipelines.golden.candidate import instant_of, microseconds
from pipelines.golden.few import FEW, read_few, survive_few
from pipelines.golden.moved import moved_pins
from pipelines.golden.pins import problem, with_pins
from pipelines.golden.policy import load_policy
from pipelines.golden.reading import read_candidates
from pipelines.golden.survivorship import survive
from pipelines.report import StageReport
from pipelines.store import Counts, golden_reads, tables
from pipelines.store.arrow_out import BIG_RESULT
from pipelines.store.golden_reads import Scope
from pipelines.store.pins import open_pins, repinned
from pipelines.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pipelines.context import StageContext
    from pipelines.golden.policy import Policy
    from pipelines.store import Lease, Store
    from pipelines.store.pins import Pin

STAGE = "golden"
READ_ENTITIES = 120_000
READ_WHOLE = 1_000_000
"""Up to so many entities are read at once where all of them are wanted; more would not be held in memory."""
SPAN_ENTITIES = 60_000
WRITE_ROWS = 20_000
_CODE_VERSION = 2  # raise it when the same policy would choose otherwise: every golden row is then made anew


class _Made(NamedTuple):
    """Golden rows of some entities: which were asked for, how many members were read, which pins are out of date."""

    asked: pa.Array
    read: int
    golden: pa.Table
    moved: list[int]


@dataclass(frozen=True)
class _Done:
    read: int = 0
    counts: Counts = Counts()  # noqa: RUF009  frozen itself
    removed: int = 0

    def __add__(self, other: _Done) -> _Done:
        return _Done(self.read + other.read, self.counts + other.counts, self.removed + other.removed)


def run(context: StageContext) -> StageReport:
    """Bring the golden rows of ``context.entity`` up to date; ``full`` makes all of them and gives the same."""
    if context.entity is None:
        raise FixConfig("the golden stage needs an entity", do="use context.for_entity('person')")
    policy = load_policy(context.entity, context.config.survivorship, known_sources=_sources(context))
    with context.store.acquire(f"master/{STAGE}", now=context.now, tenant_id=context.tenant_id) as lease:
        return _run(context, policy, lease)


def _run(context: StageContext, policy: Policy, lease: Lease) -> StageReport:
    store, tenant, entity = context.store, context.tenant_id, policy.entity
    with store.at_one_time():
        upto, since = golden_reads.last_change(store, tenant), store.watermark(STAGE, entity, tenant_id=tenant)
        known_policy = store.watermark(STAGE, f"{entity}/policy", tenant_id=tenant)
        now, policy_changed = context.now(), known_policy != fingerprint(policy)
        everything = context.full or since == 0 or policy_changed
        ids = (
            golden_reads.entity_ids(store, tenant, entity)
            if everything
            else _changed(store, tenant, entity, since, now)
        )
        pins = open_pins(store, Scope(tenant, entity), now)
    done, moved = _Done(), list[int]()
    writing = Writing(context, lease)
    writer = _Writer(writing, policy)
    with writing.at_once() if 0 < len(ids) <= FEW else nullcontext():
        for made in _made_ahead(store, tenant, policy, ids, pins, everything=everything):
            done += _Done(read=made.read) + writer.write(made.golden, made.asked)
            moved += made.moved
            context.progress(f"{STAGE} {entity}: {done.counts.written + done.counts.unchanged} of {len(ids)}")
        if len(ids) or policy_changed or (upto and not since):
            writer.remember(upto, now)
    return _report(entity, len(ids), done, _pin_details(policy, pins, moved))


def _changed(store: Store, tenant: int, entity: str, since: int, now: datetime) -> pa.Array:
    """Return the entities whose links, member rows or pins changed, or whose pins ran out since the last run."""
    ids = golden_reads.changed_entity_ids(store, tenant, entity, since)
    asked_at = store.watermark(STAGE, f"{entity}/asked", tenant_id=tenant)
    before = instant_of(asked_at) if asked_at else None
    pinned = repinned(store, tenant, entity, since, before, now)
    return pa.array(sorted({*ids.to_pylist(), *pinned}), pa.int64()) if pinned else ids


def _pin_details(policy: Policy, pins: Sequence[Pin], moved: list[int]) -> dict[str, Any]:
    """Return what a steward should look at: pins that a source contradicts anew, and pins that cannot be applied."""
    unusable = {pin.decision_id: why for pin in pins if (why := problem(policy, pin)) is not None}
    return {"pins": {"open": len(pins), "moved": sorted(moved), "unusable": unusable}} if pins else {}


def fingerprint(policy: Policy) -> int:
    """Return a number that differs when the policy, or the code that applies it, would choose otherwise."""
    meaning = f"{_CODE_VERSION} {sorted(map(repr, policy.choices))}"
    return int.from_bytes(hashlib.sha256(meaning.encode()).digest()[:7], "big")


def _sources(context: StageContext) -> set[str] | None:
    """Return the names that the user's policy may trust: the connections, and the connectors they could have."""
    config = context.config
    if config.survivorship is None:
        return None
    return {connection.name for connection in config.connections} | set(config.connectors)


def _made_ahead(
    store: Store, tenant: int, policy: Policy, ids: pa.Array, pins: Sequence[Pin], *, everything: bool
) -> Iterator[_Made]:
    """Yield spans of the ids with their golden rows; the next span is made while one is written."""
    making = _made(store, tenant, policy, ids, pins, everything=everything)
    if len(ids) <= FEW:
        with store.at_one_time():
            few = list(making)
        yield from few
        return
    with ThreadPoolExecutor(max_workers=1) as maker:
        following = maker.submit(next, making, None)
        while (present := following.result()) is not None:
            following = maker.submit(next, making, None)
            yield present


def _made(
    store: Store, tenant: int, policy: Policy, ids: pa.Array, pins: Sequence[Pin], *, everything: bool
) -> Iterator[_Made]:
    connections = golden_reads.connections(store, tenant)
    if not everything and 0 < len(ids) <= FEW and not {pin.entity_id for pin in pins} & set(ids.to_pylist()):
        few = _made_of_few(store, tenant, policy, ids, connections)
        if few is not None:
            yield few
            return
    for scope, read in _reads(store, Scope(tenant, policy.entity), ids, everything=everything):
        all_found = read_candidates(store, scope, connections)
        for asked in _slices(read, SPAN_ENTITIES):
            found = all_found.between(asked[0], asked[-1])
            rows = survive(found.members, policy, found.contacts, found.roles)
            golden = with_pins(rows, policy, found, pins)
            yield _Made(asked, found.members.num_rows, golden, moved_pins(store, tenant, policy, found, pins))


def _made_of_few(
    store: Store, tenant: int, policy: Policy, ids: pa.Array, connections: Mapping[str, tuple[str, str]]
) -> _Made | None:
    found = read_few(store, tenant, policy, ids.to_pylist(), connections)
    rows = survive_few(found, policy)
    return None if rows is None else _Made(ids, sum(len(each.members) for each in found), rows, [])


def _slices(ids: pa.Array, size: int) -> Iterator[pa.Array]:
    for start in range(0, len(ids), size):
        yield ids.slice(start, size)


def _reads(store: Store, whole: Scope, ids: pa.Array, *, everything: bool) -> Iterator[tuple[Scope, pa.Array]]:
    """Yield what is read at once: spans where all is wanted, which need no list of ids in the store; else lists of ids.

    Very many that are all there are have no bounds on SQLite, which then reads its tables in their own order.
    """
    tenant, entity = whole.tenant_id, whole.entity
    if everything and store.dialect == "sqlite" and BIG_RESULT // 2 <= len(ids) <= READ_WHOLE:
        yield whole, ids
        return
    for read in _slices(ids, READ_ENTITIES):
        span = Scope(tenant, entity, first=read[0].as_py(), last=read[-1].as_py())
        yield span if everything else Scope(tenant, entity, ids=read), read


class _Writer:
    """Writes golden rows; each transaction stays short."""

    def __init__(self, writing: Writing, policy: Policy) -> None:
        self._writing, self._policy = writing, policy

    def write(self, golden: pa.Table, asked: pa.Array) -> _Done:
        """Write golden rows and remove those of entities that have no member any more."""
        table = tables.metadata.tables[f"golden_{self._policy.entity}"]
        counts = Counts()
        for start in range(0, golden.num_rows, WRITE_ROWS):
            with self._writing() as tx:
                counts += tx.upsert(table, golden.slice(start, WRITE_ROWS))
        gone = asked.filter(pc.invert(pc.is_in(asked, golden.column("entity_id"))))
        removed = 0
        if len(gone):
            with self._writing() as tx:
                removed = tx.delete(table, pa.table({"entity_id": gone}))
        return _Done(counts=counts, removed=removed)

    def remember(self, upto: int, now: datetime) -> None:
        """Say that everything up to a commit is done, by which policy and at what time."""
        entity = self._policy.entity
        with self._writing() as tx:
            tx.set_watermark(STAGE, entity, upto)
            tx.set_watermark(STAGE, f"{entity}/policy", fingerprint(self._policy))
            tx.set_watermark(STAGE, f"{entity}/asked", microseconds(now))


def _report(entity: str, entities: int, done: _Done, details: dict[str, Any]) -> StageReport:
    counts = {
        "read": done.read,
        "entities": entities,
        "written": done.counts.written,
        "unchanged": done.counts.unchanged,
        "removed": done.removed,
    }
    return StageReport(stage=STAGE, entity=entity, counts=counts, details=details)
