"""The golden preferences: what a party says of itself, and what it does, marked apart.

Stated: language and time zone. Derived, with counts, and never consent: the channel on which it answers and the hour of
its own clock at which it does. Quiet hours are the policy's, on the party's own clock; without a known time zone there
are none to keep to, and who asks must hold (``pipelines.channels.permission``).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    ]
)


@cache
def zone(name: str | None) -> ZoneInfo | None:
    """Return the time zone of that name; ``None`` where the name says none: then nobody knows the party's clock."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def golden_preferences(stated: pa.Table, signals: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Return one row per entity of which anything is known, ordered by entity.

    ``stated`` has entity_id, language, time_zone; ``signals`` what happened. Row order never matters.
    """
    answers = _answers(signals)
    answered = pc.is_in(stated.column("entity_id"), pa.array(list(answers), pa.int64()))
    said = {row["entity_id"]: row for row in stated.filter(answered).to_pylist()}
    rows = [_row(number, said.get(number, {}), happened, policy) for number, happened in answers.items()]
    some = pa.Table.from_pylist([{"entity": entity} | row for row in rows], PREFERENCE_SCHEMA)
    return pa.concat_tables([_silent(stated.filter(pc.invert(answered)), policy, entity), some]).sort_by("entity_id")


def _answers(signals: pa.Table) -> Mapping[int, list[tuple[str, datetime]]]:
    told = signals.filter(pc.equal(signals.column("signal"), "answered"))
    found: dict[int, list[tuple[str, datetime]]] = defaultdict(list)
    columns = (told.column(name).to_pylist() for name in ("entity_id", "channel", "occurred_at"))
    for number, channel, at in zip(*columns, strict=True):
        found[number].append((channel, at))
    return found


def _silent(stated: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Make the rows of those who never answered column by column: there may be a million of them."""
    coded = stated.column("time_zone").cast(pa.string()).combine_chunks().dictionary_encode()
    zoned = pa.array([zone(name) is not None for name in coded.dictionary.to_pylist()], pa.bool_()).take(coded.indices)
    start, end = (clock.isoformat("minutes") for clock in (policy.quiet_from, policy.quiet_to))
    nothing = pa.nulls(stated.num_rows)
    columns: list[Any] = [
        stated.column("entity_id"), pa.repeat(entity, stated.num_rows), stated.column("language"), coded.cast(pa.string()),
        pc.if_else(zoned, start, None), pc.if_else(zoned, end, None), nothing, nothing, nothing,
    ]  # fmt: skip
    typed = [column.cast(field.type) for column, field in zip(columns, PREFERENCE_SCHEMA, strict=True)]
    return pa.table(typed, schema=PREFERENCE_SCHEMA)


def _row(number: int, said: Mapping[str, Any], answers: list[tuple[str, datetime]], policy: Policy) -> dict[str, Any]:
    clock = zone(said.get("time_zone"))
    channels = Counter(channel for channel, _ in answers)
    hours = Counter(at.astimezone(clock).hour for _, at in answers) if clock else Counter[int]()
    derived = {"answers": dict(channels), "hours": {f"{hour:02d}": number for hour, number in hours.items()}}
    return {
        "entity_id": number,
        "language": said.get("language"),
        "time_zone": said.get("time_zone"),
        "quiet_from": policy.quiet_from.isoformat("minutes") if clock else None,
        "quiet_to": policy.quiet_to.isoformat("minutes") if clock else None,
        "answered_channel": _most(channels, policy),
        "answered_hour": _most(hours, policy),
        "derived": json.dumps(derived, sort_keys=True, separators=(",", ":")) if answers else None,
    }


def _most(counted: Counter[Any], policy: Policy) -> Any:
    """Return what was counted most: often enough to be more than chance, and more often than anything else; or None."""
    ranked = counted.most_common(2)
    enough = counted.total() >= policy.least_answers
    return ranked[0][0] if enough and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None
