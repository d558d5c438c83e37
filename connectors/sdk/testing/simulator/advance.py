"""Time passes: some records change, some new ones appear, all with the new modification time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .blocks import Made
from .holdings import Held, Holdings, held

if TYPE_CHECKING:
    from .shape import StreamShape
    from .world.rows import Rows

_NEW = 0.15


@dataclass(frozen=True)
class Changed:
    """One record that an advance wrote."""

    connection: str
    stream: str
    key: str
    new: bool


class Advance:
    """One step in the life of what a vendor holds; equal arguments on equal holdings give equal changes."""

    def __init__(self, holdings: Holdings, seed: int, step: int, at_ms: int) -> None:
        self._holdings, self._step, self._at = holdings, step, at_ms
        self._block = holdings.world.first_block
        name = zlib.crc32(holdings.shape.vendor.encode())
        self._rng = np.random.default_rng([holdings.world.seed, seed, step, name])

    def run(self, count: int) -> list[Changed]:
        """Change or add ``count`` records over the streams that say what may change in them."""
        shape = self._holdings.shape
        streams = [s for name in shape.served() for s in self._changing(name)]
        if not streams or count <= 0:
            return []
        weights = np.array([len(self._holdings.records(served)) or 1 for served, _ in streams], dtype=float)
        drawn = self._rng.multinomial(count, weights / weights.sum()).tolist()
        changed: list[Changed] = []
        for (served, stream), size in zip(streams, drawn, strict=True):
            new = int(self._rng.binomial(size, _NEW))
            changed += self._update(served, stream, size - new)
            changed += self._add(served, stream, new)
        return changed

    def _changing(self, served: str) -> list[tuple[str, StreamShape]]:
        streams = self._holdings.shape.streams
        parts = self._holdings.shape.parts(served)
        return [(served, streams[part]) for part in parts if streams[part].change is not None]

    def _update(self, served: str, stream: StreamShape, count: int) -> list[Changed]:
        held_now = [h for h in self._holdings.records(served).values() if _made(h).shape is stream]
        chosen = self._rng.permutation(len(held_now))[:count].tolist()
        return [c for i in chosen for c in self._put(served, stream, self._again(held_now[i], stream))]

    def _again(self, record: Held, stream: StreamShape) -> Rows:
        """Return the record's row once more with the new time and the columns of ``change:``."""
        rows = _made(record).rows.take([record.at], updated=[self._at], now=[self._at])
        salt = zlib.crc32(record.key.encode()) ^ self._step
        self._block.add(self._holdings.shape, stream, stream.change or {}, rows, self._at, salt)
        return rows

    def _add(self, served: str, stream: StreamShape, count: int) -> list[Changed]:
        if not count or not {"view", "of"} & set(stream.rows):
            return []
        rows = self._new_view(served, stream, count) if "view" in stream.rows else self._new_children(stream, count)
        result = self._put(served, stream, rows, new=True)
        for child in self._holdings.shape.streams.values():
            if child.served and child.nested and child.rows.get("of") == stream.name:
                born, _ = self._block.children(self._holdings.shape, child, rows, self._at, self._step)
                result += self._put(child.name, child, born, new=True)
        return result

    def _new_view(self, served: str, stream: StreamShape, count: int) -> Rows:
        source, name = self._block.source(stream.rows["view"])
        known = {h.entity for h in self._holdings.records(served).values()}
        free = [i for i in range(source.count) if f"{name}-{i}" not in known]
        at = [free[i] for i in self._rng.permutation(len(free))[:count].tolist()]
        numbers = [2 * i for i in at]
        rows = self._block.view(self._holdings.shape, stream, at, numbers, self._at, self._rng, self._step)
        rows.columns.update(created=[self._at] * rows.count, updated=[self._at] * rows.count)
        return rows

    def _new_children(self, stream: StreamShape, count: int) -> Rows:
        parents = self._block.rows(stream.vendor, stream.rows["of"])
        chosen = parents.take(self._rng.integers(0, parents.count, count).tolist())
        one_each = replace(stream, rows={"of": stream.rows["of"], "count": [1, 1], "days": 0})
        rows, _ = self._block.children(self._holdings.shape, one_each, chosen, self._at, self._step)
        return rows

    def _put(self, served: str, stream: StreamShape, rows: Rows, *, new: bool = False) -> list[Changed]:
        records = held(Made(stream, rows), stream.template.render(rows))
        self._holdings.put(served, records)
        return [Changed(self._holdings.shape.vendor, served, record.key, new) for record in records]


def _made(record: Held) -> Made:
    if record.made is None:
        message = f"record {record.key} was given: it cannot be made again"
        raise LookupError(message)
    return record.made
