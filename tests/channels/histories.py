"""Random consent histories, random merges and unmerges of them, and a second opinion on what they come to.

A *group* is a handful of source records that may be one person. Each says contact points, some shared with another
group, and consent acts about them, about itself, or about all addresses of a kind. ``merge`` joins them at random;
``judge`` compares what the store's views answer with the rule of ARCHITECTURE §6, written once more in plain Python.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import text

from pipelines.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipelines.store import Store

T = metadata.tables
INSTANT = pa.timestamp("us", tz="UTC")
DAY = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
STATUSES = ("granted", "denied", "unknown")
MOST_RECORDS = 4
Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Act(NamedTuple):
    """One consent act of a source record; ``day`` None = the vendor does not say when."""

    record: int
    kind: str | None
    value: str | None
    purpose: str
    channel: str
    topic: str | None
    status: str
    day: int | None
    authenticated: bool | None


Slot = tuple[str | None, str | None, str, str, str | None]


@dataclass(frozen=True)
class World:
    """Records 1 … n in groups, who has which contact points, and every act."""

    group: Numbers
    points: tuple[tuple[int, str], ...]
    acts: tuple[Act, ...]

    @property
    def records(self) -> int:
        return len(self.group)


def world(groups: int, seed: int) -> World:
    """Make a world of so many groups; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rng.integers(2, MOST_RECORDS + 1, groups))
    others = rng.integers(0, groups, len(group))
    values = [(_own(g), _own(other)) for g, other in zip(group, others, strict=True)]
    has_other = rng.random(len(group)) < 0.1
    points = [(n + 1, pair[0]) for n, pair in enumerate(values)]
    points += [(int(n) + 1, values[n][1]) for n in np.flatnonzero(has_other) if values[n][0] != values[n][1]]
    counts = rng.integers(0, 4, len(group))
    record = np.repeat(np.arange(len(group)), counts)
    columns = {
        "point": rng.integers(0, 5, len(record)), "purpose": rng.integers(0, 8, len(record)), "topic": rng.integers(0, 3, len(record)),
        "channel": rng.integers(0, 4, len(record)), "status": rng.integers(0, 5, len(record)), "day": rng.integers(0, 8, len(record)),
        "authenticated": rng.integers(0, 3, len(record)),
    }  # fmt: skip
    lots = (dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True))
    acts = (_act(n + 1, *values[n], lot, shares=has_other[n]) for n, lot in zip(record.tolist(), lots, strict=True))
    return World(group, tuple(points), tuple(acts))


