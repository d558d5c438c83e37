"""The golden preferences: what a party says of itself, and what it does, marked apart.

Stated: language and time zone, the channel and the time it prefers, how often at most. Derived, with counts, and never
consent: the channel on which it answers and the hour of its own clock at which it does. Quiet hours are the policy's and
the party's own together, on the party's clock; without a known time zone there are none to keep to, and who asks must
hold (``pipelines.channels.permission``).

The columns say what is stated about every purpose and channel; ``stated`` has every statement that counts, with its scope.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels.stated import quiet_columns, stated
from pipelines.compute import query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.channels.policy import Policy

PREFERENCE_SCHEMA = pa.schema(
    [
        ("entity_id", pa.int64()),
        ("entity", pa.string()),
        ("language", pa.string()),
        ("time_zone", pa.string()),
        ("quiet_from", pa.string()),
        ("quiet_to", pa.string()),
        ("answered_channel", pa.string()),
        ("answered_hour", pa.int64()),
        ("derived", pa.string()),
        ("stated_channel", pa.string()),
        ("stated_from", pa.string()),
        ("stated_to", pa.string()),
        ("quiet_also", pa.string()),
        ("max_messages", pa.int64()),
        ("per_days", pa.int64()),
        ("stated", pa.string()),
    ]
)


_ANSWERED = ("answered_channel", "answered_hour", "derived")
_SAID_AS_IS = ("stated_channel", "stated_from", "stated_to", "max_messages", "per_days", "stated")
_JOINED = f"""
    SELECT entity_id, language, time_zone, quiet, {", ".join((*_ANSWERED, *_SAID_AS_IS))}
    FROM (SELECT entity_id FROM golden UNION SELECT entity_id FROM said UNION SELECT entity_id FROM answered)
    LEFT JOIN golden USING (entity_id) LEFT JOIN said USING (entity_id) LEFT JOIN answered USING (entity_id)
    ORDER BY entity_id"""


class Stated(NamedTuple):
    """What parties say: ``golden`` has entity_id, language, time_zone; ``said`` is a row per preference of a record."""

    golden: pa.Table
    said: pa.Table


@cache
def zone(name: str | None) -> ZoneInfo | None:
    """Return the time zone of that name; ``None`` where the name says none: then nobody knows the party's clock."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def golden_preferences(told: Stated, signals: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Return one row per entity of which anything is known, ordered by entity.

    ``signals`` are what happened. Row order never matters.
    """
    known = told.golden.select(["entity_id", "language", "time_zone"])
    answered, said = _answered(signals, known, policy), stated(told.said)
    if not answered.num_rows and not said.num_rows:
        return _silent(known.sort_by("entity_id"), policy, entity)
    joined = query(_JOINED, golden=known, said=said, answered=answered)
    rows = _silent(joined, policy, entity)
    for name in (*_ANSWERED, *_SAID_AS_IS):
        rows = _with(rows, name, joined.column(name))
    zoned = pc.is_valid(rows.column("quiet_from"))
    for name, column in zip(("quiet_from", "quiet_to", "quiet_also"), _quiet(joined, policy), strict=True):
        rows = _with(rows, name, pc.if_else(zoned, column, None))
    return rows


def _quiet(joined: pa.Table, policy: Policy) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return the hours that are quiet on every channel: the company's and the party's own together."""
    start, end = (clock.isoformat("minutes") for clock in (policy.quiet_from, policy.quiet_to))
    return quiet_columns(joined.column("quiet"), (start, end))


def _with(rows: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    place = PREFERENCE_SCHEMA.get_field_index(name)
    return rows.set_column(place, PREFERENCE_SCHEMA.field(place), column.cast(PREFERENCE_SCHEMA.field(place).type))


def _answered(signals: pa.Table, golden: pa.Table, policy: Policy) -> pa.Table:
    """Say of those who answered, one by one, on which channel and at which hour of their clock they mostly do."""
    told = signals.filter(pc.equal(signals.column("signal"), "answered"))
    found: dict[int, list[tuple[str, datetime]]] = defaultdict(list)
    columns = (told.column(name).to_pylist() for name in ("entity_id", "channel", "occurred_at"))
    for number, channel, at in zip(*columns, strict=True):
        found[number].append((channel, at))
    theirs = golden.filter(pc.is_in(golden.column("entity_id"), pa.array(found, pa.int64())))
    zones = dict(zip(*(theirs.column(name).to_pylist() for name in ("entity_id", "time_zone")), strict=True))
    rows = [
        {"entity_id": number} | _answer(zone(zones.get(number)), answers, policy) for number, answers in found.items()
    ]
    return pa.Table.from_pylist(rows, pa.schema(PREFERENCE_SCHEMA.field(name) for name in ("entity_id", *_ANSWERED)))


def _silent(golden: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Make the rows of those who neither answer nor state how they like it: there may be a million of them."""
    coded = golden.column("time_zone").cast(pa.string()).combine_chunks().dictionary_encode()
    zoned = pa.array([zone(name) is not None for name in coded.dictionary.to_pylist()], pa.bool_()).take(coded.indices)
    start, end = (clock.isoformat("minutes") for clock in (policy.quiet_from, policy.quiet_to))
    nothing = pa.nulls(golden.num_rows)
    known: list[Any] = [
        golden.column("entity_id"), pa.repeat(entity, golden.num_rows), golden.column("language"), coded.cast(pa.string()),
        pc.if_else(zoned, start, None), pc.if_else(zoned, end, None),
    ]  # fmt: skip
    columns = known + [nothing] * (len(PREFERENCE_SCHEMA) - len(known))
    typed = [column.cast(field.type) for column, field in zip(columns, PREFERENCE_SCHEMA, strict=True)]
    return pa.table(typed, schema=PREFERENCE_SCHEMA)


def _answer(clock: ZoneInfo | None, answers: Sequence[tuple[str, datetime]], policy: Policy) -> dict[str, Any]:
    """Derive the channel and the hour of answering, with their counts."""
    channels = Counter(channel for channel, _ in answers)
    hours = Counter(at.astimezone(clock).hour for _, at in answers) if clock else Counter[int]()
    derived = {"answers": dict(channels), "hours": {f"{hour:02d}": number for hour, number in hours.items()}}
    return {
        "answered_channel": _most(channels, policy),
        "answered_hour": _most(hours, policy),
        "derived": _text(derived),
    }


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _most(counted: Counter[Any], policy: Policy) -> Any:
    """Return what was counted most: often enough to be more than chance, and more often than anything else; or None."""
    ranked = counted.most_common(2)
    enough = counted.total() >= policy.least_answers
    return ranked[0][0] if enough and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None
