"""What many parties state, made of all of them at once: equal, party by party, to the rules of ``statements``.

Which statement counts, and the text of those that do, is one query. What several quiet hours or several numbers come to
depends on nothing but these values: it is asked of ``statements`` once for each set of values, however many state it. All
words of a statement are codes and clocks of the vocabulary, so their JSON needs no escapes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.channels import statements
from pipelines.compute import query

if TYPE_CHECKING:
    from collections.abc import Callable

_HAD = "coalesce(try_cast(json_extract_string(term_times, '$.{0}') AS TIMESTAMPTZ), record_time)"
_CHANGED = "greatest({})".format
_SAID = f"""
    SELECT entity_id, kind, purpose, channel, source_record_id AS record, row_key,
           connection_id || '/' || object || '/' || source_key AS ref,
           CASE kind WHEN 'channel' THEN preferred_channel END AS preferred_channel,
           CASE WHEN kind IN ('time', 'quiet_hours') THEN time_from END AS time_from,
           CASE WHEN kind IN ('time', 'quiet_hours') THEN time_to END AS time_to,
           CASE kind WHEN 'frequency' THEN max_messages END AS max_messages,
           CASE kind WHEN 'frequency' THEN per_days END AS per_days,
           coalesce(stated_at, CASE kind WHEN 'channel' THEN {_HAD.format("preferred_channel")}
             WHEN 'frequency' THEN {_CHANGED(", ".join(map(_HAD.format, ("max_messages", "per_days"))))}
             ELSE {_CHANGED(", ".join(map(_HAD.format, ("time_from", "time_to"))))} END) AS said_at
    FROM rows"""
_COUNTING = f"""
    SELECT *, purpose IS NULL AND channel IS NULL AS general,
           coalesce(preferred_channel IS NOT NULL OR (time_from IS NOT NULL AND time_to IS NOT NULL)
                    OR (max_messages IS NOT NULL AND per_days IS NOT NULL), false) AS complete
    FROM ({_SAID})
    WHERE kind IN ('frequency', 'quiet_hours') OR complete
    QUALIFY kind IN ('frequency', 'quiet_hours') OR row_number() OVER (
        PARTITION BY entity_id, kind, purpose, channel ORDER BY said_at DESC NULLS LAST, ref DESC, row_key DESC) = 1"""
_TEXT = """'"' || {0} || '"'"""
_MEMBERS = {
    "channel": _TEXT.format("channel"),
    "kind": _TEXT.format("kind"),
    "max_messages": "max_messages",
    "per_days": "per_days",
    "preferred_channel": _TEXT.format("preferred_channel"),
    "purpose": _TEXT.format("purpose"),
    "said_at": _TEXT.format("strftime(said_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"),
    "source": "record",
    "time_from": _TEXT.format("time_from"),
    "time_to": _TEXT.format("time_to"),
}
_ONE = ", ".join(f"""'"{name}":' || {value}""" for name, value in _MEMBERS.items())
_ORDER = "ORDER BY kind, coalesce(purpose, ''), coalesce(channel, ''), ref, row_key"
_STATED = f"""
    SELECT entity_id,
           any_value(preferred_channel) FILTER (general AND kind = 'channel') AS stated_channel,
           any_value(time_from) FILTER (general AND kind = 'time') AS stated_from,
           any_value(time_to) FILTER (general AND kind = 'time') AS stated_to,
           string_agg(DISTINCT time_from || '-' || time_to, ' ' ORDER BY time_from || '-' || time_to)
             FILTER (general AND complete AND kind = 'quiet_hours') AS quiet,
           string_agg(DISTINCT max_messages || '/' || per_days, ' ' ORDER BY max_messages || '/' || per_days)
             FILTER (general AND complete AND kind = 'frequency') AS caps,
           '[' || string_agg('{{' || concat_ws(',', {_ONE}) || '}}', ',' {_ORDER}) FILTER (kind IS NOT NULL) || ']' AS stated
    FROM (SELECT DISTINCT entity_id FROM rows) LEFT JOIN ({_COUNTING}) USING (entity_id)
    GROUP BY entity_id ORDER BY entity_id"""


_NOTHING = pa.schema(
    [("entity_id", pa.int64())]
    + [(name, pa.string()) for name in ("stated_channel", "stated_from", "stated_to", "quiet", "stated")]
    + [("max_messages", pa.int64()), ("per_days", pa.int64())]
)


def stated(said: pa.Table) -> pa.Table:
    """Return a row per party that states anything, ordered by party; null where nothing of a kind counts.

    ``said`` is a row per preference of a record. Columns: entity_id, stated_channel, stated_from, stated_to, max_messages,
    per_days, stated (as ``golden_preference`` has them), and quiet: its own quiet hours, for ``quiet_columns``.
    """
    if not said.num_rows:
        return _NOTHING.empty_table()
    found = query(_STATED, rows=said)
    caps = _by_value(found.column("caps"), _cap, pa.struct([("max_messages", pa.int64()), ("per_days", pa.int64())]))
    return found.drop_columns(["caps"]).append_column("max_messages", caps[0]).append_column("per_days", caps[1])


def quiet_columns(quiet: pa.ChunkedArray, company: statements.Span) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return quiet_from, quiet_to and quiet_also of own quiet hours (as ``stated`` gives them) beside the company's."""

    def joined(spans: list[list[str]]) -> dict[str, Any]:
        own = [_statement(statements.QUIET, (start, end)) for start, end in spans]
        (start, end), *more = statements.quiet_spans(own, company)
        return {"from": start, "to": end, "also": json.dumps(more, separators=(",", ":")) if more else None}

    kind = pa.struct([(name, pa.string()) for name in ("from", "to", "also")])
    found = _by_value(quiet.fill_null(""), lambda text: joined([span.split("-") for span in text.split()]), kind)
    return found[0], found[1], found[2]


def _cap(text: str) -> dict[str, int]:
    caps = [tuple(map(int, cap.split("/"))) for cap in text.split()]
    messages, days = statements.strictest([_statement(statements.FREQUENCY, cap) for cap in caps]) or (None, None)
    return {"max_messages": messages, "per_days": days}  # type: ignore[dict-item]


def _by_value(column: pa.ChunkedArray, work: Callable[[str], Any], kind: pa.StructType) -> list[pa.Array]:
    """Do the work once for each distinct text, and return the parts of the results as columns; null stays null."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    found: list[pa.Array] = pa.array(map(work, coded.dictionary.to_pylist()), kind).take(coded.indices).flatten()
    return found


def _statement(kind: str, values: tuple[Any, ...]) -> statements.Statement:
    return statements.Statement(kind, None, None, values, None, 0, "", "")
