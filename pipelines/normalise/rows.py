"""From mapped rows to rows of the store: references become numbers, unchanged values keep the time they were set.

Pure: Arrow in, Arrow out, DuckDB in between. The store is never opened here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from canonical_model import Entity, Term, Vocabulary
from pipelines.compute import query

REFS = pa.schema(
    [
        ("connection_id", pa.string()),
        ("object", pa.string()),
        ("source_key", pa.string()),
        ("entity", pa.string()),
        ("is_stub", pa.bool_()),
    ]
)
TIMED_KINDS = ("party", "attribute")
_SYSTEM = "@"


def own_refs(keys: pa.Table, connection_id: str, object_name: str, entity: str | None) -> pa.Table:
    """Return the references of the batch's own records; ``keys`` has ``source_key``."""
    n = keys.num_rows
    columns = [_constant(connection_id, n), _constant(object_name, n), keys.column("source_key"), _constant(entity, n)]
    return pa.table([*columns, pa.array([False] * n)], schema=REFS)


def stub_refs(
    rows: Mapping[str, pa.Table], vocabulary: Vocabulary, connection_id: str, owners: Mapping[str, str | None]
) -> pa.Table:
    """Return every reference that the rows make, once each, as stubs; ``owners`` says which entity an object's records are.

    A reference by identifier is a stub of the object ``@system``.
    """
    parts = [_column_refs(table, term, connection_id) for table, term in _ref_columns(rows, vocabulary)]
    if not parts:
        return REFS.empty_table()
    found = pa.concat_tables(parts)
    names = pa.table(
        {"object": list(owners), "owner": list(owners.values())},
        schema=pa.schema([("object", pa.string()), ("owner", pa.string())]),
    )
    return query(
        """SELECT connection_id, f.object, source_key, coalesce(max(n.owner), min(f.entity)) AS entity, true AS is_stub
           FROM found f LEFT JOIN names n ON n.object = f.object
           GROUP BY connection_id, f.object, source_key ORDER BY f.object, source_key""",
        found=found,
        names=names,
    ).cast(REFS)


def _ref_columns(rows: Mapping[str, pa.Table], vocabulary: Vocabulary) -> Iterable[tuple[pa.Table, Term]]:
    for entity, table in rows.items():
        for term in vocabulary.entity(entity).terms.values():
            if term.is_ref:
                yield table.select([term.name]), term


def _column_refs(table: pa.Table, term: Term, connection_id: str) -> pa.Table:
    target = term.to or ("person" if term.type == "party_ref" else None)
    return query(
        f"""SELECT DISTINCT $connection AS connection_id, {_object(term.name)} AS object, {_key(term.name)} AS source_key,
                   $target::VARCHAR AS entity, true AS is_stub
            FROM rows WHERE {_key(term.name)} IS NOT NULL""",
        {"connection": connection_id, "target": target},
        rows=table,
    ).cast(REFS)


def _object(name: str) -> str:
    return f"""coalesce("{name}".object, '{_SYSTEM}' || "{name}".system)"""


def _key(name: str) -> str:
    return f"""coalesce("{name}"."key", "{name}"."value")"""


def store_rows(
    entity: Entity, mapped: pa.Table, batch: pa.Table, ids: pa.Table, refs: pa.Table, mapping_version: int
) -> pa.Table:
    """Return an entity's rows as the store takes them.

    ``batch`` gives each ``source_key`` its payload ``hash``, ``ids`` its ``source_record_id``; ``refs`` gives the numbers of
    referenced records. A term with ``default: self`` that the mapping left empty refers to the record itself.
    """
    joins, columns = [], []
    for term in entity.terms.values():
        column = f'm."{term.name}"'
        if term.is_ref:
            alias = f"r_{term.name}"
            joins.append(
                f"LEFT JOIN refs {alias} ON {alias}.object = {_object_of(term.name)} "
                f"AND {alias}.source_key = {_key_of(term.name)}"
            )
            column = (
                f"{alias}.source_record_id"
                if term.default != "self"
                else f"coalesce({alias}.source_record_id, i.source_record_id)"
            )
        columns.append(f'{column} AS "{term.name}"')
    return query(
        f"""SELECT i.source_record_id, m.row_key, {", ".join(columns)}, m.extras, m.record_time,
                   b.hash AS payload_hash, {mapping_version:d}::BIGINT AS mapping_version
            FROM mapped m JOIN ids i ON i.source_key = m.source_key JOIN batch b ON b.source_key = m.source_key
            {" ".join(joins)} ORDER BY i.source_record_id, m.row_key""",
        mapped=mapped,
        ids=ids.select(["source_key", "source_record_id"]),
        batch=batch.select(["source_key", "hash"]),
        refs=refs.select(["object", "source_key", "source_record_id"]),
    )


