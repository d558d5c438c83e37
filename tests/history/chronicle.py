"""A random history of a few people, written down at every commit that a reader could ask for later.

Written down are links, golden rows, relations, contact points and preferences, as the stages left them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.channels.points import POINT_SCHEMA
from pipelines.channels.preferences import PREFERENCE_SCHEMA
from pipelines.golden.survivorship import golden_schema
from pipelines.history.channels import Moment
from pipelines.history.past import channels_as_of, golden_as_of
from pipelines.history.relations import relationships_at
from pipelines.influence.relations import KEY
from pipelines.store import history_reads
from pipelines.store.tables import metadata
from tests.history.world import World, gone, person

T = metadata.tables
Rows = list[dict[str, Any]]

_DERIVED = frozenset({"tenant_id", "change_seq", "known_from", "known_to", "actor", "cause"})
_HAPPENS = (0.4, 0.2, 0.1, 0.28, 0.02)
_NAMES = (("Ada", "Lovelace"), ("Robert", "Babbage"), ("Grace", "Hopper"), ("Alan", "Turing"))


@dataclass(frozen=True)
class State:
    """What the store said at a commit."""

    seq: int
    golden: list[dict[str, Any]]
    links: dict[int, int]
    relations: Rows
    points: Rows
    preferences: Rows


class Chronicle:
    """Changes records of two sources at random: other titles, other addresses (merges), deletes and returns.

    They also come to report to each other and leave again, mail to them bounces, arrives or is answered, and they state when to
    be left alone and on which channel to be met.
    """

    def __init__(self, world: World, seed: int, keys: int = 4) -> None:
        self.world, self.states, self._rng, self._keys = world, list[State](), np.random.default_rng(seed), keys
        self._day = 0

    def run(self, steps: int) -> None:
        """Change something, run the stages of the master, and write the state down; so many times."""
        for _ in range(steps):
            self.world.land(*self._changes())
            self._relate()
            self._happen()
            self._prefer()
            self.world.master()
            self.world.around()
            self.states.append(self.now())

    def now(self) -> State:
        """What the tables hold."""
        read = self.world.store.read_arrow
        return State(
            self.world.seq(),
            as_rows(history_golden(self.world)),
            self.world.links(),
            plain(read(T["golden_relationship"].select()), KEY),
            plain(read(T["golden_contact_point"].select().with_only_columns(*_columns(POINT_SCHEMA, "golden_contact_point")))),
            plain(read(T["golden_preference"].select().with_only_columns(*_columns(PREFERENCE_SCHEMA, "golden_preference")))),
        )  # fmt: skip

    def is_rebuilt(self, past: State) -> bool:
        """Tell whether all of that commit comes out again: golden rows as written, and survived anew."""
        store = self.world.store
        links = history_reads.links(store, 1, "person", past.seq)
        pairs = dict(zip(*(links.column(name).to_pylist() for name in links.column_names), strict=True))
        written = as_rows(history_reads.golden(store, 1, "person", past.seq))
        anew = as_rows(golden_as_of(store, "person", known=past.seq))
        related = relationships_at(Moment(store, 1, "person", past.seq, None))
        reached = channels_as_of(store, "person", known=past.seq)
        counted = [row for row in past.relations if row["conflict"] != "overruled"]
        return (
            (pairs, written, anew) == (past.links, past.golden, past.golden)
            and plain(pa.Table.from_pylist(list(related)), KEY) == counted
            and plain(reached.points) == past.points
            and plain(reached.preferences) == past.preferences
        )

    def _relate(self) -> None:
        """One record says to whom its person reports, or nothing any more."""
        teller, boss = self._one(), self._one()
        self.world.relate(teller, boss if self._rng.random() < 0.7 else None, self._moment())

    def _happen(self) -> None:
        """Something happens to a message that was sent to one of the records."""
        words = ("delivered", "bounce", "hard bounce", "replied", "spam report")
        self.world.happen(self._one(), words[int(self._rng.choice(len(words), p=_HAPPENS))], self._moment())

    def _prefer(self) -> None:
        """A record's person states something, or nothing any more."""
        quiet = (None, "13:00", "14:30")[int(self._rng.integers(3))]
        channel = (None, "email", "phone")[int(self._rng.integers(3))]
        self.world.prefer(self._one(), self._moment(), quiet, channel)

    def _one(self) -> str:
        names = list(self.world.ids)
        return names[int(self._rng.integers(len(names)))]

    def _moment(self) -> datetime:
        return datetime(2025, 1, 1, 9, tzinfo=UTC) + timedelta(days=self._day)

    def _changes(self) -> list[dict[str, Any]]:
        self._day += 1
        at = f"2025-{1 + self._day // 28:02d}-{1 + self._day % 28:02d}"
        keys = self._rng.choice(2 * self._keys, int(self._rng.integers(1, 4)), replace=False)
        return [self._change(int(key), at) for key in keys]

    def _change(self, number: int, at: str) -> dict[str, Any]:
        connection, key = ("crm", "desk")[number % 2], str(number // 2)
        if self._rng.random() < 0.15:
            return gone(connection, key, at)
        given, family = _NAMES[int(self._rng.integers(len(_NAMES)))]
        title = ("Pupil", "Analyst", None)[int(self._rng.integers(3))]
        phone = (None, "+442079460000")[int(self._rng.integers(2))]
        zone = (None, "Europe/London")[int(self._rng.integers(2))]
        more = {"job_title": title, "phone": phone, "time_zone": zone}
        return person(connection, key, at, given, family, f"{given.lower()}@x.example", **more)


def history_golden(world: World) -> pa.Table:
    """The golden rows as the table holds them now."""
    return world.store.read_arrow(T["golden_person"].select())


def plain(rows: pa.Table, key: tuple[str, ...] = ()) -> Rows:
    """Rows of any table without what only says when they were written, in the order of their key or of all they say."""
    kept = [{name: _value(value) for name, value in row.items() if name not in _DERIVED} for row in rows.to_pylist()]
    return sorted(kept, key=lambda row: repr([row[name] for name in key or sorted(row)]))


def _value(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" and value else value


def _columns(schema: pa.Schema, name: str) -> list[Any]:
    return [T[name].c[column] for column in schema.names]


def as_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Golden rows in one form, whether read from the store or survived anew."""
    names = golden_schema("person").names
    plain = [{name: row[name] for name in names} for row in rows.to_pylist()]
    for row in plain:
        row["provenance"] = json.loads(row["provenance"]) if row["provenance"] else {}
        row["roles"] = row["roles"] or None
        row["is_stub"] = bool(row["is_stub"])
    return sorted(plain, key=lambda row: int(row["entity_id"]))
