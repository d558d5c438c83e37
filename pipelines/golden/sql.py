"""The SQL of survivorship, compiled from a policy. Per source of candidates: key, best, runner-up, golden part.

candidates  e, s, tie, the values, since when            one row per source record or contact point
keyed       per choice: value v, key k, since t          k is NULL where there is no value
best        per entity and choice: count, best key, its value, record and since
rival       per entity and choice: the best key with another value, which names the rule that decided

A candidate that is alone in its entity has won: it goes straight to the golden part, without a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.golden.policy import CONTACT_SOURCES, RECORD
from pipelines.golden.rules import AGREED, ONLY, decided_sql, key_sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.golden.policy import Choice, Policy

_SOURCES = (RECORD, "email", "phone", "address")


def golden_sql(policy: Policy, *, timed: bool = True) -> str:
    """Return the query that makes golden rows of the relations ``members``, ``contacts`` and ``roles``.

    ``timed=False`` promises that no candidate has ``term_times``, which makes the query cheaper, not different.
    """
    sources = [source for source in _SOURCES if policy.of(source)]
    numbers = {choice.name: number for number, choice in enumerate(policy.choices)}
    steps = [step for source in sources for step in _steps(source, policy.of(source), numbers, timed=timed)]
    joins = " ".join(f"LEFT JOIN part_{source} USING (e)" for source in sources)
    values = "".join(f'{_value(policy, numbers, column)} AS "{column}", ' for column in policy.types)
    return (
        f"WITH {', '.join([f'entity AS ({_ENTITY})', *_newest(policy), *steps])} "
        f"SELECT e AS entity_id, {values}roles, source_count, is_stub, {_provenance(policy, numbers)} AS provenance "
        f"FROM entity {joins} ORDER BY e"
    )


def _steps(source: str, choices: tuple[Choice, ...], numbers: dict[str, int], *, timed: bool) -> Iterable[str]:
    yield _candidates(source, choices)
    yield _told_since(source, choices, timed=timed)
    yield _keyed(source, choices, numbers)
    yield _best(source, choices, numbers)
    yield _rival(source, choices, numbers)
    yield _part(source, choices, numbers, timed=timed)


def _candidates(source: str, choices: tuple[Choice, ...]) -> str:
    read = _record_columns(choices) if source == RECORD else _contact_columns(source)
    rows = "members WHERE NOT is_stub" if source == RECORD else f"contacts WHERE kind = '{source}'"
    times = {time: "VARCHAR" for choice in choices for time in choice.time_terms}
    shape = "{" + ", ".join(f'"{name}": "{kind}"' for name, kind in times.items()) + "}"
    aged = any(choice.decays for choice in choices)
    columns = f"entity_id AS e, source_record_id AS s, connection, connector, {read}, record_time, tie, alone"
    plain = f"SELECT {columns}, from_json(term_times, '{shape}') AS times FROM {rows}"
    return f"candidate_{source} AS ({f'SELECT * FROM ({plain}) JOIN newest USING (e)' if aged else plain})"


def _newest(policy: Policy) -> Iterable[str]:
    """When an entity was last heard of, by its sources' own times: what the age of a value is counted to."""
    if policy.decays:
        told = " UNION ALL ".join(f"SELECT entity_id, record_time FROM {rows}" for rows in ("members", "contacts"))
        yield f"newest AS (SELECT entity_id AS e, max(record_time) AS newest FROM ({told}) GROUP BY entity_id)"


def _record_columns(choices: tuple[Choice, ...]) -> str:
    composed = {term: parts for choice in choices for term, parts in choice.compose.items()}
    return ", ".join(_composed(name, composed.get(name)) for choice in choices for name in choice.columns)


def _composed(name: str, parts: tuple[str, ...] | None) -> str:
    if parts is None:
        return f'"{name}"'
    text = " || ' ' || ".join(f'"{part}"' for part in parts)
    return f'coalesce("{name}", {text}) AS "{name}"'


def _contact_columns(source: str) -> str:
    columns = [column for column, kind in CONTACT_SOURCES.items() if kind == source]
    names = [f'"{column}"' if source == "address" else f'value AS "{column}"' for column in columns]
    return ", ".join(["verified", "deliverable", "rank", *names])


def _told_since(source: str, choices: tuple[Choice, ...], *, timed: bool = True) -> str:
    """Add to the candidates since when they have had each value; without times of terms it is one time for all."""
    since = ", ".join(f"{_since(choice) if timed else 'record_time'} AS {choice.since}" for choice in choices)
    return f"since_{source} AS (SELECT *, {since}, {_text('record_time')} AS record_text FROM candidate_{source})"


def _text(instant: str) -> str:
    """Return the SQL of an instant as a JSON text."""
    return f"coalesce('\"' || replace(({instant})::VARCHAR, ' ', 'T') || 'Z\"', 'null')"


