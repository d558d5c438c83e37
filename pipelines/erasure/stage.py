"""The operation: suppress, rewrite files, destroy, redact others' rows; resolve and golden recompute; then leave no trace.

Whom it is about is kept sealed until all is done and each step can be done again, so that an erasure that was killed is
finished by asking for it again.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConfig
from pipelines.erasure.files import Rewritten, rewrite
from pipelines.erasure.gather import gather
from pipelines.landing import Landing
from pipelines.report import StageReport
from pipelines.store import erasure_reads, erasures, facts, golden_reads, suppression
from pipelines.store.purge import purge
from pipelines.store.redaction import redact

if TYPE_CHECKING:
    from pipelines.context import StageContext
    from pipelines.store import Lease
    from pipelines.store.erasure_reads import Person
    from pipelines.store.erasures import Begun
    from pipelines.store.sealing import Sealer

STAGE = "erase"


def erase(context: StageContext, entity: str, identity: int, *, reason: str) -> StageReport:
    """Destroy what is personal of a golden record in files and store; its ids answer "gone" from then on.

    Raw rows of its records are blanked and their vendor keys replaced; so are those of facts about it, whose rows keep
    amounts, times and references; what names it is taken out of everybody else's rows. Ledger, links, events and audit keep
    surrogate ids, keyed hashes keep it from coming back. Run resolve and golden afterwards, then ``finish``, which leaves
    nothing in free pages. Needs UNISONO_KEY. Raises FixConfig for an id that stands for nobody or is erased already.
    """
    store, tenant = context.store, context.tenant_id
    sealer = suppression.required_sealer()
    with ExitStack() as leases:
        lease = leases.enter_context(store.acquire("master/erase", now=context.now, tenant_id=tenant))
        _hold_streams(context, leases)
        begun = _begun(context, lease, sealer, entity, identity, reason)
        _suppress(context, lease, sealer, begun.person)
        done = _rewrite_files(context, begun.person)
        if begun.status == erasures.OPEN:
            with store.write(lease, cause=STAGE, actor=context.actor) as tx:
                erasures.destroy(tx, begun.person, _children(context))
                erasures.set_destroyed(tx, begun)
        redacted = redact(store, lease, begun.person.needles, actor=context.actor)
    return _report(begun, done, redacted)


def finish(context: StageContext, entity: str, identity: int) -> None:
    """Destroy what stages derived meanwhile, leave nothing of it in the database's files, and call the erasure done."""
    store, tenant = context.store, context.tenant_id
    begun = erasures.unfinished(store, tenant, entity, identity, suppression.required_sealer())
    if begun is None or begun.status == erasures.OPEN:
        raise FixConfig(f"no erasure of {entity} {identity} is under way", do="run `unisono erase`")
    with store.acquire("master/erase", now=context.now, tenant_id=tenant) as lease:
        with store.write(lease, cause=STAGE, actor=context.actor) as tx:
            erasures.leftovers(tx, begun.person)
            erasures.set_cleared(tx, begun)
        purge(store)
        with store.write(lease, cause=STAGE, actor=context.actor) as tx:
            erasures.set_done(tx, begun)


def _begun(context: StageContext, lease: Lease, sealer: Sealer, entity: str, identity: int, reason: str) -> Begun:
    """Go on with an erasure of this id that was cut short, or begin one."""
    store, tenant = context.store, context.tenant_id
    begun = erasures.unfinished(store, tenant, entity, identity, sealer)
    if begun is not None:
        return begun
    number = golden_reads.current_id(store, tenant, entity, identity)
    if number is None:
        raise FixConfig(f"no {entity} has the id {identity}", do="take an id from `unisono query`")
    person = gather(store, tenant, entity, number)
    with store.write(lease, cause=STAGE, actor=context.actor) as tx:
        return erasures.begin(tx, person, reason, sealer)


def _children(context: StageContext) -> dict[tuple[str, str], list[str]]:
    """Return, by connection and object, the streams that are read record by record of that object."""
    names = facts.connection_names(context.store, tenant_id=context.tenant_id)
    numbers = {name: number for number, name in names.items()}
    found: dict[tuple[str, str], list[str]] = {}
    for connection in context.config.connections:
        streams = connection.connector.manifest.streams
        for stream in streams.values():
            if stream.parent is not None:
                place = (numbers.get(connection.name, connection.name), streams[stream.parent.stream].object)
                found.setdefault(place, []).append(stream.name)
    return found


def _hold_streams(context: StageContext, leases: ExitStack) -> None:
    """Keep every stream with landed files to ourselves; a sync under way is named by AlreadyRunning."""
    store, tenant = context.store, context.tenant_id
    names = facts.connection_names(store, tenant_id=tenant)
    streams = {(connection_id, stream) for connection_id, stream, _, _ in erasure_reads.segment_files(store, tenant)}
    for connection_id, stream in sorted(streams):
        scope = f"ingest/{names.get(connection_id, connection_id)}/{stream}"
        leases.enter_context(store.acquire(scope, now=context.now, tenant_id=tenant))


def _suppress(context: StageContext, lease: Lease, sealer: Sealer, person: Person) -> None:
    """Remember the person first: from here on nothing of it is landed again."""
    records = [(ref.connection_id, ref.object, ref.source_key) for ref in (*person.own, *person.other)]
    with context.store.write(lease, cause=STAGE, actor=context.actor) as tx:
        suppression.suppress(tx, sealer, records, person.values)


def _rewrite_files(context: StageContext, person: Person) -> Rewritten:
    keys: dict[tuple[str, str], dict[str, str]] = {}
    for ref in (*person.own, *person.other):
        keys.setdefault((ref.connection_id, ref.object), {})[ref.source_key] = f"erased:{ref.source_record_id}"
    done, landing, seen = Rewritten(), Landing(context.config.landing_url), set[str]()
    for connection_id, _, name, files in erasure_reads.segment_files(context.store, context.tenant_id):
        for file in files:
            if file not in seen:
                seen.add(file)
                done += rewrite(landing, file, keys.get((connection_id, name), {}), person.needles)
        context.progress(f"{STAGE}: {done.read} files read, {done.files} rewritten")
    return done


def _report(begun: Begun, done: Rewritten, redacted: int) -> StageReport:
    person = begun.person
    records = len(person.own) + len(person.other)
    details = {
        "erasure": begun.erasure_id, "entity_id": person.entity_id, "records": len(person.own),
        "facts": len(person.other), "files_read": done.read, "files_rewritten": done.files,
        "rows_blanked": done.blanked, "rows_redacted": done.redacted + redacted,
    }  # fmt: skip
    return StageReport(STAGE, entity=person.entity, counts={"read": records, "written": records}, details=details)
