"""What erasure destroys in the store, and how far it has come; ledger, links and events keep surrogate ids (ARCHITECTURE §6)."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy import Table, Text, and_, cast, delete, func, literal, or_, select, update

from canonical_model import load_vocabulary
from pipelines.store import decisions, match_index
from pipelines.store.erasure_reads import TELLING, Person, Reference
from pipelines.store.household_open import open_neighbours
from pipelines.store.tables import (
    absent_record,
    crosswalk,
    decision,
    erasure,
    held_delete,
    id_event,
    identifier_stats,
    metadata,
    partition_state,
    picked,
    quarantine,
    raw_head,
    read,
    segment,
    source_record,
)
from pipelines.store.tables import entity_id as identity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pipelines.store.sealing import Sealer
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

    Children = Mapping[tuple[str, str], Collection[str]]

OPEN, DESTROYED, CLEARED, DONE, ERASED = "open", "destroyed", "cleared", "done", "erased"
_PERSONAL = frozenset({"identity", "contact", "sensitive", "free_text"})
_SAID_OF_A_PARTY = (*TELLING, "preference")  # goes with the party, whosever record says it
_NEVER_MEANT = ("extras", "term_times", "payload_hash")


class Begun(NamedTuple):
    """An erasure under way."""

    erasure_id: int
    status: str
    person: Person


def unfinished(store: Store, tenant_id: int, entity: str, number: int, sealer: Sealer) -> Begun | None:
    """Return an erasure of this id that was cut short, with whom it is about as it was when it began."""
    e = erasure.c
    mine = e.tenant_id == tenant_id, e.entity == entity, e.status != DONE
    columns = (e.erasure_id, e.status, e.entity_id, e.records)
    for row in store.read(select(*columns).where(*mine).order_by(e.erasure_id)):
        person = _person_of(entity, row.entity_id, row.status, row.records, sealer)
        if number in (person.entity_id, *person.ids):
            return Begun(int(row.erasure_id), row.status, person)
    return None


def _person_of(entity: str, number: int, status: str, kept: Any, sealer: Sealer) -> Person:
    if status == CLEARED:
        own = tuple(Reference(each, "", "", "") for each in kept)
        return Person(entity, number, own, (), (number,), (), frozenset(), frozenset())
    return Person.from_json(sealer.open(kept["sealed"], _place(entity, number)))


def begin(tx: WriteTransaction, person: Person, reason: str, sealer: Sealer) -> Begun:
    """Enter an erasure. Whom it is about is kept sealed until it is done, so that one that was killed can be finished."""
    number = tx.allocate("erasure", 1)
    sealed = {"sealed": sealer.seal(person.to_json(), _place(person.entity, person.entity_id))}
    row = {"erasure_id": number, "entity": person.entity, "entity_id": person.entity_id, "reason": reason}
    tx.insert_row(erasure, {**row, "status": OPEN, "records": sealed, "requested_at": tx.now()})
    return Begun(number, OPEN, person)


def set_destroyed(tx: WriteTransaction, begun: Begun) -> None:
    """Say that nothing personal is left in the person's own rows."""
    _set(tx, begun.erasure_id, status=DESTROYED)


def set_cleared(tx: WriteTransaction, begun: Begun) -> None:
    """Keep no more than the numbers of the records: what is left to do is to give the bytes back."""
    _set(tx, begun.erasure_id, status=CLEARED, records=begun.person.own_ids)


def set_done(tx: WriteTransaction, begun: Begun) -> None:
    """Call an erasure done."""
    _set(tx, begun.erasure_id, status=DONE, finished_at=tx.now())


def _set(tx: WriteTransaction, number: int, **values: Any) -> None:
    mine = erasure.c.tenant_id == tx.tenant_id, erasure.c.erasure_id == number
    tx.execute(update(erasure).where(*mine).values(**tx.change(erasure), **values))


def _place(entity: str, number: int) -> str:
    return f"erasure/{entity}/{number}"


