"""Preferences made party by party from the rules of ``statements``: what the set-based stage must equal. And parties by chance."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.channels import statements
from pipelines.channels.preferences import PREFERENCE_SCHEMA, Stated, zone
from tests.channels.hub import at
from tests.channels.said import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.channels.policy import Policy

GOLDEN = pa.schema([("entity_id", pa.int64()), ("language", pa.string()), ("time_zone", pa.string())])
_CLOCKS = ("00:00", "07:30", "09:00", "12:15", "20:00", "21:00", "23:59", None)


def preferences(told: Stated, answered: Mapping[int, dict[str, Any]], policy: Policy, entity: str) -> pa.Table:
    """Make the rows one by one; ``answered`` has what is derived of those who answered."""
    said: dict[int, list[statements.Statement]] = defaultdict(list)
    for row in told.said.to_pylist():
        said[row["entity_id"]].append(statements.read(row))
    golden = {row["entity_id"]: row for row in told.golden.to_pylist()}
    rows = [
        {"entity_id": number, "entity": entity, **answered.get(number, {})}
        | _row(golden.get(number, {}), statements.counting(said.get(number, [])), policy)
        for number in sorted({*golden, *said, *answered})
    ]
    return pa.Table.from_pylist(rows, PREFERENCE_SCHEMA)


def _row(golden: Mapping[str, Any], said: Sequence[statements.Statement], policy: Policy) -> dict[str, Any]:
    general = [one for one in said if one.general]
    (channel,) = _newest(general, statements.CHANNEL) or (None,)
    start, end = _newest(general, statements.TIME) or (None, None)
    messages, days = statements.strictest(general) or (None, None)
    return {
        "language": golden.get("language"), "time_zone": golden.get("time_zone"),
        **_quiet(golden.get("time_zone"), general, policy),
        "stated_channel": channel, "stated_from": start, "stated_to": end, "max_messages": messages, "per_days": days,
        "stated": _text([one.shown() | {"source": one.record} for one in said]) if said else None,
    }  # fmt: skip


def _newest(general: Sequence[statements.Statement], kind: str) -> tuple[Any, ...] | None:
    return next((one.values for one in general if one.kind == kind), None)


def _quiet(time_zone: str | None, general: Sequence[statements.Statement], policy: Policy) -> dict[str, Any]:
    if zone(time_zone) is None:
        return {}
    company = policy.quiet_from.isoformat("minutes"), policy.quiet_to.isoformat("minutes")
    (start, end), *more = statements.quiet_spans(general, company)
    return {"quiet_from": start, "quiet_to": end, "quiet_also": _text(more) if more else None}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def parties(seed: int, count: int) -> Stated:
    """Return parties by chance, some silent, some of whom nothing golden is known, with statements of one to four records."""
    chance = random.Random(seed)
    zones = ("Europe/London", "Europe/Berlin", "Mars/Olympus", None)
    golden = [
        {"entity_id": n, "language": chance.choice(("de", None)), "time_zone": chance.choice(zones)}
        for n in range(1, count + 1)
        if chance.random() < 0.9
    ]
    said = [
        _statement(chance, party, record)
        for party in range(1, count + 1)
        for record in range(chance.choice((0, 1, 2, 4)))
        for _ in range(chance.randint(1, 4))
    ]
    chance.shuffle(golden)
    chance.shuffle(said)
    return Stated(pa.Table.from_pylist(golden, GOLDEN), pa.Table.from_pylist(said, SCHEMA))


def _statement(chance: random.Random, party: int, record: int) -> dict[str, Any]:
    changed = {
        name: (at("2026-02-01") + timedelta(days=chance.randint(0, 3))).isoformat()
        for name in ("preferred_channel", "time_from", "time_to", "max_messages", "per_days")
        if chance.random() < 0.3
    }
    some = {
        "kind": chance.choice(("channel", "time", "frequency", "quiet_hours")),
        "purpose": chance.choice((None, None, "marketing", "service")),
        "channel": chance.choice((None, None, "email", "phone")),
        "preferred_channel": chance.choice((None, "email", "sms", "phone")),
        "time_from": chance.choice(_CLOCKS),
        "time_to": chance.choice(_CLOCKS),
        "max_messages": chance.choice((None, 0, 1, 2, 10)),
        "per_days": chance.choice((None, 1, 7, 14, 30)),
        "stated_at": chance.choice((None, at("2026-01-01"), at("2026-02-02"), at("2026-03-01"))),
        "record_time": chance.choice((None, at("2026-02-01"), at("2026-02-03"))),
        "term_times": json.dumps(changed) if changed else None,
    }
    ref = {"connection_id": "crm", "object": "contact", "source_key": str(party * 10 + record)}
    own = {"entity_id": party, "source_record_id": party * 10 + record, "row_key": str(chance.random())}
    return some | ref | own
