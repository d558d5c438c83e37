"""The digest: one hash per table over what the store means now, to compare two stores (ARCHITECTURE §6, "Digest").

Source ids are replaced by source references, entity ids by the hash of their members' references; numbers and clock
times of our own are left out. Stores with equal digests hold the same customers, whichever way they came to it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table, select

from pipelines.store import tables
from pipelines.store.arrow_in import instant_texts, json_lists
from pipelines.store.entity_tables import BOOKKEEPING, GOLDEN_CONTACT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from canonical_model import Entity
    from pipelines.store.store import Store

_NULL, _BETWEEN = "\x00", "\x1f"
_ROWS_AT_ONCE = 20_000
_DERIVED = frozenset(BOOKKEEPING) - {"extras", "record_time", "term_times"}


def digest(store: Store, *, tenant_id: int = 1) -> dict[str, str]:
    """Return table name → SHA-256 of its sorted canonical rows; equal on SQLite and PostgreSQL."""
    return {name: _hash(rows) for name, rows in sorted(_Meaning(store, tenant_id).tables())}


class _Meaning:
    """The tables of a store as rows of text, without anything that only says how they came about."""

    def __init__(self, store: Store, tenant_id: int) -> None:
        self._store, self._tenant_id = store, tenant_id
        record = self._columns(tables.source_record, "source_record_id", "connection_id", "object", "source_key")
        refs = pc.binary_join_element_wise(*record.columns[1:], "/")
        self._refs = dict(zip(record.column(0).to_pylist(), refs.to_pylist(), strict=True))
        self._entities = self._entity_hashes()

    def tables(self) -> Iterator[tuple[str, list[pa.ChunkedArray]]]:
        """Yield the name and the text columns of each table."""
        for entity in self._store.vocabulary.entities.values():
            yield entity.name, self._entity_rows(entity)
            if entity.golden:
                yield f"golden_{entity.name}", self._golden_rows(entity)
        yield "connection", self._plain(tables.connection, "connection_id", "name", "connector", "connector_major")
        yield "source_record", self._source_records()
        yield "raw_head", self._raw_heads()
        yield "quarantine", self._quarantine()
        yield "evidence", self._evidence()
        yield "crosswalk", self._crosswalk()
        yield "decision", self._decisions()
        yield (
            "completeness",
            self._plain(tables.partition_state, "connection_id", "stream", "partition", "completeness"),
        )
        yield "golden_contact_point", self._contact_points()
        yield "golden_preference", self._preferences()
        yield "golden_relationship", self._relations()
        yield "account_hierarchy", self._hierarchies()
        yield "household_member", self._households()
        yield "retracted_record", [self._ref(self._columns(tables.retracted_record, "source_record_id").column(0))]
        yield "suppression", self._plain(tables.suppression, "kind", "keyed_hash")

    def _entity_rows(self, entity: Entity) -> list[pa.ChunkedArray]:
        table = tables.metadata.tables[entity.name]
        names = [column.name for column in table.columns if column.name not in _DERIVED]
        rows = self._columns(table, *names, where=[table.c.deleted_at.is_(None)])
        refs = {"source_record_id", *(term.name for term in entity.terms.values() if term.is_ref)}
        return [self._ref(rows.column(n)) if n in refs else _text(rows.column(n)) for n in names]

    def _golden_rows(self, entity: Entity) -> list[pa.ChunkedArray]:
        table = tables.metadata.tables[f"golden_{entity.name}"]
        names = [*entity.terms, *GOLDEN_CONTACT, "source_count", "is_stub"]
        rows = self._columns(table, "entity_id", *names, "provenance")
        origins = pa.chunked_array(
            [[self._origin(text) for text in rows.column("provenance").to_pylist()]], pa.string()
        )
        return [self._entity(rows.column("entity_id")), *(_text(rows.column(n)) for n in names), origins]

    def _source_records(self) -> list[pa.ChunkedArray]:
        record = tables.source_record
        live = [record.c.deleted_at.is_(None), record.c.is_stub.is_(False)]
        rows = self._columns(record, "source_record_id", "entity", where=live)
        return [self._ref(rows.column(0)), _text(rows.column(1))]

    def _raw_heads(self) -> list[pa.ChunkedArray]:
        head = tables.raw_head
        rows = self._columns(head, "source_record_id", "hash", "record_time", where=[head.c.op == "upsert"])
        return [self._ref(rows.column(0)), *(_text(column) for column in rows.columns[1:])]

    def _quarantine(self) -> list[pa.ChunkedArray]:
        names = ("stage", "connection_id", "stream", "object", "source_key", "raw_hash", "reason", "path")
        return self._plain(tables.quarantine, *names, where=[tables.quarantine.c.resolved_seq.is_(None)])

    def _evidence(self) -> list[pa.ChunkedArray]:
        names = ("left_id", "right_id", "entity", "kind", "rule", "judgement", "weight")
        rows = self._columns(tables.evidence, *names, where=[tables.evidence.c.known_to.is_(None)])
        left, right = self._ref(rows.column(0)), self._ref(rows.column(1))
        ordered = pc.less_equal(left, right)
        ends = [pc.if_else(ordered, left, right), pc.if_else(ordered, right, left)]
        return [*ends, *(_text(column) for column in rows.columns[2:])]

    def _decisions(self) -> list[pa.ChunkedArray]:
        """What binds now, not who said it when: kind, records (sorted where their order says nothing), value, expiry."""
        names = ("entity", "kind", "term", "value", "expires_at", "left_id", "right_id", "groups")
        rows = self._columns(tables.decision, *names, where=[tables.decision.c.known_to.is_(None)])
        left, right = self._ref(rows.column(5)), self._ref(rows.column(6))
        ordered = pc.less_equal(left, right)
        ends = [pc.if_else(ordered, left, right), pc.if_else(ordered, right, left)]
        groups = pa.chunked_array([[self._groups(text) for text in rows.column(7).to_pylist()]], pa.string())
        return [*(_text(column) for column in rows.columns[:5]), *ends, groups]

    def _groups(self, text: str | None) -> str:
        groups = json.loads(text) if text else []
        return json.dumps(sorted(sorted(self._refs.get(record, "?") for record in group) for group in groups))

    def _crosswalk(self) -> list[pa.ChunkedArray]:
        rows = self._columns(tables.crosswalk, "source_record_id", "entity", "entity_id")
        return [self._ref(rows.column(0)), _text(rows.column(1)), self._entity(rows.column(2))]

    def _contact_points(self) -> list[pa.ChunkedArray]:
        names = (
            "entity", "kind", "network", "value_norm", "value", "use", "rank", "state", "verified", "deliverability",
            "valid_from", "valid_to", "signals",
        )  # fmt: skip
        rows = self._columns(tables.golden_contact_point, "entity_id", *names, "sources")
        told = [sorted(self._refs[each] for each in json.loads(text)) for text in rows.column("sources").to_pylist()]
        texts = pa.chunked_array([[json.dumps(refs, ensure_ascii=False) for refs in told]], pa.string())
        return [self._entity(rows.column("entity_id")), *(_text(rows.column(n)) for n in names), texts]

    def _preferences(self) -> list[pa.ChunkedArray]:
        names = (
            "entity", "language", "time_zone", "quiet_from", "quiet_to", "answered_channel", "answered_hour", "derived",
            "stated_channel", "stated_from", "stated_to", "quiet_also", "max_messages", "per_days",
        )  # fmt: skip
        rows = self._columns(tables.golden_preference, "entity_id", *names, "stated")
        texts = pa.chunked_array([[self._statements(text) for text in rows.column("stated").to_pylist()]], pa.string())
        return [self._entity(rows.column("entity_id")), *(_text(rows.column(n)) for n in names), texts]

    def _statements(self, text: str | None) -> str:
        said = [{**one, "source": self._refs[one["source"]]} for one in json.loads(text)] if text else []
        return json.dumps(said, sort_keys=True)

    def _relations(self) -> list[pa.ChunkedArray]:
        ends = ("from_id", "to_id", "subject_id", "conflict_with")
        names = (
            "type", "role", "hierarchy", "span", "valid_from", "valid_to", "evidence_at", "strength", "sources",
            "together", "is_primary", "conflict",
        )  # fmt: skip
        rows = self._columns(tables.golden_relationship, *ends, *names, "told_by")
        told = [sorted(self._refs[each] for each in json.loads(text)) for text in rows.column("told_by").to_pylist()]
        texts = pa.chunked_array([[json.dumps(refs, ensure_ascii=False) for refs in told]], pa.string())
        return [*(self._entity(rows.column(n)) for n in ends), *(_text(rows.column(n)) for n in names), texts]

    def _households(self) -> list[pa.ChunkedArray]:
        """Each member with all the members of its household, which stand for the household's id."""
        rows = self._columns(tables.household_member, "person_id", "household_id", "reasons", "valid_from")
        persons, numbers = self._entity(rows.column(0)), rows.column(1).to_pylist()
        together: dict[int, list[str]] = {}
        for person, number in zip(persons.to_pylist(), numbers, strict=True):
            together.setdefault(number, []).append(person)
        whole = pa.chunked_array([[_BETWEEN.join(sorted(together[number])) for number in numbers]], pa.string())
        return [persons, whole, *(_text(column) for column in rows.columns[2:])]

    def _hierarchies(self) -> list[pa.ChunkedArray]:
        ends, names = ("entity_id", "parent_id"), ("hierarchy", "span", "valid_from", "valid_to", "strength", "cut")
        rows = self._columns(tables.account_hierarchy, *ends, *names)
        return [*(self._entity(rows.column(n)) for n in ends), *(_text(rows.column(n)) for n in names)]

    def _plain(self, table: Table, *names: str, where: list[Any] | None = None) -> list[pa.ChunkedArray]:
        return [_text(column) for column in self._columns(table, *names, where=where).columns]

    def _columns(self, table: Table, *names: str, where: list[Any] | None = None) -> pa.Table:
        statement = select(*(table.c[name] for name in names)).where(
            table.c.tenant_id == self._tenant_id, *(where or [])
        )
        return self._store.read_arrow(statement)

    def _entity_hashes(self) -> dict[int, str]:
        rows = self._columns(tables.crosswalk, "entity_id", "source_record_id")
        members: dict[int, list[str]] = {}
        for entity_id, record_id in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            members.setdefault(entity_id, []).append(self._refs[record_id])
        return {
            entity: hashlib.sha256("\n".join(sorted(refs)).encode()).hexdigest() for entity, refs in members.items()
        }

    def _ref(self, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        return _translated(ids, self._refs)

    def _entity(self, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        return _translated(ids, self._entities)

    def _origin(self, provenance: str | None) -> str:
        """Return {term: [source reference, rule, since]} as text."""
        cells: Mapping[str, Any] = json.loads(provenance) if provenance else {}
        named = {
            term: [self._refs.get(cell[0]), *cell[1:]] if isinstance(cell, list) and cell else cell
            for term, cell in cells.items()
        }
        return json.dumps(named, sort_keys=True, ensure_ascii=False)


def _translated(ids: pa.ChunkedArray, names: Mapping[int, str]) -> pa.ChunkedArray:
    texts = [_NULL if each is None else names.get(each, "?") for each in ids.to_pylist()]
    return pa.chunked_array([texts], pa.string())


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(values.type):
        values = json_lists(values)
    elif pa.types.is_timestamp(values.type):
        values = instant_texts(values)
    return pc.fill_null(values.cast(pa.string()), _NULL)


def _hash(columns: list[pa.ChunkedArray]) -> str:
    """Hash the distinct rows in the order of their text."""
    result = hashlib.sha256()
    if len(columns[0]):
        rows = pc.unique(pc.binary_join_element_wise(*columns, _BETWEEN))
        rows = rows.take(pc.sort_indices(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            result.update("\n".join(rows.slice(start, _ROWS_AT_ONCE).to_pylist()).encode() + b"\n")
    return result.hexdigest()