def destroy(tx: WriteTransaction, person: Person, children: Children = MappingProxyType({})) -> None:
    """Destroy everything personal of a person in the store, in one transaction.

    ``children``: by connection and object, the streams of which each such record is a partition, named by its key.
    """
    _rename_partitions(tx, person.own, children)
    _destroy_quarantine(tx, [*person.own, *person.other])
    _destroy_rows(tx, person.own_ids)
    _blank_facts(tx, person.other_ids)
    _destroy_golden(tx, person.entity, person.ids)
    _scrub_shared(tx, person.entity, person.shared_ids, set(person.own_ids))
    _forget(tx, person.own_ids, person.values)
    for table in (raw_head, absent_record, held_delete):
        _delete(tx, table, "source_record_id", [*person.own_ids, *person.other_ids])
    _end_identity(tx, person)


def _rename_partitions(tx: WriteTransaction, own: Sequence[Reference], children: Children) -> None:
    """Take the vendor's key out of the names of the partitions that were the person's children."""
    for ref in own:
        for stream in children.get((ref.connection_id, ref.object), ()):
            for table in (partition_state, read, segment):
                c = table.c
                mine = (c.tenant_id == tx.tenant_id, c.connection_id == ref.connection_id, c.stream == stream)
                values = {"partition": f"erased:{ref.source_record_id}"} | ({} if table is read else {"position": None})
                named = or_(
                    c.partition == ref.source_key, c.partition.endswith(_below(ref.source_key), autoescape=True)
                )
                tx.execute(update(table).where(*mine, named).values(values))


def _below(key: str) -> str:
    """Return how the name of a part ends that lies below the record with a key: ``tickets=77``, ``lang=en,tickets=77``."""
    return f"={quote(key, safe='')}"


def leftovers(tx: WriteTransaction, person: Person) -> None:
    """Destroy what stages derived from the person's records meanwhile."""
    match_index.remove_rows(tx, person.own_ids)
    _leave_households(tx, person.ids)


def _destroy_rows(tx: WriteTransaction, own: Sequence[int]) -> None:
    for name in load_vocabulary().entities:
        for table in (metadata.tables[name], metadata.tables[f"{name}_version"]):
            _delete(tx, table, "source_record_id", own)
            if name in _SAID_OF_A_PARTY:
                _delete(tx, table, "party", own)
    for start in range(0, len(own), 500):
        part = own[start : start + 500]
        change = tx.change(source_record)
        mine = source_record.c.tenant_id == tx.tenant_id, source_record.c.source_record_id.in_(part)
        values = {**change, "source_key": _surrogate(), "is_stub": False, "deleted_at": tx.now()}
        tx.execute(update(source_record).where(*mine).values(values))


def _surrogate() -> Any:
    return literal("erased:") + cast(source_record.c.source_record_id, Text)


def _blank_facts(tx: WriteTransaction, other: Sequence[int]) -> None:
    """Facts stay, with their references, amounts and times; what they say in words does not."""
    for name, entity in load_vocabulary().entities.items():
        personal = [term.name for term in entity.terms.values() if term.personal in _PERSONAL]
        for table in (metadata.tables[name], metadata.tables[f"{name}_version"]):
            with tx.picking(pa.array(other, pa.int64())):
                mine = table.c.tenant_id == tx.tenant_id, table.c.source_record_id.in_(select(picked.c.id))
                change = tx.change(table) if "known_to" not in table.c else {}
                change.pop("known_from", None)
                tx.execute(update(table).where(*mine).values(**change, **dict.fromkeys((*personal, *_NEVER_MEANT))))


def _destroy_golden(tx: WriteTransaction, entity: str, ids: Sequence[int]) -> None:
    open_neighbours(tx, ids)
    names = (f"golden_{entity}", "golden_contact_point", "golden_preference")
    for name in names:
        for table in (metadata.tables.get(name), metadata.tables.get(f"{name}_version")):
            if table is not None:
                _delete(tx, table, "entity_id", ids)
    _leave_households(tx, ids)


def _leave_households(tx: WriteTransaction, ids: Sequence[int]) -> None:
    for name in ("household_member", "household_member_version", "household_home", "household_open"):
        _delete(tx, metadata.tables[name], "person_id", ids)


