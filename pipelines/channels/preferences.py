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

from pipelines.channels import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


def golden_preferences(stated: Stated, signals: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Return one row per entity of which anything is known, ordered by entity.

    ``signals`` are what happened. Row order never matters.
    """
    answers, said = _answers(signals), _said(stated.said)
    numbers = list(answers.keys() | said.keys())
    if not numbers:
        return _silent(stated.golden.sort_by("entity_id"), policy, entity)
    told = pc.is_in(stated.golden.column("entity_id"), pa.array(numbers, pa.int64()))
    golden = {row["entity_id"]: row for row in stated.golden.filter(told).to_pylist()}
    rows = [_row(golden.get(number, {}), answers.get(number, []), said.get(number, []), policy) for number in numbers]
    keyed = [{"entity_id": number, "entity": entity} | row for number, row in zip(numbers, rows, strict=True)]
    some = pa.Table.from_pylist(keyed, PREFERENCE_SCHEMA)
    return pa.concat_tables([_silent(stated.golden.filter(pc.invert(told)), policy, entity), some]).sort_by("entity_id")


def _said(rows: pa.Table) -> dict[int, list[statements.Statement]]:
    """Return the statements that count, by entity."""
    found: dict[int, list[statements.Statement]] = defaultdict(list)
    for row in rows.to_pylist():
        found[row["entity_id"]].append(statements.read(row))
    return {number: statements.counting(said) for number, said in found.items()}


def _answers(signals: pa.Table) -> Mapping[int, list[tuple[str, datetime]]]:
    told = signals.filter(pc.equal(signals.column("signal"), "answered"))
    found: dict[int, list[tuple[str, datetime]]] = defaultdict(list)
    columns = (told.column(name).to_pylist() for name in ("entity_id", "channel", "occurred_at"))
    for number, channel, at in zip(*columns, strict=True):
        found[number].append((channel, at))
    return found


def _silent(stated: pa.Table, policy: Policy, entity: str) -> pa.Table:
    """Make the rows of those who neither answered nor stated how they like it by column: there may be a million of them."""
    coded = stated.column("time_zone").cast(pa.string()).combine_chunks().dictionary_encode()
    zoned = pa.array([zone(name) is not None for name in coded.dictionary.to_pylist()], pa.bool_()).take(coded.indices)
    start, end = (clock.isoformat("minutes") for clock in (policy.quiet_from, policy.quiet_to))
    nothing = pa.nulls(stated.num_rows)
    known: list[Any] = [
        stated.column("entity_id"), pa.repeat(entity, stated.num_rows), stated.column("language"), coded.cast(pa.string()),
        pc.if_else(zoned, start, None), pc.if_else(zoned, end, None),
    ]  # fmt: skip
    columns = known + [nothing] * (len(PREFERENCE_SCHEMA) - len(known))
    typed = [column.cast(field.type) for column, field in zip(columns, PREFERENCE_SCHEMA, strict=True)]
    return pa.table(typed, schema=PREFERENCE_SCHEMA)


def _row(
    golden: Mapping[str, Any],
    answers: Sequence[tuple[str, datetime]],
    said: Sequence[statements.Statement],
    policy: Policy,
) -> dict[str, Any]:
    general = [one for one in said if one.general]
    return {
        "language": golden.get("language"),
        "time_zone": golden.get("time_zone"),
        **_quiet(zone(golden.get("time_zone")), general, policy),
        **_answered(zone(golden.get("time_zone")), answers, policy),
        **_own(general),
        "stated": _text([one.shown() | {"source": one.record} for one in said]) if said else None,
    }


def _answered(clock: ZoneInfo | None, answers: Sequence[tuple[str, datetime]], policy: Policy) -> dict[str, Any]:
    """Derive the channel and the hour of answering, with their counts."""
    channels = Counter(channel for channel, _ in answers)
    hours = Counter(at.astimezone(clock).hour for _, at in answers) if clock else Counter[int]()
    derived = {"answers": dict(channels), "hours": {f"{hour:02d}": number for hour, number in hours.items()}}
    return {
        "answered_channel": _most(channels, policy),
        "answered_hour": _most(hours, policy),
        "derived": _text(derived) if answers else None,
    }


def _own(general: Sequence[statements.Statement]) -> dict[str, Any]:
    """Say what a party states about every purpose and channel."""
    (channel,) = statements.newest(general, statements.CHANNEL) or (None,)
    start, end = statements.newest(general, statements.TIME) or (None, None)
    messages, days = statements.strictest(general) or (None, None)
    return {
        "stated_channel": channel, "stated_from": start, "stated_to": end, "max_messages": messages, "per_days": days,
    }  # fmt: skip


def _quiet(clock: ZoneInfo | None, general: Sequence[statements.Statement], policy: Policy) -> dict[str, Any]:
    """Say the hours that are quiet on every channel: the company's and the party's own together."""
    if clock is None:
        return {"quiet_from": None, "quiet_to": None, "quiet_also": None}
    company = policy.quiet_from.isoformat("minutes"), policy.quiet_to.isoformat("minutes")
    (start, end), *more = statements.quiet_spans(general, company)
    return {"quiet_from": start, "quiet_to": end, "quiet_also": _text(more) if more else None}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _most(counted: Counter[Any], policy: Policy) -> Any:
    """Return what was counted most: often enough to be more than chance, and more often than anything else; or None."""
    ranked = counted.most_common(2)
    enough = counted.total() >= policy.least_answers
    return ranked[0][0] if enough and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None