def _keyed(source: str, choices: tuple[Choice, ...], numbers: dict[str, int]) -> str:
    parts = []
    for choice in choices:
        number = numbers[choice.name]
        parts += [
            f"{_held(choice)} AS v{number}",
            f"CASE WHEN {choice.present} THEN {key_sql(choice)} END AS k{number}",
            f"{choice.since} AS t{number}",
        ]
    return f"keyed_{source} AS MATERIALIZED (SELECT e, s, {', '.join(parts)} FROM since_{source} WHERE NOT alone)"


def _held(choice: Choice) -> str:
    if not choice.is_group:
        return choice.quoted[0]
    return "{" + ", ".join(f"'{column}': \"{column}\"" for column in choice.columns) + "}"


def _since(choice: Choice) -> str:
    """Since when a candidate has had its value: of a group, the latest time of a filled term."""
    if not choice.is_group:
        return _time(choice.time_terms[0])
    times = [
        f"CASE WHEN {column} IS NOT NULL THEN {_time(time)} END"
        for column, time in zip(choice.quoted, choice.time_terms, strict=True)
    ]
    return f"greatest({', '.join(times)})"


def _time(term: str) -> str:
    return f'coalesce(TRY_CAST(times."{term}" AS TIMESTAMP), record_time)'


def _best(source: str, choices: tuple[Choice, ...], numbers: dict[str, int]) -> str:
    parts = []
    for choice in choices:
        number = numbers[choice.name]
        row = f"arg_max({{'v': v{number}, 's': s, 't': t{number}}}, k{number})"
        union = f"list_sort(list_distinct(flatten(list(v{number}) FILTER (k{number} IS NOT NULL))))"
        parts += [f"count(k{number}) AS n{number}", f"max(k{number}) AS k{number}", f"{row} AS w{number}"]
        parts.append(f"{union if choice.union else f'{row}.v'} AS v{number}")
    return f"best_{source} AS MATERIALIZED (SELECT e, count(*) AS n, {', '.join(parts)} FROM keyed_{source} GROUP BY e)"


def _rival(source: str, choices: tuple[Choice, ...], numbers: dict[str, int]) -> str:
    parts = [
        f"max(keyed.k{number}) FILTER (keyed.v{number} IS DISTINCT FROM best.v{number}) AS r{number}"
        for number in (numbers[choice.name] for choice in choices)
    ]
    return (
        f"rival_{source} AS (SELECT keyed.e, {', '.join(parts)} FROM keyed_{source} AS keyed "
        f"JOIN best_{source} AS best USING (e) WHERE best.n > 1 GROUP BY keyed.e)"
    )


def _part(source: str, choices: tuple[Choice, ...], numbers: dict[str, int], *, timed: bool) -> str:
    several, alone = [], []
    for choice in choices:
        number = numbers[choice.name]
        cell = f"concat('[', w{number}.s, ',\"', {_rule(choice, number)}, '\",', {_text(f'w{number}.t')}, ']')"
        several += [f"v{number}", f"{cell} AS p{number}"]
        since = _text(choice.since) if timed else "record_text"
        value = f"list_sort(list_distinct({_held(choice)}))" if choice.union else _held(choice)
        alone += [value, f"concat('[', s, ',\"{ONLY}\",', {since}, ']')"]
    return (
        f"part_{source} AS (SELECT e, {', '.join(several)} FROM best_{source} LEFT JOIN rival_{source} USING (e) "
        f"UNION ALL SELECT e, {', '.join(alone)} FROM since_{source} WHERE alone)"
    )


def _rule(choice: Choice, number: int) -> str:
    decided = "'union'" if choice.union else decided_sql(choice, f"k{number}", f"r{number}")
    return f"CASE WHEN n{number} = 1 THEN '{ONLY}' WHEN r{number} IS NULL THEN '{AGREED}' ELSE {decided} END"


def _value(policy: Policy, numbers: dict[str, int], column: str) -> str:
    choice = policy.choice(column)
    number = numbers[choice.name]
    return f'v{number}."{column}"' if choice.is_group else f"v{number}"


def _provenance(policy: Policy, numbers: dict[str, int]) -> str:
    """Return the SQL of {column: cell}; one call for all pieces, since text that is put together twice costs most here."""
    pieces = [
        f"CASE WHEN {_value(policy, numbers, column)} IS NOT NULL THEN {piece} END"
        for column in sorted(policy.types)
        for piece in (f"',\"{column}\":'", f"p{numbers[policy.choice(column).name]}")
    ]
    if not pieces:
        return "'{}'"
    return f"concat('{{', substr(concat({', '.join(pieces)}), 2), '}}')"


_ENTITY = (
    "SELECT e, source_count, is_stub, played.roles FROM (SELECT entity_id AS e, bool_and(is_stub) AS is_stub, "
    "count(DISTINCT source_record_id) FILTER (NOT is_stub) AS source_count FROM members GROUP BY entity_id) LEFT JOIN "
    "(SELECT entity_id AS e, list_sort(list(DISTINCT role)) AS roles FROM roles GROUP BY entity_id) AS played USING (e)"
)