def _scrub_shared(tx: WriteTransaction, entity: str, ids: Sequence[int], own: set[int]) -> None:
    """Take out of others' superseded golden rows the cells that came from the erased records."""
    table = metadata.tables[f"golden_{entity}_version"]
    rows = tx.execute(select(table).where(table.c.tenant_id == tx.tenant_id, table.c.entity_id.in_(ids))).fetchall()
    for row in rows:
        cells: Mapping[str, Any] = row.provenance or {}
        theirs = {term: cell for term, cell in cells.items() if not own & _sources(cell)}
        gone = [term for term in cells if term not in theirs and term in table.c]
        if len(theirs) < len(cells):
            mine = [table.c[key.name] == row._mapping[key.name] for key in table.primary_key]  # noqa: SLF001
            tx.execute(update(table).where(and_(*mine)).values(**dict.fromkeys(gone), provenance=theirs))


def _sources(cell: Any) -> set[int]:
    """Return the source records that a provenance cell names, wherever it does."""
    if isinstance(cell, list):
        return {each for part in cell for each in _sources(part)}
    return {cell} if isinstance(cell, int) and not isinstance(cell, bool) else set()


def _destroy_quarantine(tx: WriteTransaction, refs: Sequence[Reference]) -> None:
    q = quarantine.c
    blank = {"raw": None, "parent": None, "raw_hash": None, "source_key": None, "path": None}
    places: dict[tuple[str, str], list[str]] = {}
    for ref in refs:
        places.setdefault((ref.connection_id, ref.object), []).append(ref.source_key)
    for (connection_id, name), keys in places.items():
        for start in range(0, len(keys), 500):
            mine = (q.tenant_id == tx.tenant_id, q.connection_id == connection_id, q.object == name)
            closed = func.coalesce(q.resolved_seq, tx.change_seq)
            values = {**blank, "resolved_seq": closed, "resolution": ERASED, "change_seq": tx.change_seq}
            tx.execute(update(quarantine).where(*mine, q.source_key.in_(keys[start : start + 500])).values(values))


def _forget(tx: WriteTransaction, own: Sequence[int], values: Collection[str]) -> None:
    """Blank what people wrote of the records, and the statistics of their values."""
    d, blank = decision.c, {"value": None, "reason": None, "closed_why": None}
    for start in range(0, len(own), 500):
        part = own[start : start + 500]
        mine = d.tenant_id == tx.tenant_id, or_(d.left_id.in_(part), d.right_id.in_(part))
        closed = func.coalesce(d.known_to, tx.change_seq)
        tx.execute(update(decision).where(*mine).values(**blank, known_to=closed, change_seq=tx.change_seq))
    named = d.tenant_id == tx.tenant_id, d.decision_id.in_(decisions.naming(tx, own))
    tx.execute(update(decision).where(*named).values(**blank, key_hash=None, change_seq=tx.change_seq))
    hashes = [hashlib.md5(value.encode(), usedforsecurity=False).hexdigest() for value in values]
    stats = identifier_stats.c
    tx.execute(delete(identifier_stats).where(stats.tenant_id == tx.tenant_id, stats.value_hash.in_(hashes)))


def _end_identity(tx: WriteTransaction, person: Person) -> None:
    tx.delete(crosswalk, pa.table({"source_record_id": pa.array(person.own_ids, pa.int64())}))
    mine = identity.c.tenant_id == tx.tenant_id, identity.c.entity_id.in_(person.ids)
    tx.execute(update(identity).where(*mine).values(**tx.change(identity), status=ERASED, current_id=None))
    first = tx.allocate("id_event", len(person.ids))
    for place, each in enumerate(person.ids):
        row = {"id_event_id": first + place, "entity": person.entity, "kind": ERASED, "entity_id": each}
        tx.insert_row(id_event, row)


def _delete(tx: WriteTransaction, table: Table, column: str, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        tx.execute(delete(table).where(table.c.tenant_id == tx.tenant_id, table.c[column].in_(part)))
