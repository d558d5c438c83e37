"""From the vendors' words to what they say about a contact point: pure, by the policy's tables of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels.policy import folded
from pipelines.compute import query

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.channels.policy import Policy

_TALK = "('email', 'call', 'meeting', 'social', 'message')"
_COLUMNS = ("entity_id", "party", "occurred_at", "direction", "type")

# A vendor that names its event by a word means that word; without one, who spoke to whom says it.
_SIGNALS = f"""
    SELECT entity_id, party, occurred_at, "channel", "kind", signal FROM (
      SELECT entity_id, party, occurred_at, coalesce(said_channel, of_type, of_word) AS "channel",
             CASE coalesce(said_channel, of_type, of_word) WHEN 'email' THEN 'email' WHEN 'web' THEN NULL
                  WHEN NULL THEN NULL ELSE 'phone' END AS "kind",
             CASE WHEN meaning = 'bounced' THEN CASE WHEN permanent THEN 'hard_bounced' ELSE 'soft_bounced' END
                  WHEN meaning IS NOT NULL THEN meaning
                  WHEN NOT has_word AND direction = 'inbound' AND "type" IN {_TALK} THEN 'answered'
                  WHEN NOT has_word AND direction = 'outbound' AND "type" IN {_TALK} THEN 'sent' END AS signal
      FROM told)
    WHERE signal IS NOT NULL AND "channel" IS NOT NULL"""


def signals(events: pa.Table, policy: Policy) -> pa.Table:
    """Return what happened as far as it says anything: entity_id, party, occurred_at, channel, kind, signal.

    ``kind`` is the kind of contact point that the channel reaches, null where it reaches none. What the policy's words
    do not name is left out: an unknown word changes nothing.
    """
    if events.num_rows == 0:
        return _NONE
    words = events.column("word")
    told = events.select(list(_COLUMNS))
    told = told.append_column("has_word", pc.is_valid(words))
    told = told.append_column("meaning", _looked_up(words, lambda word: policy.signals.get(folded(word))))
    told = told.append_column(
        "permanent", _truth(events.column("status"), lambda word: folded(word) in policy.permanent)
    )
    told = told.append_column(
        "said_channel", _looked_up(events.column("channel"), lambda word: policy.channels.get(folded(word)))
    )
    told = told.append_column("of_type", _looked_up(events.column("type"), {"email": "email", "call": "phone"}.get))
    told = told.append_column("of_word", _looked_up(words, _channel_in))
    return query(_SIGNALS, told=told)


def _channel_in(word: str) -> str | None:
    """Find the channel that a name like "Clicked SMS" holds."""
    return next((channel for channel in ("email", "sms", "whatsapp") if channel in folded(word)), None)


def _looked_up(values: pa.ChunkedArray, meaning: Callable[[str], str | None]) -> pa.Array:
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    return pa.array([meaning(word) for word in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _truth(values: pa.ChunkedArray, holds: Callable[[str], bool]) -> pa.Array:
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    return pa.array([holds(word) for word in coded.dictionary.to_pylist()], pa.bool_()).take(coded.indices)


_NONE = pa.schema(
    [
        ("entity_id", pa.int64()),
        ("party", pa.int64()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("channel", pa.string()),
        ("kind", pa.string()),
        ("signal", pa.string()),
    ]
).empty_table()