def _object_of(name: str) -> str:
    return f"""coalesce(m."{name}".object, '{_SYSTEM}' || m."{name}".system)"""


def _key_of(name: str) -> str:
    return f"""coalesce(m."{name}"."key", m."{name}"."value")"""


def with_term_times(entity: Entity, new: pa.Table, current: pa.Table) -> pa.Table:
    """Return the new rows with ``term_times``: for each value that did not change, since when it has held.

    Only parties and what hangs on them compete in survivorship; other entities keep no times per term. A term that is not
    named has held since the row's own ``record_time``.
    """
    if entity.kind not in TIMED_KINDS:
        return new
    if current.num_rows == 0:
        return new.append_column("term_times", pa.nulls(new.num_rows, pa.string()))
    since = [_since(term.name) for term in entity.terms.values()]
    packed = ", ".join(f"'{name}': {expression}" for name, expression in zip(entity.terms, since, strict=True))
    held = f"map_from_entries(list_filter(map_entries(map {{{packed}}}), lambda e: e.value IS NOT NULL))"
    return query(
        f"""SELECT n.*, CASE WHEN o.source_record_id IS NOT NULL AND cardinality({held}) > 0
                             THEN to_json({held})::VARCHAR END AS term_times
            FROM new n LEFT JOIN old o ON o.source_record_id = n.source_record_id AND o.row_key = n.row_key
            ORDER BY n.source_record_id, n.row_key""",
        new=new,
        old=current,
    )


def _since(name: str) -> str:
    held = f"coalesce(o.term_times->>'{name}', strftime(o.record_time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ'))"
    return (
        f"""CASE WHEN n."{name}" IS NOT NULL AND n."{name}" IS NOT DISTINCT FROM o."{name}" """
        f"AND o.record_time IS NOT NULL AND o.record_time < n.record_time THEN {held} END"
    )


def quarantine_rows(part: pa.Table, bad: pa.Table, object_name: str, mapping_version: int) -> pa.Table:
    """Return what quarantine keeps of records that could not be mapped: why, where, the payload, and its place."""
    return query(
        """SELECT $object AS object, p.source_key, b.reason, b.path, encode(p.payload) AS raw, encode(p.parent) AS parent,
                  $version::BIGINT AS mapping_version, p.segment_id, p.row_no
           FROM bad b JOIN part p ON p.ordinal = b.ordinal ORDER BY p.ordinal""",
        {"object": object_name, "version": mapping_version},
        part=part,
        bad=bad.select(["ordinal", "reason", "path"]),
    )


def in_rounds(batch: pa.Table) -> list[pa.Table]:
    """Split a batch so that no source key comes twice in a part; parts keep the order in which a key was landed."""
    numbered = query(
        "SELECT *, row_number() OVER (PARTITION BY source_key ORDER BY ordinal) AS round FROM batch ORDER BY ordinal",
        batch=batch,
    )
    rounds = query("SELECT DISTINCT round FROM numbered ORDER BY round", numbered=numbered).column(0).to_pylist()
    if len(rounds) <= 1:
        return [batch] if batch.num_rows else []
    part = "SELECT * EXCLUDE round FROM numbered WHERE round = $round ORDER BY ordinal"
    return [query(part, {"round": number}, numbered=numbered) for number in rounds]


def stub_contacts(refs: pa.Table) -> dict[str, pa.Table]:
    """Return the contact points and identifiers by which stubs of the objects ``@system`` can be recognised.

    ``refs`` has object, source_key and source_record_id.
    """
    points = query(
        """SELECT source_record_id, '@' AS row_key, source_record_id AS party, substr(object, 2) AS kind, source_key AS "value",
                  source_key AS value_norm
           FROM refs WHERE object IN ('@email', '@phone') ORDER BY source_record_id""",
        refs=refs,
    )
    identifiers = query(
        """SELECT source_record_id, '@' AS row_key, source_record_id AS party, substr(object, 2) AS system, source_key AS "value"
           FROM refs WHERE starts_with(object, '@') AND object NOT IN ('@email', '@phone') ORDER BY source_record_id""",
        refs=refs,
    )
    return {"contact_point": points, "party_identifier": identifiers}


def _constant(value: str | None, n: int) -> pa.Array:
    return pa.array([value] * n, pa.string())
