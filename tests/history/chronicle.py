"""A random history of a few people, written down at every commit that a reader could ask for later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.golden.survivorship import golden_schema
from pipelines.history.past import golden_as_of
from pipelines.store import history_reads
from tests.history.world import World, gone, person

_NAMES = (("Ada", "Lovelace"), ("Robert", "Babbage"), ("Grace", "Hopper"), ("Alan", "Turing"))


@dataclass(frozen=True)
class State:
    """What the store said at a commit."""

    seq: int
    golden: list[dict[str, Any]]
    links: dict[int, int]


class Chronicle:
    """Changes records of two sources at random: other titles, other addresses (merges), deletes and returns."""

    def __init__(self, world: World, seed: int, keys: int = 4) -> None:
        self.world, self.states, self._rng, self._keys = world, list[State](), np.random.default_rng(seed), keys
        self._day = 0

    def run(self, steps: int) -> None:
        """Change something, bring the golden records up to date, and write the state down; so many times."""
        for _ in range(steps):
            self.world.land(*self._changes())
            self.world.master()
            golden = as_rows(history_golden(self.world))
            self.states.append(State(self.world.seq(), golden, self.world.links()))

    def is_rebuilt(self, past: State) -> bool:
        """Tell whether links and golden rows of that commit come out again: as written, and survived anew."""
        store = self.world.store
        links = history_reads.links(store, 1, "person", past.seq)
        pairs = dict(zip(*(links.column(name).to_pylist() for name in links.column_names), strict=True))
        written = as_rows(history_reads.golden(store, 1, "person", past.seq))
        anew = as_rows(golden_as_of(store, "person", known=past.seq))
        return pairs == past.links and written == past.golden and anew == past.golden

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
        return person(connection, key, at, given, family, f"{given.lower()}@x.example", job_title=title, phone=phone)


def history_golden(world: World) -> pa.Table:
    """The golden rows as the table holds them now."""
    from pipelines.store.tables import metadata

    return world.store.read_arrow(metadata.tables["golden_person"].select())


def as_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Golden rows in one form, whether read from the store or survived anew."""
    names = golden_schema("person").names
    plain = [{name: row[name] for name in names} for row in rows.to_pylist()]
    for row in plain:
        row["provenance"] = json.loads(row["provenance"]) if row["provenance"] else {}
        row["roles"] = row["roles"] or None
        row["is_stub"] = bool(row["is_stub"])
    return sorted(plain, key=lambda row: int(row["entity_id"]))
