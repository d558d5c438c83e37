"""What people decided: written once, closed but never changed, read by resolve (who is who) and golden (pinned values).

Only open decisions bind. ``key_hashes`` is the memory of what a person looked at: a decision is asked again when the key
data of one of its records (names, date of birth, e-mails, phones, identifiers) differs from then, and for no other reason.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import select, update

from pipelines.store.tables import decision, metadata, picked, source_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select, Table

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

MATCH, NO_MATCH, UNSURE, SPLIT, PIN = "match", "no_match", "unsure", "split", "pin"
IDENTITY_KINDS = (MATCH, NO_MATCH, UNSURE, SPLIT)
KEY_TERMS = (
    "full_name", "given_name", "middle_name", "family_name", "name_suffix", "birth_date", "name", "legal_name", "domain",
)  # fmt: skip
_KEY_POINTS = ("email", "phone", "social")
_HASH_LENGTH = 16


@dataclass(frozen=True)
class Decision:
    """One decision as it stands; ``known_to`` is None while it binds."""

    decision_id: int
    entity: str
    kind: str
    left_id: int | None = None
    right_id: int | None = None
    groups: tuple[tuple[int, ...], ...] = ()
    term: str | None = None
    value: Any = None
    reason: str | None = None
    expires_at: datetime | None = None
    key_hash: str | None = None
    request_key: str = ""
    known_from: int = 0
    known_to: int | None = None
    decided_at: datetime | None = None
    actor: str | None = None
    change_seq: int = 0
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_why: str | None = None
    closed_key: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the decision binds."""
        return self.known_to is None

    @property
    def records(self) -> tuple[int, ...]:
        """The source records it is about, ascending."""
        named = (self.left_id, self.right_id, *(one for group in self.groups for one in group))
        return tuple(sorted({one for one in named if one is not None}))

    @property
    def pair(self) -> tuple[int, int] | None:
        """The two records that it compares, the lower number first."""
        if self.left_id is None or self.right_id is None or self.left_id == self.right_id:
            return None
        return min(self.left_id, self.right_id), max(self.left_id, self.right_id)


def open_decisions(store: Store, tenant_id: int, entity: str, kinds: Iterable[str] = IDENTITY_KINDS) -> list[Decision]:
    """Return what binds now, oldest first."""
    return found(store, tenant_id, decision.c.entity == entity, decision.c.kind.in_(list(kinds)), _open())


def listed(store: Store, tenant_id: int, entity: str | None = None, *, closed: bool = False) -> list[Decision]:
    """Return decisions for a person to read, oldest first; those no longer open too if asked."""
    wanted: list[ColumnElement[bool]] = [] if entity is None else [decision.c.entity == entity]
    return found(store, tenant_id, *wanted, *([] if closed else [_open()]))


def changed_records(store: Store, tenant_id: int, entity: str, since: int) -> set[int]:
    """Return the records of decisions about identity that were made or undone after ``since``."""
    mine = (decision.c.entity == entity, decision.c.kind.in_(IDENTITY_KINDS), decision.c.change_seq > since)
    return {one for each in found(store, tenant_id, *mine) for one in each.records}


def found(source: Store | WriteTransaction, tenant_id: int, *where: ColumnElement[bool]) -> list[Decision]:
    """Return the decisions that meet the conditions, oldest first."""
    names = [name for name in Decision.__dataclass_fields__ if name in decision.c]
    statement = select(*(decision.c[name] for name in names)).where(decision.c.tenant_id == tenant_id, *where)
    rows = _rows(source, statement.order_by(decision.c.decision_id))
    return [_decision(dict(zip(names, row, strict=True))) for row in rows]


def numbered(source: Store | WriteTransaction, tenant_id: int, decision_id: int) -> Decision | None:
    """Return the decision with this number."""
    return next(iter(found(source, tenant_id, decision.c.decision_id == decision_id)), None)


def of_request(source: Store | WriteTransaction, tenant_id: int, request_key: str) -> Decision | None:
    """Return the decision that a request made."""
    return next(iter(found(source, tenant_id, decision.c.request_key == request_key)), None)


def closed_by(source: Store | WriteTransaction, tenant_id: int, request_key: str) -> list[Decision]:
    """Return the decisions that a request closed."""
    return found(source, tenant_id, decision.c.closed_key == request_key)


def naming(tx: WriteTransaction, records: Iterable[int]) -> list[int]:
    """Return the decisions, open or closed, that name one of these records, in a group of a split too."""
    wanted = set(records)
    return [one.decision_id for one in found(tx, tx.tenant_id) if wanted & set(one.records)]


def add(tx: WriteTransaction, values: Mapping[str, Any]) -> int:
    """Write one decision, open from this transaction on; returns its number."""
    number = tx.allocate("decision", 1)
    tx.insert_row(decision, {"decision_id": number, "decided_at": tx.now(), **values})
    return number


