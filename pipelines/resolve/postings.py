"""The postings that few records need, in Python: who is under a key now and was before, each bucket read once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from pipelines.resolve.index import postings_of
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipelines.resolve.index import Hashes, Ids
    from pipelines.store import Store


class Postings:
    """Buckets of the match index, and what moves in them; nothing is written."""

    def __init__(self, store: Store, tenant_id: int, entity: str, bits: int) -> None:
        self._store, self._tenant, self._entity, self._bits = store, tenant_id, entity, bits
        self._read: dict[int, tuple[Hashes, Ids]] = {}
        self._before: dict[int, list[int]] = {}
        self._out: dict[int, set[int]] = defaultdict(set)
        self._in: dict[int, set[int]] = defaultdict(set)

    def reach(self, hashes: Iterable[int]) -> None:
        """Read the buckets of these keys that were not read before."""
        new = sorted({self._bucket(key) for key in hashes} - self._read.keys())
        if not new:
            return
        empty = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._read.update(dict.fromkeys(new, empty))
        for number, postings in match_index.numbered_buckets(self._store, self._tenant, self._entity, new):
            self._read[number] = postings_of([postings])

    def before(self, key: int) -> list[int]:
        """Return the records that the index has under a key."""
        known = self._before.get(key)
        if known is None:
            self.reach([key])
            hashes, records = self._read[self._bucket(key)]
            known = self._before[key] = records[hashes == np.uint64(key)].tolist()
        return known

    def of(self, key: int) -> list[int]:
        """Return the records under a key, as they are moved."""
        out = self._out.get(key, ())
        return [sid for sid in self.before(key) if sid not in out] + sorted(self._in.get(key, ()))

    def size_before(self, key: int) -> int:
        """Return how many records the index has under a key."""
        return len(self.before(key))

    def size(self, key: int) -> int:
        """Return how many records are under a key, as they are moved."""
        return self.size_before(key) - len(self._out.get(key, ())) + len(self._in.get(key, ()))

    def move(self, record: int, before: Collection[int], now: Collection[int]) -> None:
        """Take a record from the keys that it had to those that it has."""
        self.reach([*before, *now])
        for key in set(before) - set(now):
            if record in self.before(key):
                self._out[key].add(record)
        for key in set(now) - set(before):
            if record not in self.before(key):
                self._in[key].add(record)

    def moved(self) -> tuple[Ids, Hashes, Ids]:
        """Return the buckets in which something moved, and all their postings as they are now."""
        changed = {key for moved in (self._out, self._in) for key, records in moved.items() if records}
        numbers = sorted({self._bucket(key) for key in changed})
        hashes, records = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for number in numbers:
            h, sid = self._read[number]
            kept = np.ones(len(h), np.bool_)
            for key in changed:
                if self._bucket(key) == number and self._out.get(key):
                    kept &= ~((h == np.uint64(key)) & np.isin(sid, list(self._out[key])))
            hashes.append(h[kept])
            records.append(sid[kept])
        fresh = [(key, sid) for key in changed for sid in sorted(self._in.get(key, ()))]
        hashes.append(np.array([key for key, _ in fresh], np.uint64))
        records.append(np.array([sid for _, sid in fresh], np.int64))
        return np.array(numbers, np.int64), np.concatenate(hashes), np.concatenate(records)

    def _bucket(self, key: int) -> int:
        return key >> (64 - self._bits)