def _act(record: int, own: str, other: str, lot: Mapping[str, int], *, shares: bool) -> Act:
    """Turn drawn lots into an act; a record may speak of another group's address only if it has it."""
    return Act(
        record=record,
        kind=None if lot["point"] == 0 else "email",
        value=(None, None, own, own, other if shares else own)[lot["point"]],
        purpose="analytics" if lot["purpose"] == 0 else "marketing",
        channel=("email", "email", "any", "sms")[lot["channel"]],
        topic=(None, None, "news")[lot["topic"]],
        status=STATUSES[min(lot["status"] // 2, 2)],
        day=lot["day"] or None,
        authenticated=(None, False, True)[lot["authenticated"]],
    )


def _own(group: int) -> str:
    return f"p{group}@example.org"


def merged(world: World, seed: int) -> Numbers:
    """Return a random partition: of each group any records may be one entity; entity ids begin at 1."""
    rng = np.random.default_rng(seed)
    lot = rng.integers(0, 2, world.records)  # two lots a group: at most one of them joins records of the other
    _, entity = np.unique(world.group * 2 + lot, return_inverse=True)
    return np.asarray(entity + 1, np.int64)


def apart(world: World) -> Numbers:
    """Return the partition in which every record is itself."""
    return np.arange(1, world.records + 1)


def joins(entities: Numbers) -> int:
    """Return how many merges of two lead to a partition."""
    return len(entities) - len(np.unique(entities))


def fill(store: Store, world: World) -> None:
    """Write the world's records, contact points and acts, linked to nobody yet."""
    n, acts = world.records, world.acts
    records = {"source_record_id": apart(world), "source_key": [str(number) for number in range(1, n + 1)]}
    same = {"connection_id": ["crm"] * n, "object": ["contact"] * n, "entity": ["person"] * n, "is_stub": [False] * n}
    owner, value = (list(column) for column in zip(*world.points, strict=True))
    points = {"source_record_id": owner, "row_key": value, "party": owner, "kind": ["email"] * len(owner), "value": value,
              "value_norm": value}  # fmt: skip
    columns = [list(column) for column in zip(*acts, strict=True)]
    told = {
        "source_record_id": columns[0], "row_key": [str(n) for n in range(len(acts))], "party": columns[0],
        "contact_kind": pa.array(columns[1], pa.string()), "contact_value_norm": pa.array(columns[2], pa.string()),
        "purpose": columns[3], "channel": columns[4], "topic": pa.array(columns[5], pa.string()), "status": columns[6],
        "captured_at": pa.array([None if day is None else DAY + timedelta(days=day) for day in columns[7]], INSTANT),
        "authenticated": pa.array(columns[8], pa.bool_()),
    }  # fmt: skip
    with store.acquire("test") as lease:
        for name, rows in (("source_record", {**records, **same}), ("contact_point", points), ("consent", told)):
            with store.write(lease, cause="test") as tx:
                tx.upsert(T[name], pa.table(rows))
                if store.dialect == "postgresql":  # as its autovacuum does; without statistics it plans blindly
                    tx.execute(text(f"ANALYZE {name}"))


def link(store: Store, entities: Numbers) -> None:
    """Say which records are one person."""
    n = len(entities)
    rows = {"source_record_id": np.arange(1, n + 1), "entity": ["person"] * n, "entity_id": entities}
    with store.acquire("test") as lease, store.write(lease, cause="test") as tx:
        tx.upsert(T["crosswalk"], pa.table(rows))
        if store.dialect == "postgresql":
            tx.execute(text("ANALYZE crosswalk"))


def answers(store: Store) -> dict[tuple[int, Slot], str]:
    """Return what ``v1_effective_consent`` says: status by entity and slot."""
    columns = "entity_id, contact_kind, contact_value_norm, purpose, channel, topic, status"
    rows = store.query(f"SELECT {columns} FROM v1_effective_consent").rows
    found = {(row[0], tuple(row[1:6])): row[6] for row in rows}
    assert len(found) == len(rows), "one row per party and slot"
    return found


class Verdict(NamedTuple):
    """What the second opinion says of the answers."""

    opt_outs: int
    lost: int
    wrong: int


def judge(world: World, entities: Numbers, found: Mapping[tuple[int, Slot], str]) -> Verdict:
    """Count the opt-outs that hold, those that the answers lost, and all answers that differ from the rule's."""
    mine: dict[int, list[Act]] = defaultdict(list)
    about: dict[str, list[Act]] = defaultdict(list)
    for act in world.acts:
        mine[int(entities[act.record - 1])].append(act)
        if act.value is not None:
            about[act.value].append(act)
    expected = {
        (entity, slot): _status(entity, slot, mine, about, entities)
        for entity, slot in _slots(world, entities, mine, about)
    }
    lost = sum(status == "denied" and found.get(key) != "denied" for key, status in expected.items())
    wrong = sum(expected.get(key) != found.get(key) for key in expected.keys() | found.keys())
    return Verdict(sum(status == "denied" for status in expected.values()), lost, wrong)


def _slots(
    world: World, entities: Numbers, mine: Mapping[int, list[Act]], about: Mapping[str, list[Act]]
) -> set[tuple[int, Slot]]:
    own = {(entity, _slot(act)) for entity, acts in mine.items() for act in acts}
    denied = {
        (int(entities[record - 1]), _slot(act))
        for record, value in world.points
        for act in about.get(value, ())
        if act.status == "denied"
    }
    return own | denied


def _slot(act: Act) -> Slot:
    return act.kind, act.value, act.purpose, act.channel, act.topic


def _status(
    entity: int, slot: Slot, mine: Mapping[int, list[Act]], about: Mapping[str, list[Act]], entities: Numbers
) -> str:
    own = mine.get(entity, [])
    for denial in own:
        if denial.status == "denied" and _covers(denial, slot) and not _lifted(denial, slot, own):
            return "denied"
    for denial in about.get(slot[1] or "", ()):
        if denial.status == "denied" and _covers(denial, slot):
            refuser = mine[int(entities[denial.record - 1])]
            if not _lifted(denial, slot, [*own, *refuser]):
                return "denied"
    granted = any(act.status == "granted" and _covers(act, slot) for act in own)
    return "granted" if granted else "unknown"


def _covers(act: Act, slot: Slot) -> bool:
    kind, value, purpose, channel, topic = slot
    at_point = act.value == value if act.value is not None else act.kind in (None, kind)
    return act.purpose == purpose and act.channel in ("any", channel) and act.topic in (None, topic) and at_point


def _lifted(denial: Act, slot: Slot, grants: Iterable[Act]) -> bool:
    return any(
        grant.status == "granted" and grant.authenticated and grant.day is not None and denial.day is not None
        and grant.day > denial.day and (grant.kind, grant.value) == (denial.kind, denial.value) and _covers(grant, slot)
        for grant in grants
    )  # fmt: skip