def close(tx: WriteTransaction, ids: Sequence[int], *, why: str, key: str) -> int:
    """End open decisions, with who, when and why; they stay to be read. Returns how many were open."""
    mine = decision.c.tenant_id == tx.tenant_id, decision.c.decision_id.in_(list(ids)), _open()
    ended = {"known_to": tx.change_seq, "change_seq": tx.change_seq, "closed_at": tx.now(), "closed_by": tx.actor}
    return int(tx.execute(update(decision).where(*mine).values(**ended, closed_why=why, closed_key=key)).rowcount)


def key_hashes(store: Store, tenant_id: int, entity: str, records: Iterable[int]) -> dict[int, str]:
    """Return a hash of the key data of each of these records that is alive; what is not key data does not enter it."""
    ids = pa.array(sorted(set(records)), pa.int64())
    facts: dict[int, set[str]] = {record: set() for record in _alive(store, tenant_id, ids)}
    for record, *parts in key_facts(store, tenant_id, entity, ids):
        if record in facts:
            facts[record].add("=".join(_plain(part) for part in parts))
    return {record: _hash(held) for record, held in facts.items()}


def key_hash(records: Iterable[int], hashes: Mapping[int, str]) -> str:
    """Return what a decision remembers of the key data of its records; one that is gone has none."""
    return " ".join(f"{record}:{hashes.get(record, '')}" for record in sorted(set(records)))


def changed_key_data(remembered: str | None, hashes: Mapping[int, str]) -> tuple[int, ...]:
    """Return the records whose key data are not what they were; a record that is gone has not changed."""
    pairs = (pair.partition(":") for pair in (remembered or "").split())
    return tuple(int(one) for one, _, was in pairs if was and hashes.get(int(one), was) != was)


def _open() -> ColumnElement[bool]:
    return decision.c.known_to.is_(None)


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(**{**row, "groups": tuple(tuple(group) for group in row["groups"] or ())})


def _rows(source: Store | WriteTransaction, statement: Select[Any]) -> Sequence[Any]:
    read = getattr(source, "read", None)
    return read(statement) if read else source.execute(statement).all()  # type: ignore[union-attr]


def _alive(store: Store, tenant_id: int, ids: pa.Array) -> list[int]:
    mine = source_record.c.tenant_id == tenant_id, source_record.c.deleted_at.is_(None)
    chosen = source_record.c.source_record_id.in_(select(picked.c.id))
    found_ids = store.read_arrow(select(source_record.c.source_record_id).where(*mine, chosen), ids=ids)
    return [int(one) for one in found_ids["source_record_id"].to_pylist()]


def key_facts(store: Store, tenant_id: int, entity: str, ids: pa.Array) -> Iterable[tuple[int, str, str]]:
    """Yield the key data of records: record; term, kind of contact point or identifier system; value."""
    rows, points, named = (metadata.tables[name] for name in (entity, "contact_point", "party_identifier"))
    terms = [term for term in KEY_TERMS if term in rows.c]
    own = store.read_arrow(
        _live(rows, "source_record_id", tenant_id, *(rows.c[term] for term in terms)), ids=ids
    ).to_pylist()
    yield from ((row["record"], term, row[term]) for row in own for term in terms if row[term])
    value = [points.c.kind, points.c.value_norm, points.c.value]
    held = store.read_arrow(
        _live(points, "party", tenant_id, *value).where(points.c.kind.in_(_KEY_POINTS), points.c.valid_to.is_(None)),
        ids=ids,
    )
    yield from ((row["record"], row["kind"], row["value_norm"] or row["value"] or "") for row in held.to_pylist())
    numbers = store.read_arrow(_live(named, "party", tenant_id, named.c.system, named.c.value), ids=ids)
    yield from ((row["record"], row["system"], row["value"] or "") for row in numbers.to_pylist())


def _live(table: Table, owner: str, tenant_id: int, *columns: ColumnElement[Any]) -> Select[Any]:
    mine = table.c.tenant_id == tenant_id, table.c.deleted_at.is_(None), table.c[owner].in_(select(picked.c.id))
    return select(table.c[owner].label("record"), *columns).where(*mine)


def _plain(text: Any) -> str:
    """Write a value so that case, accents' encoding and spaces make no difference."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", str(text))).strip().casefold()


def _hash(facts: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()[:_HASH_LENGTH]


def for_records(
    source: Store | WriteTransaction, tenant_id: int, entity: str, records: Iterable[int]
) -> list[Decision]:
    """Return the open decisions of an entity that name one of these records."""
    wanted = set(records)
    return [
        each for each in found(source, tenant_id, decision.c.entity == entity, _open()) if wanted & set(each.records)
    ]
