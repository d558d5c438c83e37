"""Beside the rows themselves: how long values have held, what quarantine keeps, and by what stubs can be recognised.

Pure: Arrow in, Arrow out, DuckDB in between. The store is never opened here.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import Entity
from pipelines.compute import query

TIMED_KINDS = ("party", "attribute")


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
        part=part.filter(pc.is_in(part.column("ordinal"), value_set=bad.column("ordinal").combine_chunks())),
        bad=bad.select(["ordinal", "reason", "path"]),
    )


def stub_contacts(refs: pa.Table) -> dict[str, pa.Table]:
    """Return the contact points and identifiers by which stubs of the objects ``@system`` can be recognised.

    ``refs`` has object, source_key and source_record_id.
    """
    if not pc.any(pc.starts_with(refs.column("object"), "@")).as_py():
        return {}
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
