"""The candidates of one entity for one choice, best first, without a database: what ``explain`` answers from.

The same rules as ``sql.py``, in their Python form; a property test holds both to the same winner, rule and time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.golden.candidate import Candidate, microseconds
from pipelines.golden.policy import RECORD
from pipelines.golden.rules import AGREED, ONLY, RULES, TIE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.golden.policy import Choice

    Row = Mapping[str, Any]


def ranked(choice: Choice, members: Sequence[Row], contacts: Sequence[Row]) -> list[Candidate]:
    """Return the candidates that hold a value of the choice, best first; the rows are those of one entity."""
    rows = [row for row in members if not row["is_stub"]] if choice.source == RECORD else _of_kind(choice, contacts)
    found = [_candidate(choice, row) for row in rows]
    found = [candidate for candidate in found if any(value is not None for value in candidate.values)]
    return _in_order(choice, _counted(_aged(found, _newest(members, contacts))))


def decided(choice: Choice, winner: Candidate, other: Candidate) -> str:
    """Return the rule by which one candidate beats another."""
    for name in choice.ranking:
        if RULES[name].number(choice, winner) != RULES[name].number(choice, other):
            return name
    return TIE


def rule_of(choice: Choice, candidates: Sequence[Candidate]) -> str:
    """Return the rule that chose the first of the candidates, as provenance names it."""
    if len(candidates) == 1:
        return ONLY
    if choice.union:
        united = sorted({value for candidate in candidates for value in candidate.values[0]})
        return AGREED if all(list(candidate.values[0]) == united for candidate in candidates) else "union"
    rivals = (candidate for candidate in candidates if candidate.values != candidates[0].values)
    rival = next(rivals, None)
    return AGREED if rival is None else decided(choice, candidates[0], rival)


def instant_text(instant: datetime | None) -> str | None:
    """Return an instant as provenance writes it."""
    if instant is None:
        return None
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _of_kind(choice: Choice, contacts: Iterable[Row]) -> list[Row]:
    return [row for row in contacts if row["kind"] == choice.source]


def _candidate(choice: Choice, row: Row) -> Candidate:
    values = tuple(_value(choice, row, column) for column in choice.columns)
    times = row["term_times"] or {}
    times = json.loads(times) if isinstance(times, str) else times
    told = [_time(times.get(term), row["record_time"]) for term in choice.time_terms]
    filled = [time for time, value in zip(told, values, strict=True) if value is not None and time is not None]
    return Candidate(
        record=row["source_record_id"],
        source_ref=row["source_ref"],
        row_key=row["row_key"] or "",
        connection=row["connection"],
        connector=row["connector"],
        values=values,
        since=max(filled, default=None),
        verified=row.get("verified"),
        deliverable=row.get("deliverable"),
        rank=row.get("rank"),
    )


def _value(choice: Choice, row: Row, column: str) -> Any:
    if choice.source in ("email", "phone"):
        return row["value"]
    value, parts = row[column], choice.compose.get(column)
    if value is None and parts is not None and all(row[part] is not None for part in parts):
        return " ".join(row[part] for part in parts)
    return tuple(value) if isinstance(value, list) else value


def _time(told: str | None, record_time: datetime | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(told) if told else None
    except ValueError:
        found = None
    if found is None:
        return record_time
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _newest(members: Iterable[Row], contacts: Iterable[Row]) -> datetime | None:
    """When the entity was last heard of, by its sources' own times."""
    times = (row["record_time"] for rows in (members, contacts) for row in rows)
    return max((time for time in times if time is not None), default=None)


def _aged(candidates: list[Candidate], newest: datetime | None) -> list[Candidate]:
    known = [time for time in (newest, *(candidate.since for candidate in candidates)) if time is not None]
    upto = microseconds(max(known, default=None))
    return [
        replace(each, age_us=None if each.since is None else max(upto - microseconds(each.since), 0))
        for each in candidates
    ]


def _counted(candidates: list[Candidate]) -> list[Candidate]:
    holders = defaultdict[tuple[Any, ...], set[int]](set)
    for candidate in candidates:
        holders[candidate.values].add(candidate.record)
    return [replace(each, holders=len(holders[each.values])) for each in candidates]


def _in_order(choice: Choice, candidates: list[Candidate]) -> list[Candidate]:
    """Sort by source_ref and key first: the sort is stable, so that they decide where no rule does."""
    by_name = sorted(candidates, key=lambda each: f"{each.source_ref}\n{each.row_key}")
    return sorted(by_name, key=lambda each: [-RULES[name].number(choice, each) for name in choice.ranking])
