"""The tables that the vocabulary asks for: ``<entity>`` and ``golden_<entity>``, each with its ``…_version``."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Integer, MetaData, Table

from canonical_model import Entity, Term, Vocabulary, load_vocabulary
from pipelines.store.tables import change_columns, column, metadata, tenant_column
from pipelines.store.types import Amount, Instant, Json, NfcText, TextList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.types import TypeEngine

KINDS: Mapping[str, type[TypeEngine[Any]]] = MappingProxyType(
    {
        "text": NfcText,
        "code": NfcText,
        "currency": NfcText,
        "country": NfcText,
        "date": NfcText,
        "time": NfcText,
        "boolean": Boolean,
        "integer": BigInteger,
        "decimal": Amount,
        "money": Amount,
        "instant": Instant,
        "json": Json,
        "party_ref": BigInteger,
        "ref": BigInteger,
    }
)
ROW_KEY = ("source_record_id", "row_key")
# Terms by which rows are looked up beside their parties: a refusal binds its contact point at whomever it appears.
_FOUND_BY: Mapping[str, tuple[str, ...]] = MappingProxyType({"consent": ("contact_value_norm",)})
BOOKKEEPING = (
    "extras", "record_time", "term_times", "payload_hash", "mapping_version", "deleted_at", "known_from", "known_to",
    "change_seq", "actor", "cause", "tenant_id",
)  # fmt: skip
GOLDEN_CONTACT = (
    "primary_email", "primary_phone", "street", "street_2", "city", "region", "postcode", "country",
)  # fmt: skip


def term_column(term: Term) -> Column[Any]:
    """Return the nullable column of a term; a reference holds a source_record_id."""
    return column(term.name, TextList if term.multi and not term.is_ref else KINDS[term.type])


def entity_table(entity: Entity, home: MetaData = metadata) -> Table:
    """Return the table of the current source rows of an entity."""
    options: dict[str, Any] = {"postgresql_partition_by": "RANGE (occurred_at)"} if entity.kind == "event" else {}
    owner = ForeignKeyConstraint(
        ["tenant_id", "source_record_id"], ["source_record.tenant_id", "source_record.source_record_id"]
    )
    return Table(entity.name, home, *_row_columns(entity, key=()), owner, *_row_indexes(entity), **options)


def entity_version_table(entity: Entity, home: MetaData = metadata) -> Table:
    """Return the table of superseded source rows of an entity: what was known from ``known_from`` to ``known_to``."""
    columns = _row_columns(entity, key=("known_from",))
    return Table(f"{entity.name}_version", home, *columns, column("known_to", BigInteger, required=True))


def golden_table(entity: Entity, home: MetaData = metadata) -> Table:
    """Return the table of the current golden rows of an entity."""
    name = f"golden_{entity.name}"
    return Table(name, home, *_golden_columns(entity, key=()), Index(None, "tenant_id", "change_seq"))


def golden_version_table(entity: Entity, home: MetaData = metadata) -> Table:
    """Return the table of superseded golden rows of an entity."""
    columns = _golden_columns(entity, key=("known_from",))
    ended = column("known_to", BigInteger, required=True), Index(None, "tenant_id", "known_to")
    return Table(f"golden_{entity.name}_version", home, *columns, *ended)


def _row_columns(entity: Entity, key: tuple[str, ...]) -> list[Column[Any]]:
    columns = [
        tenant_column(),
        _key_column("source_record_id", BigInteger),
        _key_column("row_key", NfcText),
        *(term_column(term) for term in entity.terms.values()),
        column("extras", Json),
        column("record_time", Instant),
        column("term_times", Json),
        column("payload_hash", NfcText),
        column("mapping_version", Integer),
        column("deleted_at", Instant),
        column("known_from", BigInteger, required=True),
        *change_columns(),
    ]
    return _with_key(columns, (*(("occurred_at",) if entity.kind == "event" else ()), *key), entity.name)


def _golden_columns(entity: Entity, key: tuple[str, ...]) -> list[Column[Any]]:
    columns = [
        tenant_column(),
        _key_column("entity_id", BigInteger),
        *(term_column(term) for term in entity.terms.values()),
        *(column(name, NfcText) for name in GOLDEN_CONTACT),
        column("roles", TextList),
        column("source_count", BigInteger, required=True),
        column("is_stub", Boolean, required=True),
        column("provenance", Json),
        column("known_from", BigInteger, required=True),
        *change_columns(),
    ]
    return _with_key(columns, key, f"golden_{entity.name}")


def _with_key(columns: list[Column[Any]], key: tuple[str, ...], table: str) -> list[Column[Any]]:
    names = [each.name for each in columns]
    clashes = sorted({name for name in names if names.count(name) > 1})
    if clashes:
        message = f"table {table}: a term has the name of a bookkeeping column: {', '.join(clashes)}"
        raise ValueError(message)
    for each in columns:
        if each.name in key:
            each.primary_key, each.nullable = True, False
    return columns


def _key_column(name: str, kind: type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _row_indexes(entity: Entity) -> list[Index]:
    indexes = [Index(None, "tenant_id", "change_seq")]
    if entity.kind == "event":
        indexes.append(Index(None, "tenant_id", "occurred_at"))
    parties = (term.name for term in entity.terms.values() if term.type == "party_ref")
    found_by = (*parties, *_FOUND_BY.get(entity.name, ()))
    indexes.extend(Index(None, "tenant_id", name) for name in found_by)
    return indexes


def _build(vocabulary: Vocabulary) -> None:
    for entity in vocabulary.entities.values():
        entity_table(entity)
        entity_version_table(entity)
        if entity.golden:
            golden_table(entity)
            golden_version_table(entity)


_build(load_vocabulary())
